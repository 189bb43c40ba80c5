"""Folds characters that look like others, or that are invisible, to the characters that they imitate.

In: text. Out: text of the same length, and `Edit`s. How a character is folded depends only on the character, on the previous
character and on the rest of its run, so a text can be folded in pieces.

A character that imitates a single character is replaced in place. Both profiles fold:

- letters and digits with a compatibility form (full-width, mathematical, circled, superscript), ligatures, and all
  decimal digits of other scripts (`unicodedata.digit`: NFKC leaves them);
- invisible characters between ASCII characters: format characters (Cf) such as zero-width spaces, bidirectional
  controls and soft hyphens, variation selectors and overlays (Mn, Me), Hangul fillers (Lo);
- tag characters, which spell invisible ASCII (except those of a flag);
- every other character without a visible form between ASCII characters, by its Unicode properties: controls (except
  tab and line ends), code points that are ignored by default, private use, noncharacters, braille and other blanks;
- between letters and digits: spaces of every width, dashes, dots, full-width signs. An en dash, an em dash or a bar
  counts between digits only;
- combining marks on a digit.

Some of these can be read in two ways: tag characters may be left out or spell text, a backspace may be invisible or
erase, and blanks may join or separate the characters around them. `fold` reads the first way, and with `other` the
second.

`strict` also folds letters of other scripts that look Latin, in words in which every letter does; combining marks on
every character; every dash; and letters and digits that stand one by one with the same separator between them.

`_LOOK_ALIKES` has the rows of the Unicode confusables (UTS #39) for letters that look Latin in ordinary fonts: 200 of
its 6,000 rows. A package with all rows loads a megabyte of JSON. Capitals fold to capitals, as keys do not survive the
skeleton's `l` for `I`.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import re2
import regex

from guardproxy.concurrency import stop_point

Edit = tuple[int, int, str]  # start, end, replacement

RUN = "A-Za-z0-9+/_\\-"  # the characters of base64, both alphabets
_END = 0x20000  # beyond are ideographs, tags and variation selectors
# Characters that a call reads: one that reads megabytes would hold the interpreter, and with it the event loop, in whichever
# thread it runs. For the slowest pattern here these are a millisecond.
SLICE = 1 << 14
RUN_LIMIT = 65536  # a longer stretch of characters without punctuation or space is not read as one word
INVISIBLE_LIMIT = (
    64  # a run of this many invisible characters is removed; a longer run is a finding of its own, except for tags
)

_ESCAPES = "%&#;=\\"  # the characters of escapes
_KEPT_CONTROLS = "\t\n\r"
CONTROLS = "".join(chr(code) for code in (*range(32), 127) if chr(code) not in _KEPT_CONTROLS)
_ESCAPE = "\x1b"  # begins an escape sequence, which is read as a whole
ASCII = CONTROLS + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/_-" + _ESCAPES
_FLAG = "\U0001f3f4"
_VISIBLE_FORMATS = "\u0600-\u0605\u06dd\u070f\u08e2\U000110bd\U000110cd"  # signs of numbers and ends of verses
_INVISIBLE_MARKS = "\u034f\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef\u0334-\u0338\u20d0-\u20f0"
_FILLERS = "\u115f\u1160\u3164\uffa0"
_TAGS = "\U000e0020-\U000e007e"
_DASHES = "\u02d7\u05be\u1806\u2010-\u2012\u2043\u207b\u208b\u2212\u2796\ufe58\ufe63\uff0d"
_LONG_DASHES = "\u2013\u2014\u2015"
_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_BLANKS = "\u2800\u2028\u2029\ufffc\u0080-\u009f"  # with controls and fillers; these may also separate words
_HIGHEST = "\U000f0000"  # from here on, every code point is private use or unassigned
_DOTS = "\u2024\u3002\ufe52\uff0e\uff61"
_NOTHING = r"[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}]"
_NO_CONTROLS = bytes(code for code in range(256) if chr(code) not in CONTROLS)
_NOT_LETTERS = "\u2122\u2120\u00aa\u00ba\u2026\u2025"  # trade marks, ordinals, ellipses: ordinary in prose

# Each Latin letter or digit, and the letters that look like it.
_LOOK_ALIKES = {
    "A": "ΑАᎪꓮ", "B": "ΒВᏴꓐ", "C": "СϹᏟⲤꓚ", "D": "Ꭰꓓꭰᗞᗪ", "E": "ΕЕᎬꓰ", "F": "Ϝꓝᖴ", "G": "ԌᏀꓖ", "H": "ΗНᎻⲎꓧ",
    "I": "ΙІӀⲒꓲ", "J": "ЈͿᎫꓙ", "K": "ΚКᏦⲔꓗ", "L": "ᏞꓡⳐ", "M": "ΜМᎷϺⲘꓟ", "N": "ΝⲚꓠ", "O": "ΟОՕⲞꓳ", "P": "ΡРᏢⲢꓑ",
    "Q": "ⵕ", "R": "ᎡᏒꓣƦ", "S": "ЅՏᏕᏚꓢ", "T": "ΤТᎢⲦꓔ", "U": "ՍꓴᑌԱ", "V": "ѴᏙꓦ", "W": "ԜᎳᏔꓪ", "X": "ΧХⲬꓫ", "Y": "ΥҮУᎩⲨꓬ",
    "Z": "ΖᏃꓜ",
    "a": "αаɑ", "b": "ЬᏏᖯƅ", "c": "сϲⲥᴄ", "d": "ԁᏧᑯꓒ", "e": "еҽ℮", "f": "ꞙքẝ", "g": "ɡցƍ", "h": "һհᏂ", "i": "іιıɩɪ",
    "j": "јϳ", "k": "кκᴋ", "l": "ǀƖ", "m": "мᴍ", "n": "ոռ", "o": "οоօⲟᴏσ", "p": "ρрⲣ", "q": "ԛգզ", "r": "гⲅᴦ", "s": "ѕꜱ",
    "t": "тᴛ", "u": "υսᴜʋ", "v": "νѵᴠ", "w": "ѡաԝᴡɯ", "x": "хᕽ", "y": "уүγყỿ", "z": "ᴢ",
    "0": "", "2": "Ƨ", "3": "ЗӠƷȜ", "4": "Ꮞ", "5": "Ƽ", "6": "бᏮ", "8": "Ȣȣ",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """The characters that a profile folds. `chars`: the characters that may be folded, and the ASCII characters of
    runs and escapes; a stretch of such characters is read together. `hidden`: matches a place that may be folded."""

    strict: bool
    limit: int
    hidden: re.Pattern[str]
    chars: frozenset[str]
    word: re.Pattern[str]
    long: re.Pattern[str]
    same: dict[int, str]
    longer: dict[str, str]
    edits: re.Pattern[str]
    between: re.Pattern[str]
    signs: dict[int, str]
    tags: re.Pattern[str]
    blanks: dict[int, str]
    twofold: re.Pattern[str]
    words: re.Pattern[str] | None
    units: Any
    look_alikes: dict[int, str]


# Matches up to 256 units from the end of a text backwards. In this direction a unit has a single reading: the cost is
# linear.
_UNITS_BACKWARDS = re.compile(
    r"(?>[^0-9A-Za-z\n]{0,5}+(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{2}|[0-9A-Za-z])(?:x0)?(?![0-9A-Za-z])){1,256}+"
)
_UNITS_CHARS = 2400  # 256 units have at most this length
_SPACED = (
    r"(?<![0-9A-Za-z])[0-9A-Za-z](?:(?: {1,3}| [@._+-] )[0-9A-Za-z]){7,80}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])[0-9A-Za-z](?P<by>[-._/|*,~+:] ?)(?:[@._+-](?P=by))?[0-9A-Za-z]"
    r"(?:(?P=by)(?:[@._+-](?P=by))?[0-9A-Za-z]){6,80}(?![0-9A-Za-z])"
)
_UNITS = r"(?:\b(?:0x)?[0-9A-Za-z]{1,2}[^0-9A-Za-z\n]{1,5}){7}"  # may be letters, digits or pairs one by one
_NUMBER = re.compile("[0-9]{7,}")
_MARKS = "\u0300-\u036f"
_BEYOND = (
    "\U00010000-\U0001f2ff\U0001fb00-\U0001ffff\U000e0000-\U000e0fff"  # all folded characters of the higher planes
)


@cache
def table(strict: bool, limit: int = RUN_LIMIT) -> Table:
    """Builds the table of a profile from Python's own Unicode data. `limit`: see `RUN_LIMIT`."""
    same, longer = _compatible()
    signs = dict.fromkeys(_codes(_DASHES + _LONG_DASHES), "-")
    signs |= dict.fromkeys(_codes(_SPACES), " ") | dict.fromkeys(_codes(_DOTS), ".")
    signs |= {code: to for code, to in same.items() if not to.isalnum() and code not in signs}
    same = {code: to for code, to in same.items() if code not in signs}
    invisible = _invisible()
    blanks = dict.fromkeys(_codes(_BLANKS + _FILLERS) | {ord(char) for char in CONTROLS if char not in "\b\x1b"}, " ")
    look_alikes = {ord(char): to for to, letters in _LOOK_ALIKES.items() for char in letters} if strict else {}
    if strict:
        for code in _codes("\U0001d6a8-\U0001d7cb"):  # mathematical Greek looks like Greek, which looks Latin
            plain = unicodedata.normalize("NFKC", chr(code))
            if ord(plain[0]) in look_alikes:
                same[code] = look_alikes[ord(plain[0])]
    codes = {*same, *signs, *map(ord, longer), *invisible, *look_alikes, *_codes(_TAGS), ord(_FLAG)}
    codes |= _codes(_MARKS)
    beyond = f"{_BEYOND}{_HIGHEST}-\U0010ffff{_class({code for code in codes if 0x20000 <= code < 0xE0000})}"
    gone = f"{_class(invisible)}{_HIGHEST}-\U0010ffff"
    by, two = _class(set(signs)), _class(set(map(ord, longer)))
    alone = _class(set(same) | set(look_alikes) | set(map(ord, longer))) + _TAGS
    short = _class(set(signs) - (set() if strict else _codes(_LONG_DASHES)))
    some = f"[{_class({code for code in codes if code < 0x10000})}{beyond}]"
    # A class comes first and its lookbehind second, so that most of a text is skipped quickly.
    after_sign = "(?=[0-9A-Za-z \"'(+])"
    long_dash = f"[{_LONG_DASHES}](?<=[0-9].)(?=[0-9])"
    marked = "[ -~]" if strict else "[0-9]"  # no language puts an accent on a digit
    marks = f"[{_MARKS}](?<={marked}.)"
    behind_mark = f"(?<={marked}[{_MARKS}])"
    return Table(
        strict=strict,
        limit=limit,
        hidden=re.compile(
            f"{some}(?:(?<=[{alone}])|(?<=[ -~][{gone}])(?=[ -~{by}{gone}])|(?<=[0-9A-Za-z)][{short}])(?=[ -~{by}])"
            f"|(?<=[0-9][{_LONG_DASHES}])(?=[0-9])|{behind_mark})"
        ),
        chars=_Chars(frozenset(ASCII) | {chr(code) for code in codes}),
        word=re.compile(f"[{re.escape(ASCII)}{_class(codes)}{_HIGHEST}-\U0010ffff]*"),
        long=re.compile(f"[{re.escape(ASCII)}{_class(codes)}{_HIGHEST}-\U0010ffff]{{{limit},}}"),
        same=same,
        longer=longer,
        edits=re.compile(
            f"(?P<gone>[{gone}](?<=[ -~{by}].)(?:[{gone}]{{0,{INVISIBLE_LIMIT - 1}}}|[{_TAGS}]{{0,4096}})(?=[ -~{by}]))"
            f"|(?P<longer>[{two}])|(?P<marks>{marks}[{_MARKS}]{{0,15}})"
        ),
        between=re.compile(f"[{short}](?<=[0-9A-Za-z)].)[{short}]{{0,3}}{after_sign}|{long_dash}", re.DOTALL),
        signs=signs,
        blanks=blanks,
        twofold=re.compile(f"[\b{_class(set(blanks))}{_TAGS}]"),
        tags=re.compile(f"{_FLAG}[{_TAGS}]{{1,6}}\U000e007f|[{_TAGS}]+"),
        words=re.compile(f"(?<!\\w)[A-Za-z0-9_{_class(set(look_alikes))}]{{1,4096}}+(?!\\w)") if strict else None,
        units=re2.compile(_UNITS) if strict else None,
        look_alikes=look_alikes,
    )


def has_hidden(text: str, using: Table) -> bool:
    """Whether `fold` may change anything."""
    return (not text.isascii() or _has_controls(text)) and _has(using.hidden, text)


def has_twofold(text: str, using: Table) -> bool:
    """Whether a part of a text can be read in two ways."""
    return (not text.isascii() or _has_controls(text)) and _has(using.twofold, text)


def _has(pattern: re.Pattern[str], text: str) -> bool:
    """Whether a text holds a character that a pattern finds by it and its neighbours."""
    if len(text) <= SLICE:
        return pattern.search(text) is not None
    return any(pattern.search(text[max(0, at - 1) : at + SLICE + 1]) for at in _offsets(text))


def _has_controls(text: str) -> bool:
    if len(text) <= SLICE:
        return bool(text.encode("utf-8", "surrogatepass").translate(None, _NO_CONTROLS))
    return any(
        text[at : at + SLICE].encode("utf-8", "surrogatepass").translate(None, _NO_CONTROLS) for at in _offsets(text)
    )


def _offsets(text: str | bytes) -> Iterator[int]:
    """Yields where slices of a text begin. Between two of them a scan that nobody waits for ends."""
    for at in range(0, len(text), SLICE):
        stop_point()
        yield at


def encoded(text: str) -> bytes:
    """Returns a text in UTF-8."""
    if len(text) <= SLICE:
        return text.encode("utf-8", "surrogatepass")
    return b"".join([text[at : at + SLICE].encode("utf-8", "surrogatepass") for at in _offsets(text)])


def classified(data: bytes, classes: bytes) -> bytes:
    """Returns bytes, each of which is replaced with that in a table."""
    if len(data) <= SLICE:
        return data.translate(classes)
    return b"".join([data[at : at + SLICE].translate(classes) for at in _offsets(data)])


def fold(text: str, using: Table, other: bool = False) -> tuple[str, list[Edit]]:
    """Returns `text` with its characters folded in place, and further edits to it, in order and without overlaps.
    `other`: characters that can be read in two ways are read the second way."""
    if has_hidden(text, using):
        erased: list[Edit] = []
        text = "".join([text[at : at + SLICE].translate(using.same) for at in _offsets(text)])
        if other:
            text = using.tags.sub(_untag, text.translate(using.blanks))
            erased = _erase(text, using) if "\b" in text else []
        # After the single characters: a word is folded only if every letter in it looks Latin, and some do so only now.
        if using.words:
            text = using.words.sub(lambda word: word[0].translate(using.look_alikes), text)
        edits = [
            (match.start(), match.end(), using.longer[match[0]] if match.lastgroup == "longer" else "")
            for match in using.edits.finditer(text)
        ]
        if erased:
            edits = _without_erased(edits, erased)
        return using.between.sub(lambda sign: sign[0].translate(using.signs), text), edits
    return text, []


def _erase(text: str, using: Table) -> list[Edit]:
    """Returns edits that remove backspaces, and for each of them the last remaining character of the same word."""
    kept: list[int] = []
    for at, letter in enumerate(text):
        if letter != "\b":
            kept.append(at)
        elif kept and text[kept[-1]] in using.chars:
            kept.pop()
    bounds = [-1, *kept, len(text)]
    return [(low + 1, high, "") for low, high in pairwise(bounds) if high > low + 1]


def _without_erased(edits: list[Edit], erased: list[Edit]) -> list[Edit]:
    """Returns all edits in order, without those that touch erased text."""
    starts = [start for start, _, _ in erased]
    ends = [end for _, end, _ in erased]
    left = [(start, end, new) for start, end, new in edits if bisect_right(ends, start) == bisect_left(starts, end)]
    return sorted(left + erased)


def squeeze(text: str) -> list[Edit]:
    """Returns edits that remove the separators between letters and digits that stand one by one."""
    return [(match.start(), match.end(), _squeeze(match)) for match in _one_by_one().finditer(text)]


def spaced_open(text: str) -> int:
    """Returns the offset from which a growing text may turn out to be letters, digits, or pairs of hexadecimal digits,
    one by one."""
    match = _UNITS_BACKWARDS.match(text[: -_UNITS_CHARS - 1 : -1])
    return len(text) - match.end() if match else len(text)


class _Chars(frozenset[str]):
    """A set of characters that also contains all from `_HIGHEST` on, which are too many to list."""

    def __contains__(self, char: object) -> bool:
        return frozenset.__contains__(self, char) or (type(char) is str and char >= _HIGHEST)


@cache
def padding() -> re.Pattern[str]:
    """Matches a run of invisible characters that is too long to be removed."""
    gone = f"{_class(_invisible() - _codes(_TAGS))}{_HIGHEST}-\U0010ffff"
    return re.compile(f"(?<![{gone}])[{gone}]{{{INVISIBLE_LIMIT + 1}}}")


@cache
def _one_by_one() -> re.Pattern[str]:
    return re.compile(_SPACED)


def _squeeze(match: re.Match[str]) -> str:
    """Returns the match without its spaces or signs. If it mixes digits and other characters, its longer numbers
    follow once more."""
    by = match["by"]
    together = match[0][:: 1 + len(by)] if by else match[0].replace(" ", "")
    numbers = [] if together.isdigit() else _NUMBER.findall(together)
    return " ".join([together, *numbers])


def _untag(match: re.Match[str]) -> str:
    run = match[0]
    return run if run[0] == _FLAG else "".join(chr(ord(char) - 0xE0000) for char in run)


@cache
def _compatible() -> tuple[dict[int, str], dict[str, str]]:
    """Returns the characters that stand for one ASCII character, and those that stand for two to four."""
    same: dict[int, str] = {}
    longer: dict[str, str] = {}
    for code in range(0x80, _END):
        char = chr(code)
        digit = unicodedata.digit(char, None)
        if digit is not None:
            same[code] = str(digit)
        elif unicodedata.decomposition(char).startswith("<") and char not in _NOT_LETTERS:
            plain = unicodedata.normalize("NFKC", char)
            if plain.isascii() and plain.isprintable() and plain != " ":
                if len(plain) == 1:
                    same[code] = plain
                elif len(plain) <= 4 and code < 0x10000 and any(map(str.isalnum, plain)):
                    longer[char] = plain
    return same, longer


@cache
def _invisible() -> frozenset[int]:
    """Returns the characters that are invisible or shown as a box: by their properties, with a few marks and blanks
    that lack them."""
    every = "".join(map(chr, (*range(_END), *range(0xE0000, 0xE1000)))) + "".join(
        chr(plane | last) for plane in range(0x20000, 0xF0000, 0x10000) for last in (0xFFFE, 0xFFFF)
    )
    invisible = set(map(ord, regex.findall(_NOTHING, every)))
    visible = _codes(_VISIBLE_FORMATS) | {ord(char) for char in _KEPT_CONTROLS + _ESCAPE}
    return frozenset((invisible - visible) | _codes(_INVISIBLE_MARKS) | _codes(_BLANKS))


def _codes(ranges: str) -> set[int]:
    """Returns the code points of a character class that is made of characters and `a-b`."""
    codes: set[int] = set()
    for match in re.finditer("(.)-(.)|(.)", ranges):
        first, last = (match[1], match[2]) if match[1] else (match[3], match[3])
        codes |= set(range(ord(first), ord(last) + 1))
    return codes


def _class(codes: set[int] | frozenset[int]) -> str:
    """Returns the inside of a character class that holds `codes`, none of which is ASCII."""
    out, run = "", [-2, -2]
    for code in [*sorted(codes), 0x110001]:
        if code == run[1] + 1:
            run[1] = code
            continue
        if run[0] >= 0:
            out += f"\\U{run[0]:08x}-\\U{run[1]:08x}"
        run = [code, code]
    return out
