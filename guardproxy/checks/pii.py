"""The check `pii`: identifiers of people, found by Presidio's pattern recognizers, and names, found by a small model.

In: windows of text. Out: findings labelled with Presidio's entity names. Kept: nothing between scans.

Options

- `entities`: the entities to find, as Presidio's names of entities or of recognizer classes. Default: `defaults` in
  `_shared/pii/recognizers.py` and `DEFAULTS` in `_shared/pii/extended/recognizers.py`, or only those of `recognizers` if it is
  given.
- `recognizers`: the user's own recognizers, as one entry or a list: a file in Presidio's format (`titles.yaml`, in the
  policies' folder), or a class (`package.module:Class`). All of their entities are found, too.
- `threshold`: the least score. Default: a recognizer's own (`score_thresholds` in its file), otherwise 0.4.
- `language`: `en`, another language that spaCy has rules for, or a list; `auto` (see `_shared/pii/language.py`); or `header`:
  the language in the request's `Content-Language` header; if it names none of the supported languages, all of them.
- `model`: the finder of PERSON, LOCATION, ORGANIZATION and NRP, if one of them is among `entities`: `fast` (the default),
  `accurate`, a folder with a model, or `spacy:` and a pipeline. It also finds DATE_TIME if that is among `entities` beside
  them.
- `parity`: `extended` (the default) adds the recognizers of `_shared/pii/extended/recognizers.py` to Presidio's, and those of
  `_shared/pii/extended/places.py` to a model that finds LOCATION; `strict` does not.
- `evasions`: see `_shared/evasions/unfolding.py`.
- `allow`, `allow_patterns`: see `_shared/declared/allowing.py`. Phone numbers, and the entities whose recognizers leave
  separators out of a value, are compared as numbers; names and addresses of e-mail in any case.

With `parity: strict`, the findings are Presidio's findings (see `_shared/pii/engine.py`) without those under the threshold,
after overlaps are resolved (`resolve`). A partner of the check finds names and reads the text at its own pace. If a
name overlaps an identifier, the identifier stays, and the rest of the name. Both find parts of addresses: parts of LOCATION
that touch become one finding (`join_touching` in `findings.py`). A match that may still grow when it has `MOST` characters
ends there, and the search continues from there as in a new text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from guardproxy.checks._shared.declared.allowing import Allowing, AllowList, allowing
from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.evasions.unfolding import unfolding
from guardproxy.checks._shared.patterns.spans import SpanSet
from guardproxy.checks._shared.pii.engine import BEHIND, Engine, Span
from guardproxy.checks._shared.pii.extended.places import ENTITY as PLACE
from guardproxy.checks._shared.pii.extended.places import with_codes
from guardproxy.checks._shared.pii.names import Names
from guardproxy.checks._shared.pii.setup import OPTIONS, setup
from guardproxy.checks._shared.pii.whole import WholeTextSearch
from guardproxy.concurrency import stop_point
from guardproxy.findings import Check, Finding, Scan, Traits, Window, give_way

__all__ = ["OPTIONS", "build"]

MOST = 4096


@dataclass(frozen=True, slots=True)
class PiiCheck:
    """A `Check` with Presidio's recognizers. `whole`: the recognizers that must see all of the text. `allowed`: values
    that will not be findings (see `beyond`). `has_places`: whether it finds addresses."""

    name: str
    digest: str
    engine: Engine
    whole: WholeTextSearch | None
    by_header: tuple[str, ...]
    traits: Traits
    allowed: AllowList | None = None
    has_places: bool = False

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        if self.whole is not None and not window.last:
            return Scan((), window.settled, window.start)
        language = window.facts.language if window.facts.language in self.by_header else ""
        spans, at = self.search(window, language)
        if self.whole is not None:
            spans += self.whole.search(window.text, language)
        if self.has_places:
            spans = united(spans)
        kept = resolve(spans) if self.allowed is None else beyond(spans, window.text, self.allowed)
        if self.has_places:
            lost = {span for span in spans if span.entity == PLACE}.difference(kept)
            kept = sorted([*kept, *remaining(sorted(lost), kept, window.text)]) if lost else kept
        findings = tuple(
            Finding(window.start + span.start, window.start + span.end, self.name, span.entity, span.score)
            for span in kept
        )
        settled = window.start + at
        return Scan(findings, settled, max(window.start, settled - BEHIND))

    def search(self, window: Window, language: str = "") -> tuple[list[Span], int]:
        """Returns Presidio's findings in the window, and the settled offset; both count in the window's text."""
        text, at = window.text, window.settled - window.start
        all_spans: list[Span] = []
        while True:
            stop_point()
            end = min(at + MOST, len(text))
            low = max(0, at - BEHIND)
            last = window.last and end == len(text)
            spans, settled = self.engine.step(text[low:end], at - low, last, language)
            # Nothing is settled, so a match takes all of this piece: it ends with it.
            if low + settled == at and end == at + MOST:
                spans, settled = self.engine.step(text[low:end], at - low, True, language)
            all_spans += (span._replace(start=low + span.start, end=low + span.end) for span in spans)
            at = low + settled
            if end == len(text):
                return all_spans, at


@dataclass(frozen=True, slots=True)
class NamesCheck:
    """The partner of a `PiiCheck` that finds names. It is a separate check because it settles at other places of a
    text."""

    name: str
    digest: str
    names: Names
    traits: Traits

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        start = window.start
        known = () if window.state is None else window.state
        names = self.names.find(window.text, window.settled - start, window.channel.direction, window.last, known)
        spans = with_codes(window.text, names.spans, names.parts) if self.traits.joins else names.spans
        findings = tuple(
            Finding(start + low, start + high, self.name, label, score) for low, high, label, score in spans
        )
        keep = names.keep(names.settled)
        return Scan(findings, start + names.settled, start + keep, state=names.whole_from(keep), wait=names.wait)


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an option that is unknown or invalid."""
    parts = setup(options, resources)
    traits = Traits(is_slow=False, labels=parts.labels)
    found = PiiCheck(
        name, parts.digest, parts.engine, parts.whole, parts.by_header, traits, parts.allowed, parts.has_places
    )
    check: Any = allowing(unfolding(found, options), parts.allowed, options)
    if parts.names is None:
        return cast(Check, check)
    joins = frozenset([PLACE]) if parts.has_places else frozenset()
    cost = partial(_cost, parts.names)
    partner_traits = Traits(is_slow=parts.names.tagger.is_slow, partner_of=check.digest, joins=joins, cost=cost)
    partner: Check = NamesCheck(name, f"{check.digest} names", parts.names, partner_traits)
    if parts.allowed is not None:
        partner = Allowing(partner, parts.allowed, partner.digest, partner.traits)
    return cast(Check, replace(check, traits=replace(check.traits, partner=partner)))


def _cost(names: Names, window: Window) -> int:
    """The words that the search for names reads in a window, at most."""
    return names.cost(window.text, window.settled - window.start, window.channel.direction)


_SPANS = 512  # spans compared between two stop points


def resolve(spans: Sequence[Span]) -> list[Span]:
    """Resolves overlaps. Returns the spans that stay, in the order of the text.

    Of overlapping spans, a proven span is preferred, then the span with the higher score, the longer span, the earlier
    span, and the span whose entity comes first in the alphabet.
    """
    stop_point()
    taken = SpanSet(span.start for span in spans)
    kept: list[Span] = []
    for count, span in enumerate(sorted(spans, key=_strength)):
        if count % _SPANS == 0:
            stop_point()
        if taken.add(span.start, span.end):
            kept.append(span)
    return sorted(kept)


def united(spans: Sequence[Span]) -> list[Span]:
    """Returns all spans; those of addresses that overlap are one, with the highest score."""
    found = [span for span in spans if span.entity != PLACE]
    last: Span | None = None
    for span in sorted(span for span in spans if span.entity == PLACE):
        if last and span.start < last.end:
            last = found[-1] = last._replace(end=max(last.end, span.end), score=max(last.score, span.score))
        else:
            last = span
            found.append(span)
    return found


def remaining(lost: Sequence[Span], kept: Sequence[Span], text: str) -> list[Span]:
    """Returns the parts of `lost` that no span of `kept` covers: an identifier in an address leaves the rest of it."""
    weak, strong = (
        [Finding(span.start, span.end, "", span.entity, span.score) for span in spans] for spans in (lost, kept)
    )
    parts = give_way(weak, strong, lambda start, end: text[start:end])
    return [Span(part.start, part.end, part.label, part.score, False) for part in parts]


def beyond(spans: Sequence[Span], text: str, allowed: AllowList) -> list[Span]:
    """Resolves overlaps, and once more without the spans inside of those that are allowed, as these will be no findings:
    a weaker span that goes beyond an allowed value stays. Returns the spans of both."""
    kept = resolve(spans)
    gone = [span for span in kept if allowed.has(span.entity, text[span.start : span.end])]
    starts = [span.start for span in gone]
    others = []
    for span in spans if gone else ():
        number = bisect_right(starts, span.start) - 1
        if number < 0 or gone[number].end < span.end:
            others.append(span)
    return sorted({*kept, *resolve(others)})


def _strength(span: Span) -> tuple[bool, float, int, int, str]:
    return not span.proven, -span.score, span.start - span.end, span.start, span.entity
