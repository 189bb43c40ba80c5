"""Remembers frames of a stream, so that a frame that differs from one of them in few values is not parsed and walked again.

Most frames of a stream differ in the text that they add, and in what a provider counts or fills in: the number of the event,
the tokens so far, random characters, a time. In: the bytes of a frame. Out: the tree and the leaves that parsing and walking
would give, or `None` if no remembered frame matches. Kept: the bytes between these values, of a few frames.

A frame is remembered if it has one place of text, and if its bytes with other values parse to its tree with those values. The
other values differ from its own, so the changed bytes are the values at these places and nothing else. By the grammar of JSON
the same holds for every value of the same form, also for a text with escapes. The other leaves stay as they are: the map of a
format must choose by types and by words of the protocol, never by such a value (`StreamDecoder.remembers`), and a value that
is not text is not a leaf in any of its forms here (`Filler`). The cost is linear in a frame; long frames are not remembered.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Literal

from guardproxy.events import Path
from guardproxy.wire.json import JsonFault, TreeLeaf, part_text, read, read_string, text
from guardproxy.wire.json.identifiers import is_padding
from guardproxy.wire.json.numbers import part_of
from guardproxy.wire.json.opaque import NOT_KEPT

Filler = Literal["count", "padding", "moment"]
"""A value that a provider writes into each frame. `count`: a whole number of at most eight digits at a place of structure;
`padding`: random characters at a place of the map `PADDING`; `moment`: a time of day at a place of the map `TIME`."""

FRAMES = 8  # remembered: as many choices or blocks can take turns
TRIES = 4  # frames that are remembered in vain, before only frames 8, 16, 32 and so on are
LONGEST_BYTES = 1 << 14  # of a remembered frame: a stream must not keep much
_GAP = re.compile(r'[ \t\r\n]*+:[ \t\r\n]*+("?)')
_OTHER = "\ue000 another text \ue000"
_FORMS: Mapping[Filler, re.Pattern[str]] = {
    "count": re.compile(r"(?:0|[1-9][0-9]{0,7})(?![0-9.eE])"),
    "padding": re.compile(r"[A-Za-z0-9]{0,48}"),
    "moment": re.compile(r"2[0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](?:\.[0-9]{1,9})?Z"),
}
_OTHERS: Mapping[Filler, str | int] = {"count": 90807060, "padding": "x" * 48, "moment": "2000-01-01T00:00:00Z"}


@dataclass(frozen=True, slots=True)
class _Hole:
    """A value that differs: what is before it, with its quote, its place in the tree, and its form; `None` for the text."""

    before: str
    path: Path
    filler: Filler | None


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A frame with holes, what is `after` the last one, and its tree and leaves with other values. `text`: the number of the
    leaf in the hole of the text."""

    holes: tuple[_Hole, ...]
    after: str
    tree: dict[str, Any]
    leaves: tuple[TreeLeaf, ...]
    text: int


@dataclass(slots=True)
class Alike:
    """The remembered frames of a stream. `fillers`: the places of other values that may differ."""

    fillers: Mapping[Path, Filler]
    _frames: deque[_Remembered] = field(default_factory=lambda: deque(maxlen=FRAMES))
    _vain: int = (
        0  # frames that were remembered, less those that were like one; after `TRIES` of them, all frames count
    )

    def find(self, data: bytes) -> tuple[dict[str, Any], Sequence[TreeLeaf]] | None:
        """The tree and the leaves of a frame that is like a remembered one. The tree shares what is beside the paths to its
        values with other frames."""
        if not self._frames:
            return None
        try:
            written = data.decode()
        except UnicodeDecodeError:
            return None
        for frame in self._frames:
            if not written.startswith(frame.holes[0].before) or not written.endswith(frame.after):
                continue
            if (found := _found(frame, written)) is not None:
                self._vain = max(0, min(self._vain, TRIES) - 1)
                return found
        return None

    def remember(
        self, data: bytes, tree: Any, leaves: Sequence[TreeLeaf], withhold: Callable[[Any], Sequence[str]]
    ) -> None:
        """Remembers a frame by its bytes, its tree and its leaves, if it can be remembered. `withhold`: removes token data from
        a tree. It found none to remove in the frame; if it finds none with another text either, the data does not depend on
        the text. Data that says the text is removed then, so its frame is not remembered."""
        # A stream whose frames all differ must not pay for remembering: soon only every power of two is tried.
        if self._vain >= TRIES:
            self._vain += 1
            if self._vain & (self._vain - 1):  # no power of two
                return
            if self._vain > FRAMES:  # none of them was like a frame
                self._frames.clear()
        texts = [number for number, leaf in enumerate(leaves) if _is_text(leaf)]
        if len(texts) != 1 or len(data) > LONGEST_BYTES or _is_special(leaves[texts[0]].text):
            return
        if any(leaf.parts or leaf.path in self.fillers for leaf in leaves):
            return
        self._vain += self._vain < TRIES
        with suppress(JsonFault):
            found = self._with_holes(data.decode(), tree, leaves, texts[0], withhold)
            self._frames.extend(filter(None, (found,)))

    def _with_holes(
        self, written: str, tree: Any, leaves: Sequence[TreeLeaf], text: int, withhold: Callable[[Any], Sequence[str]]
    ) -> _Remembered | None:
        """A frame with holes; `None` if it depends on more than the values in them. Raises `JsonFault`."""
        if (cut := _cut_text(written, leaves[text])) is None:
            return None
        cuts = [cut, *filter(None, (_cut(written, tree, path, filler) for path, filler in self.fillers.items()))]
        holes, pieces, end = [], [], 0
        other = tree
        for first, last, path, filler in sorted(cuts, key=itemgetter(0)):
            value = _OTHERS[filler] if filler else _OTHER
            holes.append(_Hole(written[end:first], path, filler))
            pieces += [written[end:first], str(value)]
            other, end = _with(other, path, value), last
        # The proof that nothing else depends on these values: with others in their places, the frame reads as the tree with
        # others in theirs.
        read_again = read("".join((*pieces, written[end:])).encode())
        if read_again != other or withhold(read_again):
            return None
        return _Remembered(tuple(holes), written[end:], other, tuple(leaves), text)


def _found(frame: _Remembered, written: str) -> tuple[dict[str, Any], Sequence[TreeLeaf]] | None:
    """The tree and the leaves of a frame; `None` if they are not like the frame."""
    at, tree, leaves = 0, frame.tree, list(frame.leaves)
    for hole in frame.holes:
        if not written.startswith(hole.before, at):
            return None
        at += len(hole.before)
        if hole.filler is None:
            try:
                value, end = read_string(written, at - 1)
            except JsonFault:
                return None
            if _is_special(value):
                return None
            its = leaves[frame.text]
            leaves[frame.text] = TreeLeaf(its.path, value, its.leaf)
            # The last quote belongs to what follows the hole.
            at = end - 1
        else:
            if not (found := _FORMS[hole.filler].match(written, at)):
                return None
            value, at = found[0], found.end()
            if hole.filler == "padding" and not is_padding(value):
                return None
        tree = _with(tree, hole.path, int(value) if hole.filler == "count" else value)
    return (tree, leaves) if at + len(frame.after) == len(written) else None


_Cut = tuple[int, int, Path, Filler | None]
"""The first character of a value, the one behind its last, its place in the tree, and its form."""


def _cut(written: str, tree: Any, path: Path, filler: Filler) -> _Cut | None:
    """Where the value of a filler stands; `None` if it is not in the frame, has another form, or is that of `_OTHERS`."""
    for step in path[:-1]:
        tree = tree.get(step)
        if not isinstance(tree, dict):
            return None
    if tree.get(path[-1], _OTHERS[filler]) == _OTHERS[filler]:
        return None
    quote = "" if filler == "count" else '"'
    for start in _values(written, path[-1], quote):
        if (found := _FORMS[filler].match(written, start)) and written.startswith(quote, found.end()):
            return *found.span(), path, filler
    return None


def _cut_text(written: str, leaf: TreeLeaf) -> _Cut | None:
    """Where the text of a leaf stands; `None` if it is not found, or is `_OTHER`."""
    if leaf.text == _OTHER:
        return None
    for start in _values(written, leaf.path[-1], '"'):
        value, end = read_string(written, start - 1)
        if value == leaf.text:
            return start, end - 1, leaf.path, None
    return None


def _values(written: str, name: str | int, quote: str) -> Iterator[int]:
    """Yields where values of members with a name begin, behind their quote. The strings there do not overlap."""
    key, at = f'"{name}"', 0
    while (at := written.find(key, at)) >= 0:
        at += len(key)
        if (gap := _GAP.match(written, at)) and gap[1] == quote:
            yield gap.end()


def _is_text(leaf: TreeLeaf) -> bool:
    """Whether the map of a format says that a place is text, or JSON in a string, whatever its value is."""
    how, kind = leaf.leaf, leaf.leaf.kind
    return (how.how == "json" or how is text(kind) or how is part_text(kind)) and not (
        leaf.key or leaf.number or leaf.encode
    )


def _is_special(value: str) -> bool:
    """Whether the walk reads a text in a way of its own: an empty one is not a leaf, digits may belong to a longer number,
    and a
    word may stand for tokens."""
    return not value or bool(part_of(value)) or value == NOT_KEPT


def _with(tree: dict[str, Any], path: Path, value: str | int) -> dict[str, Any]:
    """Returns a tree with a value at a path. Everything beside the path is shared."""
    copy = tree.copy()
    node: Any = copy
    for step in path[:-1]:
        node[step] = node[step].copy()
        node = node[step]
    node[path[-1]] = value
    return copy
