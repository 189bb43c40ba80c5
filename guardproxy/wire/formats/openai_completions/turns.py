"""Further turns of an OpenAI completion: the prompt goes on with the answer and the feedback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.wire.contract.turns import ModelTurn
from guardproxy.wire.request import prompts
from guardproxy.wire.request.azure import with_model
from guardproxy.wire.request.system import no_system as system_of
from guardproxy.wire.request.system import unchanged as with_system

__all__ = ["first_words", "further", "system_of", "with_model", "with_system"]


def further(tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
    """Returns the request with the model's answer and `feedback` behind each prompt. Token ids stay as they are."""
    more = f"{turn.in_words()}\n\n{feedback}\n\n"
    prompt = tree.get("prompt")
    if isinstance(prompt, list):
        return {**tree, "prompt": [item + more if isinstance(item, str) else item for item in prompt]}
    return {**tree, "prompt": (prompt or "") + more}


def first_words(tree: Any) -> str:
    """Returns the first prompt that has text."""
    return next(filter(None, prompts.texts(tree.get("prompt"))), "") if isinstance(tree, dict) else ""
