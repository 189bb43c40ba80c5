"""People and a webhook decide about calls that wait: who decides first, decides, and nothing else does."""

from __future__ import annotations

import hashlib
import hmac
import json

import msgspec
import pytest

from guardproxy.exchange import approvals, recollection
from guardproxy.server.driving.memories import ALL, Memories
from guardproxy.server.driving.reviews import CallReviews, signature
from guardproxy.server.observing.metrics import Metrics
from tests.unit.server.driving.test_memories import KEY, Clock, Store

ID = "0123456789ab-0123456789abcdef"
CALL = approvals.PendingCall(ID, "d" * 32, "pay", "bank", '{"to":"x"}', "asks", "ask", "acme", "ann", "e", 5.0)


async def reviewing(metrics: Metrics | None = None) -> tuple[CallReviews, Memories]:
    """Reviews with a call that waits, and one that another release wrote."""
    memories = Memories(KEY, Store(Clock()), "closed", Metrics())
    other = ID.replace("f", "e")
    tag = ID.partition("-")[0]
    puts = (
        recollection.MemoryPut(ID, msgspec.json.encode(CALL).decode(), 60.0),
        recollection.MemoryPut(other, "{}", 60.0),
    )
    waiting = recollection.MemoryPut(tag, '{"at": 5.0}', 60.0)
    changes = [
        recollection.MemoryChange(approvals.PENDING.key(tag), puts),
        recollection.MemoryChange(approvals.WAITING.key(tag[0]), (waiting,)),
    ]
    await memories.keep(ALL, changes)
    return CallReviews(memories, metrics or Metrics(), lambda: 100.0), memories


async def approvals_in(memories: Memories) -> list[str]:
    (entry,) = await memories.read([approvals.APPROVED.key(ID.partition("-")[0])])
    return list(entry.values())


async def test_all_calls_that_wait_are_listed() -> None:
    reviews, _ = await reviewing()
    assert await reviews.pending() == [CALL]
    listed = await reviews.listed({})
    assert listed == {"ok": True, "calls": [msgspec.to_builtins(CALL)]}


@pytest.mark.parametrize(
    ("by", "shown"), [("ann", "ann"), ("", "operator"), ("a\nb\x1b[0m", "ab[0m"), ("x" * 99, "x" * 80)]
)
async def test_an_approval_says_who_gave_it(by: str, shown: str) -> None:
    metrics = Metrics()
    reviews, memories = await reviewing(metrics)
    assert (await reviews.decided({"id": ID, "decision": "approve", "by": by}))["ok"]
    (text,) = await approvals_in(memories)
    assert json.loads(text) == {"id": ID, "by": shown, "at": 100.0}
    assert metrics.registry.get_sample_value("guardproxy_confirmations_total", {"result": "approved"}) == 1.0


async def test_a_webhook_decides_by_its_answer() -> None:
    reviews, memories = await reviewing()
    message = await reviews.message(ID, "secret")
    assert message is not None
    body, signed = message
    assert json.loads(body) == {"version": 1, "kind": "confirmation", **msgspec.to_builtins(CALL)}
    assert signed == signature("secret", 100, body)
    expected = hmac.digest(b"secret", b"100." + body, hashlib.sha256).hex()
    assert signed == f"t=100,v1={expected}"
    assert await reviews.message(ID, "") == (body, "")
    for answer in (b"", b"{}", b'{"id": "%s"}' % ID.encode(), b'{"id": "x", "decision": "approve"}', b"[]"):
        assert not await reviews.answered(ID, "hooks.example", answer)
    yes = json.dumps({"id": ID, "decision": "approve", "by": "ann"}).encode()
    assert await reviews.answered(ID, "hooks.example", yes)
    assert json.loads((await approvals_in(memories))[0])["by"] == "ann (hooks.example)"
    assert not await reviews.answered(ID, "hooks.example", yes), "it does not wait any more"
    assert await reviews.message(ID, "secret") is None


async def test_a_webhook_may_deny() -> None:
    reviews, memories = await reviewing()
    assert await reviews.answered(ID, "h", json.dumps({"id": ID, "decision": "deny"}).encode())
    assert (await approvals_in(memories), await reviews.pending()) == ([], [])


async def test_a_call_of_another_release_is_not_decided() -> None:
    reviews, memories = await reviewing()
    assert await reviews.decide(ID.replace("f", "e"), "ann", is_approved=True) is None
    assert await approvals_in(memories) == []
