"""Finds runs that are written in groups of one length (`YWxp Y2VA ZXhh ...`) or in short, quoted or indented lines.

In: text. Out: groups that follow each other, for `decoding.py` to read as one run. Kept: nothing. The first group must not look
like a word, a name or a number: so plain prose has no groups, and is not held back. Cost and hold-back are bounded, as `MOST`
characters are read as one run; the groups after these are a run of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guardproxy.checks._evasions.folding import RUN

LEAST = 12  # characters of a run
MOST = 4096
_SHORTEST, _LONGEST = 4, 128  # characters of a group
_RUN = b"aA0s"
_CLASSES = bytes(
    ord("a" if chr(code).islower() else "A" if chr(code).isupper() else "0" if chr(code).isdigit() else "s")
    if re.match(f"[{RUN}]", chr(code))
    else code
    for code in range(128)
) + bytes(128)
_SIGN = re.compile(rb"aA|0[aA]|A(?:Aa|AAA)")  # what no word, name or number has, nor a numbered word (`item1 item2`)
_AFTER = (b"", b" ", b"\t", b"\r", b"\n")
_REST = re.compile(rb"[aA0s]*")
_MARGIN = rb"[ \t>]{0,32}"  # before a line: indentation, signs of a quotation
_BREAK = rb"(?:[ \t]{1,2}|[ \t]{0,2}\r?\n" + _MARGIN + rb")"
_NEXT = re.compile(_BREAK + rb"([aA0s]{1,%d}+)(={0,6})(?![aA0s=])" % _LONGEST)
_MORE = re.compile(rb"(?=[ \t\r\n])[ \t]{0,2}(?:\r?(?:\n" + _MARGIN + rb")?)?")  # the last word is held anyway


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups that follow each other: `spans` of one length, and perhaps `tail`, which is shorter. `open`: more text may add
    groups."""

    spans: tuple[tuple[int, int], ...]
    tail: tuple[int, int] | None
    open: bool


def has_groups(text: str, data: bytes) -> bool:
    """Whether a text has groups, or may have them with more text. `data`: the text in UTF-8, which has the same signs."""
    return _SIGN.search(data.translate(_CLASSES)) is not None and next(groups(text, more=True), None) is not None


def groups(text: str, more: bool) -> Iterator[Groups]:
    """Yields the groups in a text, and a first group at its end if `more` text may follow."""
    data = text.encode("ascii", "replace").translate(_CLASSES)
    at = 0
    while sign := _SIGN.search(data, at):
        before, at = at, _end_of_run(data, sign.end())
        if data[at : at + 1] not in _AFTER:
            continue
        low = max(before, sign.start() - _LONGEST)
        start = low + len(data[low : sign.start()].rstrip(_RUN))
        size = at - start
        if not _SHORTEST <= size <= _LONGEST or data[start - 1 : start] == b"=":
            continue
        spans = [(start, at)]
        while (following := _NEXT.match(data, at)) and len(following[1]) == size and not following[2]:
            if len(spans) * size >= MOST:
                break
            at = following.end()
            spans.append((at - size, at))
        total = len(spans) * size
        is_open = more and total < MOST and _MORE.fullmatch(data, at) is not None
        if following and (len(following[1]) >= size or not _ends(following, total, len(spans))):
            following = None
        tail = (following.start(1), following.end()) if following else None
        if is_open or tail or (len(spans) > 1 and total >= LEAST):
            yield Groups(tuple(spans), tail, is_open)


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
