"""The conversation with Envoy about one request, as a state machine without sockets or a clock.

In: messages of Envoy, and what the proxy wants to send. Out: what the messages tell, and the bytes of the answers.

Bodies are exchanged in the mode `FULL_DUPLEX_STREAMED`, whose rules are kept here:

- Each head gets exactly one answer, and no part of a body is sent before it. The answer to the head of the request may wait
  until the body was judged, so that its headers can still be changed.
- Every byte of a body that goes on is sent by the proxy: what it does not send is dropped.
- The first end of a body counts. Envoy sends a second, empty one behind a body above 1 MB, and it is ignored.
- After an answer of the proxy's own (`whole`) nothing more is sent.
"""

from __future__ import annotations

from collections.abc import Iterator

from guardproxy.ext_proc.messages import (
    UNCHANGED,
    EnvoyHead,
    Headers,
    Message,
    Mutation,
    Trailers,
    body_replies,
    head_reply,
    trailers_reply,
    whole_reply,
)


class OutOfTurnError(Exception):
    """A message that must not come now, or a mode that is not supported."""


class _Side:
    """One direction. `head`: what Envoy told; `trailers`: their names, once they came. `has_ended`: whether the body has
    arrived in full. `is_answered`: whether the head was answered; `is_sent`: whether the body was sent in full."""

    __slots__ = ("has_ended", "head", "is_answered", "is_sent", "trailers")

    def __init__(self) -> None:
        self.head: EnvoyHead | None = None
        self.trailers: tuple[str, ...] | None = None
        self.has_ended = False
        self.is_answered = False
        self.is_sent = False


class EnvoyConversation:
    """The conversation about one request. `is_over`: whether nothing more is to be sent."""

    def __init__(self) -> None:
        self._request, self._answer = _Side(), _Side()
        self._is_replaced = self._is_given_up = False

    @property
    def is_over(self) -> bool:
        """Whether Envoy has everything: an answer of the proxy's own, or the end of the upstream's."""
        return self._is_replaced or self._answer.is_sent

    @property
    def is_request_sent(self) -> bool:
        """Whether the request was sent on, so that there can be no second attempt."""
        return self._request.is_answered

    @property
    def answer(self) -> EnvoyHead | None:
        """The head of the upstream's answer, once it came."""
        return self._answer.head

    @property
    def has_answer(self) -> bool:
        """Whether the upstream answers, so that parts of an answer can be sent."""
        return self._answer.head is not None and not self._is_replaced

    @property
    def has_begun_answer(self) -> bool:
        """Whether the client has the head of an answer, so that no other answer can take its place."""
        return self._answer.is_answered

    @property
    def has_whole_answer(self) -> bool:
        """Whether the upstream's answer has arrived in full."""
        return self._answer.has_ended

    def receive(self, message: Message) -> Message | None:
        """Takes a message. Returns it, or `None` if it tells nothing new. Raises `OutOfTurnError`."""
        side = self._request if message.is_request else self._answer
        if isinstance(message, EnvoyHead):
            self._take_head(side, message)
            return message
        if side.head is None:
            raise OutOfTurnError("a body came before its headers")
        if side.has_ended:
            return None
        if isinstance(message, Trailers):
            side.trailers, side.has_ended = message.names, True
        else:
            side.has_ended = message.is_end
        return message

    def _take_head(self, side: _Side, head: EnvoyHead) -> None:
        if side.head is not None:
            raise OutOfTurnError("headers came twice")
        if not head.is_right_mode:
            raise OutOfTurnError(
                "the filter must have `request_body_mode` and `response_body_mode` FULL_DUPLEX_STREAMED, and no "
                "`observability_mode`"
            )
        side.head, side.has_ended = head, head.is_end

    def send_request(self, mutation: Mutation, body: bytes) -> Iterator[bytes]:
        """Yields the messages that send the request on, whole: its body must have arrived in full. `body`: empty if it has
        none."""
        side = self._request
        if side.is_answered or self._is_replaced:
            raise OutOfTurnError("the request was answered already")
        side.is_answered = True
        yield head_reply(mutation, is_request=True)
        if side.head is None or not side.head.is_end:
            for message in self._last(side, body, is_request=True):
                if self._is_given_up:
                    return
                yield message

    def give_up_request(self) -> None:
        """Notes that the rest of the request need not be sent: another answer takes the place of the upstream's."""
        self._is_given_up = True

    def begin_answer(self, mutation: Mutation = UNCHANGED) -> bytes:
        """Returns the message that sends the head of the upstream's answer on."""
        if self._answer.is_answered or not self.has_answer:
            raise OutOfTurnError("there is no answer to begin")
        self._answer.is_answered = True
        return head_reply(mutation, is_request=False)

    def send_answer(self, data: bytes) -> Iterator[bytes]:
        """Yields the messages that send a part of the answer's body."""
        if not self.is_over:
            yield from body_replies(data, is_request=False, is_end=False)

    def end_answer(self, data: bytes) -> Iterator[bytes]:
        """Yields the messages that send the last part of the answer's body. The upstream's own may go on: it is dropped."""
        side = self._answer
        if self.is_over:
            return
        side.is_sent = True
        if side.head is None or not side.head.is_end:
            yield from self._last(side, data, is_request=False)

    def replace_answer(self, status: int, headers: Headers, body: bytes) -> bytes:
        """Returns the message with an answer that takes the place of the upstream's."""
        if self.has_begun_answer or self.is_over:
            raise OutOfTurnError("an answer has begun")
        self._is_replaced = True
        return whole_reply(status, headers, body)

    @staticmethod
    def _last(side: _Side, data: bytes, *, is_request: bool) -> Iterator[bytes]:
        """Yields the last part of a body. Trailers that came end it instead of a mark."""
        if side.trailers is None:
            yield from body_replies(data, is_request=is_request, is_end=True)
            return
        if data:
            yield from body_replies(data, is_request=is_request, is_end=False)
        yield trailers_reply(side.trailers, is_request=is_request)
