"""The section `documents`: parts of a text that are documents, such as those between `<context>` and `</context>`.

Retrieval code pastes what it found into a text of the user or the system. The section names the marks around it. Each marked
part becomes a text of the kind `document` of its own; `exchange/gate/documents.py` carries it out.

Decision: docs/decisions/0075-tagged-blocks-are-documents.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from guardproxy.policy.sections.section import NeededTexts, Section
from guardproxy.policy.yaml.reading import FileReading, join
from guardproxy.policy.yaml.tree import YamlNode
from guardproxy.wire.declared import Pointer, PointerError, pointer

ANY = "*"
"""Stands in a name of a tag for any letters, and in a line for the rest of it."""
LIMIT_MARKS = 50
"""The names of tags, and the lines, of a section."""
LIMIT_CHARS = 200
"""The characters of a line."""
_WANTED = "a mapping like `{tags: [context, document]}`"
_MARK = 'a line like `"--------"`, or a mapping like `{begin: "Context:", end: "Question:*"}`'
_TAG = re.compile(r"[^\W\d][\w.:-]*(?:\*[\w.:-]*)?")


class LinePair(NamedTuple):
    """Lines around a document. `begin`: may begin or end with `*`, and the document begins after it; `end`: may end with `*`;
    empty if the document reaches to the end of the text."""

    begin: str
    end: str


@dataclass(frozen=True, slots=True)
class DocumentsSection:
    """The section. `tags`: names of tags; `fences`: whether fenced blocks of Markdown are documents; `marks`: lines around
    documents; `json`: pointers to documents in texts that are JSON. `apart`: whether rules about the kind of the text that
    holds a document no longer read it."""

    tags: tuple[str, ...] = ()
    fences: bool = False
    marks: tuple[LinePair, ...] = ()
    json: tuple[Pointer, ...] = ()
    apart: bool = False


def _read(reading: FileReading, node: YamlNode) -> DocumentsSection | None:
    before = len(reading.errors)
    keys = reading.entries(node, _WANTED, tuple(_KEYS))
    section = DocumentsSection(
        tuple(_tags(reading, keys.get("tags"))),
        bool(reading.boolean(keys.get("fences"))),
        tuple(_marks(reading, keys.get("marks"))),
        tuple(_pointers(reading, keys.get("json"))),
        bool(reading.boolean(keys.get("apart"))),
    )
    if len(reading.errors) > before:
        return None
    if not (section.tags or section.fences or section.marks or section.json):
        reading.fail(node.place, f"the section names no documents; expected {_WANTED}")
        return None
    return section


def _items(reading: FileReading, node: YamlNode | None, wanted: str) -> tuple[YamlNode, ...]:
    if node is None:
        return ()
    items = reading.items(node, wanted)
    if node.value == ():
        reading.fail(node.place, "an empty list names no documents; leave the key out")
    if len(items) > LIMIT_MARKS:
        reading.fail(node.place, f"a list has at most {LIMIT_MARKS} entries")
    return items[:LIMIT_MARKS]


def _tags(reading: FileReading, node: YamlNode | None) -> Iterator[str]:
    for item in _items(reading, node, "a list of names of tags"):
        name = reading.word(item, "the name of a tag")
        if name is None:
            continue
        if not _TAG.fullmatch(name):
            message = f"`{name}` is no name of a tag: write `context` for `<context>`, or `context-*` for any ending"
            reading.fail(item.place, message)
        else:
            yield name


def _marks(reading: FileReading, node: YamlNode | None) -> Iterator[LinePair]:
    known: set[str] = set()
    for item in _items(reading, node, "a list of lines"):
        if isinstance(item.value, Mapping):
            keys = reading.entries(item, _MARK, ("begin", "end"), needed=("begin",))
            begin, end = _line(reading, keys.get("begin")), _line(reading, keys.get("end"))
            if end.startswith(ANY):
                reading.fail(keys["end"].place, "`*` is possible only behind the words that end a document")
        else:
            begin = end = _line(reading, item)
            if ANY in begin:
                reading.fail(item.place, "a line that stands on both sides of a document has no `*`")
        if begin in known:
            reading.fail(item.place, f"another entry begins with `{begin}`")
        known.add(begin)
        yield LinePair(begin, end)


def _line(reading: FileReading, node: YamlNode | None) -> str:
    line = (reading.word(node, _MARK) or "").strip()
    if node is None or not line:
        return ""
    if len(line) > LIMIT_CHARS or "\n" in line:
        reading.fail(node.place, f"expected a single line of at most {LIMIT_CHARS} characters")
    if ANY in line[1:-1] or not line.strip(ANY + " ") or (line[0] == line[-1] == ANY):
        reading.fail(node.place, "a line has words, and at most one `*`, at its beginning or its end")
    return line


def _pointers(reading: FileReading, node: YamlNode | None) -> Iterator[Pointer]:
    for item in _items(reading, node, "a list of pointers") if node and isinstance(node.value, tuple) else (node,):
        written = reading.word(item, "a pointer like `/results/*/text`")
        if item is None or written is None:
            continue
        try:
            # A text may be a list, and the pointers of declared formats never begin with `*`.
            yield pointer("/x" + written)[1:] if written.startswith(f"/{ANY}") else pointer(written)
        except PointerError as error:
            reading.fail(item.place, str(error))


def _explained(value: DocumentsSection) -> str:
    named = [f"between {join([f'<{name}>' for name in value.tags])} and their ends"] if value.tags else []
    named += ["in fenced blocks"] if value.fences else []
    named += [f"after `{mark.begin}`" + (f" up to `{mark.end}`" if mark.end else "") for mark in value.marks]
    named += [f"at {join(['/' + '/'.join(steps) for steps in value.json])} of JSON"] if value.json else []
    read = "only as documents" if value.apart else "as documents too"
    return f"texts {', '.join(named)} are read {read}"


def _lacks(value: DocumentsSection) -> Iterator[NeededTexts]:
    yield NeededTexts("request", "documents-unread", _unread, kind="document")


def _unread(unless: str) -> str:
    return f"no rule reads documents{unless}, so the section has no effect"


_LINE: Mapping[str, Any] = {"type": "string", "maxLength": LIMIT_CHARS}
_WORDS = r"[^*\n]*[^*\s][^*\n]*"
_POINTER: Mapping[str, Any] = {"type": "string", "pattern": "^/."}
_KEYS: Mapping[str, Mapping[str, Any]] = {
    "tags": {
        "type": "array",
        "minItems": 1,
        "maxItems": LIMIT_MARKS,
        "items": {"type": "string", "pattern": f"^{_TAG.pattern}$"},
        "description": "Names of tags around documents. `*` stands for any letters of a name.",
    },
    "fences": {"type": "boolean", "description": "Whether fenced blocks of Markdown are documents."},
    "marks": {
        "type": "array",
        "minItems": 1,
        "maxItems": LIMIT_MARKS,
        "items": {
            "anyOf": [
                {**_LINE, "pattern": f"^{_WORDS}$"},
                {
                    "type": "object",
                    "required": ["begin"],
                    "additionalProperties": False,
                    "properties": {
                        "begin": {**_LINE, "pattern": rf"^\s*(\*{_WORDS}|{_WORDS}\*?)\s*$"},
                        "end": {**_LINE, "pattern": rf"^{_WORDS}\*?\s*$"},
                    },
                },
            ]
        },
        "description": "Lines around documents: a line that stands on both sides, or the line before and the line after.",
    },
    "json": {
        "anyOf": [_POINTER, {"type": "array", "minItems": 1, "maxItems": LIMIT_MARKS, "items": _POINTER}],
        "description": "JSON pointers to documents in texts that are JSON, such as results of tools. `*`: every item.",
    },
    "apart": {
        "type": "boolean",
        "description": "Whether rules about the text that holds a document (`user`, `system`) no longer read the document.",
    },
}

DOCUMENTS: Section[DocumentsSection] = Section(
    "documents",
    "Parts of texts that are documents: between tags, in fenced blocks, between lines, and in JSON.",
    {"type": "object", "minProperties": 1, "additionalProperties": False, "properties": _KEYS},
    _read,
    explain=_explained,
    lacks=_lacks,
)
