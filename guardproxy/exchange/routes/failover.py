"""Names the next destination of a request after an upstream failed, before the client has seen a byte.

In: how an answer failed. Out: the plan of the next destination, or `None`. Kept: the destinations that were not asked yet.

Decision: docs/decisions/0050-a-route-is-chosen-inside-the-exchange.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from guardproxy.decisions import Plan
from guardproxy.errors import ErrorCode
from guardproxy.events import Event, Text
from guardproxy.exchange.gate.lanes import Lane

FAILED = "failed"
BLOCKED = "blocked"
"""Why an answer was discarded: its status is an error, or the provider's own filter stopped it. Any other reason is the
code of a fault."""
TROUBLES = frozenset((BLOCKED, ErrorCode.UPSTREAM_ERROR))
"""What `trouble_in` finds."""
OVERLOADED = 529
_FAULTS = frozenset(
    (
        *(ErrorCode.UPSTREAM_UNAVAILABLE, ErrorCode.UPSTREAM_UNREACHABLE, ErrorCode.UPSTREAM_KEY_REFUSED),
        *(ErrorCode.UPSTREAM_FAILED, ErrorCode.UPSTREAM_TRUNCATED, ErrorCode.UPSTREAM_ERROR),
        *(ErrorCode.UPSTREAM_ENCODING, ErrorCode.UPSTREAM_REDIRECT, ErrorCode.UPSTREAM_CONTENT_TYPE),
        ErrorCode.UPSTREAM_INVALID_JSON,
    )
)
"""Faults that another upstream may not have. A fault of the request or of the proxy (no capacity) is not among them."""
# What providers call an answer that their own filter stopped.
_FILTERED = frozenset(
    (
        *("content_filter", "content_policy_violation", "refusal", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII"),
        *("RECITATION", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT"),
    )
)


class FurtherDestinations(msgspec.Struct):
    """The destinations that may still be asked. `on`: what leads to the next one, as in the section `route`; `left`: how many
    may be asked; `body`: that of the attempt under way, empty until all checks let the request pass."""

    plans: list[Plan]
    on: frozenset[str]
    left: int
    body: bytes = b""

    def following(self, reason: str, status: int | None) -> Plan | None:
        """Takes the next destination after an answer that was discarded for this reason; `None` if no other is to be asked.
        `status`: of the answer, `None` without an answer."""
        if not self.leads_on(reason, status):
            return None
        self.left -= 1
        return self.plans.pop(0)

    def leads_on(self, reason: str, status: int | None) -> bool:
        """Whether a further destination is asked after such an answer."""
        return self.is_open and not self.on.isdisjoint(causes(reason, status))

    @property
    def is_open(self) -> bool:
        """Whether a further destination may be asked."""
        return self.left > 0 and bool(self.plans) and bool(self.body)


def causes(reason: str, status: int | None) -> tuple[str, ...]:
    """Returns the words of `fallback: on` that a discarded answer fits."""
    if reason == BLOCKED:
        return ("block",)
    if reason == ErrorCode.UPSTREAM_TIMEOUT:
        return ("timeout",)
    if reason in _FAULTS:
        return ("error",)
    if reason != FAILED or status is None:
        return ()
    words = [str(status)]
    if status >= 500:
        words.append("error")
    if status in (408, 504):
        words.append("timeout")
    # Anthropic answers 529 where others answer 429.
    if status == OVERLOADED:
        words.append("429")
    return tuple(words)


def trouble_in(events: Sequence[Event], finish: Sequence[str], lanes: Sequence[Lane], *, streamed: bool) -> str:
    """Returns why an answer that arrives well should come from another upstream: `BLOCKED`, or the code of an error that the
    upstream sends in its stream. Empty if it should not, or if a text of the stream came before.

    `finish`: why the answer ended; `lanes`: its texts so far. The result is the same however the answer is cut."""
    if streamed and any(lane.text.total and not lane.place.fixed for lane in lanes):
        return ""
    texts = [event for event in events if isinstance(event, Text) and not event.judged and not event.fixed]
    error = next((text for text in texts if text.channel.kind == "error"), None)
    if error is not None and (not streamed or texts[0].frame is error.frame):
        return BLOCKED if _is_refusal(error.frame.tree) else ErrorCode.UPSTREAM_ERROR if streamed else ""
    if streamed and texts:
        return ""
    return "" if _FILTERED.isdisjoint(finish) else BLOCKED


def _is_refusal(tree: Any) -> bool:
    """Whether an error says that the provider's filter refused the request."""
    error = tree.get("error") if isinstance(tree, dict) else None
    return isinstance(error, dict) and error.get("code") in _FILTERED
