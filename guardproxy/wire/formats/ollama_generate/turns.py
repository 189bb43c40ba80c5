"""Further turns of an Ollama Generate request: the prompt goes on with the answer and the feedback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.wire.turns import ModelTurn, with_model

__all__ = ["first_words", "further", "with_model"]


def further(tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
    """Returns the request with the model's answer and `feedback` behind the prompt."""
    return {**tree, "prompt": f"{tree.get('prompt') or ''}\n\n{turn.in_words()}\n\n{feedback}\n\n"}


def first_words(tree: Any) -> str:
    """Returns the prompt."""
    prompt = tree.get("prompt") if isinstance(tree, dict) else None
    return prompt if isinstance(prompt, str) else ""
