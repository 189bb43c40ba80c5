"""Lets people approve or deny the calls of tools that wait for them: from the admin port, and by the answer of a webhook.

In: the id of a confirmation, and who decides. Out: an approval in the memory of exchanges, for one call and a short time. Who
decides first, decides: a pending call is claimed before its approval is written.

A pending call has no text but the redacted arguments. A message to the webhook is signed: `x-guardproxy-signature` has the time
and an HMAC-SHA256, under the setting `confirm_key`, of the time, a dot and the body.

Decision: docs/decisions/0067-one-memory-for-what-exchanges-leave.md
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from guardproxy.errors import StoreError
from guardproxy.exchange import approvals, recollection
from guardproxy.server.driving.memories import Memories
from guardproxy.server.observing.metrics import Metrics

_ID = re.compile(r"([0-9a-f]{12})-[0-9a-f]{16}", re.ASCII)
_LONGEST_BY = 80

_log = logging.getLogger(__name__)

Pending = approvals.PendingCall


class WebhookAnswer(msgspec.Struct, frozen=True):
    """A decision of the webhook."""

    id: str
    decision: Literal["approve", "deny"]
    by: str = ""


class CallReviews:
    """The calls that wait for a person. `clock`: returns Unix time."""

    def __init__(self, memories: Memories, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        self._memories = memories
        self._results = metrics.confirmations
        self._clock = clock

    async def pending(self) -> list[Pending]:
        """Returns all calls that wait, the oldest first. Raises `StoreError`."""
        starts = [approvals.WAITING.key(start) for start in approvals.TAG_STARTS]
        tags = [tag for entry in await self._memories.read(starts) for tag in entry]
        entries = await self._memories.read([approvals.PENDING.key(tag) for tag in tags])
        found = (_pending(text) for entry in entries for text in entry.values())
        return sorted((call for call in found if call is not None), key=lambda call: (call.at, call.id))

    async def of(self, name: str) -> Pending | None:
        """Returns the call with an id; `None` if none waits. Raises `StoreError`."""
        if (key := _key(name)) is None:
            return None
        (entry,) = await self._memories.read([key])
        return _pending(entry[name]) if name in entry else None

    async def decide(self, name: str, by: str, *, is_approved: bool) -> Pending | None:
        """Approves or denies the call with an id. Returns it; `None` if it does not wait any more. Raises `StoreError`."""
        if (key := _key(name)) is None:
            return None
        # Claimed first: if a fault follows, the call stays without approval, and nobody can approve it twice.
        (text,) = await self._memories.take([recollection.MemoryClaim(key, name)])
        call = _pending(text) if text is not None else None
        if call is None:
            return None
        # The name goes into the log and onto a terminal, and a webhook may send anything for it.
        by = "".join(sign for sign in by if sign.isprintable())[:_LONGEST_BY] or "unknown"
        if is_approved:
            approval = approvals.Approval(call.id, by, self._clock())
            put = recollection.MemoryPut(call.digest, msgspec.json.encode(approval).decode(), approvals.APPROVED.ttl_s)
            granted = approvals.APPROVED.key(key.name)
            await self._memories.write([recollection.MemoryChange(granted, (put,), (), approvals.APPROVED.most)])
        result = "approved" if is_approved else "denied"
        self._results.labels(result).inc()
        _log.info("call of a tool reviewed", extra={"confirmation": call.id, "result": result, "by": by})
        return call

    # The webhook.

    async def message(self, name: str, key: str) -> tuple[bytes, str] | None:
        """Returns the message about a call that waits, and its signature, empty without a `key`; `None` if the call does not
        wait any more. Raises `StoreError`."""
        call = await self.of(name)
        if call is None:
            return None
        body = msgspec.json.encode({"version": 1, "kind": "confirmation", **_shown(call)})
        return body, signature(key, round(self._clock()), body) if key else ""

    async def answered(self, name: str, host: str, data: bytes) -> bool:
        """Takes the answer of the webhook: `{"id": ID, "decision": "approve" or "deny", "by": NAME}`. Returns whether it
        decided; anything else decides nothing. Raises `StoreError`."""
        try:
            answer = msgspec.json.decode(data, type=WebhookAnswer)
        except msgspec.DecodeError:
            return False
        # A webhook that answers late, or another request, must not decide about this call.
        if answer.id != name:
            return False
        by = f"{answer.by} ({host})" if answer.by else host
        return await self.decide(name, by, is_approved=answer.decision == "approve") is not None

    # The admin port.

    async def listed(self, query: dict[str, str]) -> dict[str, object]:
        """Answers a request for all calls that wait, or for one of them (`id`)."""
        try:
            if name := query.get("id", ""):
                call = await self.of(name)
                return {"ok": call is not None, "calls": [_shown(call)] if call else []}
            return {"ok": True, "calls": [_shown(call) for call in await self.pending()]}
        except StoreError as error:
            return {"ok": False, "error": str(error)}

    async def decided(self, query: dict[str, str]) -> dict[str, object]:
        """Answers a request that decides about a call: `id`, `decision` (`approve` or `deny`), `by`."""
        decision = query.get("decision", "")
        if decision not in ("approve", "deny"):
            return {"ok": False, "error": "`decision` must be approve or deny"}
        try:
            call = await self.decide(
                query.get("id", ""), query.get("by", "") or "operator", is_approved=decision == "approve"
            )
        except StoreError as error:
            return {"ok": False, "error": str(error)}
        if call is None:
            return {"ok": False, "error": "no call waits under this id: it has expired, or somebody has decided"}
        return {"ok": True, "decision": decision, "call": _shown(call)}


def _key(name: str) -> recollection.MemoryKey | None:
    """Returns the key of the entry of a pending call; `None` for what is no id."""
    match = _ID.fullmatch(name)
    return approvals.PENDING.key(match[1]) if match else None


def _pending(text: str) -> Pending | None:
    try:
        return msgspec.json.decode(text, type=Pending)
    except msgspec.DecodeError:  # of another release
        return None


def _shown(call: Pending) -> dict[str, Any]:
    """Returns a pending call as JSON."""
    shown: dict[str, Any] = msgspec.to_builtins(call)
    return shown


def signature(key: str, unix_s: int, body: bytes) -> str:
    """Returns the signature of a message to the webhook."""
    plain = f"{unix_s}.".encode() + body
    return f"t={unix_s},v1={hmac.digest(key.encode(), plain, hashlib.sha256).hex()}"
