"""Parses the text of a policy file into a tree of values with their places.

In: the bytes or the text of a file. Out: a `YamlNode`, or a `PolicyError` with line and column. The format is YAML 1.2 with its
core scalars, without features that can make a file mean something different from what a reader sees: anchors and aliases, tags,
directives, tabs, characters that are invisible or change the reading direction, duplicate keys, keys that are not words, a
second document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import yaml

from guardproxy.errors import PolicyError

LIMIT_BYTES = 1 << 20
LIMIT_DEPTH = 20

Scalar = str | int | float | bool | None

# The tag resolution of YAML 1.2.2, section 10.3.2.
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = re.compile(r"\.nan|\.NaN|\.NAN")
# Characters that hide text: controls of the reading direction, zero-width spaces, soft hyphens, tags.
_UNSEEN = re.compile("[\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\U000e0000-\U000e007f]")
_BACKSPACE = re.compile(r"(?<!\\)(?:\\\\)*\\b")  # an escape: after an even number of backslashes
_SINGLE = "use single quotes, in which a backslash stays as it is"
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


class _Mark(Protocol):
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A position in a file. Lines and columns start at 1; columns count characters. `path`: the path of another file
    (a list, a baseline); empty for the file itself."""

    line: int = 1
    column: int = 1
    path: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class YamlNode:
    """A value and its place.

    `key`: the place of the key of a value in a mapping; otherwise the place of the value. `lead`: the number of
    characters between the place of a text and its first character (1 for a quote); `None` if the source differs from
    the text (escapes, several lines).
    """

    value: Scalar | tuple[YamlNode, ...] | Mapping[str, YamlNode]
    place: FilePlace
    key: FilePlace
    lead: int | None = None

    def plain(self) -> Any:
        """Returns the value without places: strings, numbers, booleans, `None`, lists and dicts of them."""
        if isinstance(self.value, Mapping):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value

    def with_path(self, path: str) -> YamlNode:
        """Returns the node with `path` at every place without a path."""
        value = self.value
        if isinstance(value, Mapping):
            value = {key: node.with_path(path) for key, node in value.items()}
        elif isinstance(value, tuple):
            value = tuple(node.with_path(path) for node in value)
        place, key = (mark if mark.path else replace(mark, path=path) for mark in (self.place, self.key))
        return replace(self, value=value, place=place, key=key)

    def describe(self) -> str:
        """Describes the value for messages."""
        match self.value:
            case None:
                return "nothing"
            case bool():
                return "`true`" if self.value else "`false`"
            case int() | float():
                return "a number"
            case str():
                return "a word"
            case tuple():
                return "a list"
            case _:
                return "a mapping"


def entries(node: YamlNode) -> Mapping[str, YamlNode]:
    """Returns the entries of a mapping; empty for any other node."""
    return node.value if isinstance(node.value, Mapping) else {}


def read_tree(content: bytes | str, path: str) -> YamlNode:
    """Returns the only document of a file. Raises `PolicyError` for the first error."""
    text = _decode(content, path)
    _refuse_invisible(text, path)
    try:
        return _document(yaml.parse(text, Loader=yaml.SafeLoader), path)
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark or error.context_mark)
        message = _advice(error, text) or f"not valid YAML: {error.problem or error.context}"
        raise _error(message, path, place) from None
    except yaml.reader.ReaderError as error:
        place = _place_at(text, error.position)
        raise _error("a control character; write it as an escape between double quotes", path, place) from None


def _advice(error: yaml.MarkedYAMLError, text: str) -> str:
    """Returns what to write, for the usual mistakes; empty for others."""
    problem, mark = str(error.problem), error.problem_mark
    if escape := re.match(r"found unknown escape character '(.)'", problem):
        return f"`\\{escape[1]}` means nothing between double quotes; {_SINGLE}"
    if mark is None:
        return ""  # pragma: no cover - every problem of the scanner and the parser has a place
    if problem.endswith("but got ':'"):
        return "a second `: ` in a text; quote the text"
    if problem.startswith("mapping values are not allowed"):
        if re.search(r":\s", _LINE_BREAK.split(text)[mark.line][: mark.column]):
            return "a second `: ` in a line; quote the text"
        return "a key below a key that has a value; indent it like the line above, or quote the text"
    if "cannot start any token" in problem:
        return f"a text cannot begin with {text[mark.index]}; quote the text"
    return ""


def _decode(content: bytes | str, path: str) -> str:
    if len(content) > LIMIT_BYTES:
        raise _error(f"the file is larger than {LIMIT_BYTES} bytes", path, FilePlace())
    if isinstance(content, str):
        return content
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        raise _error("not UTF-8; save the file as UTF-8", path, _place_at(before, len(before))) from None


def _refuse_invisible(text: str, path: str) -> None:
    at = text.find("\t")
    if at >= 0:
        message = "a tab; indent with spaces, and write \\t between double quotes if a text needs a tab"
        raise _error(message, path, _place_at(text, at))
    if (place := find_invisible(text, 1 if text.startswith("\ufeff") else 0)) is not None:
        hidden = text[place]
        code = f"\\u{ord(hidden):04x}" if ord(hidden) < 0x10000 else f"\\U{ord(hidden):08x}"
        message = f"a character that cannot be seen; write {code} between double quotes if it is meant"
        raise _error(message, path, _place_at(text, place))


def find_invisible(text: str, start: int = 0) -> int | None:
    """Returns the offset of the first character that is invisible or changes the reading direction."""
    match = _UNSEEN.search(text, start)
    return match.start() if match else None


def _document(events: Iterator[yaml.Event], path: str) -> YamlNode:
    next(events)  # the start of the stream
    start = next(events)
    if isinstance(start, yaml.StreamEndEvent):
        raise _error("the file is empty; begin with `policy: some-name`", path, FilePlace())
    if isinstance(start, yaml.DocumentStartEvent) and (start.version or start.tags):
        raise _error("directives are not available; leave the line out", path, _place(start.start_mark))
    root = _node(next(events), events, path, None, 1)
    next(events)  # the end of the document
    after = next(events)
    if not isinstance(after, yaml.StreamEndEvent):
        raise _error("a second document; a file holds one policy", path, _place(after.start_mark))
    return root


def _node(event: yaml.Event, events: Iterator[yaml.Event], path: str, key: FilePlace | None, depth: int) -> YamlNode:
    place = _place(event.start_mark)
    if isinstance(event, yaml.AliasEvent):
        raise _error("aliases are not available; repeat the value, or quote a text that begins with `*`", path, place)
    if getattr(event, "anchor", None) is not None:
        raise _error("anchors are not available; repeat the value where it is needed", path, place)
    if getattr(event, "tag", None) is not None:
        raise _error("tags are not available; remove the `!` word, or quote the text", path, place)
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event, path, key or place)
    if depth > LIMIT_DEPTH:
        raise _error(f"nested more than {LIMIT_DEPTH} levels deep", path, place)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(inner := next(events), yaml.SequenceEndEvent):
            items.append(_node(inner, events, path, None, depth + 1))
        return YamlNode(tuple(items), place, key or place)
    return YamlNode(_entries(events, path, depth), place, key or place)


def _entries(events: Iterator[yaml.Event], path: str, depth: int) -> dict[str, YamlNode]:
    entries: dict[str, YamlNode] = {}
    while not isinstance(inner := next(events), yaml.MappingEndEvent):
        name = _node(inner, events, path, None, depth + 1)
        if not isinstance(name.value, str):
            raise _error(f"a key must be a word, found {name.describe()}; quote it if it is meant", path, name.place)
        if name.value in entries:
            first = entries[name.value].key
            raise _error(f"duplicate key `{name.value}`, first on line {first.line}", path, name.place)
        entries[name.value] = _node(next(events), events, path, name.place, depth + 1)
    return entries


def _scalar(event: yaml.ScalarEvent, path: str, key: FilePlace) -> YamlNode:
    place = _place(event.start_mark)
    lead = _lead(event)
    if event.style == '"' and _BACKSPACE.search(_source(event)):
        raise _error(f"`\\b` between double quotes is a backspace; {_SINGLE}", path, place)
    if event.style:
        return YamlNode(event.value, place, key, lead)
    try:
        return YamlNode(core_scalar(event.value), place, key, lead)
    except ValueError:
        raise _error("a number with too many digits; quote it if it is a text", path, place) from None


def _source(event: yaml.ScalarEvent) -> str:
    """Returns a scalar as the file has it, with its quotes."""
    start, end = event.start_mark, event.end_mark
    if start is None or end is None or start.buffer is None:
        return ""  # pragma: no cover - a text that was read as a whole has marks with its characters
    return start.buffer[start.pointer : end.pointer]


def _lead(event: yaml.ScalarEvent) -> int | None:
    start, end = event.start_mark, event.end_mark
    if start is None or end is None or start.line != end.line:
        return None
    quotes = 1 if event.style else 0
    return quotes if end.index - start.index == len(event.value) + 2 * quotes else None


def core_scalar(text: str) -> Scalar:
    """Returns the value of an unquoted scalar in YAML 1.2's core schema. Raises `ValueError` for an integer that is
    too long."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        # base 0 would take 1_000 and refuse 007; the core schema does neither
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if _FLOAT.fullmatch(text):
        return float(text)
    if infinite := _INFINITE.fullmatch(text):
        return float(f"{infinite[1]}inf")
    return float("nan") if _NAN.fullmatch(text) else text


def _place(mark: _Mark | None) -> FilePlace:
    return FilePlace(mark.line + 1, mark.column + 1) if mark else FilePlace()


def _place_at(text: str, offset: int) -> FilePlace:
    lines = _LINE_BREAK.split(text[:offset].removeprefix("\ufeff"))
    return FilePlace(len(lines), len(lines[-1]) + 1)


def _error(message: str, path: str, place: FilePlace) -> PolicyError:
    return PolicyError(message, path, place.line, place.column)
