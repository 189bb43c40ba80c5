"""Views of a text: the text after hidden characters are folded and encoded runs decoded, with a map of offsets.

In: a text. Out: views. The patches of a view map some of its characters, as a whole, to characters of the text. Outside of
patches each character of the view is one character of the text.

The views of a text are: the text itself; the text with folded characters and decoded escapes; that view with its runs
decoded, folded and unescaped again; and so on (`DEPTH`). If parts of the text can be read in two ways (see
`folding.py`), there are twice as many views. A check scans each view that differs from those before it, as one layer
may hide what another shows: a JSON web token is found in the text itself, its content in the decoded view.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from guardproxy.checks._shared.evasions.decoding import LEAST, escape_open, has_escapes, holds_text, runs, unescape
from guardproxy.checks._shared.evasions.folding import (
    ASCII,
    RUN,
    SLICE,
    Edit,
    Table,
    classified,
    encoded,
    fold,
    has_hidden,
    has_twofold,
    padding,
    spaced_open,
    squeeze,
)
from guardproxy.checks._shared.evasions.grouping import has_groups

DEPTH = 2  # layers of runs that are decoded
_VIEWS = 2 * DEPTH + 3  # the text, its layers, and these layers once more for the second way to read it

_RUN_BYTES = bytes(97 if re.match(f"[{RUN}]", chr(code)) else code for code in range(256))
_WORD_BYTES = bytes(97 if chr(code) in ASCII or code > 127 else code for code in range(256))
_ENOUGH = b"a" * LEAST


@dataclass(frozen=True, slots=True)
class Patch:
    """Characters `at` to `end` of a view stand for characters `start` to `stop` of the text."""

    at: int
    end: int
    start: int
    stop: int


class TextView:
    """One reading of a text. `patches`: in order and without overlaps."""

    __slots__ = ("_ats", "_starts", "patches", "text")

    def __init__(self, text: str, patches: Sequence[Patch] = ()) -> None:
        self.text = text
        self.patches = tuple(patches)
        self._ats = [patch.at for patch in patches]
        self._starts = [patch.start for patch in patches]

    @classmethod
    def join(cls, views: Sequence[TextView], starts: Sequence[int]) -> TextView:
        """Joins the views of pieces of a text, which begin at `starts`, to one view."""
        texts: list[str] = []
        patches: list[Patch] = []
        size = 0
        for start, view in zip(starts, views, strict=False):
            patches += [
                Patch(size + patch.at, size + patch.end, start + patch.start, start + patch.stop)
                for patch in view.patches
            ]
            texts.append(view.text)
            size += len(view.text)
        return cls("".join(texts), patches)

    def start_of(self, at: int) -> int:
        """Returns the start, in the text, of the characters that the view's character `at` stands for."""
        number = bisect_right(self._ats, at) - 1
        if number < 0:
            return at
        patch = self.patches[number]
        return patch.start if at < patch.end else at - patch.end + patch.stop

    def stop_of(self, end: int) -> int:
        """Returns the end, in the text, of the characters that the view's character before `end` stands for."""
        number = bisect_right(self._ats, end - 1) - 1
        if number < 0:
            return end
        patch = self.patches[number]
        return patch.stop if end <= patch.end else end - patch.end + patch.stop

    def places(self, at: int) -> tuple[int, int] | None:
        """Returns the first and the last place of the text for the view's place `at`; `None` inside of a patch."""
        number = bisect_right(self._ats, at) - 1
        if number >= 0 and self.patches[number].at < at < self.patches[number].end:
            return None
        return (self.stop_of(at) if at else 0), self.start_of(at)

    def offset(self, place: int) -> int:
        """Returns the view's place for a place of the text. Inside of a patch it is the start of the patch."""
        number = bisect_right(self._starts, place) - 1
        if number < 0:
            return place
        patch = self.patches[number]
        return patch.at if place < patch.stop else place - patch.stop + patch.end

    def floor(self, place: int) -> int:
        """Returns `place`, or the start of the patch around it."""
        number = bisect_right(self._starts, place) - 1
        if number < 0:
            return place
        patch = self.patches[number]
        return patch.start if place < patch.stop else place

    def edit(self, text: str, edits: Sequence[Edit]) -> TextView:
        """Returns this view with its text replaced by `text`, of the same length, and then edited."""
        if not edits:
            return TextView(text, self.patches) if text is not self.text else self
        parts: list[tuple[int, int, str | Patch]] = [(patch.at, patch.end, patch) for patch in self.patches]
        parts = sorted(parts + list(edits), key=lambda part: part[:2])
        out: list[str] = []
        patches: list[Patch] = []
        done = size = first = 0
        while first < len(parts):
            low, high, what = parts[first]
            after = first + 1
            while after < len(parts) and parts[after][0] < high:
                high = max(high, parts[after][1])
                after += 1
            plain = _apply(text, low, high, parts[first:after])
            out += (text[done:low], plain)
            size += low - done
            if after == first + 1 and isinstance(what, Patch):
                start, stop = what.start, what.stop
            else:
                start, stop = self.start_of(low), self.stop_of(high)
            patches.append(Patch(size, size + len(plain), start, stop))
            size += len(plain)
            done, first = high, after
        return TextView("".join(out) + text[done:], patches)


def _apply(text: str, low: int, high: int, parts: Sequence[tuple[int, int, str | Patch]]) -> str:
    """Returns `text[low:high]` with the edits in `parts` applied."""
    out = ""
    for start, end, what in parts:
        if isinstance(what, str):
            out += text[low:start] + what
            low = end
    return out + text[low:high]


@dataclass(slots=True)
class Views:
    """The views of a text.

    `views`: one for each layer, the text itself first; `limit`: the offset from which more text may change them.
    `spans`: places that are read as a unit. `unread`: places with more layers, or more content, than are read; in the
    last view they lie in patches.
    """

    views: list[TextView]
    limit: int
    spans: list[tuple[int, int]]
    unread: list[tuple[int, int]]

    def distinct(self) -> list[TextView]:
        """Returns the views, without repetitions."""
        distinct_views: list[TextView] = []
        for view in self.views:
            if not any(view.text == known.text and view.patches == known.patches for known in distinct_views):
                distinct_views.append(view)
        return distinct_views


def plain(text: str, using: Table) -> bool:
    """Whether nothing in a text can be hidden."""
    return not (has_hidden(text, using) or holds_code(text, using))


def holds_code(text: str, using: Table) -> bool:
    """Whether a text may have escapes, runs, or letters one by one; look-alike and invisible characters do not count."""
    return has_escapes(text) or _has_runs(text) or _has_units(text, using)


def unchanged_views(text: str) -> Views:
    """Returns the views of a text in which nothing is hidden."""
    return Views([TextView(text)] * _VIEWS, len(text), [], [])


def long_words(text: str, using: Table) -> list[tuple[int, int]]:
    """Returns the words of `using.limit` characters or more."""
    if len(text) < using.limit:
        return []
    data = classified(encoded(text), _WORD_BYTES)
    start = data.find(b"a" * using.limit)
    # Only in ASCII are the offsets of bytes those of characters.
    if start < 0 or not text.isascii():
        return [match.span() for match in using.long.finditer(text)] if start >= 0 else []
    spans = []
    while start >= 0:
        end = len(data) - len(data[start:].lstrip(b"a"))
        spans.append((start, end))
        start = data.find(b"a" * using.limit, end)
    return spans


@lru_cache(maxsize=4)  # each window asks about a piece again, until the next piece is whole
def hides(piece: str, joined: bool) -> bool:
    """Whether a piece of a giant holds text. `joined`: a piece precedes it."""
    return bool(unescape(piece)) or holds_text(piece, joined)


def read(text: str, using: Table, more: bool) -> Views:
    """Returns the views of a text. `more`: text may follow."""
    reading = Views([TextView(text)], len(text), [], [])
    view = _mark(reading, reading.views[0], _spans(padding().finditer(text)) if has_hidden(text, using) else [])
    _deepen(reading, view, using, more, other=False)
    if any(has_twofold(other_view.text, using) for other_view in reading.views):
        _deepen(reading, view, using, more, other=True)
    reading.views += reading.views[-1:] * (_VIEWS - len(reading.views))
    return reading


def _deepen(reading: Views, view: TextView, using: Table, more: bool, other: bool) -> None:
    """Adds the layers of a text to `reading`. `other`: see `fold`."""
    view = _tidy(reading, view, using, more, other)
    reading.views.append(view)
    for _ in range(DEPTH):
        deeper = _tidy(reading, _decode(reading, view, using, more), using, more, other)
        reading.views.append(deeper)
        if deeper.text == view.text:
            break
        view = deeper
    else:
        # There are more layers than are read: what is left counts as unread.
        left = runs(view.text, False, False).edits + unescape(view.text)
        reading.views[-1] = _mark(reading, view, sorted((start, end) for start, end, _ in left))
    if not other:
        reading.views += reading.views[-1:] * (DEPTH + 2 - len(reading.views))


def join(pieces: Sequence[Views], starts: Sequence[int]) -> Views:
    """Joins the views of pieces of a text, which begin at `starts`."""
    if len(pieces) == 1:
        return pieces[0]
    whole = Views([], starts[len(pieces) - 1] + pieces[-1].limit, [], [])
    whole.views = [TextView.join([piece.views[layer] for piece in pieces], starts) for layer in range(_VIEWS)]
    for at, piece in zip(starts, pieces, strict=False):
        whole.spans += [(at + low, at + high) for low, high in piece.spans]
        whole.unread += [(at + low, at + high) for low, high in piece.unread]
    return whole


def _spans(matches: Iterable[re.Match[str]]) -> list[tuple[int, int]]:
    return [match.span() for match in matches]


def _mark(reading: Views, view: TextView, spans: list[tuple[int, int]]) -> TextView:
    """Returns `view` with a patch over each of `spans`, which are not read."""
    reading.unread += [(view.start_of(start), view.stop_of(end)) for start, end in spans]
    apart: list[Edit] = []
    for start, end in spans:
        if not apart or start >= apart[-1][1]:
            apart.append((start, end, view.text[start:end]))
    return view.edit(view.text, apart)


def _has_units(text: str, using: Table) -> bool:
    """Whether a text may hold letters, digits or pairs of them one by one, and the profile joins them."""
    return using.strict and bool(using.units.search(text.encode("utf-8", "surrogatepass")))


def _has_runs(text: str) -> bool:
    data = encoded(text)
    # A call less for each chunk of a stream.
    marked = data.translate(_RUN_BYTES) if len(data) <= SLICE else classified(data, _RUN_BYTES)
    return _ENOUGH in marked or has_groups(text, data)


def _tidy(reading: Views, view: TextView, using: Table, more: bool, other: bool) -> TextView:
    """Returns `view` with its characters folded and its escapes decoded."""
    view = view.edit(*fold(view.text, using, other))
    if has_escapes(view.text):
        escapes = unescape(view.text)
        _note(reading, view, [edit[:2] for edit in escapes], escape_open(view.text) if more else len(view.text))
        view = view.edit(view.text, escapes)
        view = view.edit(*fold(view.text, using, other))
    if using.strict:
        edits = squeeze(view.text) if _has_units(view.text, using) else []
        _note(reading, view, [edit[:2] for edit in edits], spaced_open(view.text) if more else len(view.text))
        view = view.edit(view.text, edits)
    return view


def _decode(reading: Views, view: TextView, using: Table, more: bool) -> TextView:
    """Returns `view` with its runs decoded."""
    if not _has_runs(view.text) and not _has_units(view.text, using):
        return view
    found = runs(view.text, using.strict, more)
    _note(reading, view, found.spans, found.open)
    reading.unread += [(view.start_of(start), view.stop_of(end)) for start, end in found.cut]
    return view.edit(view.text, found.edits)


def _note(reading: Views, view: TextView, spans: Sequence[tuple[int, int]], undecided: int) -> None:
    reading.spans += [(view.start_of(start), view.stop_of(end)) for start, end in spans]
    if undecided < len(view.text):
        reading.limit = min(reading.limit, view.start_of(undecided))
