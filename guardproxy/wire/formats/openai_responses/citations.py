"""The numbers of a response, or of an event, that count characters of a text: where a citation stands in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guardproxy.events import Count, Path
from guardproxy.redaction import Shapes
from guardproxy.wire.formats.openai_responses.events import number
from guardproxy.wire.json import dotted, listed, members

_HOLDERS = ("output_index", "content_index")


def counts_of(shapes: Shapes, tree: Any) -> tuple[Count, ...]:
    """Returns the numbers of a response or of an event. `shapes`: not read, as all texts are in the answer."""
    return tuple(_counts(tree))


def _counts(tree: Any) -> Iterator[Count]:
    at, part = (number(tree, name) for name in _HOLDERS)
    if isinstance(tree.get("annotation"), dict):
        yield from _of_note(("annotation",), tree["annotation"], _text(at, part))
    if isinstance(tree.get("part"), dict):
        yield from _of_part(("part",), tree["part"], _text(at, part))
    if isinstance(tree.get("item"), dict):
        yield from _of_item(("item",), tree["item"], at)
    start: Path = ("response",) if isinstance(tree.get("response"), dict) else ()
    holder = tree["response"] if start else tree
    for index, item in enumerate(listed(holder, "output")):
        if isinstance(item, dict):
            yield from _of_item((*start, "output", index), item, index)


def _text(item: int, part: int) -> str:
    return dotted(("output", item, "content", part, "text"))


def _of_item(path: Path, item: dict[str, Any], at: int) -> Iterator[Count]:
    for index, part in enumerate(listed(item, "content")):
        if isinstance(part, dict):
            yield from _of_part((*path, "content", index), part, _text(at, index))


def _of_part(path: Path, part: dict[str, Any], text: str) -> Iterator[Count]:
    for index, note in enumerate(listed(part, "annotations")):
        yield from _of_note((*path, "annotations", index), members(note), text)


def _of_note(path: Path, note: dict[str, Any], text: str) -> Iterator[Count]:
    if "start_index" in note:
        yield Count((*path, "start_index"), (*path, "end_index"), text)
    elif "index" in note:
        yield Count((*path, "index"), (*path, "index"), text)
