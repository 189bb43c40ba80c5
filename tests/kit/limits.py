"""A desk at which tests send requests through limits, with a store whose clock they move."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from guardproxy.audit import Record
from guardproxy.errors import DownstreamError
from guardproxy.events import Frame
from guardproxy.gateway import Duties, Head, Trail, UsageLimits, read_limits
from guardproxy.gateway.store import Lease, MemoryStore, Store
from guardproxy.wire import Request
from tests.kit.records import plain_record

ROUTE = "POST /v1/messages"
NOW_S = 1_900_000_000.0
MAX_TOKENS = 100


def limit(name: str, unit: str, *lines: str) -> str:
    return "\n".join(["[[limit]]", f'name = "{name}"', f'unit = "{unit}"', *lines, ""])


@dataclass
class Desk:
    """The duty, with a store whose clock the test moves."""

    text: str
    now_s: float = 0.0
    noticed: list[tuple[str, str]] = field(default_factory=list)
    number: int = 0
    store: Store | None = None
    lease: Lease = field(default_factory=Lease)

    def __post_init__(self) -> None:
        self.limits = read_limits(self.text.encode(), "l")
        notice = lambda name, mode: self.noticed.append((name, mode))  # noqa: E731
        self.duty = UsageLimits(lambda: self.limits, 1000, notice, lease=self.lease)
        own = MemoryStore(lambda: self.now_s) if self.store is None else self.store
        self.duties = Duties([self.duty], own)

    def ask(self, model: str = "m", **asked: Any) -> Trail:
        """A request of `size` bytes that wants `max_tokens`, once it was admitted. Raises its refusal."""
        return asyncio.run(self.asked(model, **asked))

    async def asked(
        self,
        model: str = "m",
        size: int = 400,
        fallbacks: Sequence[str] | None = None,
        max_tokens: object = MAX_TOKENS,
        **members: Any,
    ) -> Trail:
        self.number += 1
        sent = {"route": ROUTE, "tenant": "t1", "tenant_name": "acme", "unix_s": NOW_S, **members}
        self.trail = Trail(Head(f"x{self.number}", **sent))
        more = {} if fallbacks is None else {"fallbacks": fallbacks}
        request = Request(
            model, False, Frame(b" " * size, tree={**more, "model": model, "max_tokens": max_tokens}), list
        )
        trail = self.trail
        await self.duties.admit(trail)
        if self.duties.is_planning(trail.head):
            assert await self.duties.plan(trail, request) == ()
        return trail

    def refusal(self, **asked: Any) -> tuple[str, int | None]:
        with pytest.raises(DownstreamError) as refused:
            self.ask(**asked)
        assert refused.value.status in (403, 429)
        return refused.value.code, refused.value.retry_s

    def settle(self, trail: Trail, **record: Any) -> None:
        asyncio.run(self.duties.settle(trail.head, done(**record)))


def done(prompt: int = 50, answer: int = 30, **changes: Any) -> Record:
    plain: dict[str, Any] = {"usage": {"input_tokens": prompt, "output_tokens": answer}, "sizes": {"upstream": 400}}
    return plain_record(**{**plain, **changes})
