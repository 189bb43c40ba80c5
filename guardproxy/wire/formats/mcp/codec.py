"""MCP over streamable HTTP: `POST /mcp/{server}`, one message of JSON-RPC a request; `GET` and `DELETE` of the same path.

Fields follow the schemas of the revisions 2025-11-25 and 2026-07-28. The answer to a message is JSON, a stream whose last event
is the answer, or nothing (202). A `GET` gets the stream of the server's own messages, or the rest of a stream that was cut.

Errors and refusals name the id of the message, so the codec of a request (`for_request`) remembers the message that it read.

Decision: docs/decisions/0065-a-message-of-mcp-is-an-exchange.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec import structs

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Event, Fault, Frame, Opaque, Text
from guardproxy.redaction import NO_SHAPES, Shapes
from guardproxy.wire.contract.codec import AnswerFacts, Codec, Decoder, Request
from guardproxy.wire.contract.fields import FieldPath, has_field
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author
from guardproxy.wire.decoding.decoding import LeafPlace, StreamDecoder, nothing
from guardproxy.wire.decoding.json_codec import Grammar, JsonCodec, no_counts, no_shape, no_shapes
from guardproxy.wire.decoding.whole_body import WholeDecoder
from guardproxy.wire.formats.mcp import framing, turns
from guardproxy.wire.formats.mcp.bound import DECIDED, Message
from guardproxy.wire.formats.mcp.contract import CONTRACT, ROUTES
from guardproxy.wire.formats.mcp.field_map import FIELDS, REQUEST, RESPONSE
from guardproxy.wire.formats.mcp.structured import aligned
from guardproxy.wire.formats.mcp.writer import author
from guardproxy.wire.framing import Framing, StreamEvent
from guardproxy.wire.json import Map, TreeLeaf, dotted, write
from guardproxy.wire.request.requests import expect_type, read_body, refuse_other_case

_BATCH = "a batch of messages is not accepted, as since revision 2025-06-18: send one message a request"
_STATUSES: Mapping[str, int] = {code: code.status for code in ErrorCode}
_UNKNOWN = Message()
_LISTENS = Message(listens=True)


def _notice(tree: Any, seen: AnswerFacts) -> None:
    """Reads nothing: a server counts no tokens and names no model."""


def is_answer(tree: Any) -> bool:
    """Whether a message answers a request."""
    return "result" in tree or "error" in tree


def ambiguity(tree: Any) -> str:
    """Says which field of a message has the name of a known field in other letters; empty if none has. Some clients read both
    as one field, so it is not clear what such a message says."""
    try:
        refuse_other_case(tree, RESPONSE)
    except DownstreamError as error:
        return f"a field is not written as the protocol writes it: `{error.field}`"
    return ""


class McpDecoder(StreamDecoder):
    """A stream of messages. Each is complete in its event. `to`: the message that the stream answers. The answer to another one
    does not end the stream."""

    framing: ClassVar[Framing] = framing
    to: Message = _UNKNOWN

    def how(self, tree: Any) -> Map:
        return RESPONSE

    def place(self, tree: Any, leaf: TreeLeaf) -> LeafPlace:
        return LeafPlace(leaf.leaf.kind, dotted(leaf.path), "message", flows=False)

    def name_of(self, tree: Any, event: str | None) -> str | None:
        return None if event in (None, framing.MESSAGE) else framing.OTHER

    def special(self, event: StreamEvent) -> list[Event] | None:
        self.complete |= self.to.listens or b"id: " in event.head  # a client can ask for the rest
        if event.data:
            return None
        return [Opaque(Frame(event.head + self.framing.frame(b""), streamed=True))]

    def ends(self, tree: Any) -> bool:
        return is_answer(tree) and not self.to.listens and self.to.is_answered_by(tree)

    def _decoded(self, event: StreamEvent, data: bytes, tree: Any, leaves: Sequence[TreeLeaf]) -> list[Event]:
        if problem := ambiguity(tree):
            return self.fault(ErrorCode.UPSTREAM_INVALID_JSON, f"an event of the stream: {problem}")
        return super()._decoded(event, data, tree, leaves)

    def after(self, tree: Any) -> list[Event]:
        return self.finish() if self.ends(tree) else []

    def end(self) -> list[Event]:
        self.complete |= self.to.listens
        return super().end()


class MessageDecoder(WholeDecoder):
    """A whole answer. `to`: the message that it answers. It has no body if the message asked for no answer (`may_be_empty`).
    `has_failed`: whether its status says that the message failed: some servers then write an id of their own."""

    may_be_empty: bool = False
    has_failed: bool = False
    to: Message = _UNKNOWN

    def end(self) -> list[Event]:
        if self.may_be_empty and not self._size:
            return [Opaque(Frame(b"", terminal=True))]
        events = super().end()
        tree = next((event.frame.tree for event in events if isinstance(event, (Text, Opaque))), None)
        problem = self._problem(tree) if tree is not None else ""
        return [Fault(ErrorCode.UPSTREAM_INVALID_JSON, f"the answer's body: {problem}")] if problem else events

    def _problem(self, tree: Any) -> str:
        is_other = (
            is_answer(tree) and not self.to.is_answered_by(tree) and not (self.has_failed and "result" not in tree)
        )
        return "it answers another message, as its `id` says" if is_other else ambiguity(tree)


class Mcp(JsonCodec[McpDecoder]):
    """The codec. `message`: the message that the codec of one request has read."""

    name = "mcp"
    provider = "mcp"
    routes: tuple[str, ...] = ROUTES
    contract = CONTRACT
    turns: Turns = turns
    author: Author = author

    stream = McpDecoder
    grammar = Grammar(
        request=REQUEST,
        answer=RESPONSE,
        json_answer=RESPONSE,
        error=RESPONSE,
        shapes_of=no_shapes,
        shape_of=no_shape,
        notice=_notice,
        withhold=nothing,
        counts_of=no_counts,
    )

    def __init__(self, message: Message | None = None) -> None:
        self.message = message or _UNKNOWN
        self._is_of_request = message is not None

    def for_request(self, path: str, query: str) -> Codec:
        codec = Mcp(_UNKNOWN)
        codec.provider = f"{self.provider}/{path.rpartition('/')[2]}"  # each server is an upstream of its own
        return codec

    # Messages of the client.

    def read_body(self, body: bytes) -> dict[str, Any]:
        if body.lstrip()[:1] == b"[":
            raise DownstreamError(ErrorCode.INVALID_TYPE, _BATCH)
        return read_body(body)

    def write_body(self, tree: Any) -> bytes:
        return super().write_body(tree) if tree else b""  # a request for a stream has no body

    def check(self, tree: dict[str, Any]) -> None:
        if self._is_of_request:
            self.message = Message.of(tree)
        expect_type(tree, "method", str)
        for key in ("params", "result", "error"):
            expect_type(tree, key, dict)
        if isinstance(tree.get("id"), float) or tree.get("jsonrpc") != "2.0":
            raise DownstreamError(ErrorCode.INVALID_VALUE, "the body must be a message of JSON-RPC 2.0", "jsonrpc")
        expect_type(tree, "id", (str, int))
        kinds = [key for key in ("method", "result", "error") if tree.get(key) is not None]
        if len(kinds) != 1:
            message = "a message must have exactly one of `method`, `result` and `error`"
            raise DownstreamError(ErrorCode.INVALID_VALUE, message, kinds[-1] if kinds else "method")

    def is_streamed(self, path: str, tree: dict[str, Any]) -> bool:
        return False  # the server chooses

    def has_field(self, path: FieldPath) -> bool:
        return has_field(FIELDS, path)

    def read_request(self, path: str, query: str, body: bytes) -> Request:
        server = path.rpartition("/")[2]
        if body:
            request = super().read_request(path, query, body)
            return structs.replace(request, server=server, operation=request.frame.tree.get("method") or "")
        if self._is_of_request:
            self.message = _LISTENS
        whole = Frame(body, {})
        return Request("", False, whole, lambda: [Opaque(whole)], server=server)

    # Messages of the server.

    def decoder(
        self,
        *,
        streamed: bool,
        failed: bool,
        limit_bytes: int,
        read: bool = True,
        guarded: bool = False,
        shapes: Shapes = NO_SHAPES,
    ) -> Decoder:
        words = self.contract.words
        if streamed:
            decoder = McpDecoder(limit_bytes, read, shapes, words=words)
            decoder.to = self.message
            return decoder
        whole = MessageDecoder(RESPONSE, _notice, limit_bytes, reads=read, words=words)
        whole.may_be_empty = self._is_of_request and self.message.id is None
        whole.to, whole.has_failed = self.message, failed
        return whole

    def edited_tree(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> Any:
        return aligned(frame.tree, super().edited_tree(frame, texts))

    def edited(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        return (framing.head_of(frame.data) if frame.streamed else b"") + super().edited(frame, texts)

    def cut(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        # A part of a message is no message. Its id stays, so that a client that comes back does not ask for it again.
        head = framing.head_of(frame.data) if frame.streamed else b""
        return head + framing.frame(b"") if head else b""

    def without_end(self, frame: Frame, tree: Any) -> Any:
        return None

    # Answers of the proxy itself.

    def own_answer(self, status: int, code: str, message: str, field: str | None = None) -> tuple[int, bytes]:
        if code in DECIDED and self.message.id is not None:
            return 200, write(self.message.decided(message, code))
        return status, self.error(status, code, message, field)

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        return write(self.message.error(status, code, message, field))

    def error_event(self, code: str, message: str, decoder: Decoder | None = None) -> bytes:
        return self._event(code, message)

    def ending(self, decoder: McpDecoder, message: str) -> bytes:
        return self._event(ErrorCode.CONTENT_FILTER, message)

    def _event(self, code: str, message: str) -> bytes:
        """Ends a stream with the answer to the message. A stream of the server's own messages ends with one about the end."""
        if self.message.listens:
            params = {"level": "error", "logger": "guardproxy", "data": f"{message} ({code})"}
            notice = {"jsonrpc": "2.0", "method": "notifications/message", "params": params}
            return framing.frame(write(notice))
        status = _STATUSES.get(code, 500)
        answer = self.message.decided(message, code) if code in DECIDED else self.message.error(status, code, message)
        return framing.frame(write(answer))


CODEC = Mcp()
