"""Presidio's pattern recognizers, without a language model: which there are, and what each one needs to be asked.

Names of entities come in; `Probe`s go out: a recognizer with the signs that a text must hold before it can find
anything. The signs are read off its own regular expressions, so that a new version of Presidio is read anew. Presidio
(and spaCy with it) is imported here, when the first check is built, and never sees the network.
"""

from __future__ import annotations

import re
import string
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

DEFAULTS = (
    "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "IP_ADDRESS", "CRYPTO", "US_PASSPORT",
    "US_ITIN", "US_BANK_NUMBER", "UK_NHS", "MEDICAL_LICENSE", "MAC_ADDRESS",
)  # fmt: skip
MODEL_ENTITIES = ("PERSON", "LOCATION", "NRP", "ORGANIZATION", "AGE", "ID", "FACILITY", "PROFESSION", "USERNAME")

# Patterns that can do without a digit, and what they cannot do without. Any other such pattern is asked about every
# token that is long enough for it.
_SIGNS = {
    "EMAIL_ADDRESS": "@",
    "URL": r"\.[^\W\d_]",
    "MAC_ADDRESS": r"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.",
    "IP_ADDRESS": r"\d|::|[0-9A-Fa-f]:[0-9A-Fa-f]{1,4}:",
}
# Patterns with spaces in which every group up to the first space holds a digit: read by hand.
_DIGIT_FIRST = {
    "CREDIT_CARD", "US_SSN", "US_ITIN", "IBAN_CODE", "UK_NHS", "PHONE_NUMBER", "AU_ABN", "AU_ACN", "AU_MEDICARE",
    "AU_TFN", "CA_POSTAL_CODE", "CA_SIN", "IN_AADHAAR", "IN_PASSPORT", "IT_VAT_CODE", "KR_DRIVER_LICENSE", "US_NPI",
    "ZA_MOBILE_NUMBER", "ZA_TELEPHONE_NUMBER", "URL",
}  # fmt: skip
# A number without `+` that is valid somewhere has its region's least length, or a prefix for calls abroad (2), a
# country code (1) and the shortest number of any country (4).
_LEAST_ABROAD = 7
_BEHIND = re.compile(r"\(\?<[=!]")
_DIGITS = frozenset(string.digits)


@dataclass(frozen=True, slots=True)
class Probe:
    """One recognizer.

    `ask(text)`: what it finds, as (start, end, score). `need`: a pattern for what a text must hold. `digits`: how many
    digits it must hold; `plus`: it finds telephone numbers, for which a `+` counts for all of them. `context`: words
    before a match that raise its score.
    `spaces`: matches may hold white space; `words`: they may even begin with words without a digit. `behind`: it looks
    at words before a match. `score`: what a telephone number gets without context.
    """

    entity: str
    ask: Callable[[str], list[tuple[int, int, float]]]
    need: re.Pattern[str]
    digits: int
    plus: bool
    context: tuple[str, ...]
    spaces: bool
    words: bool
    behind: bool
    score: float = 0.0


@cache
def recognizers() -> dict[str, list[type]]:
    """Every entity that a pattern recognizer of Presidio finds, with the recognizer's classes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tldextract.tldextract as tld  # noqa: PLC0415
        from presidio_analyzer import PatternRecognizer, predefined_recognizers  # noqa: PLC0415
        from presidio_analyzer.predefined_recognizers import PhoneRecognizer  # noqa: PLC0415

        # The list of public suffixes that comes with the package, instead of a download at the first e-mail address.
        tld.TLD_EXTRACTOR = tld.TLDExtract(suffix_list_urls=(), cache_dir=None)
        found: dict[str, list[type]] = {}
        for name in sorted(vars(predefined_recognizers)):
            kind = getattr(predefined_recognizers, name)
            if isinstance(kind, type) and issubclass(kind, (PatternRecognizer, PhoneRecognizer)):
                maker: Any = kind
                for entity in maker(supported_language="en").supported_entities:
                    found.setdefault(entity, []).append(kind)
    return found


@cache
def boost() -> tuple[float, float, int]:
    """By how much, to at least what, and over how many words before a match, context raises a score in Presidio."""
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer  # noqa: PLC0415

    enhancer = LemmaContextAwareEnhancer()
    least: float = enhancer.min_score_with_context_similarity
    factor: float = enhancer.context_similarity_factor
    return factor, least, int(enhancer.context_prefix_count)


@cache
def stop_words() -> frozenset[str]:
    """Words that never count as context: spaCy's list for English."""
    from spacy.lang.en.stop_words import STOP_WORDS  # noqa: PLC0415

    return frozenset(STOP_WORDS)


def versions() -> str:
    """What the findings depend on besides the options."""
    from importlib.metadata import version  # noqa: PLC0415

    return " ".join(f"{name}={version(name)}" for name in ("presidio-analyzer", "phonenumbers", "tldextract", "spacy"))


@cache
def probes(entity: str) -> tuple[Probe, ...]:
    """The probes for an entity that `recognizers` names."""
    found: list[Probe] = []
    for kind in recognizers()[entity]:
        recognizer: Any = kind(supported_language="en")
        found += (
            _phone_probes(entity, kind) if hasattr(recognizer, "supported_regions") else [_probe(entity, recognizer)]
        )
    return tuple(found)


def _probe(entity: str, recognizer: Any) -> Probe:
    trees = [_tree(pattern.regex, recognizer.global_regex_flags) for pattern in recognizer.patterns]
    digits = min(_least_digits(tree) for tree in trees)
    length = min(int(tree.getwidth()[0]) for tree in trees)
    sign = _SIGNS.get(entity) or (r"\d" if digits else rf'[^\s"<>]{{{max(1, length)}}}')
    spaces = any(_takes_space(tree) for tree in trees)
    return Probe(
        entity,
        _asker(recognizer, entity),
        re.compile(sign),
        digits,
        plus=False,
        context=tuple(word.lower() for word in recognizer.context or ()),
        spaces=spaces,
        words=spaces and entity not in _DIGIT_FIRST,
        behind=any("(?<=" in pattern.regex for pattern in recognizer.patterns),
    )


def _phone_probes(entity: str, kind: type) -> list[Probe]:
    """One probe a region: most numbers are too short for most regions, which then need not be asked."""
    from phonenumbers.phonemetadata import PhoneMetadata  # noqa: PLC0415

    maker: Any = kind
    whole = maker(supported_language="en")
    by_region = not hasattr(kind, "REGION")
    found = []
    for region in whole.supported_regions:
        recognizer = maker(supported_language="en", supported_regions=(region,)) if by_region else whole
        metadata: Any = PhoneMetadata.metadata_for_region(region)
        context = tuple(word.lower() for word in recognizer.context or ())
        digits = min(*metadata.general_desc.possible_length, _LEAST_ABROAD)
        ask, score = _asker(recognizer, entity), float(recognizer.SCORE)
        found.append(Probe(entity, ask, re.compile(r"\d"), digits, True, context, True, False, False, score))
    return found


def _asker(recognizer: Any, entity: str) -> Callable[[str], list[tuple[int, int, float]]]:
    def ask(text: str) -> list[tuple[int, int, float]]:
        return [(int(each.start), int(each.end), float(each.score)) for each in recognizer.analyze(text, [entity])]

    return ask


def _tree(regex: str, flags: int) -> Any:
    """Python's own parse of a pattern written for the `regex` module. What a look-behind needs is left out."""
    parser: Any = getattr(re, "_parser")  # noqa: B009  # no public way to a parsed pattern
    plain = regex.replace("(?i)", "")
    while match := _BEHIND.search(plain):
        plain = plain[: match.start()] + plain[_closing(plain, match.start()) + 1 :]
    kept = (re.IGNORECASE if flags & re.IGNORECASE else 0) | re.DOTALL | re.MULTILINE
    return parser.parse(plain, kept)


def _closing(pattern: str, at: int) -> int:
    """The place of the bracket that closes the one at `at`."""
    depth, inside = 0, False
    while True:
        letter = pattern[at]
        if letter == "\\":
            at += 1
        elif inside:
            inside = letter != "]"
        elif letter == "[":
            inside = True
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if not depth:
                return at
        at += 1


def _least_digits(tree: Iterable[Any]) -> int:
    """The least number of digits in a match."""
    total = 0
    for operation, value in tree:
        kind = str(operation)
        if kind == "BRANCH":
            total += min(_least_digits(branch) for branch in value[1])
        elif kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            total += int(value[0]) * _least_digits(value[2])
        elif kind == "SUBPATTERN":
            total += _least_digits(value[3])
        elif kind == "ATOMIC_GROUP":
            total += _least_digits(value)
        elif kind == "LITERAL":
            total += chr(value) in _DIGITS
        elif kind == "IN":
            total += all(_only_digits(str(item[0]), item[1]) for item in value)
    return total


def _only_digits(kind: str, value: Any) -> bool:
    if kind == "RANGE":
        return {chr(value[0]), chr(value[1])} <= _DIGITS
    return (kind == "LITERAL" and chr(value) in _DIGITS) or str(value) == "CATEGORY_DIGIT"


def _takes_space(tree: Iterable[Any]) -> bool:
    """Whether a match can hold white space."""
    for operation, value in tree:
        kind = str(operation)
        if kind == "BRANCH":
            found = any(_takes_space(branch) for branch in value[1])
        elif kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            found = _takes_space(value[2])
        elif kind == "SUBPATTERN":
            found = _takes_space(value[3])
        elif kind == "ATOMIC_GROUP":
            found = _takes_space(value)
        elif kind == "LITERAL":
            found = chr(value).isspace()
        elif kind == "IN":
            negated = str(value[0][0]) == "NEGATE"
            found = any(_holds_space(str(item[0]), item[1]) for item in value) != negated
        else:
            found = kind in ("ANY", "NOT_LITERAL")
        if found:
            return True
    return False


def _holds_space(kind: str, value: Any) -> bool:
    if kind == "RANGE":
        return bool(value[0] <= ord(" ") <= value[1])
    if kind == "LITERAL":
        return chr(value).isspace()
    return str(value) in ("CATEGORY_SPACE", "CATEGORY_NOT_WORD", "CATEGORY_NOT_DIGIT")
