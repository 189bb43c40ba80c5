"""The texts of a conversation, indexed: says which parts of a text came from which of them.

In: the passages of a request in the order of the conversation, then targets. Out: for each target its tainted spans, with the
passage that each came from. Kept: an index of each kind of passage, made when it is needed first.

A part of a target came from a passage of a kind if

- `WIDTH` letters and digits in a row stand in the passage too, in any reading of both (`packing.py`): so separators, case,
  look-alikes, encodings, reversed order and rot13 change nothing; or
- `SHORT_WIDTH` of them, with at least `LEAST_DIGITS` digits; or
- it is a value of fewer characters and equals a word of the passage as a whole (`short_values.py`).

It did not come from there if it also stands in a text of the user or of a system message (`TRUSTED`), if the model wrote it
before (`OWN`), if it is a plain word of an `enum` or `const` in the definition of the called tool (`tool_choices.py`), or if it
says too little: a date, or only common words (`small_talk.py`). A definition is a stranger's text too: it excuses no address,
URL, path or long number.

Decision: docs/decisions/0068-a-copy-is-found-by-its-characters.md
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guardproxy.checks._shared.evasions.views import TextView
from guardproxy.checks._shared.taint.fingerprint import Fingerprint, is_name
from guardproxy.checks._shared.taint.fingerprints import GRAM, STRIDE, Fingerprints
from guardproxy.checks._shared.taint.grams import (
    MOST_CHARS,
    Codes,
    Mask,
    Numbers,
    Places,
    codes_of,
    counted,
    covered,
    first_places,
    index_of,
)
from guardproxy.checks._shared.taint.packing import STEP_CHARS, offsets, packed, packed_steps, pieces, readings
from guardproxy.checks._shared.taint.short_values import short_values
from guardproxy.checks._shared.taint.small_talk import saying
from guardproxy.checks._shared.taint.tool_choices import MOST_CHARS as CHOICE_CHARS
from guardproxy.checks._shared.taint.tool_choices import tool_choices
from guardproxy.findings import Kind, Passage
from guardproxy.redaction import PLACEHOLDER

WIDTH = 12
SHORT_WIDTH = 8
LEAST_DIGITS = 5
LEAST_NEW = 8
"""The characters of a span that must say something, and that the user did not write."""
TRUSTED: tuple[Kind, ...] = ("user", "system")
OWN: tuple[Kind, ...] = ("assistant", "tool_arguments", "reasoning")
"""What the model wrote: text that it wrote before a passage had it did not come from the passage."""
MOST_SPANS = 64  # of a target that are reported
_ROT13 = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "nopqrstuvwxyzabcdefghijklmNOPQRSTUVWXYZABCDEFGHIJKLM"
)


_Origin = Callable[[], tuple[Passage | Fingerprint, int, int]]
"""Finds the passage that a span came from, and where it stands there."""


def prepare() -> None:
    """Builds the tables that comparisons share, so that the first call of a process does not wait for them."""
    text = "Prepare ü: call four one one one two."
    Conversation([Passage("tool_result", "", text)]).taints(TaintTarget(text, [(0, len(text))]), ("tool_result",))


class TooMuchText(Exception):
    """The passages have more characters than an index can hold."""


class Taint(NamedTuple):
    """A tainted span of a target. `path`, `kind`: of the passage that it came from; `low`, `high`: where it stands there.
    `is_earlier`: whether only a fingerprint of the passage is left, so that its place is not known."""

    start: int
    end: int
    kind: Kind
    path: str
    low: int
    high: int
    is_earlier: bool = False


class TaintTarget(NamedTuple):
    """A text to look at. `values`: the spans of it that are values, in order; what is between them says nothing. `tool`: the
    name of the tool that gets it."""

    text: str
    values: Sequence[tuple[int, int]]
    tool: str = ""


class _Segment(NamedTuple):
    """A reading of a piece of a passage in the text of a group. `at`: where it begins there; `ends`: where each step of it
    ends; `shift`: where the piece begins in the passage."""

    at: int
    number: int
    passage: Passage
    view: TextView
    ends: Sequence[int]
    shift: int

    def place(self, at: int) -> tuple[int, int]:
        """Returns the span of the passage that a character of the group stands for."""
        step = bisect_right(self.ends, at)
        begin = self.ends[step - 1] if step else self.at
        text = self.view.text[step * STEP_CHARS : (step + 1) * STEP_CHARS]
        offset = step * STEP_CHARS + offsets(text)[at - begin]
        return self.shift + self.view.start_of(offset), self.shift + self.view.stop_of(offset + 1)


class _PackedPassages:
    """Passages of some kinds, packed one after another: a value may be split over two of them."""

    def __init__(self, passages: Sequence[tuple[int, Passage]]) -> None:
        self._segments: list[_Segment] = []
        codes: list[Codes] = []
        digits: list[Mask] = []
        size = 0
        self.short: dict[str, tuple[int, int, int]] = {}  # a short value -> the number of its passage, and where it is
        self._passages = dict(passages)
        for number, passage in passages:
            for shift, piece in pieces(passage.text):
                for view in readings(piece):
                    steps = packed_steps(view.text)
                    ends = list(accumulate(map(len, steps), initial=size))[1:]
                    self._segments.append(_Segment(size, number, passage, view, ends, shift))
                    its_codes, its_digits = codes_of(steps)
                    codes.append(its_codes)
                    digits.append(its_digits)
                    size += len(its_codes)
                    if size > MOST_CHARS:
                        raise TooMuchText
                    for value, start, end in short_values(view.text):
                        place = number, shift + view.start_of(start), shift + view.stop_of(end)
                        self.short.setdefault(value, place)
        self._starts = [segment.at for segment in self._segments]
        self._numbers = np.array([segment.number for segment in self._segments], np.int64)
        self._codes: Codes = np.concatenate(codes) if codes else np.empty(0, np.uint32)
        self._digits: Mask = np.concatenate(digits) if digits else np.empty(0, np.bool_)
        self._indexes: dict[int, Numbers] = {}

    def places(self, codes: Codes, width: int) -> Places:
        """Returns for each gram its first place in the group, or -1."""
        if width not in self._indexes:
            keep = counted(self._digits, width) >= LEAST_DIGITS if width == SHORT_WIDTH else None
            self._indexes[width] = index_of(self._codes, width, keep)
        return first_places(codes, width, self._indexes[width], self._codes)

    def numbers(self, places: Places) -> Places:
        """Returns the numbers of the passages of these places."""
        if not len(self._numbers):
            return places
        return self._numbers[np.searchsorted(self._starts, places, "right") - 1]

    def origin(self, low: int, high: int) -> tuple[Passage, int, int]:
        """Returns the passage in which a stretch of the group begins, and where it stands there."""
        at = bisect_right(self._starts, low) - 1
        segment = self._segments[at]
        end = segment.ends[-1]
        return segment.passage, segment.place(low)[0], segment.place(min(high, end) - 1)[1]

    def short_origin(self, value: str) -> tuple[Passage, int, int]:
        """Returns the passage that has a short value, and where it stands there."""
        number, low, high = self.short[value]
        return self._passages[number], low, high


@dataclass(slots=True)
class _PackedReading:
    """A packed reading of a piece of a target: the characters, which of them are digits, and which say something. `chars`:
    where each stands in the text of `view`, which is of a piece of `base` that begins at `shift`. `is_reversed`: it is read
    from its end."""

    codes: Codes
    digits: Mask
    says: Mask
    chars: NDArray[np.int64]
    base: TextView
    view: TextView
    shift: int
    is_reversed: bool = False

    def reversed(self) -> _PackedReading:
        """Returns the same reading from its end."""
        return _PackedReading(
            self.codes[::-1],
            self.digits[::-1],
            self.says[::-1],
            self.chars[::-1],
            self.base,
            self.view,
            self.shift,
            True,
        )

    def span(self, first: int, after: int) -> tuple[int, int]:
        """Returns the span of the target that some characters stand for."""
        low, high = int(self.chars[first]), int(self.chars[after - 1])
        if self.is_reversed:
            low, high = high, low
        low, high = self.shift + self.view.start_of(low), self.shift + self.view.stop_of(high + 1)
        return self.base.start_of(low), self.base.stop_of(high)

    def widened(self, first: int, after: int, most: int) -> tuple[int, int]:
        """Returns a span with up to `most` further characters of the same words at each end."""
        low, high = first, after
        while low > max(0, first - most) and self._are_joined(low - 1):
            low -= 1
        while high < min(len(self.chars), after + most) and self._are_joined(high - 1):
            high += 1
        return low, high

    def _are_joined(self, at: int) -> bool:
        """Whether no white space is between a character and the next."""
        low, high = sorted((int(self.chars[at]), int(self.chars[at + 1])))
        return _SPACE.search(self.view.text, low + 1, high) is None


class Conversation:
    """The passages of a conversation, to ask which parts of a text came from them. `earlier`: what is known of passages that
    came before and are not at hand."""

    def __init__(self, passages: Iterable[Passage], earlier: Sequence[Fingerprint] = ()) -> None:
        self._earlier = dict(enumerate(earlier))
        self._passages = list(enumerate(passages, len(earlier)))
        self._groups: dict[tuple[Kind, ...], _PackedPassages] = {}
        self._fingerprints: dict[tuple[Kind, ...], Fingerprints] = {}
        self._choices: Mapping[str, frozenset[str]] | None = None
        self._known_words: frozenset[str] | None = None

    def taints(self, target: TaintTarget, kinds: Sequence[Kind]) -> list[Taint]:
        """Returns the spans of a target that came from passages of these kinds, in order. None lies within another."""
        group, earlier = self._group(tuple(kinds)), self._prints(tuple(kinds))
        spans: dict[tuple[int, int], _Origin] = {}
        older: dict[tuple[int, int], _Origin] = {}
        free = [span for span in target.values if not self._is_free(target.text[slice(*span)], target.tool)]
        for reading in _readings(target.text, free):
            for first, after, low, high in self._matches(reading, group):
                spans.setdefault(reading.span(first, after), partial(group.origin, low, high))
            for first, after, number in self._recognized(reading, earlier):
                older.setdefault(reading.span(first, after), partial(self._earlier_origin, number))
        for start, end in free:
            for value, low, high in short_values(target.text[start:end], whole=True):
                number = group.short.get(value, (-1, 0, 0))[0]
                if number >= 0 and not self._is_own(value, number):
                    spans.setdefault((start + low, start + high), partial(group.short_origin, value))
                elif (number := earlier.word(value)) >= 0 and not self._is_own(value, number):
                    older.setdefault((start + low, start + high), partial(self._earlier_origin, number))
        # What the request holds itself says more: its place is known.
        spans |= _apart_from(spans, older)
        whole = _with_placeholders(target.text, spans)
        return [
            Taint(start, end, origin.kind, origin.path, low, high, isinstance(origin, Fingerprint))
            for (start, end), find in islice(_outermost(whole), MOST_SPANS)
            for origin, low, high in (find(),)
        ]

    def _matches(self, reading: _PackedReading, group: _PackedPassages) -> Iterator[tuple[int, int, int, int]]:
        """Yields the spans of a reading that came from a group, each with the stretch of the group with which it begins."""
        codes = reading.codes
        for width, least in ((WIDTH, LEAST_NEW), (SHORT_WIDTH, LEAST_DIGITS)):
            if len(codes) < width:
                continue
            says = reading.says if width == WIDTH else reading.says & reading.digits
            places = group.places(codes, width)
            if width == SHORT_WIDTH:
                places[counted(says, width) < LEAST_DIGITS] = -1
            if (places < 0).all():
                continue
            known = self._is_known(codes, width, places, group)
            places[known] = -1
            new = (
                says & ~covered(known, width) & ~self._is_trusted_earlier(codes) & (self._prints(OWN).known(codes) < 0)
            )
            for first, after in _runs(places >= 0, width):
                if int(new[first:after].sum()) < least:
                    continue
                its = places[first : after - width + 1]
                jumps = np.flatnonzero(np.diff(its) != 1)
                steady = int(jumps[0]) if len(jumps) else len(its) - 1
                yield first, after, int(its[0]), int(its[0]) + steady + width

    def _recognized(self, reading: _PackedReading, earlier: Fingerprints) -> Iterator[tuple[int, int, int]]:
        """Yields the spans of a reading that came from earlier passages, each with the number of the first."""
        numbers = earlier.known(reading.codes)
        if (numbers < 0).all():
            return
        codes = reading.codes
        own = self._prints(OWN).known(codes)
        trusted = covered(self._group(TRUSTED).places(codes, GRAM) >= 0, GRAM) if len(codes) >= GRAM else False
        known = trusted | self._is_trusted_earlier(codes) | ((own >= 0) & (own < numbers))
        new = reading.says & ~known
        for first, after in _runs(numbers >= 0, 1):
            if int(new[first:after].sum()) >= LEAST_NEW:
                yield *reading.widened(first, after, STRIDE - 1), int(numbers[first])

    def _is_trusted_earlier(self, codes: Codes) -> Mask:
        """Returns which characters an earlier text of the user or the application had."""
        return self._prints(TRUSTED).known(codes) >= 0

    def _earlier_origin(self, number: int) -> tuple[Fingerprint, int, int]:
        return self._earlier[number], 0, 0

    def _prints(self, kinds: tuple[Kind, ...]) -> Fingerprints:
        if kinds not in self._fingerprints:
            its = [(number, each) for number, each in self._earlier.items() if each.kind in kinds]
            self._fingerprints[kinds] = Fingerprints(its)
        return self._fingerprints[kinds]

    def _is_known(self, codes: Codes, width: int, places: Places, group: _PackedPassages) -> Mask:
        """Returns which grams the user or the application wrote, or the model before the passage that has them."""
        known: Mask = self._group(TRUSTED).places(codes, width) >= 0
        own = self._group(OWN)
        before = own.places(codes, width)
        both = np.flatnonzero((before >= 0) & (places >= 0))
        known[both[own.numbers(before[both]) < group.numbers(places[both])]] = True
        return known

    def _is_own(self, value: str, number: int) -> bool:
        """Whether a short value of the passage `number` is the user's, the application's, or the model's own."""
        before = self._group(OWN).short.get(value)
        if value in self._trusted_words() or (before is not None and before[0] < number):
            return True
        return self._prints(TRUSTED).word(value) >= 0 or 0 <= self._prints(OWN).word(value) < number

    def _trusted_words(self) -> frozenset[str]:
        """Returns the short values of the user and the application, and their words, which may be parts of other values."""
        if self._known_words is None:
            words = {
                packed(word)
                for _, passage in self._passages
                if passage.kind in TRUSTED
                for word in _WORD.findall(passage.text)
            }
            self._known_words = frozenset(words).union(self._group(TRUSTED).short)
        return self._known_words

    def _is_free(self, value: str, tool: str) -> bool:
        """Whether a value is a plain word that the tool declares, or a short one of the user's words."""
        if len(value) > CHOICE_CHARS:
            return False
        return self._is_declared(value, tool) or (
            len(packed(value)) < WIDTH and all(packed(word) in self._trusted_words() for word in _WORD.findall(value))
        )

    def _is_declared(self, value: str, tool: str) -> bool:
        """Whether a value is a plain word of an `enum` or `const` of the tool, in all its readings."""
        if self._choices is None:
            self._choices = tool_choices(passage for _, passage in self._passages)
        return packed(value) in self._choices.get(tool, ()) and all(
            _PLAIN.fullmatch(view.text) and sum(map(str.isnumeric, packed(view.text))) < LEAST_DIGITS
            for view in readings(value)
        )

    def _group(self, kinds: tuple[Kind, ...]) -> _PackedPassages:
        if kinds not in self._groups:
            chosen = [(number, passage) for number, passage in self._passages if passage.kind in kinds]
            self._groups[kinds] = _PackedPassages(
                [pair for pair in chosen if not (pair[1].is_key and is_name(pair[1].text))]
            )
        return self._groups[kinds]


_PLAIN = re.compile(r"[\w -]+")  # no address, URL or path
_SPACE = re.compile(r"\s")
_WORD = re.compile(r"[^\W_]{1,40}")


def _readings(text: str, values: Sequence[tuple[int, int]]) -> Iterator[_PackedReading]:
    """Yields the readings of the values of a target."""
    base = values_of(values, text)
    for shift, piece in pieces(base.text):
        for view in readings(piece):
            chars = np.array(offsets(view.text), np.int64)
            if not len(chars):
                continue
            says = saying(view.text)[chars]
            codes, digits = codes_of(packed_steps(view.text))
            reading = _PackedReading(codes, digits, says, chars, base, view, shift)
            yield reading
            yield reading.reversed()
            if not reading.digits.all():
                codes, digits = codes_of(packed_steps(view.text.translate(_ROT13)))
                yield _PackedReading(codes, digits, says, chars, base, view, shift)


def _runs(mask: Mask, width: int) -> Iterator[tuple[int, int]]:
    """Yields the runs of grams in a mask, from their first character to after their last."""
    hits = np.flatnonzero(mask)
    for run in np.split(hits, np.flatnonzero(np.diff(hits) > 1) + 1) if len(hits) else ():
        yield int(run[0]), int(run[-1]) + width


def values_of(spans: Sequence[tuple[int, int]], text: str) -> TextView:
    """Returns a text reduced to some of its spans, in order."""
    edits: list[tuple[int, int, str]] = []
    at = 0
    for start, end in spans:
        if start > at:
            edits.append((at, start, "\n" if at else ""))
        at = end
    if at < len(text):
        edits.append((at, len(text), ""))
    return TextView(text).edit(text, edits)


def _apart_from(
    spans: Mapping[tuple[int, int], _Origin], more: Mapping[tuple[int, int], _Origin]
) -> Mapping[tuple[int, int], _Origin]:
    """Returns those of `more` that overlap none of `spans`."""
    starts: list[int] = []
    ends: list[int] = []  # of the spans, merged
    for start, end in sorted(spans):
        if ends and start <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            starts.append(start)
            ends.append(end)
    return {
        (low, high): its for (low, high), its in more.items() if bisect_right(ends, low) == bisect_left(starts, high)
    }


def _with_placeholders(text: str, spans: Mapping[tuple[int, int], _Origin]) -> Mapping[tuple[int, int], _Origin]:
    """Returns spans that cover every placeholder that they touch: it is a value as a whole."""
    places = [match.span() for match in PLACEHOLDER.finditer(text)]
    if not places:
        return spans
    whole: dict[tuple[int, int], _Origin] = {}
    for (start, end), origin in spans.items():
        first = bisect_right(places, start, key=lambda place: place[1])
        after = bisect_left(places, end, key=lambda place: place[0])
        touched = places[first:after] or [(start, end)]
        whole.setdefault((min(start, touched[0][0]), max(end, touched[-1][1])), origin)
    return whole


def _outermost(spans: Mapping[tuple[int, int], _Origin]) -> Iterator[tuple[tuple[int, int], _Origin]]:
    """Yields the spans that lie in no other, in order."""
    reached = -1
    for (start, end), origin in sorted(spans.items(), key=lambda item: (item[0][0], -item[0][1])):
        if end > reached:
            reached = end
            yield (start, end), origin
