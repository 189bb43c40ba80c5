"""The check `pii`: identifiers of people, found by Presidio's pattern recognizers without a language model.

Windows of text come in, findings labelled with Presidio's entity names go out; nothing is kept between scans.

Options
- `entities`: what to look for, by Presidio's names of entities or of recognizer classes. Default: `_recognizers.defaults`,
  or nothing but what `recognizers` names.
- `recognizers`: one's own, as one entry or a list: a file in Presidio's format (`titles.yaml`, beside the policy), or a class
  (`package.module:Class`). All that they find is looked for, too.
- `threshold`: the least score. Default: a recognizer's own (`score_thresholds` in its file), or else 0.4.
- `language`: `en`, another that spaCy has rules for, or a list; or `auto` (see `_language.py`).

What is found in a text is what Presidio finds in it (see `_engine.py`), less what is under the threshold, and overlaps are
resolved (`resolve`). A text is cut at every `GRID` characters, counted from its beginning, if a match that may still grow
reaches back to the cut before: such a match ends at the cut, and the search goes on from there as in a new text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardproxy.checks import Resources
from guardproxy.checks._engine import BEHIND, Engine, Span
from guardproxy.checks._setup import setup
from guardproxy.checks._whole import Whole
from guardproxy.findings import Finding, Scan, Window

GRID = 4096


@dataclass(frozen=True, slots=True)
class PiiCheck:
    """A `Check` over Presidio's recognizers. `whole`: those that must see all of the text."""

    name: str
    digest: str
    engine: Engine
    whole: Whole | None

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        if self.whole is not None and not window.last:
            return Scan((), window.settled, window.start)
        spans, at = self.search(window)
        if self.whole is not None:
            spans += self.whole.search(window.text)
        findings = tuple(
            Finding(window.start + span.start, window.start + span.end, self.name, span.entity, span.score)
            for span in resolve(spans, ())
        )
        settled = window.start + at
        return Scan(findings, settled, max(window.start, settled - BEHIND))

    def search(self, window: Window) -> tuple[list[Span], int]:
        """What Presidio finds in the window, and how far that is final; both count in the window's text."""
        text, at = window.text, window.settled - window.start
        found: list[Span] = []
        cut = (window.start + at) // GRID * GRID + GRID - window.start
        while True:
            end = min(cut, len(text))
            low = max(0, at - BEHIND)
            last = window.last and end == len(text)
            spans, settled = self.engine.step(text[low:end], at - low, last)
            if end == cut and low + settled <= cut - GRID:
                spans, settled = self.engine.step(text[low:end], at - low, True)
            found += (span._replace(start=low + span.start, end=low + span.end) for span in spans)
            at = low + settled
            if end == len(text):
                return found, at
            cut += GRID


def build(name: str, options: Mapping[str, Any], resources: Resources) -> PiiCheck:
    """The check `name`. Raises `OptionError` for an option that is unknown or not to be understood."""
    made = setup(options, resources)
    return PiiCheck(name, made.digest, made.engine, made.whole)


def resolve(structured: Sequence[Span], named: Sequence[Span], text: str = "") -> list[Span]:
    """The spans that stay when overlaps are settled, in the order of the text; none overlaps another.

    Of `structured` spans that overlap, a proven one stays before a guess, then the one with the higher score, the longer,
    the earlier, and the one whose entity comes first in the alphabet. `named` spans (of a model that finds names) take
    nothing from those: what these leave of one stays if it holds a letter of `text`. Among themselves, the same order holds.
    """
    kept: list[Span] = []
    for span in sorted(structured, key=_strength):
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    for span in sorted(named, key=_strength):
        kept += [rest for rest in _rest(span, kept) if any(map(str.isalpha, text[rest.start : rest.end]))]
    return sorted(kept)


def _strength(span: Span) -> tuple[bool, float, int, int, str]:
    return not span.proven, -span.score, span.start - span.end, span.start, span.entity


def _rest(span: Span, kept: Sequence[Span]) -> list[Span]:
    """What no span of `kept` covers."""
    rest: list[Span] = []
    at = span.start
    for other in sorted(other for other in kept if other.start < span.end and span.start < other.end):
        rest.append(span._replace(start=at, end=other.start))
        at = other.end
    return [*rest, span._replace(start=at)]
