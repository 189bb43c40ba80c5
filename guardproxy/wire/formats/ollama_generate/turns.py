"""Further turns of an Ollama Generate request: the prompt goes on with the answer and the feedback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.wire.contract.turns import ModelTurn, with_model
from guardproxy.wire.request.system import SystemChange, text_in

__all__ = ["first_words", "further", "system_of", "with_model", "with_system"]


def further(tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
    """Returns the request with the model's answer and `feedback` behind the prompt."""
    return {**tree, "prompt": f"{tree.get('prompt') or ''}\n\n{turn.in_words()}\n\n{feedback}\n\n"}


def first_words(tree: Any) -> str:
    """Returns the prompt."""
    prompt = tree.get("prompt") if isinstance(tree, dict) else None
    return prompt if isinstance(prompt, str) else ""


def system_of(tree: Any) -> str | None:
    """Returns the system prompt of a request; `None` for a raw prompt, for which the server leaves it out."""
    return None if not isinstance(tree, dict) or tree.get("raw") else text_in(tree.get("system"))


def with_system(tree: Mapping[str, Any], change: SystemChange) -> dict[str, Any]:
    """Returns the request with a changed system prompt."""
    return {**tree, "system": change.text(text_in(tree.get("system")))}
