"""Citations of the Messages format: the texts of a request's documents, and the places in an answer that cite them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guardproxy.events import Count, Path
from guardproxy.redaction import Shapes
from guardproxy.wire.json import dotted, listed


def documents(request: Any) -> tuple[str, ...]:
    """Returns the documents of a request in their order: the path of each document's plain text, or nothing."""
    return tuple(
        path
        for number, message in enumerate(listed(request, "messages"))
        for path in _documents(message, ("messages", number))
    )


def _documents(holder: Any, at: Path) -> Iterator[str]:
    for number, block in enumerate(listed(holder, "content")):
        if isinstance(block, dict):
            where = (*at, "content", number)
            if block.get("type") == "document":
                source = block.get("source")
                plain = isinstance(source, dict) and source.get("type") == "text"
                yield dotted((*where, "source", "data")) if plain else ""
            else:
                yield from _documents(block, where)  # the result of a tool


def cited(shapes: Shapes, answer: Any) -> tuple[Count, ...]:
    """Returns the places of citations that count characters of a document."""
    return tuple(_cited(answer, (), shapes.documents)) if any(shapes.documents) else ()


def _cited(node: Any, at: Path, documents: tuple[str, ...]) -> Iterator[Count]:
    if isinstance(node, dict):
        number = node.get("document_index")
        if node.get("type") == "char_location" and type(number) is int and 0 <= number < len(documents):
            if documents[number]:
                yield Count((*at, "start_char_index"), (*at, "end_char_index"), documents[number], of_request=True)
            return
        for key, child in node.items():
            yield from _cited(child, (*at, key), documents)
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _cited(child, (*at, index), documents)
