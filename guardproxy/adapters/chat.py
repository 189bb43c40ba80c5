"""What adapters share: calls of other gateways as chat requests and answers, which the exchange judges.

In: messages, texts and tool calls. Out: bodies of the route `ROUTE`, and what such bodies say. An answer is written as a
stream of many small pieces, so that the exchange can say how far it is settled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import orjson

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire.json import read, skim, write, write_line

ROUTE = "POST /v1/chat/completions"
STREAM = "text/event-stream"
CALL_HEADER = "x-guardproxy-call"
"""The header that names a call of the other gateway, if its bodies do not: the answer belongs to the request of the same
name."""
CALLER_HEADER = "x-guardproxy-caller"
"""The header that names the client of the other gateway, if its bodies do not."""
FINE_CHARS = 16
COARSE_CHARS = 1024
FINE_TAIL_CHARS = 2048  # what is held back is rarely longer: the rest of a text is cut into larger pieces
_PREFIX = b"data: "
_EXACT = 1 << 53
_DONE = b"data: [DONE]\n\n"


class Said(msgspec.Struct, frozen=True):
    """What a model said. `texts`: of its choices. `calls`: its tool calls, as in a message. `more`: further fields of its
    message, which the format may not know."""

    texts: tuple[str, ...] = ()
    calls: tuple[dict[str, Any], ...] = ()
    more: dict[str, Any] = msgspec.field(default_factory=dict)


def request_of(messages: Sequence[Any], **more: Any) -> dict[str, Any]:
    """Returns the body of a request. `more`: its other fields; those that are `None` are left out."""
    body = {name: value for name, value in more.items() if value is not None}
    return {"model": "", **body, "messages": list(messages) or [user("")]}


def user(content: Any) -> dict[str, Any]:
    """Returns a message of a user."""
    return {"role": "user", "content": content}


def image_parts(images: Iterable[str]) -> list[dict[str, Any]]:
    """Returns the parts of a message that hold images."""
    return [{"type": "image_url", "image_url": {"url": image}} for image in images]


def stream_of(said: Said) -> tuple[bytes, bytes]:
    """Returns an answer as a stream of events: its content, and its end."""
    choices = max(1, len(said.texts))
    first = [_event(number, {"role": "assistant", "content": ""}) for number in range(choices)]
    texts = [_event(number, {"content": piece}) for number, text in enumerate(said.texts) for piece in pieces(text)]
    rest = [{"tool_calls": [{**call, "index": at}]} for at, call in enumerate(said.calls)]
    rest += [{name: value} for name, value in said.more.items()]
    finish = "tool_calls" if said.calls else "stop"
    ends = [_event(number, {}, finish) for number in range(choices)]
    return b"".join([*first, *texts, *(_event(0, delta) for delta in rest)]), b"".join([*ends, _DONE])


def pieces(text: str) -> Iterator[str]:
    """Cuts a text. The cuts depend on the length of the text, and the pieces joined are the text."""
    fine_at = max(0, len(text) - FINE_TAIL_CHARS) // COARSE_CHARS * COARSE_CHARS
    for at in range(0, fine_at, COARSE_CHARS):
        yield text[at : at + COARSE_CHARS]
    for at in range(fine_at, len(text), FINE_CHARS):
        yield text[at : at + FINE_CHARS]


def said_in(stream: bytes, like: Said) -> Said:
    """Returns what a stream of the exchange says: edited, and perhaps cut off. `like`: the answer that it was made of."""
    texts = [""] * len(like.texts)
    parts: list[list[str]] = [[] for _ in texts]
    calls: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    for line in stream.split(b"\n"):
        if not line.startswith(b"data: {"):
            continue
        for choice in _members(skim(line[len(_PREFIX) :])).get("choices") or ():
            delta, number = dict(_members(choice.get("delta"))), choice.get("index", 0)
            content = delta.pop("content", None)
            if isinstance(content, str) and number < len(parts):
                parts[number].append(content)
            calls += [
                {key: value for key, value in call.items() if key != "index"} for call in delta.pop("tool_calls", ())
            ]
            more |= {name: delta[name] for name in like.more if name in delta}
    return Said(tuple(map("".join, parts)), tuple(calls), more)


def refusal_in(body: bytes) -> str:
    """Returns the message of an error of a format, or of a result of MCP that is one; empty if it has none at these places."""
    tree = _members(skim(body))
    content = _members(tree.get("result")).get("content")
    words = [_members(part).get("text") for part in content] if isinstance(content, list) else []
    return str(_members(tree.get("error")).get("message") or " ".join(filter(None, words)))


def canonical(tree: Any) -> bytes:
    """Returns a tree as bytes that stay the same when another program has read and written it: keys in order, and whole
    numbers without a fraction."""
    return orjson.dumps(_plain(tree), option=orjson.OPT_SORT_KEYS)


def _plain(node: Any) -> Any:
    match node:
        case dict():
            return {key: _plain(child) for key, child in node.items()}
        case list():
            return [_plain(child) for child in node]
        case float() if node.is_integer() and abs(node) < _EXACT:
            return int(node)
        case int() if not isinstance(node, bool):
            return int(node) if abs(node) < _EXACT else str(node)
        case float():
            return float(node)
    return node


def body_of(request: dict[str, Any]) -> bytes:
    """Returns the bytes of a request."""
    return write(request)


def tree_of(body: bytes) -> Any:
    """Returns the tree of a body that the exchange wrote."""
    return read(body)


# Reading calls.


def object_of(value: Any, name: str) -> dict[str, Any]:
    """Returns a value that must be an object. Raises `DownstreamError` (400)."""
    if not isinstance(value, dict):
        raise wrong_type(name, "an object")
    return value


def list_of(value: Any, name: str, kind: type, word: str) -> list[Any]:
    """Returns a list whose items are of a kind; an absent one is empty. Raises `DownstreamError` (400)."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        raise wrong_type(name, f"a list of {word}")
    return value


def text_of(value: Any, name: str) -> str:
    """Returns a text; an absent one is empty. Raises `DownstreamError` (400)."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong_type(name, "a text")
    return value


def wrong_type(name: str, word: str) -> DownstreamError:
    """Returns the error for a field that has another type."""
    return DownstreamError(ErrorCode.INVALID_TYPE, f"`{name}` must be {word}", name)


def _members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _event(number: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": number, "delta": delta, "finish_reason": finish}
    return _PREFIX + write_line({"object": "chat.completion.chunk", "choices": [choice]}) + b"\n\n"
