"""Finds runs that are written in groups of one length (`YWxp Y2VA ZXhh ...`) or in short, quoted or indented lines.

In: text. Out: groups that follow each other, for `decoding.py` to read as one run. Kept: nothing. The first group must not look
like a word, a name or a number: so plain prose has no groups, and is not held back. Cost and hold-back are bounded, as `MOST`
characters are read as one run; the groups after these are a run of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from guardproxy.checks._evasions.folding import RUN

LEAST = 4  # characters of a group
MOST = 4096
_LONGEST = 128
_MARGIN = r"[ \t>]{0,32}"  # before a line: indentation, signs of a quotation
_BREAK = rf"(?:[ \t]{{1,2}}|[ \t]{{0,2}}\r?\n{_MARGIN})"
_MORE = re.compile(rf"[ \t]{{0,2}}(?:\r?(?:\n{_MARGIN})?)?")
_MIXED = "[a-z0-9][A-Z]|[A-Z]{2}[a-z]|[A-Za-z][0-9]|[0-9][A-Za-z]|[A-Z]{4}"
_FIRST = re.compile(
    rf"(?<![{RUN}=])(?=[{RUN}]{{0,{_LONGEST}}}?(?:{_MIXED}))[{RUN}]{{{LEAST},{_LONGEST}}}+(?![{RUN}=])", re.ASCII
)
_SIGNS = tuple(map(str.encode, ("aA", "0A", "AAa", "a0", "A0", "0a", "AAAA")))  # `_MIXED` in classes of characters
_CLASSES = bytes(
    ord("a" if chr(code).islower() else "A" if chr(code).isupper() else "0" if chr(code).isdigit() else " ")
    if code < 128
    else 32
    for code in range(256)
)


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups that follow each other: `spans` of one length, and then perhaps `tail`, which is shorter. `open`: more text may
    add groups."""

    spans: tuple[tuple[int, int], ...]
    tail: tuple[int, int] | None
    open: bool


def has_groups(text: str) -> bool:
    """Whether a text may have groups. A text without letters and digits side by side in unusual order has none."""
    data = text.encode("utf-8", "surrogatepass").translate(_CLASSES)
    return any(sign in data for sign in _SIGNS)


def groups(text: str, more: bool) -> Iterator[Groups]:
    """Yields the groups in a text: two or more, and fewer at its end if `more` text may follow."""
    at = 0
    while first := _FIRST.search(text, at):
        start, at = first.span()
        size = at - start
        rest, tail = _following(size)
        spans = [(start, at)]
        for match in rest.finditer(text, at):
            if match.start() != at or len(spans) * size >= MOST:
                break
            at = match.end()
            spans.append((at - size, at))
        is_open = more and len(spans) * size < MOST and _MORE.fullmatch(text, at) is not None
        short = tail.match(text, at)
        if short and not _ends(len(spans) * size + len(short[1]), len(spans), short[0]):
            short = None
        if len(spans) > 1 or short or is_open:
            yield Groups(tuple(spans), short.span(1) if short else None, is_open)


def _ends(total: int, count: int, last: str) -> bool:
    """Whether a shorter group can be the end of groups with `total` characters. After a single group it may well be a word."""
    return total % 4 == 0 or (total % 4 != 1 and (count > 1 or "\n" in last))


@cache
def _following(size: int) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Returns the patterns of a further group of this size, and of the last group, which is shorter."""
    rest = re.compile(rf"{_BREAK}[{RUN}]{{{size}}}(?![{RUN}=])")
    return rest, re.compile(rf"{_BREAK}([{RUN}]{{1,{size - 1}}}={{0,6}})(?![{RUN}=])")
