"""The check `grounded`: sentences of an answer that the retrieved texts of the request do not support.

In: windows of an answer, with the retrieved texts in their facts. Out: a finding for each unsupported sentence. Kept: an index
of the retrieved texts, for as long as the exchange lasts.

By meaning, a network judges the sentences (`_shared/grounding/meaning.py`). By words, a sentence is unsupported if it states a
number or a name that neither the retrieved texts nor the user's own texts have, or if too few of its words stand together in
two neighbouring sentences of a retrieved text. Words are compared by their beginnings, without case. So this finds what was
added. It does not find a wrong combination of words that are there: a negation, an exchanged subject. Its cost is linear in the
texts.

Decisions:
- docs/decisions/0052-retrieved-texts-are-compared-by-words.md
- docs/decisions/0074-groundedness-is-judged-by-meaning.md
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardproxy.checks._shared.declared.contract import PairJudge, Resources
from guardproxy.checks._shared.declared.foreign import hint
from guardproxy.checks._shared.declared.options import SCORE, Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.grounding.meaning import CONTRADICTED, UNSUPPORTED, MeaningCheck
from guardproxy.checks._shared.grounding.sentences import CAP, COMMON, is_fact
from guardproxy.checks._shared.grounding.sentences import sentences as cut
from guardproxy.concurrency import stop_point
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import ALL_PLACES, Check, Detail, Finding, Scan, Sources, Traits, Window

VERSION = 1
MEANING_VERSION = 1
LABEL = "UNSUPPORTED"
LEAST_WORDS = 3
"""A sentence with fewer words of meaning states nothing that could be looked up."""
MOST_PLACES = 32  # sentences that are noted for a word; a word that more of them have counts wherever it is
_STEM = 5  # the characters by which words are compared
_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"'\u201d\u2019)\]*_]*(?=\s)|\n")
_WORD = re.compile(r"\d[\d.,]*\d|\d|[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_POINT: Mapping[str, Any] = {"anyOf": [SCORE, {"type": "string", "minLength": 1}]}
OPTIONS: Options = {
    "by": Option(
        "Whether a model judges what a sentence says (`meaning`), or its words are compared (`words`).",
        {"enum": ["words", "meaning"]},
        default="words",
    ),
    "contradicted": Option(
        "By meaning: the probability from which a text contradicts a sentence, or the name of an operating point of the model.",
        _POINT,
        default="contradicted",
        tighter="lower",
    ),
    "model": Option("By meaning: the name of a model folder.", {"type": "string", "minLength": 1}, default="pairs"),
    "passages": Option(
        "By meaning: the most passages of the texts that a sentence is compared with.",
        {"type": "integer", "minimum": 1, "maximum": 8},
        default=3,
    ),
    "support": Option(
        "By words: the share of the words of a sentence, 0 to 1, that a retrieved text must have.", SCORE, default=0.6
    ),
    "supported": Option(
        "By meaning: the probability from which a text supports a sentence, or the name of an operating point of the model.",
        _POINT,
        default="supported",
    ),
}
_BY_WORDS = ("support",)
_BY_MEANING = ("contradicted", "model", "passages", "supported")
_DETAIL = Detail("", "", "a statement that the documents support", "a sentence that they do not support")
_ANSWERS = frozenset(place for place in ALL_PLACES if place[0] == "response")


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option, a value that an option does not take, an option that
    does not belong to what `by` says, and a model that is not there."""
    values = with_defaults(options, OPTIONS)
    is_meaning = values["by"] == "meaning"
    for key in _BY_WORDS if is_meaning else _BY_MEANING:
        if key in options:
            raise OptionError(key, f"`{key}` needs `by: {'words' if is_meaning else 'meaning'}`")
    if is_meaning:
        return _by_meaning(name, values, resources)
    support = float(values["support"])
    traits = Traits(is_sensitive=False, needs_sources=True, labels=frozenset((LABEL,)), looks_at=_ANSWERS)
    return _GroundedCheck(name, options_digest("grounded", VERSION, {"support": support}), traits, support)


def _by_meaning(name: str, values: Mapping[str, Any], resources: Resources) -> Check:
    if resources.pairs is None:
        raise OptionError("by", "this process was started without models, so `by: meaning` cannot be used here")
    if not isinstance(values["model"], str) or not values["model"]:
        raise OptionError("model", "must be the name of a model")
    try:
        judge = resources.pairs(values["model"])
    except ConfigError as error:
        raise OptionError("model" if values["model"] != "pairs" else "by", str(error)) from error
    supported, contradicted = (_probability(key, values[key], judge) for key in ("supported", "contradicted"))
    options = {"supported": supported, "contradicted": contradicted, "passages": values["passages"]}
    digest = options_digest("grounded by meaning", MEANING_VERSION, options, judge.digest, unicodedata.unidata_version)
    traits = Traits(
        is_sensitive=False,
        finds_sentences=True,
        needs_sources=True,
        labels=frozenset((UNSUPPORTED, CONTRADICTED)),
        looks_at=_ANSWERS,
    )
    return MeaningCheck(name, digest, traits, judge, supported, contradicted, values["passages"])


def _probability(key: str, value: Any, judge: PairJudge) -> float:
    """Returns the probability that an option names. Raises `OptionError`."""
    if isinstance(value, str):
        if value in judge.points:
            return judge.points[value]
        near = hint(value, list(judge.points)) or f"; known: {', '.join(judge.points)}"
        raise OptionError(key, f"the model has no operating point `{value}`{near}")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise OptionError(key, f"`{key}` must be a number from 0 to 1, or the name of an operating point")
    return float(value)


@dataclass(frozen=True, slots=True)
class _GroundedCheck:
    name: str
    digest: str
    traits: Traits
    support: float

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`. Without retrieved texts there is nothing to compare an answer with."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        end = window.start + len(window.text)
        sources = window.facts.sources
        if sources is None or not sources.texts:
            return Scan((), end, end)
        index = sources.made.get(self.digest) or _remember(sources, self.digest)
        findings: list[Finding] = []
        at = window.settled - window.start
        for start, stop in sentences(window.text, at, last=window.last):
            stop_point()
            at = stop
            sentence = window.text[start:stop]
            score = 1 - index.support(sentence)
            if score > 1 - self.support:
                low = window.start + start + len(sentence) - len(sentence.lstrip())
                high = window.start + start + len(sentence.rstrip())
                findings.append(Finding(low, high, self.name, LABEL, round(score, 4), (_DETAIL,)))
        settled = window.start + at
        return Scan(tuple(findings), settled, settled)


def sentences(text: str, at: int, *, last: bool) -> Iterator[tuple[int, int]]:
    """Yields the start and the end of each sentence from `at` on that no continuation can change. `last`: whether the text is
    complete."""
    return cut(text, at, last=last, end_of=_end)


def _end(text: str, at: int) -> int:
    match = _END.search(text, at, at + CAP)
    # A mark that is the last character within the cap may be followed by a quote, which belongs to the sentence.
    return match.end() if match is not None and match.end() < at + CAP else -1


def _remember(sources: Sources, digest: str) -> _Index:
    index = sources.made[digest] = _Index.of(sources)
    return index


@dataclass(slots=True)
class _Index:
    """The retrieved texts. `places`: the sentences that have a word, by its stem; `common`: stems that many sentences have;
    `known`: numbers and words of the retrieved texts and of the user's."""

    places: dict[str, list[int]] = field(default_factory=dict)
    common: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, sources: Sources) -> _Index:
        """Reads the texts. The cost is linear in their length."""
        index, number = cls(), 0
        for text in sources.texts:
            for start, end in sentences(text, 0, last=True):
                stop_point()
                number += 1
                for stem in {_stem(word) for word in _words(text[start:end])}:
                    index.known.add(stem)
                    if stem in index.common:
                        continue
                    its = index.places.setdefault(stem, [])
                    its.append(number)
                    if len(its) > MOST_PLACES:
                        del index.places[stem]
                        index.common.add(stem)
            number += 1  # the last sentence of a text and the first of the next are no neighbours
        for text in sources.asked:
            index.known.update(map(_stem, _words(text)))
        return index

    def support(self, sentence: str) -> float:
        """The share of the words of a sentence that stand together in a retrieved text; 1 for a question and for a sentence
        that states nothing, 0 if it has a number or a name that is nowhere."""
        if sentence.rstrip().endswith(("?", "\uff1f")):
            return 1.0
        words = _words(sentence)
        stems = {_stem(word) for word in words if word.casefold() not in COMMON}
        if len(stems) < LEAST_WORDS:
            return 1.0
        names = {word for number, word in enumerate(words) if is_fact(word, is_first=number == 0)}
        if any(_stem(name) not in self.known for name in names):
            return 0.0
        together: Counter[int] = Counter()
        for stem in stems:
            together.update({place for first in self.places.get(stem, ()) for place in (first, first + 1)})
        best = max(together.values(), default=0)
        return min(1.0, (best + len(stems & self.common)) / len(stems))


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _stem(word: str) -> str:
    """The form in which a word is compared: a number without separators of thousands, or the beginning of a word."""
    if word[0].isdigit():
        plain = word.replace(",", "").rstrip(".")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return word.casefold().split("'")[0].split("\u2019")[0][:_STEM]
