"""The messages of `agentgateway.dev.ext_mcp.ExtMcp`, as far as they are used: read from bytes, and written to bytes.

In: a `McpRequest` or a `McpResponse`. Out: a tree; and the bytes of a `McpRequestResult` or a `McpResponseResult`. Both
requests have the same fields at the same numbers, and so have both results. A field that is not listed here is skipped: it
holds no text of a message of MCP.

    McpRequest, McpResponse               service_names = 1, method = 2, metadata_context = 3, the JSON = 4
    McpRequestResult, McpResponseResult   pass = 1, mutated = 2, error = 3
    AuthorizationError                    code = 1, reason = 2
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode

PERMISSION_DENIED = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES = 10
Field = tuple[int, Any]


def read(data: bytes) -> dict[str, Any]:
    """Returns `service_names`, `method`, `metadata` (its texts) and `json`, which is `None` if the message has none. Raises
    `DownstreamError` (400)."""
    out: dict[str, Any] = {"service_names": [], "method": "", "metadata": {}, "json": None}
    for number, value in _fields(data):
        match number:
            case 1:
                out["service_names"].append(_text(value))
            case 2:
                out["method"] = _text(value)
            case 3:
                out["metadata"] |= dict(_texts(value))
            case 4:
                out["json"] = _bytes(value)
    return out


def write_pass() -> bytes:
    """Returns a result that lets pass."""
    return _field(1, b"")


def write_mutated(json: bytes) -> bytes:
    """Returns a result that puts other JSON in the place of that of the call."""
    return _field(2, json)


def write_error(reason: str) -> bytes:
    """Returns a result that refuses."""
    code = bytes((1 << 3 | _VARINT, PERMISSION_DENIED))
    return _field(3, code + _field(2, reason.encode()))


def _texts(struct: bytes) -> Iterator[tuple[str, str]]:
    """Yields the members of a `google.protobuf.Struct` whose values are texts."""
    for number, entry in _fields(_bytes(struct)):
        if number != 1:
            continue
        key, value = "", b""
        for part, content in _fields(_bytes(entry)):
            key, value = (_text(content), value) if part == 1 else (key, _bytes(content))
        for kind, content in _fields(value):
            if kind == 3:
                yield key, _text(content)


def _fields(data: bytes) -> Iterator[Field]:
    """Yields the number and the value of each field: bytes, or an integer."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value: Any
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
            case 1:
                value, at = 0, at + 8
            case 2:
                size, at = _varint(data, at)
                value, at = data[at : at + size], at + size
            case 5:
                value, at = 0, at + 4
            case _:
                raise _broken()
        if at > len(data):
            raise _broken()
        yield tag >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Returns the integer at a place, and the place behind it."""
    value = 0
    for shift in range(_VARINT_BYTES):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << (7 * shift)
        if byte < 128:
            return value, at
    raise _broken()


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise _broken()
    return value


def _text(value: Any) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise _broken() from None


def _field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | _BYTES,)) + _size(len(value)) + value


def _size(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _broken() -> DownstreamError:
    return DownstreamError(ErrorCode.INVALID_BODY, "the call is not a message of agentgateway.dev.ext_mcp")
