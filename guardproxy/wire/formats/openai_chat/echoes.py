"""Token data of an answer: log probabilities, token ids, bytes. No check reads it, and it can repeat, cut into tokens, a text
that a rule removed.

`withhold` is for answers that a rule may edit or stop. Log probabilities stay only if they provably repeat a text of their
own frame: their tokens, joined, must equal that text. An alternative token would be another text: its number stays and its
token becomes empty, unless it equals the chosen token.

`trim` is for a frame whose texts were edited. Only the entries of tokens in an unchanged part of the text stay.

Decision: docs/decisions/0019-token-data-passes-only-if-it-provably-says-the-text.md
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from guardproxy.wire.json import NUMBER_LIMIT

TOKENS = frozenset(
    (
        *("token_ids", "prompt_token_ids", "prompt_logprobs", "completion_probabilities", "tokens", "probs"),
        *("top_logprobs", "token_logprobs", "text_offset"),
    )
)
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
_ENTRY = frozenset(("token", "logprob", "bytes", "top_logprobs"))
_HOLDERS = (dict, list)
_FEW = 4  # fewer numbers in a row carry no information


def withhold(tree: Any) -> list[str]:
    """Removes token data that could reveal more than the texts of a chat answer or chunk. Returns the names of the removed
    fields."""
    gone: dict[str, None] = {}
    _drop(tree, gone.setdefault)
    choices = tree.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict) and choice.get("logprobs"):
            _prove(choice, gone.setdefault)
    return list(gone)


def _drop(node: Any, gone: Callable[[str], object]) -> None:
    """Drops fields of token data, and lists of numbers (token ids or bytes), at every place."""
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
    return isinstance(value, list) and len(value) >= _FEW and all(type(item) in (int, float) for item in value)


def _prove(choice: dict[str, Any], gone: Callable[[str], object]) -> None:
    """Keeps the log probabilities of a choice's own texts, without any other content; drops them if they cannot be proven."""
    answers = [choice[name] for name in ("message", "delta") if isinstance(choice.get(name), dict)]
    own_texts = [answer[name] for answer in answers for name in _TEXTS if isinstance(answer.get(name), str)]
    lists = choice["logprobs"]
    if not isinstance(lists, dict) or not all(
        name in ("content", "refusal") and (not entries or _joined(entries) in own_texts)
        for name, entries in lists.items()
    ):
        choice["logprobs"] = None
        gone("logprobs")
        return
    for entries in lists.values():
        for entry in entries or ():
            if entry.get("top_logprobs"):
                numbers = _alternatives(entry)
                if numbers != entry["top_logprobs"]:
                    entry["top_logprobs"] = numbers
                    gone("top_logprobs")
            for key in entry.keys() - _ENTRY:
                del entry[key]
                gone("logprobs")


def _alternatives(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the alternatives of a token. The alternative that equals the chosen token stays whole; of any other only the
    number stays."""
    out: list[dict[str, Any]] = []
    alternatives = entry["top_logprobs"]
    for alternative in alternatives if isinstance(alternatives, list) else []:
        logprob = alternative.get("logprob") if isinstance(alternative, dict) else None
        if isinstance(logprob, bool) or not isinstance(logprob, (int, float)) or abs(logprob) >= NUMBER_LIMIT:
            continue
        if alternative.get("token") == entry["token"] and alternative.get("bytes") in (None, entry.get("bytes")):
            out.append({key: alternative[key] for key in ("token", "bytes", "logprob") if key in alternative})
        else:
            out.append({"token": "", "bytes": [], "logprob": logprob})
    return out


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
        old = _joined(entries)
        pairs = {pair for text, pair in edits.items() if pair[0] == old and text == name}
        pairs = pairs or {pair for pair in edits.values() if pair[0] == old}
        if name not in ("content", "refusal") or len(pairs) != 1:
            choice["logprobs"] = None
            return
        lists[name] = _outside(entries, *pairs.pop())


def _outside(entries: list[dict[str, Any]], old: str, new: str) -> list[dict[str, Any]]:
    """Returns the entries whose tokens lie before the first or after the last difference of two texts."""
    before, after = old.encode(), new.encode()
    most = min(len(before), len(after))
    head = next((at for at in range(most) if before[at] != after[at]), most)
    tail = next((at for at in range(most - head) if before[-1 - at] != after[-1 - at]), most - head)
    out: list[dict[str, Any]] = []
    start = 0
    for entry in entries:
        end = start + len(_bytes_of(entry))
        if end <= head or start >= len(before) - tail:
            out.append(entry)
        start = end
    return out


def _bytes_of(entry: dict[str, Any]) -> bytes:
    return bytes(entry["bytes"]) if entry.get("bytes") is not None else str(entry["token"]).encode()


def _joined(entries: Any) -> str | None:
    """Joins the tokens of entries to a text; `None` if their bytes, where given, differ from it."""
    if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
        return None
    try:
        return b"".join(map(_bytes_of, entries)).decode()
    except UnicodeDecodeError:
        return None


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
        return False
    if not isinstance(logprob := entry.get("logprob", 0.0), (int, float)) or abs(logprob) >= NUMBER_LIMIT:
        return False
    raw = entry.get("bytes")
    if raw is None:
        return True
    if not isinstance(raw, list) or not all(type(byte) is int and 0 <= byte <= 255 for byte in raw):
        return False
    written = "".join(f"\\x{byte:02x}" for byte in raw)  # APIs write a token that is a part of a character in this form
    return entry["token"] in (bytes(raw).decode("utf-8", "replace"), written, f"bytes:{written}")
