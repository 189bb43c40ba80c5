"""The check `pii`: identifiers of people, found by Presidio's pattern recognizers without a language model.

Windows of text come in, findings labelled with Presidio's entity names go out; nothing is kept between scans.

Options: `entities` (see `_recognizers.DEFAULTS`), `threshold` (least score, default 0.4), `language` (only `en`).

The text is cut into segments (`_segments.py`), each is searched by itself, and a segment is searched as soon as its end
is known. So the findings are a function of the text alone, and text without digits or other signs goes on at once. A
score is raised when one of the recognizer's context words stands among the last words before the match, as in
Presidio; words are looked for in the `LOOK_BACK` characters before it. Of findings that overlap, the one with the
higher score stays, then the longer, then the earlier, then the one whose entity comes first in the alphabet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from guardproxy.checks import Check, Resources, options_digest
from guardproxy.checks._recognizers import (
    DEFAULTS,
    MODEL_ENTITIES,
    Probe,
    boost,
    probes,
    recognizers,
    stop_words,
    versions,
)
from guardproxy.checks._segments import Segment, Segmenter
from guardproxy.checks._unfolding import unfolding
from guardproxy.errors import OptionError
from guardproxy.findings import Finding, Scan, Window

VERSION = 1
LOOK_BACK = 160
_OPTIONS = ("entities", "threshold", "language", "evasions")
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"\w+")
_NUMBER_ENDS = re.compile(r"[\d(\[\uff08\uff3b+\uff0b#]")

Span = tuple[int, int, str, float]  # start, end, entity, score


@dataclass(frozen=True, slots=True)
class PiiCheck:
    """A `Check` over recognizers."""

    name: str
    digest: str
    probes: tuple[Probe, ...]
    segmenter: Segmenter
    threshold: float

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        text, at = window.text, window.settled - window.start
        findings: list[Finding] = []
        while True:
            segment = self.segmenter.next(text, at, window.last)
            if isinstance(segment, int):
                at = segment
                break
            spans = self.search(text, segment)
            at = segment.border([(start, end) for start, end, _, _ in spans])
            findings += [
                Finding(window.start + start, window.start + end, self.name, entity, score)
                for start, end, entity, score in spans
                if end <= at
            ]
        settled = window.start + at
        return Scan(tuple(findings), settled, max(window.start, settled - LOOK_BACK - 1))

    def search(self, text: str, segment: Segment, sieve: bool = True) -> list[Span]:
        """What the recognizers find in a segment: ordered, without overlaps. `sieve`: ask only those that may find."""
        start, end = segment.start, segment.end
        inside = text[start:end]
        digits, plus = len(_DIGIT.findall(inside)), "+" in inside or "\uff0b" in inside
        found: list[Span] = []
        for probe in self.probes:
            if sieve:
                if (digits < probe.digits and not (plus and probe.plus)) or not probe.need.search(inside):
                    continue
                if probe.plus and self._outdone(text, segment, found, probe):
                    continue
            shift = max(0, start - (LOOK_BACK if probe.behind else 1))
            for first, last, score in probe.ask(text[shift : end + 1]):
                span = shift + first, shift + last
                if span[0] >= start and span[1] <= end:
                    raised = self._score(text, *span, probe, score)
                    if raised >= self.threshold:
                        found.append((*span, probe.entity, raised))
        return _resolved(found)

    def _outdone(self, text: str, segment: Segment, found: list[Span], probe: Probe) -> bool:
        """Whether nothing that a telephone probe may find can stay.

        Either it would overlap spans that stay and have a score beyond its reach, or another region's number already
        spans all characters at which a number can begin or end: what this region finds lies in it, and has no higher
        score, as no context word stands inside of a number.
        """
        kept = _resolved(found)
        ends_of_numbers = [
            at.start() + segment.start for at in _NUMBER_ENDS.finditer(text[segment.start : segment.end])
        ]
        if any(
            entity == probe.entity and start <= ends_of_numbers[0] and ends_of_numbers[-1] < end
            for start, end, entity, _ in kept
        ):
            return True
        factor, least, _ = boost()
        around = text[max(0, segment.start - LOOK_BACK) : segment.end].lower()
        raised = any(word in around for word in probe.context)
        most = max(probe.score + factor, least) if raised else probe.score
        strong = [span for span in kept if span[3] > most]
        ends = [segment.start, *(span[1] for span in strong)]
        starts = [*(span[0] for span in strong), segment.end]
        gaps = [text[end:start] for end, start in zip(ends, starts, strict=True)]
        return not any(len(_DIGIT.findall(gap)) >= probe.digits or "+" in gap or "\uff0b" in gap for gap in gaps)

    def _score(self, text: str, start: int, end: int, probe: Probe, score: float) -> float:
        """`score`, raised when a context word is part of one of the words before or at the start of the match."""
        factor, least, count = boost()
        if not probe.context or score >= 1:
            return score
        before = max(0, start - LOOK_BACK)
        own = _WORD.match(text, start, end)
        words = _WORD.findall(text[before : own.end() if own else start].lower())
        words = [word for word in words if word not in stop_words()][-count - 1 :]
        if any(wanted in word for wanted in probe.context for word in words):
            return min(1.0, max(score + factor, least))
        return score


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """The check `name`. Raises `OptionError` for an unknown option or entity."""
    for key in options:
        if key not in _OPTIONS:
            raise OptionError(key, f"unknown option `{key}`; known options: {', '.join(_OPTIONS)}")
    if options.get("language", "en") != "en":
        raise OptionError("language", "`language` can only be `en`")
    threshold = options.get("threshold", 0.4)
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise OptionError("threshold", "`threshold` must be a number from 0 to 1")
    entities = sorted(set(_entities(options)))
    # Telephone numbers are the dearest to look for, and often need no look once the others have found what is there.
    chosen = tuple(sorted((probe for entity in entities for probe in probes(entity)), key=lambda probe: probe.plus))
    need = "|".join(sorted({probe.need.pattern for probe in chosen}))
    segmenter = Segmenter(
        re.compile(need), chains=any(probe.spaces for probe in chosen), words=any(probe.words for probe in chosen)
    )
    plain = {"entities": entities, "threshold": threshold}
    return unfolding(
        PiiCheck(name, options_digest("pii", VERSION, plain, versions()), chosen, segmenter, float(threshold)), options
    )


def _entities(options: Mapping[str, Any]) -> list[str]:
    known = recognizers()
    if "entities" not in options:
        return [entity for entity in DEFAULTS if entity in known]
    value = options["entities"]
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise OptionError("entities", "`entities` must be a list of entity names")
    for each in value:
        if each in MODEL_ENTITIES:
            raise OptionError("entities", f"`{each}` needs a language model; this check works with patterns only")
        if each not in known:
            near = get_close_matches(each.upper(), known, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"known entities: {', '.join(sorted(known))}"
            raise OptionError("entities", f"unknown entity `{each}`; {hint}")
    return value


def _resolved(spans: list[Span]) -> list[Span]:
    """The spans that stay when overlaps are settled, in the order of the text."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (-span[3], span[0] - span[1], span[0], span[2])):
        if all(span[1] <= other[0] or span[0] >= other[1] for other in kept):
            kept.append(span)
    return sorted(kept)
