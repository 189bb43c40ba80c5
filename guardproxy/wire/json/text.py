"""JSON that travels as text (tool-call arguments): text -> its strings and numbers, decoded, with their places.

Works on any text, whole or cut off or broken: what stands between strings and is not a list of scalars is a leaf in one
piece, so nothing hides in a malformed part. `view` joins the leaves by line ends: that is what checks scan, so that
`\\u0034` is a `4` and a key is context for its value. `rewrite` puts edits of the view back, escaped, and touches
nothing else.

A card number can be written `4.111111111111111e15` or `[4111, 1111, 1111, 1111]`, so a number is read in plain decimal form,
and short numbers that follow each other stand in a row of their own at the end of the view (`numbers.py`).
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from guardproxy.events import Path
from guardproxy.wire.json.numbers import LEAST_DIGITS, digits_of_token, is_row, part_of, stand_in

_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\\?\Z)|([^"\[\]{}]+)', re.DOTALL)
_PART = re.compile(r"[^\s,:](?:[^,:]*[^\s,:])?")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))|\\\Z", re.DOTALL)
_CHARACTER = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL)
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF = re.compile("[\ud800-\udfff]")
_SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)
_LITERALS = frozenset(("true", "false", "null"))
_IS_KEY = re.compile(r'"?\s*:')
PATH_LIMIT = 128  # steps; deeper places share a path, as the cost of each place is its depth
_DIGITS_THAT_MATTER = 9  # shorter numbers cannot hold a card, an account or a social security number


@dataclass(frozen=True, slots=True)
class Leaf:
    """A string or number. `raw[start:end]` is its text inside the quotes, `text` the decoded text, `at` its offset in the
    view. `number`: it is a number, and only another number can replace it. `row`: it is a part of a row; the same string may
    be a leaf of its own as well."""

    start: int
    end: int
    text: str
    at: int
    quoted: bool
    number: bool = False
    row: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """The leaves of a JSON text and their joined `text`."""

    raw: str
    leaves: tuple[Leaf, ...]
    text: str

    def raw_spans(self, spans: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
        """Returns spans of `text` as spans of `raw`, which is a single string of JSON."""
        (leaf,) = self.leaves
        offsets = _offsets(self.raw, leaf)
        return [(offsets[start], offsets[end], put) for start, end, put in spans]

    def decoded_spans(self, spans: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
        """Returns spans of `raw`, which is a single string of JSON, as spans of `text`. What is outside of it is left out."""
        (leaf,) = self.leaves
        offsets = _offsets(self.raw, leaf)
        found = (
            (bisect_right(offsets, max(start, leaf.start)) - 1, bisect_left(offsets, min(end, leaf.end)), put)
            for start, end, put in spans
        )
        return [(start, end, put) for start, end, put in found if start < end]


def _decode(raw: str) -> str:
    if "\\" not in raw:
        return raw

    def char(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        return _SIMPLE.get(match[2], match[2]) if match[2] else ""

    text = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), _ESCAPE.sub(char, raw))
    return _HALF.sub("\ufffd", text)


def _offsets(raw: str, leaf: Leaf) -> Sequence[int]:
    """Returns where each character of a string begins in the raw text, and where the last one ends."""
    if not leaf.quoted or "\\" not in raw[leaf.start : leaf.end]:
        return range(leaf.start, leaf.end + 1)
    return [*(match.start() for match in _CHARACTER.finditer(raw, leaf.start, leaf.end)), leaf.end]


def view(raw: str) -> View:
    """Returns the leaves of `raw`, which may be any text."""
    leaves: list[Leaf] = []
    rows: list[list[tuple[int, int, bool]]] = []
    row: list[tuple[int, int, bool]] = []
    keyed = False
    at = 0
    for start, end, quoted in _spans(raw):
        text = _decode(raw[start:end]) if quoted else raw[start:end]
        number = not quoted and _NUMBER.fullmatch(text) is not None
        short = number and sum(char.isdigit() for char in text) < LEAST_DIGITS
        if text and not short and (quoted or text not in _LITERALS):
            if number:
                text = digits_of_token(text).ljust(len(text)) or text  # equally long: later offsets stay
                text = text if text.strip() else raw[start:end]
            leaves.append(Leaf(start, end, text, at, quoted, number))
            at += len(text) + 1
        if quoted and _IS_KEY.match(raw, end):
            keyed = True
        elif part_of(raw[start:end]):
            row.append((start, end, quoted))
        elif quoted or text not in _LITERALS:
            _end_row(rows, row, keyed=keyed)
            row, keyed = [], False
    _end_row(rows, row, keyed=keyed)
    texts = ["\n".join(leaf.text for leaf in leaves)]
    for row in rows:
        parts = [Leaf(start, end, raw[start:end], 0, quoted, number=True, row=True) for start, end, quoted in row]
        for part in parts:
            leaves.append(replace(part, at=at))
            at += len(part.text) + 1
        texts.append(" ".join(part.text for part in parts))
    return View(raw, tuple(leaves), "\n".join(texts) if texts[0] else "\n".join(texts[1:]))


def _end_row(rows: list[list[tuple[int, int, bool]]], row: list[tuple[int, int, bool]], *, keyed: bool) -> None:
    if len(row) > 1 and is_row(sum(end - start for start, end, _ in row), len(row), keyed=keyed):
        rows.append(row)


def _spans(raw: str) -> Iterator[tuple[int, int, bool]]:
    """Yields strings (without their quotes) and the text between them: scalars one by one, any other text in one piece."""
    for match in _TOKEN.finditer(raw):
        if match[1] is not None:
            yield *match.span(1), True
            continue
        parts = [(part.start(), part.end()) for part in _PART.finditer(raw, *match.span(2))]
        if all(raw[low:high] in _LITERALS or _NUMBER.fullmatch(raw, low, high) for low, high in parts):
            for low, high in parts:
                yield low, high, False
        else:
            yield parts[0][0], parts[-1][1], False


# As in `_TOKEN`, a string without its end reaches to the end. Searching again from each quote in it would take squared time.
_STRUCTURE = re.compile(r'"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)|([\[\]{},:])|[^\s"\[\]{},:]+', re.DOTALL)


def places(raw: str) -> dict[int, tuple[Path, bool]]:
    """Maps the offset of each scalar and key of a JSON text to its path in the document, and whether it is a key. The offset
    of a string is that after its quote. For invalid JSON the paths are a guess."""
    out: dict[int, tuple[Path, bool]] = {}
    path: list[str | int] = []  # a step for each open container: its current key or index
    keys: list[bool] = []  # for each open container, whether a key comes next
    for match in _STRUCTURE.finditer(raw):
        match match[2]:
            case "{" | "[":
                path.append("" if match[2] == "{" else 0)
                keys.append(match[2] == "{")
            case "}" | "]":
                del path[-1:], keys[-1:]
            case ",":
                if path:
                    step = path[-1]
                    keys[-1] = isinstance(step, str)
                    path[-1] = step if isinstance(step, str) else step + 1
            case None:
                is_key = bool(keys and keys[-1])
                if is_key:
                    path[-1], keys[-1] = _decode(match[1] or ""), False
                deep = len(path) > PATH_LIMIT
                where = (*path[:PATH_LIMIT], "") if deep else tuple(path)
                out[match.start() + (match[1] is not None)] = (where, is_key)
    return out


def apart(seen: View, edits: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Cuts edits of the view (sorted, not overlapping) at the borders of leaves. The first part of an edit gets its
    replacement, the other parts become empty. In a number each part becomes a number of the same length; if that would not be
    a number, the whole number is replaced."""
    out: list[tuple[int, int, str]] = []
    parts: dict[int, list[tuple[int, int, str]]] = {}
    starts = [leaf.at for leaf in seen.leaves]
    for start, end, replacement in edits:
        index = max(0, bisect_right(starts, start) - 1)
        put = replacement
        while index < len(seen.leaves) and seen.leaves[index].at < end:
            leaf = seen.leaves[index]
            low, high = max(start, leaf.at), min(end, leaf.at + len(leaf.text))
            if low < high:
                parts.setdefault(index, []).append((low, high, stand_in(high - low) if leaf.number else put))
                put = ""
            index += 1
    for index, its in sorted(parts.items()):
        leaf = seen.leaves[index]
        if leaf.number and not _PLAIN_NUMBER.fullmatch(_replaced(leaf, its)):
            its = [(leaf.at, leaf.at + len(leaf.text), stand_in(len(leaf.text)))]  # noqa: PLW2901
        out += its
    return out


def _replaced(leaf: Leaf, parts: Sequence[tuple[int, int, str]]) -> str:
    out: list[str] = []
    done = 0
    for low, high, put in parts:
        out += leaf.text[done : low - leaf.at], put
        done = high - leaf.at
    return "".join((*out, leaf.text[done:]))


def edited_leaves(seen: View, edits: Sequence[tuple[int, int, str]]) -> dict[int, str]:
    """Applies edits of the view (sorted, not overlapping). Returns the new text of each changed leaf by the leaf's number."""
    starts = [leaf.at for leaf in seen.leaves]
    touched = groupby(apart(seen, edits), lambda part: bisect_right(starts, part[0]) - 1)
    return {index: _replaced(seen.leaves[index], list(parts)) for index, parts in touched}


def rewrite(
    seen: View, edits: Sequence[tuple[int, int, str]], fitted: Mapping[int, str] | None = None
) -> list[tuple[int, int, str]]:
    """Translates edits of the view (sorted, not overlapping) to edits of the raw text. `fitted`: the text of some leaves,
    instead
    of the edits."""
    out: dict[int, tuple[int, int, str]] = {}
    for index, text in {**edited_leaves(seen, edits), **(fitted or {})}.items():
        leaf = seen.leaves[index]
        written = text if leaf.number else json.dumps(text, ensure_ascii=False)
        if leaf.quoted and not leaf.number:
            written = written[1:-1]
        if leaf.start in out:  # the leaf is edited by itself and in a row: neither edit may undo the other
            written = stand_in(leaf.end - leaf.start)
        out[leaf.start] = (leaf.start, leaf.end, written)
    return [out[start] for start in sorted(out)]
