"""Remembers frames of a stream, so that a frame that differs from one of them in a single text is not parsed and walked again.

Most frames of a stream differ only in the text that they add. In: the bytes of a frame. Out: the tree and the leaf that parsing
and walking would give, or `None` for a frame that is like no other. Kept: the bytes around the text of a few frames.

A frame is remembered if its only leaf is at a place of text, and if its bytes with another JSON string in that place parse to
its tree with that string. By the grammar of JSON the same holds for every string without escapes. The map of a format must
choose by types and by words of the protocol, never by a text at such a place (`StreamDecoder.remembers`).
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from guardproxy.events import Path
from guardproxy.wire.json import JsonFault, TreeLeaf, read, text
from guardproxy.wire.json.numbers import part_of
from guardproxy.wire.opaque import NOT_KEPT

FRAMES = 4  # remembered: as many choices or blocks can take turns
TRIES = 4  # frames that are remembered in vain before no further frame is
_STRING = re.compile(rb'[^"\\\x00-\x1f]+')
_OTHER = "\ue000 another text \ue000"


@dataclass(frozen=True, slots=True)
class _Remembered:
    """The bytes `before` and `after` the text of a frame, and its tree and leaf with another text."""

    before: bytes
    after: bytes
    tree: dict[str, Any]
    leaf: TreeLeaf


@dataclass(slots=True)
class Alike:
    """The remembered frames of a stream."""

    _frames: deque[_Remembered] = field(default_factory=lambda: deque(maxlen=FRAMES))
    _vain: int = 0  # frames that were remembered since a frame was like one

    def find(self, data: bytes) -> tuple[dict[str, Any], TreeLeaf] | None:
        """The tree and the only leaf of a frame that is like a remembered one. The tree shares what is beside the path to the
        leaf with other frames."""
        for frame in self._frames:
            if data.startswith(frame.before) and data.endswith(frame.after):
                if not (string := _STRING.fullmatch(data, len(frame.before), len(data) - len(frame.after))):
                    continue
                try:
                    value = string[0].decode()
                except UnicodeDecodeError:
                    return None
                if _is_special(value):
                    return None
                self._vain = 0
                path = frame.leaf.path
                return _with(frame.tree, path, value), TreeLeaf(path, value, frame.leaf.leaf)
        return None

    def remember(self, data: bytes, tree: Any, leaf: TreeLeaf) -> None:
        """Remembers a frame by its bytes, its tree and its only leaf, if it can be remembered."""
        value = leaf.text.encode("utf-8", "surrogatepass")
        before, quote, after = data.partition(b'"%b"' % value)
        is_plain = _is_text(leaf) and _STRING.fullmatch(value) and not _is_special(leaf.text)
        if self._vain >= TRIES or not quote or not is_plain:
            return
        self._vain += 1
        before, after = before + b'"', b'"' + after
        try:
            other = read(before + _OTHER.encode() + after)
        except JsonFault:
            return
        if other == _with(tree, leaf.path, _OTHER):
            self._frames.append(_Remembered(before, after, other, leaf))


def _is_text(leaf: TreeLeaf) -> bool:
    """Whether the map of a format says that a place is text, or JSON in a string, whatever its value is."""
    return (leaf.leaf.how == "json" or leaf.leaf is text(leaf.leaf.kind)) and not (
        leaf.key or leaf.number or leaf.encode
    )


def _is_special(value: str) -> bool:
    """Whether the walk reads a text in a way of its own: digits may belong to a longer number, a word may stand for tokens."""
    return bool(part_of(value)) or value == NOT_KEPT


def _with(tree: dict[str, Any], path: Path, value: str) -> dict[str, Any]:
    """Returns a tree with a text at a path. Everything beside the path is shared."""
    copy = tree.copy()
    node: Any = copy
    for step in path[:-1]:
        node[step] = node[step].copy()
        node = node[step]
    node[path[-1]] = value
    return copy
