"""Takes feedback about exchanges: `POST /guard/feedback` on the port of clients.

Feedback is an exchange of its own that no upstream answers: it is authenticated, limited, redacted by policies, recorded and
sealed like a request, and its client gets the answer when the record is durable. The record names the exchange that the
feedback is about.

Decision: docs/decisions/0046-feedback-is-an-exchange.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway import is_owned
from guardproxy.policy import PolicySet
from guardproxy.policy.tools import feedback_policies
from guardproxy.wire import FEEDBACK, FEEDBACK_ANSWER, Formats
from guardproxy.wire.request import read_body

LIMIT_BYTES = 256 * 1024


class FeedbackRoute:
    """The route for feedback. `policies`: returns the policies in force. `seal`: a keyed digest."""

    def __init__(self, policies: Callable[[], PolicySet], seal: Callable[[bytes], str]) -> None:
        self._in_force = policies
        self._seal = seal
        self._built: tuple[PolicySet, PolicySet, Formats] | None = None

    @property
    def policies(self) -> PolicySet:
        """The policies for comments."""
        return self._of_now()[1]

    @property
    def formats(self) -> Formats:
        """The formats in force, with that of feedback."""
        return self._of_now()[2]

    def _of_now(self) -> tuple[PolicySet, PolicySet, Formats]:
        now = self._in_force()
        if self._built is None or self._built[0] is not now:
            self._built = now, feedback_policies(now), now.formats.with_more([FEEDBACK], "guardproxy")
        return self._built

    def check(self, body: bytes, tenant: str) -> None:
        """Raises `DownstreamError`: 400 for a body that is not feedback, 404 for an id that the tenant did not get, 413."""
        if len(body) > LIMIT_BYTES:
            raise DownstreamError(ErrorCode.REQUEST_TOO_LARGE, f"feedback is larger than {LIMIT_BYTES} bytes")
        tree = read_body(body)
        FEEDBACK.check(tree)
        if not is_owned(tree["id"], tenant, self._seal):
            raise DownstreamError(ErrorCode.UNKNOWN_EXCHANGE, field="id")


@dataclass(slots=True)
class OwnAnswer:
    """An answer of the proxy itself, instead of an upstream's: status, headers and body."""

    body: bytes = FEEDBACK_ANSWER
    status: int = 200
    content_type: str = "application/json"
    has_arrived: bool = True
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


class OwnUpstream:
    """Gives an answer in the place of an upstream (`upstream.Upstream`): by default that to feedback."""

    def __init__(self, answer: OwnAnswer | None = None) -> None:
        self._answer = answer or OwnAnswer()
        self._left = b""
        self.sending: OwnAnswer | None = None
        self.response: OwnAnswer | None = None

    def begin(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, at_once: bool = False
    ) -> None:
        """Takes the request, whose body policies have edited."""
        self.sending, self._left = self._answer, self._answer.body

    async def head(self) -> OwnAnswer:
        """Returns the head of the answer."""
        self.sending, self.response = None, self._answer
        return self._answer

    async def read(self) -> bytes:
        """Returns the body, then nothing."""
        return self.arrived()

    def arrived(self) -> bytes:
        """Returns the body, then nothing."""
        data, self._left = self._left, b""
        return data

    def release(self) -> None:
        """Does nothing: there is no connection."""

    def close(self) -> None:
        """Does nothing: there is no connection."""
