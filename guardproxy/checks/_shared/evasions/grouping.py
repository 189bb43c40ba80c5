"""Finds runs that are written in groups of one length (`YWxp Y2VA ZXhh ...`) or in short, quoted or indented lines.

In: text. Out: groups that follow each other, for `decoding.py` to read as one run. The first group must not look like a word, a
name, a number or a measure, and the groups must be able to hold text (`Holds`). So plain prose, headings in capitals and lists
of ids are not held back. Cost and hold-back are bounded, as `MOST` characters are read as one run; the groups after these are a
run of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from guardproxy.checks._shared.evasions.folding import RUN, SLICE, classified
from guardproxy.concurrency import stop_point

LEAST = 12  # characters of a run
MOST = 4096
_SHORTEST, _LONGEST = 4, 128  # characters of a group
_ASKED = 64  # characters: groups that may hold text up to here are no words
_RUN = b"aA0s"
_CLASSES = bytes(
    ord("a" if chr(code).islower() else "A" if chr(code).isupper() else "0" if chr(code).isdigit() else "s")
    if re.match(f"[{RUN}]", chr(code))
    else code
    for code in range(128)
) + bytes(128)
_SIGN = re.compile(rb"aA|0[aA]|A(?:Aa|AAA)")  # what no word, name or number has, nor a numbered word (`item1 item2`)
_SIGN_BYTES = 4
_MEASURE = re.compile(
    "[0-9]+(?=[A-Za-z]*[G-Zg-z])[A-Za-z]+"
)  # `1970s`, `120GB`: neither text in base64 nor hexadecimal
_NO_ASCII = frozenset("qrstuvwxyz89+/_-")  # in no encoding does a byte of ASCII begin with these
_AFTER = (b"", b" ", b"\t", b"\r", b"\n")
_REST = re.compile(rb"[aA0s]*")
_MARGIN = rb"[ \t>]{0,32}"  # before a line: indentation, signs of a quotation
_BREAK = rb"(?:[ \t]{1,2}|[ \t]{0,2}\r?\n" + _MARGIN + rb")"
_NEXT = re.compile(_BREAK + rb"([aA0s]{1,%d}+)(={0,6})(?![aA0s=])" % _LONGEST)
_MORE = re.compile(rb"(?=[ \t\r\n])[ \t]{0,2}(?:\r?(?:\n" + _MARGIN + rb")?)?")  # the last word is held anyway

Holds = Callable[[str, int], bool]
"""Whether a run that begins with these characters, in groups of this length, may hold text."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups that follow each other: `spans` of one length, and perhaps `tail`, which is shorter. `open`: more text may add
    groups."""

    spans: tuple[tuple[int, int], ...]
    tail: tuple[int, int] | None
    open: bool


def has_groups(text: str, data: bytes) -> bool:
    """Whether a text has groups, or may have them with more text. `data`: the text in UTF-8, which has the same signs."""
    if len(data) <= SLICE and _SIGN.search(data.translate(_CLASSES)) is None:  # as in most windows of a stream
        return False
    return _sign(classified(data, _CLASSES), 0) is not None and next(groups(text, more=True), None) is not None


def groups(text: str, more: bool, holds: Holds | None = None) -> Iterator[Groups]:
    """Yields the groups in a text, and a first group at its end if `more` text may follow. `holds`: if given, groups that can
    hold no text are left out."""
    data = text.encode("ascii", "replace").translate(_CLASSES)
    at = 0
    while sign := _sign(data, at):
        before, at = at, _end_of_run(data, sign.end())
        if data[at : at + 1] not in _AFTER:
            continue
        low = max(before, sign.start() - _LONGEST)
        start = low + len(data[low : sign.start()].rstrip(_RUN))
        size = at - start
        if (
            not _SHORTEST <= size <= _LONGEST
            or data[start - 1 : start] == b"="
            or not _may_begin(text, start, at, holds)
        ):
            continue
        spans = [(start, at)]
        is_full = False
        while spans and (following := _NEXT.match(data, at)) and len(following[1]) == size and not following[2]:
            if is_full := is_full or len(spans) * size >= MOST:
                break
            at = following.end()
            spans.append((at - size, at))
            if holds and (len(spans) - 1) * size < _ASKED:
                is_full = not _shorten(text, data, spans, size, holds)
                at = spans[-1][1] if spans else at
        if not spans:
            continue
        total = len(spans) * size
        is_open = more and total < MOST and _MORE.fullmatch(data, at) is not None
        if following and (total >= MOST or len(following[1]) >= size or not _ends(following, total, len(spans))):
            following = None
        tail = (following.start(1), following.end()) if following else None
        if is_open or tail or (len(spans) > 1 and total >= LEAST):
            yield Groups(tuple(spans), tail, is_open)


def _sign(data: bytes, at: int) -> re.Match[bytes] | None:
    """Returns the first sign from an offset on. Searched in slices, which share the length of a sign: see `SLICE`."""
    while at < len(data):
        stop_point()
        if found := _SIGN.search(data, at, at + SLICE + _SIGN_BYTES - 1):
            return found
        at += SLICE
    return None


def _shorten(text: str, data: bytes, spans: list[tuple[int, int]], size: int, holds: Holds) -> bool:
    """Removes groups with which a run can hold no text: the first ones, or the last one behind a run that is long enough, if it
    cannot begin with the run's last characters. What is left has a first group as any other, so that a window which begins
    there is read in the same way. Returns whether more groups may follow."""
    while len(spans) > 1:
        run = "".join(text[low:high] for low, high in spans)
        if holds(run[:_ASKED], size):
            return True
        if len(run) - size >= LEAST:
            is_base32 = run.islower() or run.isupper()
            if size % (8 if is_base32 else 4) == 0 and run[-size] in _NO_ASCII:
                spans.pop()
            return False
        del spans[0]
        while spans and not (_SIGN.search(data, *spans[0]) and _may_begin(text, *spans[0], holds)):
            del spans[0]
    return bool(spans)


def _may_begin(text: str, start: int, end: int, holds: Holds | None) -> bool:
    """Whether a group that has a sign may be the first one."""
    if _MEASURE.fullmatch(text, start, end):
        return False
    return holds is None or holds(text[start : min(end, start + _ASKED)], end - start)


def _end_of_run(data: bytes, at: int) -> int:
    """Returns the end of the characters of a run from an offset on."""
    return match.end() if (match := _REST.match(data, at)) else at


def _ends(last: re.Match[bytes], before: int, count: int) -> bool:
    """Whether a shorter group can be the end of `count` groups with the characters `before`. After a single group it may well
    be a word."""
    total = before + len(last[1]) + len(last[2])
    if count == 1:
        return before >= LEAST and (total % 4 == 0 or (total % 4 != 1 and b"\n" in last[0]))
    return total >= LEAST and total % 4 != 1
