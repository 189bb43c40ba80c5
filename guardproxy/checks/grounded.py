"""The check `grounded`: sentences of an answer that the retrieved texts of the request do not support.

In: windows of an answer, with the retrieved texts in their facts. Out: a finding for each unsupported sentence. Kept: an index
of the retrieved texts, for as long as the exchange lasts.

A sentence is unsupported if it states a number or a name that neither the retrieved texts nor the user's own texts have, or if
too few of its words stand together in two neighbouring sentences of a retrieved text. Words are compared by their beginnings,
without case. So the check finds what was added. It does not find a wrong combination of words that are there: a negation,
an exchanged subject. Its cost is linear in the texts.

Decision: docs/decisions/0052-retrieved-texts-are-compared-by-words.md
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import SCORE, Option, Options, options_digest, with_defaults
from guardproxy.concurrency import stop_point
from guardproxy.findings import ALL_PLACES, Check, Detail, Finding, Scan, Sources, Traits, Window

VERSION = 1
LABEL = "UNSUPPORTED"
CAP = 600
"""The most characters of a sentence; a longer one is cut."""
LEAST_WORDS = 3
"""A sentence with fewer words of meaning states nothing that could be looked up."""
MOST_PLACES = 32  # sentences that are noted for a word; a word that more of them have counts wherever it is
_STEM = 5  # the characters by which words are compared
_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"'\u201d\u2019)\]*_]*(?=\s)|\n")
_WORD = re.compile(r"\d[\d.,]*\d|\d|[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_SMALL_WORDS = """
a about according after all also an and another answer any as at based be been before being between both but by can could did do
document documents does done during each every for from had has have having he her here him his how however i if in information
into is it its just may me mentioned might more most must my no nor not of on one only onto or other our over per provided
question said says shall she should so some source sources stated states such text texts than that the their them then there
therefore these they this those to too up us very via was we were what when where which who whom whose why will with within
without would you your
"""
_COMMON = frozenset(_SMALL_WORDS.split())
OPTIONS: Options = {
    "support": Option(
        "The share of the words of a sentence, 0 to 1, that a retrieved text must have.", SCORE, default=0.6
    ),
}
_DETAIL = Detail("", "", "a statement that the documents support", "a sentence that they do not support")


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option, or a share that is not a number from 0 to 1."""
    support = with_defaults(options, OPTIONS)["support"]
    traits = Traits(
        is_sensitive=False,
        needs_sources=True,
        labels=frozenset((LABEL,)),
        looks_at=frozenset(place for place in ALL_PLACES if place[0] == "response"),
    )
    return _GroundedCheck(
        name, options_digest("grounded", VERSION, {"support": float(support)}), traits, float(support)
    )


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
    while at < len(text):
        match = _END.search(text, at, at + CAP)
        if match is not None and match.end() <= at + CAP - 1:
            end = match.end()
        elif len(text) >= at + CAP:
            space = text.rfind(" ", at + CAP // 2, at + CAP)
            end = space + 1 if space >= 0 else at + CAP
        elif last:
            end = len(text)
        else:
            return
        yield at, end
        at = end


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
        stems = {_stem(word) for word in words if word.casefold() not in _COMMON}
        if len(stems) < LEAST_WORDS:
            return 1.0
        names = {word for number, word in enumerate(words) if _is_fact(word, is_first=number == 0)}
        if any(_stem(name) not in self.known for name in names):
            return 0.0
        together: Counter[int] = Counter()
        for stem in stems:
            together.update({place for first in self.places.get(stem, ()) for place in (first, first + 1)})
        best = max(together.values(), default=0)
        return min(1.0, (best + len(stems & self.common)) / len(stems))


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _is_fact(word: str, *, is_first: bool) -> bool:
    """Whether a word is a number, or is written like a name."""
    is_name = word[0].isupper() and not is_first and len(word) > 1 and word.casefold() not in _COMMON
    return word[0].isdigit() or is_name


def _stem(word: str) -> str:
    """The form in which a word is compared: a number without separators of thousands, or the beginning of a word."""
    if word[0].isdigit():
        plain = word.replace(",", "").rstrip(".")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return word.casefold().split("'")[0].split("\u2019")[0][:_STEM]
