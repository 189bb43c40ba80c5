"""Token data of an answer: log probabilities, token ids, bytes. No check reads it, and it can repeat, cut into tokens, a text
that a rule removed.

Log probabilities stay only if they provably repeat a text of their own frame: their tokens, joined, must equal that text. An
alternative token would be another text: its number stays and its token becomes empty, unless it equals the chosen token. When
a text is edited, only the entries of tokens in its unchanged part stay.

Decision: docs/decisions/0019-token-data-passes-only-if-it-provably-says-the-text.md
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import accumulate
from typing import Any

from guardproxy.wire.json import NUMBER_LIMIT, NUMBER_TYPES
from guardproxy.wire.request.vllm_fields import TOKEN_DATA

TOKENS = TOKEN_DATA | frozenset(
    (
        *("token_ids", "prompt_token_ids", "prompt_logprobs", "completion_probabilities", "tokens", "probs"),
        *("top_logprobs", "token_logprobs", "text_offset"),
    )
)
"""The names of fields of token data, beside `logprobs`."""
Gone = Callable[[str], object]
"""Takes the name of a removed field."""
_ENTRY = frozenset(("token", "logprob", "bytes", "top_logprobs"))
_HOLDERS = (dict, list)
_FEW = 4  # fewer numbers in a row carry no information


def drop(node: Any, gone: Gone, names: Collection[str] = TOKENS, kept: Collection[str] = ("usage", "logprobs")) -> None:
    """Drops the fields `names`, and lists of numbers (token ids or bytes), at every place but below the fields `kept`."""
    if isinstance(node, dict):
        for key in [key for key, child in node.items() if child and (type(child) in _HOLDERS or key in names)]:
            # A list of numbers under any name: a new field of a provider may be tokens or bytes of the text.
            if key in names or _is_numbers(node[key]):
                del node[key]
                gone(key if key in names else "numbers")
            elif key not in kept:
                drop(node[key], gone, names, kept)
    elif isinstance(node, list):
        for at, child in enumerate(node):
            if _is_numbers(child):
                node[at] = []
                gone("numbers")
            else:
                drop(child, gone, names, kept)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= _FEW and NUMBER_TYPES.issuperset(map(type, value))


def strip(entries: Any, gone: Gone) -> None:
    """Removes from proven entries (`joined`) all that could be another text."""
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


def outside(entries: list[dict[str, Any]], old: str, new: str) -> list[dict[str, Any]]:
    """Returns the first and the last entries of the old text that begin and end the new text, as many as fit. Where the edit
    can be read in two ways, the reading that keeps most entries counts."""
    before, after = old.encode(), new.encode()
    head, tail = _common(before, after), _common(before[::-1], after[::-1])
    ends = list(accumulate((len(_bytes_of(entry)) for entry in entries), initial=0))
    size, count = ends[-1], len(entries)
    first_of_tail = next((at for at in range(count + 1) if ends[at] >= len(before) - tail), count)
    best = (0, 0, count)
    last = first_of_tail
    for number in range(count + 1):
        if ends[number] > head:
            break
        last = max(last, number)
        while ends[number] + size - ends[last] > len(after):
            last += 1
        best = max(best, (number + count - last, number, last))
    return entries[: best[1]] + entries[best[2] :]


def _common(first: bytes, second: bytes) -> int:
    """Returns the length of the common beginning."""
    most = min(len(first), len(second))
    return next((at for at in range(most) if first[at] != second[at]), most)


def _bytes_of(entry: dict[str, Any]) -> bytes:
    return bytes(entry["bytes"]) if entry.get("bytes") is not None else str(entry["token"]).encode()


def joined(entries: Any) -> str | None:
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
