"""Token data of a chat answer or chunk (`wire/decoding/token_data.py`): what an answer that a rule may edit or stop keeps of
it."""

from __future__ import annotations

from typing import Any

from guardproxy.wire.decoding.token_data import Gone, drop, joined, outside, strip

_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")


def withhold(tree: Any) -> list[str]:
    """Removes token data that could reveal more than the texts of a chat answer or chunk. Returns the names of the removed
    fields."""
    gone: dict[str, None] = {}
    drop(tree, gone.setdefault)
    choices = tree.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict) and choice.get("logprobs"):
            _prove(choice, gone.setdefault)
    return list(gone)


def _prove(choice: dict[str, Any], gone: Gone) -> None:
    """Keeps the log probabilities of a choice's own texts, without any other content; drops them if they cannot be proven."""
    answers = [choice[name] for name in ("message", "delta") if isinstance(choice.get(name), dict)]
    own_texts = [answer[name] for answer in answers for name in _TEXTS if isinstance(answer.get(name), str)]
    lists = choice["logprobs"]
    if not isinstance(lists, dict) or not all(
        name in ("content", "refusal") and (not entries or joined(entries) in own_texts)
        for name, entries in lists.items()
    ):
        choice["logprobs"] = None
        gone("logprobs")
        return
    for entries in lists.values():
        strip(entries, gone)


def trim(choice: dict[str, Any], edits: dict[str, tuple[str, str]]) -> None:
    """Removes the log probabilities of text that an edit removed from a choice. `edits`: the old and the new text by the name
    of the text. If the entries do not match a text, all of them are removed."""
    lists = choice.get("logprobs")
    if not lists:
        return
    if not isinstance(lists, dict):
        choice["logprobs"] = None
        return
    for name, entries in lists.items():
        if not entries:
            continue
        old = joined(entries)
        pairs = {pair for text, pair in edits.items() if pair[0] == old and text == name}
        pairs = pairs or {pair for pair in edits.values() if pair[0] == old}
        if name not in ("content", "refusal") or len(pairs) != 1:
            choice["logprobs"] = None
            return
        ((before, after),) = pairs
        lists[name] = outside(entries, before, after)
