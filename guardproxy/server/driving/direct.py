"""Plays an exchange for a caller that has the bytes itself: no connection of a client, no upstream.

In: the inputs of an exchange, as the caller gets them. Out: the commands that follow, without scans, which are run here. An
exchange that ends has a durable record when its last command is returned. The server's own driver (`driver.py`) is for HTTP on
both sides.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from guardproxy.audit import Record
from guardproxy.errors import AuditError, ErrorCode
from guardproxy.exchange import (
    Aborted,
    Command,
    DownstreamGone,
    Exchange,
    Finish,
    Input,
    RunScans,
    Scanned,
    SendUpstream,
    recollection,
)
from guardproxy.server.driving.memories import UsedMemory
from guardproxy.server.driving.offload import Interrupted, Steps, is_short, is_small
from guardproxy.server.driving.recorder import Recorder
from guardproxy.server.scanning.scanner import Scanner

_log = logging.getLogger(__name__)
_clock = time.perf_counter

Result = TypeVar("Result")


class DirectDriver:
    """Plays `exchange`. The caller gives it one input after the other, and must call `close` at the end. `finished`: its last
    command; `is_recorded`: whether the log holds its record, without which nothing of its end may be used."""

    def __init__(
        self,
        exchange: Exchange,
        scanner: Scanner,
        recorder: Recorder,
        steps: Steps,
        memory: UsedMemory | None = None,
    ) -> None:
        self.exchange = exchange
        self._memory = memory or UsedMemory(None)
        self.finished: Finish | None = None
        self.is_recorded = False
        self._scanner = scanner
        self._recorder = recorder
        self._steps = steps
        self._is_taken = False  # whether the recorder has the record
        self._is_intended = False
        self._unseen: list[Command] = []  # the result of a step that ended after its waiter was cancelled

    async def take(self, event: Input) -> list[Command]:
        """Takes an input. Runs the scans that follow, and asks the memory of earlier exchanges. Returns the other commands,
        in order."""
        out: list[Command] = []
        todo = deque(await self._receive(event))
        while todo:
            command = todo.popleft()
            match command:
                case RunScans():
                    scans = await self._scanner.scan(command.jobs, self.exchange.setting.tenant)
                    todo.extend(await self._receive(Scanned(scans, _clock())))
                    continue
                case recollection.RecallMemory() | recollection.ClaimMemory():
                    found = await self._memory.answer(self.exchange.setting, command, _clock)
                    todo.extend(await self._receive(found))
                    continue
                case SendUpstream() if not await self._keep_intent():
                    code = ErrorCode.AUDIT_UNAVAILABLE
                    todo.extend(await self._receive(Aborted(code, code.message(), code.status, _clock())))
                    continue
                case Finish():
                    await self._finish(command)
            out.append(command)
        return out

    async def close(self) -> None:
        """Ends an exchange whose caller has left, and keeps its record. Does nothing after the end."""
        if self.finished is None:
            commands = await self._receive(DownstreamGone(_clock())) or self._unseen
            self.finished = next((command for command in commands if isinstance(command, Finish)), None)
        if self.finished is not None and not self._is_taken:
            record = await self._record(self.finished)
            self._is_taken = True
            self._recorder.take(record)
        await self._keep_memory()

    async def _receive(self, event: Input) -> list[Command]:
        if is_short(event, self.exchange):
            return self.exchange.receive(event)
        try:
            return await self._steps.run(self.exchange.setting.tenant, partial(self.exchange.receive, event))
        except Interrupted as interrupted:
            self._unseen = interrupted.result
            raise

    async def _finish(self, command: Finish) -> None:
        self.finished = command
        try:
            record = await self._record(command)
            # Before the wait, for `close`: the recorder must not get the record twice.
            self._is_taken = True
            await self._recorder.keep(record)
            self.is_recorded = True
        except AuditError as error:
            _log.error("record not kept", extra={"id": self.exchange.setting.id, "error": str(error)})
            # Without a record the exchange may leave nothing: a later one would build on what no log shows.
            self._memory.is_open = False
        await self._keep_memory()

    async def _keep_memory(self) -> None:
        """Keeps what the exchange leaves for later ones, once."""
        if self._memory.is_open:
            await self._memory.keep(await self._beside(lambda: self.exchange.memory_changes))

    async def _record(self, command: Finish) -> Record:
        return await self._beside(lambda: command.record)

    async def _beside(self, step: Callable[[], Result]) -> Result:
        """The result of `step`, which only reads the exchange. Runs in a thread if the exchange is large."""
        return step() if is_small(self.exchange) else await self._steps.run(self.exchange.setting.tenant, step)

    async def _keep_intent(self) -> bool:
        """Writes the intent of the exchange, if policies want one, before anything is sent on. Returns whether that was
        possible."""
        if self._is_intended or (intent := self.exchange.intent) is None:
            return True
        try:
            await self._recorder.keep(intent)
        except AuditError as error:
            _log.error("intent not kept", extra={"id": self.exchange.setting.id, "error": str(error)})
            return False
        self._is_intended = True
        return True


async def closed(driver: DirectDriver) -> None:
    """Ends an exchange whose caller may have been cancelled: its record is kept, however often the task is cancelled."""
    ending = asyncio.ensure_future(driver.close())
    is_cancelled = False
    while not ending.done():
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            is_cancelled = True
    ending.result()
    if is_cancelled:
        raise asyncio.CancelledError
