"""What a record may show of an exchange: its texts, paths and words without any sensitive value.

In: the lanes of an exchange, and what stands for each sensitive value. Out: masked texts with their offsets. Kept: the masked
texts.

Every span that a check reported as sensitive is masked by its placeholder, whether or not a rule redacted it, and so is
every other occurrence of a redacted value. A text that was not scanned to its end is not shown.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any

from guardproxy.audit import OffsetMap, Span, ValueMatcher, beside, mask, merge
from guardproxy.events import Path
from guardproxy.exchange.gate import Entry
from guardproxy.exchange.lanes import CHECK_ERROR, Lane
from guardproxy.exchange.notes import Side
from guardproxy.redaction import PLACEHOLDER
from guardproxy.wire import NOT_KEPT, is_short, leaf_of, undated
from guardproxy.wire.json import UNMAPPED, TreeLeaf, View, apart, edited, is_word, rewrite, stand_in, view

KEY = "#key"  # how the path of a text ends that is an object's key
KEPT_LIMIT_CHARS = 2_000_000  # a longer text is left out of the record, which says so
VALUES_LIMIT_CHARS = 500_000  # of longer sensitive values in all, no text is kept: they could not be found in time
_DIGITS = re.compile(r"[-.]*[0-9][-.0-9]*")
_SAME = OffsetMap((), (), (), ())


@dataclass(frozen=True, slots=True)
class Masked:
    """A lane's text as the record shows it (`None`: not kept), with the offsets of the scanned and of the wire's text."""

    text: str | None
    scanned: OffsetMap = _SAME
    wire: OffsetMap = _SAME

    def span(self, start: int, end: int) -> tuple[int, int]:
        return self.scanned.translate_span(start, end)

    def wire_end(self, offset: int) -> int:
        return self.wire.translate_span(0, offset)[1] if offset else 0


@dataclass(slots=True)
class Masks:
    """Masks texts, paths and words. `tokens`: sensitive value -> what stands for it. `keep`: whether texts are kept."""

    keep: bool
    sides: tuple[Side, ...]
    tokens: dict[str, str] = field(default_factory=dict)
    _masked: dict[int, Masked] = field(default_factory=dict)
    _matcher: ValueMatcher | None = None
    _own: frozenset[str] = frozenset()
    _keys: dict[str, str] = field(default_factory=dict)  # paths of keys that are text -> as the record shows them
    _shown_paths: dict[str, str] = field(default_factory=dict)  # of other objects and arrays, where a key is text
    _scanned: dict[int, frozenset[str]] = field(default_factory=dict)  # by side: its texts that came in one piece
    _blind: bool = False  # nothing is shown that may hold a value

    def __post_init__(self) -> None:
        if sum(map(len, self.tokens)) > VALUES_LIMIT_CHARS:
            self.keep, self._blind = False, True
        keys = [lane for side in self.sides for lane in side.gate.lanes if lane.channel.path.endswith(KEY)]
        for lane in sorted(keys, key=lambda lane: len(lane.channel.path)):
            path = lane.channel.path.removesuffix(KEY)
            text = self.masked(lane).text if lane.progress.settled == lane.text.total else None
            self._keys[path] = self._shown(path[: len(path) - lane.text.total]) + ("*" if text is None else text)

    def scrub(self, text: str) -> str:
        """`text` without any sensitive value."""
        return "*" if self._blind else mask(text, self._known(text))[0]

    def path(self, path: str) -> str:
        """A path with masked keys; one that is text and was not scanned, or must not be kept, is `*`."""
        return self.scrub(self._shown(path))

    def _shown(self, path: str) -> str:
        if not self._keys:
            return path
        waiting = []  # what stands behind each border that was looked at, the last first
        while (begin := self._keys.get(path) or self._shown_paths.get(path)) is None:
            border = max(path.rfind("."), path.rfind("["), path.rfind("#"))
            if border < 0:
                begin = path
                break
            waiting.append(path[border:])
            path = path[:border]
        for rest in reversed(waiting):
            path += rest
            begin += rest
            if rest is not waiting[0]:  # siblings share what stands before their last step
                self._shown_paths[path] = begin
        return begin

    def word(self, text: str, side: Side) -> str:
        """A model's name, where it was scanned or is too short to say anything; empty otherwise."""
        if id(side) not in self._scanned:
            lanes = (
                lane
                for lane in side.gate.lanes
                if lane.progress.settled == lane.text.total and len(lane.text.parts) == 1
            )
            self._scanned[id(side)] = frozenset(lane.text.parts[0] for lane in lanes)
        scanned = undated(text) in self._scanned[id(side)]
        known = is_short(text) or scanned or (is_word(text) and not side.read)
        return self.scrub(text) if known else ""

    def _known(self, text: str) -> list[Span]:
        if not self.tokens:
            return []
        if self._matcher is None:
            # Equal: a replay, to which a placeholder is the value.
            self._matcher = ValueMatcher([value for value, token in self.tokens.items() if value and value != token])
            self._own = frozenset(self.tokens.values())
        # What stands for a value says nothing of it, though its letters may be another short value, and cut up it would be
        # restored no more.
        standing = [match.span() for match in PLACEHOLDER.finditer(text) if match[0] in self._own]
        return merge(self._outside(self._matcher.find(text), standing, text))

    def _outside(
        self, found: Iterable[tuple[int, int]], standing: Sequence[tuple[int, int]], text: str
    ) -> Iterator[Span]:
        """The spans of values that lie in no span of `standing`, which are sorted and lie apart."""
        for start, end in found:
            number = bisect_right(standing, start, key=itemgetter(0)) - 1
            if number < 0 or end > standing[number][1]:
                yield start, end, self.tokens[text[start:end]]

    def masked(self, lane: Lane) -> Masked:
        if id(lane) not in self._masked:
            self._masked[id(lane)] = self._mask(lane)
        return self._masked[id(lane)]

    def _mask(self, lane: Lane) -> Masked:
        failed = any(finding.label == CHECK_ERROR for finding in lane.progress.findings)
        unscanned = lane.encoded and (lane.text.view is None or lane.progress.settled < lane.text.total)
        if not self.keep or failed or unscanned or lane.judged or lane.text.total > KEPT_LIMIT_CHARS:
            return Masked(None)
        whole = "".join(lane.text.parts)
        if lane.json and not lane.encoded:
            return self._mask_as_it_stands(lane, whole[: lane.progress.settled])
        scanned = lane.text.view.text if lane.text.view else whole[: lane.progress.settled]
        spans = merge([*lane.rewrite.masks, *beside(self._known(scanned), lane.rewrite.masks)])
        if lane.fixed:  # a word stays one, as it could be edited otherwise when the record is replayed
            spans = [(start, end, token.strip("[]")) for start, end, token in spans]
        if lane.number:
            spans = [(start, end, lane.rewrite.replacement_for(start, end)) for start, end, _ in spans]
        if lane.text.view is None:
            shown, offsets = mask(scanned, spans)
            return Masked(shown, offsets, offsets)
        shown, wire = mask(whole, merge([*rewrite(lane.text.view, spans), *self._between(lane.text.view)]))
        return Masked(shown, mask(scanned, apart(lane.text.view, spans))[1], wire)

    def _mask_as_it_stands(self, lane: Lane, text: str) -> Masked:
        """JSON that no check has read decoded: known values are masked in it however they are written."""
        seen = view(text)
        shown, offsets = mask(
            text, merge([*lane.rewrite.masks, *rewrite(seen, self._known(seen.text)), *self._between(seen)])
        )
        return Masked(shown, offsets, offsets)

    def _between(self, seen: View) -> Iterator[Span]:
        """Numbers that are too short to be scanned, where they are sensitive values."""
        for start, end, _ in self._known(seen.raw):
            if not _DIGITS.fullmatch(seen.raw, start, end):
                continue
            number = bisect_right(seen.leaves, start, key=attrgetter("end"))
            if number == len(seen.leaves) or end <= seen.leaves[number].start:
                yield start, end, stand_in(end - start)

    def request_body(self, entry: Entry) -> Any:
        """The request's tree, masked, with a note in place of what no check can read; `None` when a text is not kept."""
        changes: list[tuple[TreeLeaf, str]] = []
        for piece in entry.pieces:
            shown = self.masked(piece.lane)
            if shown.text is None:
                return None
            changes.append((leaf_of(piece.text), shown.text))
        changes += [(TreeLeaf(path, "", UNMAPPED), NOT_KEPT) for path in entry.opaque]
        if self.tokens:
            changes += self._words(
                entry.frame.tree, (), {found.path for found, _ in changes if not found.key and not found.parts}
            )
        return edited(entry.frame.tree, changes)

    def _words(self, node: Any, path: Path, done: set[Path]) -> Iterator[tuple[TreeLeaf, str]]:
        """Words of the protocol and short numbers, which no check reads, where they repeat a sensitive value."""
        if isinstance(node, dict):
            for key, child in node.items():
                yield from self._words(child, (*path, key), done)
        elif isinstance(node, list):
            for index, child in enumerate(node):
                yield from self._words(child, (*path, index), done)
        elif path not in done and node is not None and not isinstance(node, bool) and self._known(text := str(node)):
            number = not isinstance(node, str)
            shown = stand_in(len(text)) if number else re.sub(r"[\[\]]", "", self.scrub(text))
            yield TreeLeaf(path, text, UNMAPPED, number=number), shown
