"""Runs the long steps of exchanges in threads, so that the loop serves other exchanges meanwhile.

A step is a call into an exchange, such as `receive` with a large request. It is pure Python, so the interpreter switches
between the step and the loop (`running.SWITCH_S`). A step that has not begun is dropped when its waiter is cancelled. A
running step is awaited, because nothing else may touch its exchange meanwhile. If it may be stopped, it ends at its next stop
point (`guardproxy.concurrency.stopping`). Then its exchange can only be ended, because the step may have taken a part of the
input. A tenant has at most `TENANT_SHARE` of the threads, so that its large requests do not keep other tenants waiting.

Remaining limit: a call of the JSON reader holds the interpreter to its end, even in a thread. Measured for each megabyte: 1.5
to 3 ms for plain text, 10 ms for escapes, 30 ms for arrays of a few numbers. The limits of a body bound it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Generic, TypeVar

from guardproxy.concurrency import ScanStopped, stoppable
from guardproxy.exchange import (
    DataReceived,
    Exchange,
    Input,
    PassThrough,
    RequestReceived,
    ResponseEnded,
    Scanned,
    Size,
    ValuesFound,
    recollection,
)

Result = TypeVar("Result")
THREADS = 4
TENANT_SHARE = 2  # threads at once


class Interrupted(asyncio.CancelledError, Generic[Result]):
    """The waiter was cancelled while its step ran. `result`: the result of the step."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


class _StoppedError(Exception):
    """A step was cancelled and has stopped."""


@dataclass(slots=True)
class _Turns:
    """The turns of a tenant. `users`: the number of steps that wait or run."""

    free: asyncio.Semaphore
    users: int = 0


class Steps:
    """A pool of `threads` for long steps."""

    def __init__(self, threads: int = THREADS, share: int = TENANT_SHARE) -> None:
        self._pool = ThreadPoolExecutor(threads, "step")
        self._share = share
        self._tenants: dict[str, _Turns] = {}

    async def run(self, tenant: str, step: Callable[[], Result], *, can_stop: bool = False) -> Result:
        """The result of `step`. Raises `Interrupted` if it is cancelled while the step runs, and `CancelledError` if the step
        had not begun or was stopped. `can_stop`: whether the step may be stopped, because only the end of its exchange can
        follow."""
        given_up = Event()
        async with self._turn(tenant):
            running = self._pool.submit(partial(_until_stopped, step, given_up) if can_stop else step)
            return await _to_its_end(running, given_up)

    @asynccontextmanager
    async def _turn(self, tenant: str) -> AsyncIterator[None]:
        turns = self._tenants.setdefault(tenant, _Turns(asyncio.Semaphore(self._share)))
        turns.users += 1
        try:
            async with turns.free:
                yield
        finally:
            turns.users -= 1
            if not turns.users:
                del self._tenants[tenant]

    def close(self) -> None:
        """Waits for the running steps."""
        self._pool.shutdown(wait=True, cancel_futures=True)


# Measured: a text costs up to 60 microseconds from its bytes to its record, and a step of either kind stays below 5 ms.
SHORT_TEXTS = 60
SHORT_BYTES = 32 * 1024
SHORT_DATA_BYTES = 4 * 1024
# A restored value costs up to 70 microseconds more, and its placeholder has 16 characters or more.
SHORT_RESTORED_BYTES = 1024


def is_small(exchange: Exchange | PassThrough) -> bool:
    """Whether an exchange is small enough to process all of it on the loop."""
    return not isinstance(exchange, Exchange) or _is_small(exchange.size)


def _is_small(size: Size) -> bool:
    texts = size.request_texts + size.answer_texts + size.values
    return texts <= SHORT_TEXTS and size.request_bytes + size.answer_bytes + size.held_chars <= SHORT_BYTES


def _restores_few(size: Size, new_bytes: int) -> bool:
    """Whether a step can restore only few of the values that may be restored. `new_bytes`: new bytes of the answer, beside its
    held text."""
    return size.held_chars + new_bytes <= SHORT_RESTORED_BYTES


def is_short(event: Input, exchange: Exchange | PassThrough) -> bool:
    """Whether an input can be processed on the loop: the input and its possible effects are small."""
    if not isinstance(exchange, Exchange):
        return not exchange.seals_ids or not isinstance(event, DataReceived) or len(event.data) <= SHORT_DATA_BYTES
    if type(event) is RequestReceived:
        # Each text has two quotes, so their number bounds the texts before the body is decoded.
        return len(event.body) <= SHORT_BYTES and event.body.count(b'"') <= 8 * SHORT_TEXTS
    size = exchange.size
    match event:
        case DataReceived(data):
            if len(data) > SHORT_DATA_BYTES:
                return False
            # streamed texts are processed part by part, however large the request was
            few = size.answer_texts <= SHORT_TEXTS and size.held_chars <= SHORT_BYTES
            few = few and (not size.restorable or _restores_few(size, len(data)))
            return few and (size.begun or _is_small(size))
        case Scanned(scans):
            if len(scans) > 2 * SHORT_TEXTS:
                return False
            finding_count = sum(len(scan.findings) for scan in scans)
            few = len(scans) + 2 * finding_count <= 2 * SHORT_TEXTS
            return few and (not size.restorable or _restores_few(size, 0)) and _is_small(size)
        case ValuesFound(groups):  # each group asks the rules
            return len(groups) + sum(len(group.values) for group in groups) <= 8 * SHORT_TEXTS
        case recollection.MemoryRecalled(entries):
            if sum(len(text) for entry in entries for text in entry.values()) > SHORT_BYTES:
                return False
        case ResponseEnded():  # a plain answer is read as a whole now
            new_bytes = 0 if size.begun else size.answer_bytes
            few = new_bytes <= SHORT_DATA_BYTES and (not size.restorable or _restores_few(size, new_bytes))
            return few and _is_small(size)
    return _is_small(size) and (not size.restorable or _restores_few(size, 0))


def _until_stopped(step: Callable[[], Result], given_up: Event) -> Result:
    """The result of `step`, run in a thread. Raises `_StoppedError` if it was cancelled before its end."""

    def look() -> None:
        if given_up.is_set():
            raise ScanStopped

    try:
        with stoppable(look):
            return step()
    except ScanStopped:
        raise _StoppedError from None


async def _to_its_end(running: Future[Result], given_up: Event) -> Result:
    """The result of a step. Keeps waiting when its waiter is cancelled, and sets `given_up`."""
    waiting = asyncio.wrap_future(running)
    cancelled = False
    while True:
        try:
            result = await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if running.cancel():  # it has not begun
                raise
            cancelled = True
            given_up.set()
            continue
        except _StoppedError:
            raise asyncio.CancelledError from None
        if cancelled:
            raise Interrupted(result)
        return result
