"""Says for each sentence of an answer whether the retrieved texts support it, contradict it, or say nothing about it.

In: windows of an answer, with the retrieved texts in their facts. Out: a finding for each sentence that they contradict or do
not support, and the passages that the others rest on. Kept: an index of the retrieved texts, for as long as the exchange lasts;
with a text, the number of sentences so far and the last one that names its subject.

A sentence that stands in a retrieved text as it is, or joins some that do, needs no model, nor does a sentence with a number
or a name that stands nowhere, or with words that no passage has. Every other sentence is judged against the passage that shares
most with it. If that does not support it, it is judged against one sentence of that passage, against the next ones, and against
the two best as one text.

Decision: docs/decisions/0074-groundedness-is-judged-by-meaning.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from guardproxy.checks._shared.declared.contract import PairJudge, PairScores, TextPair
from guardproxy.checks._shared.grounding.passages import Candidate, SourceIndex, bare_words
from guardproxy.checks._shared.grounding.sentences import (
    COMMON,
    is_fact,
    is_heading,
    is_item,
    plain,
    sentences,
    statement,
    stem,
    words_of,
)
from guardproxy.concurrency import stop_point
from guardproxy.findings import Detail, Finding, Scan, Traits, ValueOrigin, Window

UNSUPPORTED = "UNSUPPORTED"
CONTRADICTED = "CONTRADICTED"
SUPPORTED = "SUPPORTED"
TOGETHER = 16
"""The most sentences that are judged in one call of the model."""
LEAST_OF_BEST = 0.5
"""The share of the words of the best passage that a further passage has at least."""
LEAST_ADDED = 0.15
"""The share of a sentence's words by which a second passage completes the best one."""
_POINTING = re.compile(
    r"(?:it|its|they|their|them|he|his|she|her|this|that|these|those|both|the (?:former|latter))\b", re.IGNORECASE
)
_JOINED = re.compile(
    r"(?:;|,\s+(?:and|but|while|whereas))\s+", re.IGNORECASE
)  # between sentences that are joined to one
_FOUND: Mapping[str, str] = {
    UNSUPPORTED: "a sentence that they do not support",
    CONTRADICTED: "a sentence that they contradict",
}


class Verdict(NamedTuple):
    """What the retrieved texts say about a statement. `passages`: where they say it."""

    label: str
    score: float
    passages: tuple[ValueOrigin, ...] = ()


NOWHERE = Verdict(UNSUPPORTED, 1.0)
"""The verdict on a statement with a number or a name that stands nowhere, or with words that no passage has."""


@dataclass(frozen=True, slots=True)
class _Antecedent:
    """What a text has said before a window. `count`: of sentences; `said`: the last sentence that names what it is about;
    `intro`: the sentence before the items of a list."""

    count: int = 0
    said: str = ""
    intro: str = ""


@dataclass(slots=True)
class _Statement:
    """A sentence that states something. `number`: of the sentence in the text; `judged_as`: the sentence, after the one before
    the list that it is an item of; `about`: that, after the one that says what its pronoun means. Its words find passages."""

    start: int
    end: int
    number: int
    said: str
    judged_as: str
    about: str
    verdict: Verdict | None = None
    candidates: list[Candidate] = field(default_factory=list)
    judged: list[tuple[PairScores, tuple[ValueOrigin, ...]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MeaningCheck:
    """Implements `guardproxy.findings.Check`. `supported`, `contradicted`: the lowest probability that counts. `most`: of
    passages with which a sentence is compared."""

    name: str
    digest: str
    traits: Traits
    judge: PairJudge
    supported: float
    contradicted: float
    most: int

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`. Without retrieved texts there is nothing to compare an answer with. Raises `NoCapacityError`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        end = window.start + len(window.text)
        sources = window.facts.sources
        if sources is None or not sources.texts:
            return Scan((), end, end)
        if (index := sources.made.get(self.digest)) is None:
            index = sources.made[self.digest] = SourceIndex.of(sources)
        before = window.state or _Antecedent()
        statements: list[_Statement] = []
        at = window.settled - window.start
        for start, stop in sentences(window.text, at, last=window.last):
            at = stop
            bare = plain(window.text[start:stop])
            if not bare:
                continue
            raw = window.text[start:stop]
            is_pointing = _POINTING.match(bare) is not None
            intro = before.intro if is_item(raw) else ""
            if not is_heading(raw) and (said := statement(bare)):
                judged_as = f"{intro} {said}" if intro else said
                about = f"{before.said} {said}" if is_pointing else judged_as
                statements.append(_Statement(start, stop, before.count + 1, said, judged_as, about))
            meant = before.said if is_pointing else bare
            before = _Antecedent(before.count + 1, meant, bare if bare.endswith(":") else intro)
        todo = iter(statements)
        while some := list(islice(todo, TOGETHER)):
            stop_point()
            self._judge(some, index)
        findings, grounds = self._answer(window, statements)
        settled = window.start + at
        return Scan(tuple(findings), settled, settled, state=before, grounds=tuple(grounds))

    def _answer(self, window: Window, statements: Sequence[_Statement]) -> tuple[list[Finding], list[Finding]]:
        findings: list[Finding] = []
        grounds: list[Finding] = []
        for each in statements:
            assert each.verdict is not None  # noqa: S101 - `_judge` found it
            label, score, passages = each.verdict
            whole = window.text[each.start : each.end]
            start, end = window.start + each.end - len(whole.lstrip()), window.start + each.end
            if label != SUPPORTED:
                place = f"sentence {each.number}"
                detail = Detail(place, place, "a statement that the documents support", _FOUND[label])
                findings.append(Finding(start, end, self.name, label, round(score, 4), (detail,)))
            if passages:
                places = tuple(Detail("", "", "", "", origin=passage) for passage in passages)
                grounds.append(Finding(start, end, self.name, label, round(score, 4), places))
        return findings, grounds

    def _judge(self, statements: Sequence[_Statement], index: SourceIndex) -> None:
        """Finds the verdicts of statements. Those that the best passage does not support get a second round."""
        for each in statements:
            self._look_up(each, index)
        for passages_of in (_best, _others):
            asked = [
                (each, spans) for each in statements if each.verdict is None for spans in passages_of(each.candidates)
            ]
            pairs = [
                TextPair(" ".join(index.passage(*span) for span in spans), each.judged_as) for each, spans in asked
            ]
            for (each, spans), scores in zip(asked, self.judge.judge(pairs) if pairs else (), strict=True):
                each.judged.append((scores, tuple(index.place(*span) for span in spans)))
            for each in statements:
                if each.verdict is None:
                    each.verdict = self._supported(each)
        for each in statements:
            each.verdict = each.verdict or self._unsupported(each)

    def _supported(self, each: _Statement) -> Verdict | None:
        scores, passages = max(each.judged, key=lambda judged: judged[0].entails)
        return Verdict(SUPPORTED, scores.entails, passages) if scores.entails >= self.supported else None

    def _unsupported(self, each: _Statement) -> Verdict:
        scores, passages = max(each.judged, key=lambda judged: judged[0].contradicts)
        if scores.contradicts >= self.contradicted:
            return Verdict(CONTRADICTED, scores.contradicts, passages)
        return Verdict(UNSUPPORTED, 1 - max(judged.entails for judged, _ in each.judged))

    def _look_up(self, each: _Statement, index: SourceIndex) -> None:
        """Finds the verdict on a statement that needs no model, or the passages with which it is to be compared."""
        for parts in ([each.said], _JOINED.split(each.said)):
            same = [index.whole.get(bare_words(part), -1) for part in parts if not _POINTING.match(part)]
            if len(same) == len(parts) and min(same) >= 0:
                each.verdict = Verdict(SUPPORTED, 1.0, tuple(index.place(at, at + 1) for at in sorted(set(same))))
                return
        words = words_of(each.said)
        facts = [stem(word) for number, word in enumerate(words) if is_fact(word, is_first=number == 0)]
        if any(fact not in index.known and fact not in index.reckoned for fact in facts):
            each.verdict = NOWHERE
            return
        stems = dict.fromkeys(stem(word) for word in words_of(each.about) if word.casefold() not in COMMON)
        each.candidates = index.candidates(stems, self.most)
        if not each.candidates:
            each.verdict = NOWHERE


_Spans = tuple[tuple[int, int], ...]
"""Sentences in the index: passages that are judged as one text."""


def _best(candidates: Sequence[Candidate]) -> Iterator[_Spans]:
    """Yields the best passage."""
    yield (candidates[0].span,)


def _others(candidates: Sequence[Candidate]) -> Iterator[_Spans]:
    """Yields the sentence of the best passage that has most of the words, other passages with enough of them, and the two best
    as one text, in the order of the texts, if the second has words that the best has not."""
    best = candidates[0]
    if best.after - best.first > 1:
        yield ((best.core, best.core + 1),)
    for candidate in candidates[1:]:
        if candidate.share >= LEAST_OF_BEST * best.share:
            yield (candidate.span,)
    if len(candidates) > 1 and candidates[1].added >= LEAST_ADDED:
        yield tuple(sorted(candidate.span for candidate in candidates[:2]))
