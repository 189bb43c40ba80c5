"""Further turns of a request without a conversation: there are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.wire.contract.turns import ModelTurn, with_model
from guardproxy.wire.request import prompts
from guardproxy.wire.request.system import no_system as system_of
from guardproxy.wire.request.system import unchanged as with_system

__all__ = ["first_words", "further", "system_of", "with_model", "with_system"]


def further(tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
    """Returns the request as it is: no model reads feedback."""
    return dict(tree)


def first_words(tree: Any) -> str:
    """Returns the first input that has text."""
    inputs = (tree.get("input"), tree.get("prompt")) if isinstance(tree, dict) else ()
    return next((text for value in inputs for text in prompts.texts(value) if text), "")
