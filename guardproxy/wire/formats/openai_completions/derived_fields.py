"""Token data of a completion (`wire/decoding/token_data.py`): lists of tokens, probabilities, alternatives and offsets.

`withhold` is for answers that a rule may edit or stop. The lists stay only if the tokens, joined, equal the text of their own
choice. An alternative token would be another text, so only the chosen token stays. Offsets stay only if they follow from the
tokens. `trim` is for a frame whose text was edited: only the entries of tokens in an unchanged part of the text stay.

Decision: docs/decisions/0019-token-data-passes-only-if-it-provably-says-the-text.md
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from guardproxy.wire.decoding.token_data import Gone, drop, outside
from guardproxy.wire.json import NUMBER_LIMIT, NUMBER_TYPES, objects

_LISTS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")


def withhold(tree: Any) -> list[str]:
    """Removes token data that could reveal more than the texts of a completion or chunk. Returns the names of the removed
    fields."""
    gone: dict[str, None] = {}
    drop(tree, gone.setdefault)
    for choice in objects(tree.get("choices")):
        if choice.get("logprobs"):
            _prove(choice, gone.setdefault)
    return list(gone)


def _prove(choice: dict[str, Any], gone: Gone) -> None:
    """Keeps what says the choice's own text, without any other content; drops all of it if that cannot be proven."""
    lists = choice["logprobs"]
    if not isinstance(lists, dict) or not _says(lists, choice.get("text")):
        choice["logprobs"] = None
        gone("logprobs")
        return
    for name in [name for name in lists if name not in _LISTS]:
        del lists[name]
        gone("logprobs")
    if lists.get("top_logprobs") and (chosen := _chosen(lists)) != lists["top_logprobs"]:
        lists["top_logprobs"] = chosen
        gone("top_logprobs")
    if lists.get("text_offset") and not _follow(lists["text_offset"], lists["tokens"]):
        lists["text_offset"] = []
        gone("text_offset")


def _says(lists: dict[str, Any], text: Any) -> bool:
    """Whether the tokens are the text, and each has one plain number."""
    tokens, numbers = lists.get("tokens"), lists.get("token_logprobs") or []
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens) or "".join(tokens) != text:
        return False
    if not isinstance(numbers, list) or len(numbers) not in (0, len(tokens)):
        return False
    return all(number is None or _is_short(number) for number in numbers)


def _is_short(number: Any) -> bool:
    return type(number) in NUMBER_TYPES and abs(number) < NUMBER_LIMIT


def _chosen(lists: dict[str, Any]) -> list[dict[str, Any] | None]:
    """Returns the alternatives of each token without other tokens."""
    rows = lists["top_logprobs"]
    if not isinstance(rows, list) or len(rows) != len(lists["tokens"]):
        return []
    out: list[dict[str, Any] | None] = []
    for token, row in zip(lists["tokens"], rows, strict=True):
        number = row.get(token) if isinstance(row, dict) else None
        out.append({token: number} if _is_short(number) else None if row is None else {})
    return out


def _follow(offsets: Any, tokens: list[str]) -> bool:
    """Whether offsets are the ends of the tokens before, counted from any number."""
    if (
        not isinstance(offsets, list)
        or len(offsets) != len(tokens)
        or not all(type(offset) is int for offset in offsets)
    ):
        return False
    begin: int = offsets[0]
    return 0 <= begin < NUMBER_LIMIT and offsets == list(accumulate(map(len, tokens[:-1]), initial=begin))


def trim(choice: dict[str, Any], old: str, new: str) -> None:
    """Removes the entries of text that an edit removed from a choice; all of them if they do not match the old text."""
    lists = choice.get("logprobs")
    if not lists:
        return
    if not isinstance(lists, dict) or not _says(lists, old):
        choice["logprobs"] = None
        return
    entries = [{"token": token, "at": at} for at, token in enumerate(lists["tokens"])]
    kept = [entry["at"] for entry in outside(entries, old, new)]
    count = len(entries)
    choice["logprobs"] = {
        name: [row[at] for at in kept] if isinstance(row, list) and len(row) == count else row if not row else []
        for name, row in lists.items()
        if name in _LISTS
    }
