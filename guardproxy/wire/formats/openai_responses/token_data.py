"""Token data of a response or of an event (`wire/decoding/token_data.py`): what an edited or stopped answer keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from guardproxy.events import Path, Text
from guardproxy.wire.decoding.token_data import TOKENS, Gone, drop, joined, outside, strip

_NAMES = TOKENS - {"top_logprobs"}  # a response repeats the request's number of alternatives under this name
_SCHEMAS = ("tools", "schema", "usage", "logprobs")  # schemas list numbers
_TEXTS = ("delta", "text")


def withhold(tree: Any) -> list[str]:
    """Removes token data that could reveal more than the texts of a response or an event. Returns the names of the removed
    fields."""
    gone: dict[str, None] = {}
    drop(tree, gone.setdefault, _NAMES, _SCHEMAS)
    _prove(tree, gone.setdefault)
    return list(gone)


def _prove(node: Any, gone: Gone) -> None:
    """Keeps the log probabilities of texts beside them, without any other content; empties them if they cannot be proven. The
    SDK takes an empty list, but not `null`."""
    if isinstance(node, list):
        for child in node:
            if isinstance(child, (dict, list)):
                _prove(child, gone)
    elif isinstance(node, dict):
        for key, child in node.items():
            if key != "logprobs" and isinstance(child, (dict, list)):
                _prove(child, gone)
        if entries := node.get("logprobs"):
            if joined(entries) in [node[name] for name in _TEXTS if isinstance(node.get(name), str)]:
                strip(entries, gone)
            else:
                node["logprobs"] = []
                gone("logprobs")


def trim(tree: Any, texts: Sequence[tuple[Text, str]]) -> None:
    """Removes the log probabilities of text that edits removed. `tree`: the edited tree; `texts`: the texts of the frame, with
    the new texts. If the entries do not match a text, all of them are removed."""
    for old, new in texts:
        if old.key or old.number or old.parts or not old.path or old.path[-1] not in _TEXTS:
            continue
        holder = _holder(tree, old.path[:-1])
        if holder is None:  # an edit renamed a key above the text
            _empty(tree)
        elif entries := holder.get("logprobs"):
            if old.altered or joined(entries) != old.text:
                holder["logprobs"] = []
            elif old.text != new:
                holder["logprobs"] = outside(entries, old.text, new)


def _holder(node: Any, path: Path) -> dict[str, Any] | None:
    """The object at a path; `None` if there is none."""
    for step in path:
        if isinstance(node, dict):
            node = node.get(str(step))
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            return None
    return node if isinstance(node, dict) else None


def _empty(node: Any) -> None:
    """Removes all log probabilities."""
    if isinstance(node, dict):
        for key, child in node.items():
            if key == "logprobs":
                node[key] = []
            else:
                _empty(child)
    elif isinstance(node, list):
        for child in node:
            _empty(child)
