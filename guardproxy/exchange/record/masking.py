"""Masks the texts, paths and words of an exchange, so that its record shows no sensitive value.

In: the lanes of an exchange, and the placeholder of each sensitive value. Out: masked texts with their offsets. Kept: the
masked texts.

Every span that a check reported as sensitive is masked by its placeholder, whether or not a rule redacted it, and so is
every other occurrence of a redacted value. A text that was not scanned to its end is not shown.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import msgspec

from guardproxy.events import Path
from guardproxy.exchange.gate.documents import CutTexts, clipped
from guardproxy.exchange.gate.gate import QueuedFrame
from guardproxy.exchange.gate.lanes import CHECK_ERROR, Lane
from guardproxy.exchange.gate.notes import Side
from guardproxy.redaction import PLACEHOLDER, OffsetMap, Span, ValueMatcher, beside, mask, merge
from guardproxy.wire import NOT_KEPT, is_short, undated
from guardproxy.wire.decoding import leaf_of
from guardproxy.wire.json import UNMAPPED, TreeLeaf, View, apart, edited, is_word, rewrite, stand_in, view

KEY = "#key"  # ends the path of a text that is an object's key
KEPT_LIMIT_CHARS = 2_000_000  # the record leaves out a longer text, and says so
VALUES_LIMIT_CHARS = 500_000
"""If all sensitive values together are longer, no text is kept, as the search for them would take too long."""
_DIGITS = re.compile(r"[-.]*[0-9][-.0-9]*")
_SAME = OffsetMap((), (), (), ())


class MaskedText(msgspec.Struct, frozen=True):
    """A lane's text as the record shows it (`None`: not kept), with the maps of offsets of the scanned and of the wire
    text."""

    text: str | None
    scanned: OffsetMap = _SAME
    wire: OffsetMap = _SAME

    def span(self, start: int, end: int) -> tuple[int, int]:
        return self.scanned.translate_span(start, end)

    def wire_end(self, offset: int) -> int:
        return self.wire.translate_span(0, offset)[1] if offset else 0


class KeyPaths(msgspec.Struct):
    """Paths as a record shows them, in which keys that are text have another form."""

    _keys: dict[str, str] = msgspec.field(default_factory=dict)  # path of a key that is text -> the path in the record
    _others: dict[str, str] = msgspec.field(default_factory=dict)  # the same, for other objects and arrays

    def add(self, path: str, parent: str, key: str) -> None:
        """Adds a key that is text. `parent`: its path up to the key; `key`: its form in the record."""
        self._keys[path] = self.shown(parent) + key

    def shown(self, path: str) -> str:
        """The path in the record."""
        if not self._keys:
            return path
        waiting = []  # the part of the path after each border, the last first
        while (begin := self._keys.get(path) or self._others.get(path)) is None:
            border = max(path.rfind("."), path.rfind("["), path.rfind("#"))
            if border < 0:
                begin = path
                break
            waiting.append(path[border:])
            path = path[:border]
        for rest in reversed(waiting):
            path += rest
            begin += rest
            if rest is not waiting[0]:  # siblings share the path before their last step
                self._others[path] = begin
        return begin


def _outside(spans: Iterable[tuple[int, int]], standing: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The spans that do not lie within one of `standing`, which are sorted and do not overlap."""
    for start, end in spans:
        number = bisect_right(standing, start, key=itemgetter(0)) - 1
        if number < 0 or end > standing[number][1]:
            yield start, end


class SharedMasks(msgspec.Struct):
    """The masks of texts that hold others (`cut`). A text and those in it have the same masks, so that a replay finds the ones
    in the other. `known(text)`: the masks of known values in a text; `is_hidden(lane)`: whether a text alone is not kept."""

    cut: CutTexts
    known: Callable[[str], list[Span]]
    is_hidden: Callable[[Lane], bool]
    _spans: dict[int, list[Span]] = msgspec.field(default_factory=dict)  # by the text that holds others
    _hidden: dict[int, bool] = msgspec.field(default_factory=dict)

    def hides(self, lane: Lane) -> bool:
        """Whether a text is not kept, as the text that holds it or a text in that is not."""
        holder = self.cut.holder_of(lane) or lane
        if id(holder) not in self._hidden:
            self._hidden[id(holder)] = any(map(self.is_hidden, (holder, *(each for each, _ in self.cut.of(holder)))))
        return self._hidden[id(holder)]

    def spans(self, lane: Lane, length: int) -> Sequence[Span]:
        """Returns the masks of a text that the other texts know of, in order. `length`: how much of the text is shown."""
        if (holder := self.cut.holder_of(lane)) is not None:
            place = self.cut.places[lane]
            shared = clipped(self._of_holder(holder), place.start, min(place.end, place.start + length))
            return shared if lane.text.view is not None else merge([*shared, *lane.rewrite.masks])
        return self._of_holder(lane) if self.cut.of(lane) else lane.rewrite.masks

    def _of_holder(self, holder: Lane) -> list[Span]:
        """The masks of a text that holds others, with theirs."""
        if id(holder) not in self._spans:
            scanned = "".join(holder.text.parts)[: holder.progress.settled]
            spans = list(holder.rewrite.masks)
            for lane, place in self.cut.of(holder):
                its: Sequence[Span] = lane.rewrite.masks
                if (seen := lane.text.view) is not None:
                    its = seen.raw_spans(merge([*its, *beside(self.known(seen.text), its)]))
                spans += [(start + place.start, end + place.start, token) for start, end, token in its]
            own = merge(clipped(merge(spans), 0, len(scanned)))
            self._spans[id(holder)] = merge([*own, *beside(self.known(scanned), own)])
        return self._spans[id(holder)]


class Masks(msgspec.Struct):
    """Masks texts, paths and words. `tokens`: sensitive value -> placeholder. `keep`: whether texts are kept."""

    keep: bool
    sides: tuple[Side, ...]
    tokens: dict[str, str] = msgspec.field(default_factory=dict)
    _masked: dict[int, MaskedText] = msgspec.field(default_factory=dict)
    _matcher: ValueMatcher | None = None
    _own: frozenset[str] = frozenset()
    hidden: dict[str, str] | None = None
    """Paths of the record that show a key which is text -> the same paths without it. `None`: not needed."""
    _keys: KeyPaths = msgspec.field(default_factory=KeyPaths)
    _hidden_keys: KeyPaths | None = None  # with `*` instead of every key that is text; made when there is one
    _scanned: dict[int, frozenset[str]] = msgspec.field(default_factory=dict)  # by side: scanned texts in one piece
    _blind: bool = False  # whether everything that may hold a value is masked
    _shared: SharedMasks | None = None

    def __post_init__(self) -> None:
        if self.sides and (cut := self.sides[0].gate.lanes.cut) is not None:
            self._shared = SharedMasks(cut, self._known, self._hides)
        if self.tokens and sum(map(len, self.tokens)) > VALUES_LIMIT_CHARS:
            self.keep, self._blind = False, True
        keys = [lane for side in self.sides for lane in side.gate.lanes.every if lane.channel.path.endswith(KEY)]
        # Outer keys first: the path of an inner key shows them in the form that they have in the record.
        for lane in sorted(keys, key=lambda lane: len(lane.channel.path)) if keys else ():
            path = lane.channel.path.removesuffix(KEY)
            text = self.masked(lane).text if lane.progress.settled == lane.text.total else None
            parent = path[: len(path) - lane.text.total]
            self._keys.add(path, parent, "*" if text is None else text)
            if self.hidden is not None:
                self._hidden_keys = self._hidden_keys or KeyPaths()
                self._hidden_keys.add(path, parent, "*")

    def scrub(self, text: str) -> str:
        """`text` without any sensitive value."""
        if not self.tokens:
            return text
        return "*" if self._blind else mask(text, self._known(text))[0]

    def path(self, path: str) -> str:
        """A path with masked keys. A key that is text and was not scanned, or must not be kept, is shown as `*`."""
        with_keys = self._keys.shown(path)
        shown = self.scrub(with_keys)
        if self.hidden is not None and self._hidden_keys and (without := self._hidden_keys.shown(path)) != with_keys:
            self.hidden[shown] = self.scrub(without)
        return shown

    def word(self, text: str, side: Side) -> str:
        """A model's name, if it was scanned or is too short to be sensitive; otherwise empty."""
        known = is_short(text) or (not side.read and is_word(text)) or undated(text) in self._scanned_texts(side)
        return self.scrub(text) if known else ""

    def _scanned_texts(self, side: Side) -> frozenset[str]:
        """The texts of a side that were scanned in one piece."""
        if id(side) not in self._scanned:
            lanes = (
                lane
                for lane in side.gate.lanes.every
                if lane.progress.settled == lane.text.total and len(lane.text.parts) == 1
            )
            self._scanned[id(side)] = frozenset(lane.text.parts[0] for lane in lanes)
        return self._scanned[id(side)]

    def _known(self, text: str) -> list[Span]:
        if not self.tokens:
            return []
        if self._matcher is None:
            # In a replay the placeholder is the value: both are equal.
            self._matcher = ValueMatcher([value for value, token in self.tokens.items() if value and value != token])
            self._own = frozenset(self.tokens.values())
        found = list(self._matcher.find(text))
        if not found:  # as in nearly all texts of an agent, of which each turn has hundreds
            return []
        # A placeholder is not sensitive, though its letters may equal another short value. A masked placeholder could not be
        # restored.
        standing = [match.span() for match in PLACEHOLDER.finditer(text) if match[0] in self._own]
        # Only the first of overlapping values is looked up, after the merge: a long value that repeats itself, such as a run of
        # one letter, is found again at every character.
        merged = merge((start, end, end) for start, end in _outside(found, standing))
        return [(start, end, self.tokens[text[start:first_end]]) for start, end, first_end in merged]

    def masked(self, lane: Lane) -> MaskedText:
        if id(lane) not in self._masked:
            self._masked[id(lane)] = self._mask(lane)
        return self._masked[id(lane)]

    def _hides(self, lane: Lane) -> bool:
        """Whether a text by itself is not kept."""
        # Nobody knows which values a text holds that a check could not read.
        failed = any(finding.label == CHECK_ERROR for finding in lane.progress.findings)
        unscanned = lane.encoded and (lane.text.view is None or lane.progress.settled < lane.text.total)
        return not self.keep or failed or unscanned or lane.judged or lane.text.total > KEPT_LIMIT_CHARS

    def _mask(self, lane: Lane) -> MaskedText:
        shared = self._shared
        if self._hides(lane) or (shared is not None and shared.hides(lane)):
            return MaskedText(None)
        whole = "".join(lane.text.parts)
        if lane.json and not lane.encoded:
            return self._mask_raw(lane, whole[: lane.progress.settled])
        scanned = lane.text.view.text if lane.text.view else whole[: lane.progress.settled]
        own: Sequence[Span] = lane.rewrite.masks
        if shared is not None and lane.text.view is None:
            own = shared.spans(lane, len(scanned))
        known = self._known(scanned)
        spans = merge([*own, *beside(known, own)]) if own or known else []
        if lane.place.fixed:  # the mask stays a word, so that a replay treats the text alike
            spans = [(start, end, token.strip("[]")) for start, end, token in spans]
        if lane.place.number:
            spans = [(start, end, lane.rewrite.replacement_for(start, end)) for start, end, _ in spans]
        if lane.text.view is None:
            shown, offsets = mask(scanned, spans)
            return MaskedText(shown, offsets, offsets)
        if shared is not None and lane in shared.cut.places:
            raw = shared.spans(lane, len(whole))
            shown, wire = mask(whole, raw)
            return MaskedText(shown, mask(scanned, lane.text.view.decoded_spans(raw))[1], wire)
        shown, wire = mask(whole, merge([*rewrite(lane.text.view, spans), *self._between(lane.text.view)]))
        return MaskedText(shown, mask(scanned, apart(lane.text.view, spans))[1], wire)

    def _mask_raw(self, lane: Lane, text: str) -> MaskedText:
        """Masks JSON that no check has read decoded. Known values are masked however they are escaped."""
        seen = view(text)
        shown, offsets = mask(
            text, merge([*lane.rewrite.masks, *rewrite(seen, self._known(seen.text)), *self._between(seen)])
        )
        return MaskedText(shown, offsets, offsets)

    def _between(self, seen: View) -> Iterator[Span]:
        """The masks of numbers that are too short to be scanned and equal a sensitive value."""
        for start, end, _ in self._known(seen.raw):
            if not _DIGITS.fullmatch(seen.raw, start, end):
                continue
            number = bisect_right(seen.leaves, start, key=attrgetter("end"))
            if number == len(seen.leaves) or end <= seen.leaves[number].start:
                yield start, end, stand_in(end - start)

    def request_body(self, entry: QueuedFrame) -> Any:
        """The request's tree, masked, with a note in each place that no check can read; `None` if a text is not kept."""
        changes: list[tuple[TreeLeaf, str]] = []
        for piece in entry.pieces:
            # The arguments of a call as a whole are in the tree as other texts, and an excerpt is in the text that holds it.
            if piece.text.judged or piece.text.excerpt is not None:
                continue
            shown = self.masked(piece.lane)
            if shown.text is None:
                return None
            changes.append((leaf_of(piece.text), shown.text))
        changes += [(TreeLeaf(path, "", UNMAPPED), NOT_KEPT) for path in entry.opaque]
        if self.tokens:
            changes += self._words(
                entry.frame.tree, (), {leaf.path for leaf, _ in changes if not leaf.key and not leaf.parts}
            )
        return edited(entry.frame.tree, changes, keeps_spelling=False)

    def _words(self, node: Any, path: Path, done: set[Path]) -> Iterator[tuple[TreeLeaf, str]]:
        """The masks of protocol words and short numbers, which no check reads, if they repeat a sensitive value."""
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
