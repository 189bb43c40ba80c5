"""Presidio's own engine for comparison, and texts to compare it on."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from guardproxy.checks._shared.declared.contract import Tag
from guardproxy.checks._shared.pii import recognizers as ours
from guardproxy.checks._shared.pii.cover import parse
from guardproxy.checks._shared.pii.engine import Engine
from guardproxy.checks._shared.pii.whole import nlp_engine
from guardproxy.checks._shared.pii.words import words

IDENTIFIERS = {
    "EMAIL_ADDRESS": "ada.l+x@mail.example.co.uk",
    "PHONE_NUMBER": "(212) 555-0147 ext. 12",
    "CREDIT_CARD": "4111 1111 1111 1111",
    "US_SSN": "536-22-8726",
    "IBAN_CODE": "GB82 WEST 1234 5698 7654 32",
    "IP_ADDRESS": "2001:db8::8a2e:370:7334",
    "CRYPTO": "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "MAC_ADDRESS": "aa:bb:cc:dd:ee:ff",
    "UK_NHS": "943 476 5919",
    "US_ITIN": "912-70-1234",
    "MEDICAL_LICENSE": "BB1388568",
}
CONTEXT = {"US_PASSPORT": "passport 912803456", "US_BANK_NUMBER": "bank account 12345678"}

Found = set[tuple[int, int, str, float]]


@dataclass
class People:
    """Tags what it is told to, wherever it stands; `Ada 555-0147 Bo` is a person to it."""

    known: Mapping[str, str]
    digest: str = "sha256:people"
    plain: frozenset[str] = frozenset({"call", "and", "at", "now", "the", "to"})
    timeless: frozenset[str] = frozenset({"call", "and", "now", "the", "to"})
    context_words: int = 24
    is_slow: bool = True

    @property
    def thresholds(self) -> Mapping[str, float]:
        return {"PERSON": 0.5, "LOCATION": 0.5, "DATE_TIME": 0.5}

    def tag(self, texts: Sequence[str]) -> list[list[Tag]]:
        return [
            [
                Tag(match.start(), match.end(), label, 0.8)
                for value, label in self.known.items()
                for match in re.finditer(re.escape(value), text)
            ]
            for text in texts
        ]


def recognizers(language: str, every: bool = False) -> list[Any]:
    """Presidio's default recognizers for a language; `every`: with all others that need no model."""
    found = list(ours.configured_recognizers(language))
    if every:
        there = {type(one) for one in found}
        for kind in ours.classes().values():
            maker: Any = kind
            if kind not in there:
                found.append(maker(supported_language=language))
    return found


def analyzer(recognizers: list[Any], language: str, local: bool = False) -> Callable[[str], Found]:
    """Presidio's engine. `local`: a word counts as context for what it is, whatever else is in the text."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

    registry = RecognizerRegistry(recognizers=list(recognizers), supported_languages=[language])
    nlp = nlp_engine(language)
    engine = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=[language])

    def find(text: str) -> Found:
        artifacts = nlp.process_text(text, language)
        if local:
            artifacts.keywords = {
                lemma.lower()
                for lemma in artifacts.lemmas
                if not nlp.is_stopword(lemma, language)
                and not nlp.is_punct(lemma, language)
                and ":" not in lemma
                and lemma != "be"
            }
        results = engine.analyze(text, language, nlp_artifacts=artifacts)
        return {(one.start, one.end, one.entity_type, one.score) for one in results}

    return find


def engine(recognizers: list[Any], language: str) -> Callable[[str], Found]:
    """The findings of our engine in a whole text."""
    made, whole = ours.sources(recognizers, words(language), None, 0)
    assert not whole
    searching = Engine(made, ours.boost())

    def find(text: str) -> Found:
        spans, settled = searching.step(text, 0, True)
        assert settled == len(text)
        return {span[:4] for span in spans}

    return find


def outcome(find: Callable[[str], Found], text: str) -> Found | str:
    """The findings, or the name of the exception: we must raise where Presidio raises."""
    try:
        return find(text)
    except Exception as error:
        return type(error).__name__


def data_texts(count: int) -> Iterator[str]:
    """The first texts of each set of annotated personal data, if the data folder is there."""
    folder = os.environ.get("GUARDPROXY_DATA")
    for path in sorted(Path(folder, "pii").glob("*.json*")) if folder else ():
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            for _, line in zip(range(count), lines, strict=False):
                yield json.loads(line)["text"]


@cache
def _trees() -> list[Any]:
    return [
        parse(pattern.regex, int(one.global_regex_flags))[0]
        for one in recognizers("en", every=True)
        for pattern in getattr(one, "patterns", ())
    ]


def sample(tree: Any, random: Random) -> str:
    """A text that a parsed pattern matches, apart from its assertions."""
    out = ""
    for operation, value in tree:
        kind = str(operation)
        if kind == "LITERAL":
            out += chr(value)
        elif kind == "IN":
            out += _member([(str(one), what) for one, what in value], random)
        elif kind == "BRANCH":
            out += sample(random.choice(value[1]), random)
        elif kind == "SUBPATTERN":
            out += sample(value[3], random)
        elif kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            low, high = int(value[0]), min(int(value[1]), int(value[0]) + 8)
            out += "".join(sample(value[2], random) for _ in range(random.randint(low, high)))
        elif kind == "GROUPREF":
            out += random.choice(":-")
        elif kind == "ASSERT" and value[0] < 0:
            out += sample(value[1], random)
    return out


def _member(items: list[tuple[str, Any]], random: Random) -> str:
    if items[0][0] == "NEGATE":
        return random.choice("aZ5.-_/")
    kind, value = random.choice(items)
    if kind == "LITERAL":
        return chr(value)
    if kind == "RANGE":
        return chr(random.randint(*value))
    return random.choice({"CATEGORY_DIGIT": "0123456789", "CATEGORY_SPACE": " \t\n"}.get(str(value), "aZ5_é"))


_WORDS = (
    "call", "me", "on", "the", "mobile", "number", "credit", "card", "bank", "account", "passport", "driver",
    "license", "date", "birthday", "url", "website", "link", "ip", "mac", "email", "iban", "wallet", "bitcoin",
    "tax", "id", "social", "security", "to:5", "a:1", "the", "of", "is", "my", "your",
    "http://www.example.com/a?b=c", "ext.", "x12", "medical", "claim", "number:", "prior", "authorization", "#",
    "rx", "prescription", "no.", "referral", "routing", "vat", "identity", "plate", "nino", "nhs",
)  # fmt: skip
_SIGNS = " -./()+:,;#@_'\"<>[]\n\t  x\u00a0\u200b€%=&|~٣３é’ß中İſ"
_DIGITS = "0123456789"


def mixed_text(random: Random) -> str:
    """Identifiers, near misses, digits, signs and words of context, apart or glued together."""
    parts: list[str] = []
    for _ in range(random.randint(1, 8)):
        kind = random.random()
        if kind < 0.35:
            parts.append(sample(random.choice(_trees()), random))
        elif kind < 0.45:
            parts.append(random.choice([*IDENTIFIERS.values(), *CONTEXT.values()]))
        elif kind < 0.7:
            parts.append(random.choice(_WORDS))
        elif kind < 0.8:
            parts.append("".join(random.choices(_DIGITS, k=random.randint(1, 24))))
        elif kind < 0.9:
            parts.append("".join(random.choices(_DIGITS * 3 + _SIGNS, k=random.randint(1, 40))))
        else:
            parts.append("".join(random.choices("abcdefABCDEF0123456789.-@:" + _SIGNS, k=random.randint(1, 60))))
    text = random.choice([" ", " ", " ", "", ", ", "\n", ":", "-"]).join(parts)
    if random.random() < 0.1 and text:
        at = random.randrange(len(text))
        text = text[:at] + random.choice(_SIGNS) + text[at + 1 :]
    return text
