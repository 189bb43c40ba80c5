"""Encoded text: escapes of single characters, and runs of base64, base32 or hexadecimal digits.

In: text. Out: `Edit`s that replace an escape or a run by the decoded text.

Escapes: percent (`%41`, UTF-8, `%u0041`), quoted-printable (`=40`, UTF-8, soft line breaks), HTML entities by name or
number, `\\x41`, `\\u0041`, `\\u{41}`, `\\U00000041`, octal, and `\\n`, `\\t`, `\\r`, `\\"`, `\\'`, `\\/`, `\\\\`. Runs:
base64 of both alphabets with or without padding, base32, and hexadecimal, also in lines or groups (`grouping.py`). The
decoded bytes count only if they are text: UTF-8 (or UTF-16 of ASCII) without control characters. Words, paths and hashes
do not decode to text. `thorough` (the profile `strict`) also decodes a run from its second, third and fourth character
on, takes printable stretches out of binary data, unpacks gzip, and decodes hexadecimal digits in pairs.

A run in lines may have `LINES` lines; the lines after these are a run of their own.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guardproxy.checks._shared.evasions.folding import RUN, Edit
from guardproxy.checks._shared.evasions.grouping import Groups, groups

LEAST = 12  # characters of a run: 9 bytes, the digits of a social security number
LINES = 32
LEAST_BASE32 = 16
_STRAY = 3  # words before or behind groups that are left out
UNPACKED_LIMIT = 65536  # bytes that are unpacked from one run
_LEAST_PART = 64  # shorter parts of an image look like text by chance
_STRETCH = 9
_LEAST_HEX = 18

_ESCAPE = re.compile(
    r"%[0-7][0-9A-Fa-f]|%[C-Fc-f][0-9A-Fa-f](?:%[89ABab][0-9A-Fa-f]){1,3}|%u[0-9A-Fa-f]{4}"
    rf"|=[0-7][0-9A-F]|=[C-F][0-9A-F](?:=[89AB][0-9A-F]){{1,3}}|(?<!=)(?<![{RUN}]{{12}})=\r?\n"
    r"|&(?:#[0-9]{1,7}(?![0-9]);?|#[xX][0-9A-Fa-f]{1,6}(?![0-9A-Fa-f]);?|[A-Za-z][A-Za-z0-9]{1,24};)"
    r"|\x1b(?:\[[0-9;?]{0,16}[A-Za-z])?"
    r"|\\u[dD][89ABab][0-9A-Fa-f]{2}\\u[dD][C-Fc-f][0-9A-Fa-f]{2}"
    r"|\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|u\{[0-9A-Fa-f]{1,6}\}|[0-3][0-7]{2}|[nrt\"'/\\])"
)
_QUOTED = re.compile(r"=(?:[0-7C-F][0-9A-F]|[\r\n])")
_ESCAPE_OPEN = re.compile(
    rf"=\Z|(?<!=)(?<![{RUN}]{{12}})=\r?\n?\Z" r"|\\u\{[0-9A-Fa-f]{0,6}\Z|\x1b(?:\[[0-9;?]{0,16})?\Z"
)
_SHORT = {"n": "\n", "r": "\r", "t": "\t"}
_LINE = rf"\r?\n[ \t]{{0,8}}[{RUN}]"
_LINES = (
    rf"(?<![{RUN}])[{RUN}]{{16,128}}(?:{_LINE}{{16,128}}){{1,{LINES - 1}}}"
    rf"(?:{_LINE}{{2,15}}(?=[=\s\"'`)\]}},;<]|\Z))?={{0,2}}"
)
_SINGLE = rf"(?<![{RUN}])[{RUN}]{{{LEAST},}}={{0,2}}"
_PAIRS = r"(?<![0-9A-Za-z])(?:0x)?[0-9A-Fa-f]{2}(?:[ :,-]{1,2}(?:0x)?[0-9A-Fa-f]{2}){8,255}(?![0-9A-Za-z])"
_WHOLE = re.compile(rf"[{RUN}]{{{LEAST},}}")
_RUNS = re.compile(f"{_LINES}|{_SINGLE}")
_RUNS_AND_PAIRS = re.compile(f"(?P<pairs>{_PAIRS})|{_LINES}|{_SINGLE}")
_MORE_LINES = re.compile(r"\r?(?:\n[ \t]{0,8})?")
_PART = re.compile(r"[^+/_-]+")
_PRINTABLE = re.compile(rb"[\t\n\r -~]+")
_STRETCHES = re.compile(rb"[\t -~]{%d,}" % _STRETCH)
_HEX = re.compile(rf"(?:[0-9A-Fa-f]{{2}}){{{_LEAST_HEX // 2},}}")
_BASE32 = re.compile(rf"[A-Z2-7]{{{LEAST_BASE32},}}|[a-z2-7]{{{LEAST_BASE32},}}")
_HEX_DIGITS, _BASE32_DIGITS = re.compile("[0-9A-Fa-f]+"), re.compile("[A-Z2-7]+|[a-z2-7]+")
_PART_OF_CHARACTER = 3  # bytes
_CONTROL = re.compile(rb"[^\t\n\r -~\x80-\xff]")
_UTF_8 = codecs.getincrementaldecoder("utf-8")
_URL_SAFE = str.maketrans("-_", "+/")
_BREAK = re.compile(r"\s+")


@dataclass(slots=True)
class Runs:
    """The runs of a text. `edits`: replace the runs that hold text. `spans`: all runs, in order. `open`: the offset
    from which more text may change `edits` or `spans`. `cut`: runs that were not decoded completely."""

    edits: list[Edit]
    spans: list[tuple[int, int]]
    open: int
    cut: list[tuple[int, int]]


def has_escapes(text: str) -> bool:
    """Whether a text may have escapes."""
    return (
        "%" in text
        or "&" in text
        or "\\" in text
        or "\x1b" in text
        or ("=" in text and _QUOTED.search(text) is not None)
    )


def unescape(text: str) -> list[Edit]:
    """Returns the edits that decode the escapes in `text`."""
    edits = []
    for match in _ESCAPE.finditer(text):
        plain = _plain(match[0])
        if plain != match[0]:
            edits.append((match.start(), match.end(), plain))
    return edits


def escape_open(text: str) -> int:
    """Returns the offset from which a growing text may turn out to be an escape that holds punctuation."""
    match = _ESCAPE_OPEN.search(text, max(0, len(text) - 18))
    return match.start() if match else len(text)


def runs(text: str, thorough: bool, more: bool) -> Runs:
    """Finds the runs in `text`. `more`: text may follow."""
    edits: list[Edit] = []
    spans: list[tuple[int, int]] = []
    cut: list[tuple[int, int]] = []
    grouped = _grouped(text, thorough, more)
    for match in (_RUNS_AND_PAIRS if thorough else _RUNS).finditer(text):
        spans.append(match.span())
        for start, end, plain, whole in _read(match, thorough):
            edits.append((start, end, plain))
            if not whole:
                cut.append((start, end))
    end = len(text)
    # The next line may go on with this run, so it is not decided yet.
    if more and spans and _MORE_LINES.fullmatch(text, spans[-1][1]):
        end = spans[-1][0]
    if grouped.spans:
        edits, spans, end = _beside(edits, grouped.edits), sorted(spans + grouped.spans), min(end, grouped.open)
    return Runs(edits, spans, end, cut)


def _grouped(text: str, thorough: bool, more: bool) -> Runs:
    """Finds the runs in groups."""
    found = Runs([], [], len(text), [])
    for its in groups(text, more, None if thorough else _may_hold):
        if its.open:
            found.open = its.spans[0][0]
        last = its.tail or its.spans[-1]
        found.spans.append((its.spans[0][0], last[1]))
        if edit := _read_groups(text, its, thorough):
            found.edits.append(edit)
    return found


def _read_groups(text: str, its: Groups, thorough: bool) -> Edit | None:
    """Decodes groups: all, otherwise without words before or behind them that have the length of a group."""
    for kept in _choices(text, its):
        whole = "".join(text[low:high] for low, high in kept)
        if len(whole) >= LEAST and (found := _decode(whole, thorough, False)):
            alone = [_decode(text[low:high], False, False) for low, high in kept if high - low >= LEAST]
            if kept[-1] == its.tail:  # it may be a word
                alone.append(_decode("".join(text[low:high] for low, high in kept[:-1]), thorough, False))
            # The groups may also have been encoded one by one, so both readings are shown.
            plain = "\n".join([found[0], *(each[0] for each in alone if each)])
            return kept[0][0], kept[-1][1], plain
    return None


def _choices(text: str, its: Groups) -> Iterator[Sequence[tuple[int, int]]]:
    spans = its.spans
    if its.tail:
        yield (*spans, its.tail)
    yield spans
    if (spans[0][1] - spans[0][0]) % 4 == 0:  # each group is whole bytes
        spoken = [_is_spoken(text[low:high]) for low, high in spans]
        stretches = re.finditer("1+", "".join("01"[each] for each in spoken))
        if longest := max(stretches, key=lambda match: match.end() - match.start(), default=None):
            low, high = longest.span()
            if its.tail and high == len(spans):
                yield (*spans[low:], its.tail)
            yield spans[low:high]
        return
    for low in range(min(_STRAY, len(spans) - 1) + 1):
        for high in range(len(spans), max(len(spans) - _STRAY, low + 1) - 1, -1):
            yield spans[low:high]


def _is_spoken(group: str) -> bool:
    """Whether a group of whole bytes decodes to printable ASCII."""
    return _PRINTABLE.fullmatch(binascii.a2b_base64(group.translate(_URL_SAFE))) is not None


def _beside(edits: list[Edit], more: list[Edit]) -> list[Edit]:
    """Merges edits. One of `more` replaces the edits that it overlaps, unless it lies within one of them."""
    starts = [start for start, _, _ in edits]
    added = []
    for edit in more:
        number = bisect_right(starts, edit[0]) - 1
        if number < 0 or edits[number][1] < edit[1]:
            added.append(edit)
    ends = [end for _, end, _ in added]
    kept = []
    for start, end, plain in edits:
        number = bisect_right(ends, start)
        if number == len(added) or end <= added[number][0]:
            kept.append((start, end, plain))
    return sorted(kept + added)


def holds_text(text: str, joined: bool) -> bool:
    """Whether a run in a long word holds text, as a whole or in a part of at least `_LEAST_PART` characters. `joined`:
    the word begins before `text`."""
    for match in _WHOLE.finditer(text):
        parts = [part for part in _PART.findall(match[0]) if len(part) >= _LEAST_PART]
        if _decode(match[0], False, joined and not match.start()) or any(_decode(part, False, False) for part in parts):
            return True
    return False


def _plain(escape: str) -> str:
    """Returns the character of an escape; the escape itself if it is invalid."""
    if escape[0] == "\x1b":
        return ""  # colours and the like
    if escape[0] == "&":
        return html.unescape(escape)
    if escape[0] in "%=":
        if escape[1] == "u":
            return _char(int(escape[2:], 16))
        try:
            return bytes.fromhex(escape.replace(escape[0], "")).decode()  # nothing for a soft line break
        except UnicodeDecodeError:
            return escape
    if len(escape) == 12:  # a surrogate pair
        return chr(0x10000 + (int(escape[2:6], 16) - 0xD800) * 0x400 + int(escape[8:], 16) - 0xDC00)
    kind = escape[1]
    if kind in "xuU":
        return _char(int(escape[2:].strip("{}"), 16))
    return chr(int(escape[1:], 8)) if kind in "0123" else _SHORT.get(kind, kind)


def _char(code: int) -> str:
    return "\ufffd" if code > 0x10FFFF or 0xD800 <= code < 0xE000 else chr(code)


def _read(match: re.Match[str], thorough: bool) -> list[tuple[int, int, str, bool]]:
    """Decodes a run to (start, end, text, whether it is complete): the whole run, otherwise its lines, otherwise its
    parts between signs."""
    start, end = match.span()
    if thorough and match["pairs"]:
        digits = re.sub("0x|[^0-9A-Fa-f]", "", match["pairs"])
        found = _text(bytes.fromhex(digits), thorough)
        return [(start, end, *found)] if found else []
    lines = [(start + line.start(), start + line.end()) for line in re.finditer(r"\S+", match[0])]
    text = match.string
    if len(lines) > 1:
        # The last line may be a word that only looks like a part of the run.
        for kept in (lines, lines[:-1]):
            whole = "".join(text[low:high] for low, high in kept)
            if found := _decode(whole, thorough, False):
                alone = [_decode(text[low:high], False, False) for low, high in kept]
                each = [plain for plain, _ in filter(None, alone)]
                return [(start, kept[-1][1], "\n".join([found[0], *each]), found[1])]
    out = []
    for low, high in lines:
        if found := _decode(text[low:high], thorough, False):
            out.append((low, high, *found))
            continue
        out += [
            (*part.span(), *found)
            for part in _PART.finditer(text, low, high)
            if part.span() != (low, high) and (found := _decode(part[0], thorough, False))
        ]
    return out


def _decode(run: str, thorough: bool, inside: bool) -> tuple[str, bool] | None:
    """Returns the text in a run without breaks, and whether it is complete."""
    digits = run.rstrip("=").removeprefix("0x")
    if _HEX.fullmatch(digits) and (found := _text(bytes.fromhex(digits), False)):
        return found
    if _BASE32.fullmatch(digits) and (found := _text(_from_base32(digits), False)):
        return found
    if digits.islower() and digits.isalpha() and not thorough:
        return None  # a word
    # Four digits of base64 stand for three bytes. A run that begins inside of a longer word may begin between them.
    for skip in range(4 if thorough or inside else 1):
        size = len(digits) - skip
        kept = digits[skip : skip + size - (size % 4 == 1)].translate(_URL_SAFE)
        if len(kept) < LEAST - 1:
            return None
        data = binascii.a2b_base64(kept + "=" * (-len(kept) % 4))
        if found := _text(data, thorough):
            return found
    return None


def _may_hold(run: str, size: int) -> bool:
    """Whether a run may hold text, in groups of `size` characters of which the first are `run`: see `_decode`."""
    digits = run.removeprefix("0x")
    kept = digits[: len(digits) - (len(digits) % 4 == 1)].translate(_URL_SAFE)
    if _begins_text(binascii.a2b_base64(kept + "=" * (-len(kept) % 4)), size * 6):
        return True
    if _HEX_DIGITS.fullmatch(digits) and _begins_text(bytes.fromhex(digits[: len(digits) // 2 * 2]), size * 4):
        return True
    return _BASE32_DIGITS.fullmatch(digits) is not None and _begins_text(_from_base32(digits), size * 5)


def _begins_text(data: bytes, group_bits: int) -> bool:
    """Whether text may begin with these bytes, perhaps after part of a character. A group that has nothing but such a part is
    left out, unless the next group begins within a byte."""
    if b"\0" in data and any(data) and not (any(data[1::2]) and any(data[::2])):
        data = data.replace(b"\0", b"")  # UTF-16 of ASCII
    if _CONTROL.search(data):
        return False
    if data.isascii():
        return True
    plain = _UTF_8("replace").decode(data)  # without part of a character at the end
    kept = plain.lstrip("\ufffd")
    part = len(plain) - len(kept)
    return part <= _PART_OF_CHARACTER and (part * 8 < group_bits or group_bits % 8 > 0) and all(map(_is_text, kept))


def _from_base32(digits: str) -> bytes:
    """Decodes base32 without padding. Digits at the end that make no byte are left out."""
    kept = digits[: len(digits) - (len(digits) % 8 in (1, 3, 6))].upper()
    return base64.b32decode(kept + "=" * (-len(kept) % 8))


def _text(data: bytes, thorough: bool) -> tuple[str, bool] | None:
    """Returns decoded bytes as text, and whether it is complete; `None` if they are not text."""
    for empty, wide in ((data[1::2], data[0::2]), (data[0::2], data[1::2])):
        if len(data) >= 8 and not any(empty):
            data = wide  # UTF-16 of ASCII
    if _PRINTABLE.fullmatch(data):
        return data.decode(), True
    # A run that is decoded from its inside may have part of a character at either end.
    plain = data.decode("utf-8", "replace").strip("\ufffd")
    if plain and len(data) - len(plain.encode()) <= min(6, len(data) // 8) and all(map(_is_text, plain)):
        return plain, True
    return _printable_text(data) if thorough else None


def _is_text(char: str) -> bool:
    return char != "\ufffd" and (char.isprintable() or char in "\t\n\r")


def _printable_text(data: bytes) -> tuple[str, bool] | None:
    """Returns the printable stretches of binary data, which is unpacked first if it is gzip."""
    whole = True
    if data[:2] == b"\x1f\x8b":
        unpacking = zlib.decompressobj(31)
        try:
            data = unpacking.decompress(data, UNPACKED_LIMIT)
        except zlib.error:
            return None
        whole = unpacking.eof
    stretches = _STRETCHES.findall(data)
    return (b"\n".join(stretches).decode(), whole) if stretches else None
