"""Further turns of a message of MCP: there are none, as no model answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from guardproxy.wire.contract.turns import ModelTurn
from guardproxy.wire.json import members
from guardproxy.wire.request.system import no_system as system_of
from guardproxy.wire.request.system import unchanged as with_system

__all__ = ["first_words", "further", "system_of", "with_model", "with_system"]


def further(tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
    """Returns the message as it is: no model reads feedback."""
    return dict(tree)


def first_words(tree: Any) -> str:
    """Returns the first argument that is a text. It names no conversation: a session does."""
    arguments = members(members(members(tree).get("params")).get("arguments"))
    return next(_texts(arguments), "")


def _texts(arguments: Mapping[str, Any]) -> Iterator[str]:
    return (value for value in arguments.values() if isinstance(value, str) and value)


def with_model(path: str, tree: Mapping[str, Any], model: str) -> tuple[str, dict[str, Any]]:
    """Returns the message as it is: it names no model."""
    return path, dict(tree)
