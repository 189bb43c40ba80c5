"""What the codec of one message knows of it: its id, its method and the revision of the protocol.

In: the tree of a message. Out: a `Message`, and answers to it in JSON-RPC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from guardproxy.errors import ErrorCode
from guardproxy.wire.formats.mcp.words import CALL, VERSION_KEY
from guardproxy.wire.json import members

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INTERNAL_ERROR = -32700, -32600, -32601, -32603
HEADER_MISMATCH = -32020
REFUSED, UNAVAILABLE = -32010, -32011
"""Codes of our own, in the range that the protocol leaves to implementations: a policy refuses; there is no capacity now."""
_CODES: Mapping[str, int] = {
    **dict.fromkeys((ErrorCode.INVALID_JSON, ErrorCode.INVALID_ENCODING, ErrorCode.DUPLICATE_KEY), PARSE_ERROR),
    ErrorCode.UNKNOWN_ROUTE: METHOD_NOT_FOUND,
    ErrorCode.HEADER_MISMATCH: HEADER_MISMATCH,
}
DECIDED = frozenset(
    (
        *(ErrorCode.CONTENT_FILTER, ErrorCode.INVALID_ANSWER, ErrorCode.UNMAPPED_FIELD, ErrorCode.OPAQUE_CONTENT),
        *(ErrorCode.TOKEN_IDS, ErrorCode.FIELD_DENIED, ErrorCode.FIELD_REFUSED, ErrorCode.MODEL_NOT_ALLOWED),
        *(ErrorCode.SCHEMA_REFUSED, ErrorCode.CONFIRMATION_REQUIRED),
    )
)
"""The codes of what a policy decided about a message. A client must not take it for a failure of the connection."""
_ADVICE = "Do not call the tool again with these arguments: change them, or go on without it"


class Message(msgspec.Struct, frozen=True):
    """A message of a client. `id`: of a request; `None` for a notification, an answer, and a request for a stream. `method`:
    empty for an answer. `is_modern`: whether its revision is 2026-07-28 or later. `listens`: it is no message, but asks for
    the stream of the server's messages, or ends the session."""

    id: str | int | None = None
    method: str = ""
    is_modern: bool = False
    listens: bool = False

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Message:
        """Returns the message of a tree; what has a wrong type is left out."""
        own, method = tree.get("id"), tree.get("method")
        is_request = isinstance(method, str) and isinstance(own, (str, int)) and not isinstance(own, bool)
        meta = members(members(tree.get("params")).get("_meta"))
        return cls(
            # `+` makes a plain number of one that keeps its spelling (`wire/json/numbers.py`).
            +own if isinstance(own, int) and is_request else own if is_request else None,
            method if isinstance(method, str) else "",
            VERSION_KEY in meta,
        )

    @property
    def is_call(self) -> bool:
        """Whether it calls a tool."""
        return self.id is not None and self.method == CALL

    def is_answered_by(self, answer: Mapping[str, Any]) -> bool:
        """Whether an answer has the id of the message: `1` and `"1"` are two. An error has none if the server could not read
        the id. What has no id is answered by any."""
        own = answer.get("id")
        if self.id is None or (own is None and "result" not in answer):
            return True
        return own == self.id and not isinstance(own, bool)

    def error(self, status: int, code: str, message: str, field: str | None = None) -> dict[str, Any]:
        """Returns an error as the answer. `code`: of `ErrorCode`."""
        data = {"code": code, **({"field": field} if field else {})}
        error = {"code": number_of(status, code), "message": f"{message} ({code})", "data": data}
        return {"jsonrpc": "2.0", "id": self.id, "error": error}

    def decided(self, message: str, code: str) -> dict[str, Any]:
        """Returns what a policy decided as the answer. The model that called a tool reads it as the tool's failure."""
        if not self.is_call:
            return self.error(ErrorCode.CONTENT_FILTER.status, code, message)
        result: dict[str, Any] = {"resultType": "complete"} if self.is_modern else {}
        advice = "" if code == ErrorCode.CONFIRMATION_REQUIRED else f" {_ADVICE}."
        words = f"The call was not allowed: {message} ({code}).{advice}"
        result |= {"content": [{"type": "text", "text": words}], "isError": True}
        return {"jsonrpc": "2.0", "id": self.id, "result": result}


def number_of(status: int, code: str) -> int:
    """Returns the number of an error in JSON-RPC."""
    if code in _CODES:
        return _CODES[code]
    if code in DECIDED:
        return REFUSED
    if status in (429, 503):
        return UNAVAILABLE
    return INVALID_REQUEST if status < 500 else INTERNAL_ERROR
