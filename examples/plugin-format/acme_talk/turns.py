"""How a request carries a conversation on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.wire.contract import ModelTurn
from guardproxy.wire.request import SystemChange


def further(tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
    """The request once more, with the model's answer and `feedback` as its last turns."""
    more = [{"from": "model", "text": turn.in_words()}, {"from": "user", "text": feedback}]
    return {**tree, "turns": [*tree["turns"], *more]}


def first_words(tree: Any) -> str:
    """The user's first text."""
    return next((turn["text"] for turn in tree["turns"] if turn["from"] == "user" and turn["text"]), "")


def with_model(path: str, tree: Mapping[str, Any], model: str) -> tuple[str, dict[str, Any]]:
    """The request for another model, which the path names."""
    return path.replace(path.rpartition("/")[2], f"{model}:talk"), dict(tree)


def system_of(tree: Any) -> str | None:
    """The system prompt: the text of the first turn, if the system speaks."""
    first = tree["turns"][0] if tree["turns"] else {}
    return first["text"] if first.get("from") == "system" else ""


def with_system(tree: Mapping[str, Any], change: SystemChange) -> dict[str, Any]:
    """The request with a changed system prompt."""
    own = system_of(tree) or ""
    rest = tree["turns"][1:] if own else tree["turns"]
    return {**tree, "turns": [{"from": "system", "text": change.text(own)}, *rest]}
