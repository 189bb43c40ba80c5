"""What an answer says of its own tokens: log probabilities, token ids, bytes. No check reads it, and it can say what a rule
took out of the text beside it, cut into tokens.

`withhold` is for answers that a rule may edit or stop. Log probabilities stay where they provably say nothing but a text
of their own frame, which is checked: their tokens, joined, are that text. Alternatives are other texts, so they go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from guardproxy.wire.walk import NUMBER_LIMIT

TOKENS = frozenset(
    (
        *("token_ids", "prompt_token_ids", "prompt_logprobs", "completion_probabilities", "tokens", "probs"),
        *("top_logprobs", "token_logprobs", "text_offset"),
    )
)
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
_ENTRY = frozenset(("token", "logprob", "bytes", "top_logprobs"))
_HOLDERS = (dict, list)
_FEW = 4  # fewer numbers in a row say nothing


def withhold(tree: Any) -> list[str]:
    """Takes token data that could say more than the texts out of a chat answer or chunk. The names of what was taken."""
    gone: dict[str, None] = {}
    _drop(tree, gone.setdefault)
    choices = tree.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict) and choice.get("logprobs"):
            _prove(choice, gone.setdefault)
    return list(gone)


def _drop(node: Any, gone: Callable[[str], object]) -> None:
    """Drops fields of token data, and lists of numbers, which are ids or bytes, wherever they are."""
    if isinstance(node, dict):
        for key in [key for key, child in node.items() if child and (type(child) in _HOLDERS or key in TOKENS)]:
            if key in TOKENS or _is_numbers(node[key]):
                del node[key]
                gone(key if key in TOKENS else "numbers")
            elif key not in ("usage", "logprobs"):
                _drop(node[key], gone)
    elif isinstance(node, list):
        for at, child in enumerate(node):
            if _is_numbers(child):
                node[at] = []
                gone("numbers")
            else:
                _drop(child, gone)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= _FEW and all(type(one) in (int, float) for one in value)


def _prove(choice: dict[str, Any], gone: Callable[[str], object]) -> None:
    """Leaves the log probabilities of a choice's own texts, less what else they say; or none."""
    answers = [choice[name] for name in ("message", "delta") if isinstance(choice.get(name), dict)]
    said = [answer[name] for answer in answers for name in _TEXTS if isinstance(answer.get(name), str)]
    lists = choice["logprobs"]
    if not isinstance(lists, dict) or not all(
        name in ("content", "refusal") and (not entries or _joined(entries) in said) for name, entries in lists.items()
    ):
        choice["logprobs"] = None
        gone("logprobs")
        return
    for entries in lists.values():
        for one in entries or ():
            if one.get("top_logprobs"):
                one["top_logprobs"] = []
                gone("top_logprobs")
            for key in one.keys() - _ENTRY:
                del one[key]
                gone("logprobs")


def _joined(entries: Any) -> str | None:
    """The text that entries' tokens add up to; `None` unless their bytes, where they are given, say the same."""
    if not isinstance(entries, list) or not all(_is_entry(one) for one in entries):
        return None
    parts = [bytes(one["bytes"]) if one.get("bytes") is not None else one["token"].encode() for one in entries]
    try:
        return b"".join(parts).decode()
    except UnicodeDecodeError:
        return None


def _is_entry(one: Any) -> bool:
    if not isinstance(one, dict) or not isinstance(one.get("token"), str):
        return False
    if not isinstance(logprob := one.get("logprob", 0.0), (int, float)) or abs(logprob) >= NUMBER_LIMIT:
        return False
    raw = one.get("bytes")
    if raw is None:
        return True
    if not isinstance(raw, list) or not all(type(byte) is int and 0 <= byte <= 255 for byte in raw):
        return False
    written = "".join(f"\\x{byte:02x}" for byte in raw)  # how APIs write a token that is a part of a character
    return one["token"] in (bytes(raw).decode("utf-8", "replace"), written, f"bytes:{written}")
