"""Prompts that are a text, a list of texts, or token ids, as in OpenAI Completions, Embeddings and Moderations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire.json import TOKEN_IDS, Map, text
from guardproxy.wire.json.opaque import NOT_KEPT

_FORM = "must be a string, a list of strings, or token ids"


def texts_or_tokens(value: Any) -> Map:
    """Chooses the map of a prompt: texts of the user, or token ids."""
    if value == NOT_KEPT:
        return TOKEN_IDS
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        return TOKEN_IDS
    return text("user")


def check(value: Any, field: str) -> None:
    """Raises `DownstreamError`, which names the field, unless a value is a text, a list of texts, or token ids (a list of
    integers, or a list of such lists). `None` is allowed."""
    if value is None or isinstance(value, str):
        return
    if not isinstance(value, list):
        raise DownstreamError(ErrorCode.INVALID_TYPE, f"`{field}` {_FORM}", field)
    kinds = set(map(type, value))
    if kinds <= {str} or kinds <= {int}:
        return
    for number, item in enumerate(value):
        if not isinstance(item, list) or not set(map(type, item)) <= {int}:
            raise DownstreamError(ErrorCode.INVALID_TYPE, f"`{field}` {_FORM}", f"{field}[{number}]")


def texts(value: Any) -> Iterator[str]:
    """Yields the texts of a prompt. Parts of a message count as texts."""
    for item in value if isinstance(value, list) else [value]:
        words = item.get("text") if isinstance(item, dict) else item
        if isinstance(words, str):
            yield words
