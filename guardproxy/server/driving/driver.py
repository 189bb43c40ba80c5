"""The driver: carries out the commands of an exchange and reports what happened. Each exchange has its own coroutine.

The driver reads nothing of an answer while a scan runs. The bytes of the upstream gather in the buffer of the socket and
arrive as one larger piece, so a slow check makes larger windows, and back-pressure needs no queue. A client that leaves
cancels the coroutine, which closes the upstream connection and still keeps the record. While an answer is held back, every
wait is interrupted as often as the exchange asks, so that it can send keep-alives and end what takes too long.

Decision: docs/decisions/0002-one-loop-without-an-inbox.md
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from aiohttp import web
from multidict import CIMultiDict

from guardproxy.config import Config
from guardproxy.errors import AuditError, ErrorCode, UpstreamError
from guardproxy.exchange import (
    HEADER as RECEIPT_HEADER,
)
from guardproxy.exchange import (
    Aborted,
    CancelUpstream,
    Command,
    DataReceived,
    DownstreamGone,
    Exchange,
    Finish,
    Input,
    PassThrough,
    ReleaseUpstream,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    Scanned,
    SendData,
    SendHead,
    SendUpstream,
    Setting,
    UpstreamFailed,
    ValuesFound,
    Waited,
    line,
    recollection,
)
from guardproxy.server.driving.caching import Caches, Recall, recalled
from guardproxy.server.driving.earlier import EarlierValues
from guardproxy.server.driving.memories import Memories, UsedMemory
from guardproxy.server.driving.offload import Interrupted, Steps, is_short, is_small
from guardproxy.server.driving.recorder import Recorder
from guardproxy.server.intake.headers import downstream_headers
from guardproxy.server.intake.listener import whole_response
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.scanning.scanner import Scanner
from guardproxy.server.upstream.deadlines import Deadlines
from guardproxy.server.upstream.targets import Targets
from guardproxy.server.upstream.upstream import AnswerHead, Answering

_log = logging.getLogger(__name__)
_clock = time.perf_counter
SLICE_BYTES = 64 * 1024  # of an answer, which a client must take in time


Result = TypeVar("Result")


class _OvertakenError(Exception):
    """The awaited result is no longer needed. The commands to carry out instead wait already."""


class Pieces:
    """The pieces of one answer. `observe(duration_s)`: takes the time between two of them."""

    __slots__ = ("_last_s", "_observe")

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._last_s = 0.0  # 0: no piece to measure from

    def sent(self, head: SendHead | None) -> None:
        """Measures the time since the last piece. An answer that is no stream is not measured. `head`: of the answer."""
        if head is None or not head.streamed:
            return
        now_s = time.perf_counter()
        if self._last_s:
            self._observe(now_s - self._last_s)
        self._last_s = now_s

    def pause(self) -> None:
        """Leaves out the time until the next piece, as a keep-alive came before it, which is no piece of the answer."""
        self._last_s = 0.0


class Driver:
    """Drives `exchange` for `request`, whose body was read. `targets`: the places where it may be sent."""

    def __init__(
        self,
        exchange: Exchange | PassThrough,
        request: web.BaseRequest,
        upstream: Answering,
        scanner: Scanner,
        recorder: Recorder,
        metrics: Metrics,
        config: Config,
        steps: Steps | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self.exchange = exchange
        self._request = request
        self._upstream = upstream
        self._scanner = scanner
        self._recorder = recorder
        self._metrics = metrics
        self._config = config
        self._steps = steps
        self._deadlines = deadlines or Deadlines()
        # For a slice, and as many bytes that wait before it.
        rate, least_s = config.limits.answer_rate, config.timeouts.write_s
        self._write_s = 2 * SLICE_BYTES / rate if rate and rate * least_s < 2 * SLICE_BYTES else least_s
        self._is_traced = _log.isEnabledFor(logging.DEBUG)
        self._unseen: list[Command] = []  # the result of a step that ended after its waiter was cancelled
        self._todo: deque[Command] = deque()  # what follows the command that is carried out now
        self.note_sent: Callable[[], object] = lambda: None  # is called when the request is sent, each time
        self.whole_bytes = SLICE_BYTES  # the largest answer that is given in one piece
        self.own_headers: Mapping[str, str] = {}
        self.amend: Callable[[CIMultiDict[str], Mapping[str, str]], None] | None = None  # headers for the client
        self.caches: Caches | None = None
        self.recall: Recall | None = None
        self.earlier: EarlierValues | None = None
        self.memories: Memories | None = None
        self._memory: UsedMemory | None = None  # once the exchange has asked for what earlier ones left
        self.targets: Targets
        self.url = ""  # of the upstream that was asked last
        self._pieces = Pieces(metrics.between_pieces.observe)
        self._head: SendHead | None = None
        self._response: web.StreamResponse | None = None
        self._aborted = False
        self._more = frozenset(map(str.lower, config.network.answer_header))
        self._scan_s = 0.0
        self._is_intended = self.is_recorded = False  # whether the log holds the intent, and the record
        self._is_turn = False  # whether values of the request may come back in later turns, and are not kept yet
        self._is_remembering = (
            False  # whether the exchange may leave something for later ones, and that is not kept yet
        )
        self._is_taken = False  # whether the recorder has the record
        self._retry_s = 1  # the value of `Retry-After` in a 503
        self.finished: Finish | None = None

    async def run(self, first: Input) -> web.StreamResponse:
        """Runs the exchange until its answer is sent. Returns the answer."""
        try:
            try:
                with self._deadlines.within(self._config.timeouts.total_s):
                    await self._loop(await self._receive(first))
            except TimeoutError:
                await self._abort(ErrorCode.TIMEOUT)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not self._aborted or task is None:
                    raise
                # The client is still there: it gets an end with a reason, for which the task has to live on.
                task.uncancel()
                await self._abort(ErrorCode.SHUTTING_DOWN)
        except asyncio.CancelledError:
            await self._gone()
            raise
        except ConnectionError:
            await self._gone()
        finally:
            self._deadlines.close()
            self._upstream.close()
            if self.recall is not None:
                self.recall.close()
            self._metrics.scan.observe(self._scan_s)
        return web.Response(status=499) if self._response is None else self._response

    def abort(self) -> None:
        """Marks the next cancellation as a shutdown, for which the client gets a typed error."""
        self._aborted = True

    async def _loop(self, commands: list[Command]) -> None:
        todo = self._todo = deque(commands)
        while self.finished is None:
            try:
                while todo:
                    command = todo.popleft()
                    if type(command) is SendHead:
                        self._head = command
                    elif following := await self._perform(command):
                        todo.extend(following)
                    del command  # it would keep its bytes until the next one comes
                if self.finished is None:
                    upstream = self._upstream
                    answer = upstream.response if upstream.sending is None and self.recall is None else None
                    if answer is not None and answer.has_arrived:
                        todo.extend(await self._receive(self._arrived()))  # there is nothing to wait for
                        continue
                    wait_s = self.exchange.patience_s(_clock())
                    coming = self._next() if wait_s is None else self._patiently(self._next(), wait_s)
                    # No name for the input: it would keep its bytes until the next one comes.
                    todo.extend(await self._receive(await coming))
            except _OvertakenError:
                pass

    async def _abort(self, code: ErrorCode) -> None:
        commands = await self._receive(_aborted(code)) or self._unseen  # it may have ended in the meantime
        if not commands:
            if self._response is not None:
                self._cut()  # a part is missing, and an orderly end would hide that
            raise ConnectionResetError("the end of the answer was interrupted")
        await self._loop(commands)

    async def _receive(self, event: Input) -> list[Command]:
        """The commands that follow from an input. A long step runs in a thread; nothing else touches the exchange
        meanwhile."""
        if self._steps is None or is_short(event, self.exchange):
            commands = self.exchange.receive(event)
        else:
            step = partial(self.exchange.receive, event)
            try:
                commands = await self._steps.run(self.exchange.setting.tenant, step)
            except Interrupted as interrupted:
                self._unseen = interrupted.result
                raise
        if self._is_traced:
            _show(event, commands)
        return commands

    async def _patiently(self, work: Coroutine[Any, Any, Result], wait_s: float | None) -> Result:
        """The result of `work`. Wakes the exchange after `wait_s`, and then as often as it asks while it waits. Raises
        `_OvertakenError`."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=wait_s))[0]:
                commands = await self._receive(Waited(_clock()))
                # Anything but a keep-alive means that the exchange no longer waits for this result.
                if not all(isinstance(command, (SendHead, SendData)) for command in commands):
                    self._todo.extend(commands)
                    raise _OvertakenError
                for command in commands:
                    await self._perform(command)
                self._pieces.pause()
                wait_s = self.exchange.patience_s(_clock())
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)  # a cancellation of the exchange is no result

    def _arrived(self) -> Input:
        """The next event of an answer that has arrived in full."""
        try:
            data = self._upstream.arrived()
        except UpstreamError as error:
            return self._failed(error)
        return DataReceived(data, _clock()) if data else ResponseEnded(_clock())

    def _failed(self, error: UpstreamError) -> UpstreamFailed:
        self._retry_s = error.retry_s or self._retry_s
        return UpstreamFailed(error.code, str(error), error.status, _clock(), error.cause or "")

    async def _next(self) -> Input:
        """The next event of the upstream, or of an answer from the cache."""
        if self.recall is not None and self.recall.coming:
            return self.recall.coming.popleft()
        try:
            if self._upstream.sending is not None:
                response = await self._upstream.head()
                self.targets.note(response.status, response.headers)
                cache = self.recall.told if self.recall else None
                return ResponseStarted(response.status, response.content_type, at_s=_clock(), cache=cache)
            data = await self._upstream.read()
        except UpstreamError as error:
            return self._failed(error)
        if self.recall is not None:
            self.recall.note(data)
        return DataReceived(data, _clock()) if data else ResponseEnded(_clock())

    async def _perform(self, command: Command) -> Sequence[Command]:
        """Carries out a command. Returns the commands that follow from it. Raises `_OvertakenError`."""
        match command:
            case RunScans():
                began = _clock()
                scanning = self._scanner.scan(command.jobs, self.exchange.setting.tenant)
                wait_s = self.exchange.patience_s(began)
                scans = await (scanning if wait_s is None else self._patiently(scanning, wait_s))
                now = _clock()
                self._scan_s += now - began
                return await self._receive(Scanned(scans, now))
            case SendUpstream():
                self.note_sent()
                if command.earlier is not None or command.deleted:
                    await self._note_earlier(command)
                if command.cache is not None or self.recall is not None:
                    self.recall = await recalled(command, self.recall, self.caches, self._request, self.targets)
                    if self.recall is not None and self.recall.coming:
                        return []
                # Where a policy asks for an intent, it is durable before the first byte goes upstream: after a crash, the log
                # shows that the request may have been sent.
                if not self._is_intended:  # all attempts share an intent
                    self._is_intended = await _keep_intent(self.exchange, self._recorder, self._metrics)
                if not self._is_intended:
                    return await self._receive(_aborted(ErrorCode.AUDIT_UNAVAILABLE))
                url, headers = self.targets.ask(command.target)
                if self.targets.repeated is not None:
                    headers = await self.targets.repeated.written(headers, command.body)
                self.url = _with_path(url, self.exchange.setting, command.path) if command.path else url
                self._upstream.begin(self._request.method, self.url, headers, command.body, at_once=command.parallel)
                return []
            case SendHead():
                self._head = command
            case SendData():
                self._pieces.sent(self._head)
                await self._send(command.data)
            case CancelUpstream():
                self._upstream.close()
            case ReleaseUpstream():
                self._upstream.release()
            case Finish():
                await self._finish(command)
            case recollection.RecallMemory() | recollection.ClaimMemory():
                return await self._remembered(command)
        return []

    async def _remembered(self, command: recollection.MemoryCommand) -> Sequence[Command]:
        """Asks the memory of earlier exchanges."""
        memory = self._memory = self._memory or UsedMemory(self.memories)
        wait_s = self.exchange.patience_s(_clock())
        answering = memory.answer(self.exchange.setting, command, _clock)
        return await self._receive(await (answering if wait_s is None else self._patiently(answering, wait_s)))

    async def _keep_memory(self) -> None:
        """Keeps what the exchange leaves for later ones. Only then the client gets the end of the answer."""
        exchange = self.exchange
        if self._memory is not None and self._memory.is_open and isinstance(exchange, Exchange):
            await self._memory.keep(await self._beside(lambda: exchange.memory_changes))

    async def _note_earlier(self, command: SendUpstream) -> None:
        """Gives the exchange the values of the turns to which the request refers. Forgets those of a turn that it deletes."""
        if self.earlier is None:
            return
        tenant = self.exchange.setting.tenant
        if command.deleted:
            await self.earlier.forget(tenant, command.deleted)
        self._is_turn = command.earlier is not None
        if command.earlier and (groups := await self.earlier.find(tenant, command.earlier)):
            await self._receive(ValuesFound(groups, _clock()))

    async def _keep_values(self) -> None:
        """Keeps the values of the request, once, for the turns that may follow. Only then the client gets the end of the
        answer."""
        exchange = self.exchange
        if self.earlier is None or not isinstance(exchange, Exchange):
            return
        if (turn := await self._beside(lambda: exchange.stored_turn)) is not None:
            await self.earlier.keep(exchange.setting.tenant, turn)
        self._is_turn = False

    async def _send(self, data: bytes) -> None:
        response = self._response
        if response is None:
            response = await self._begin()
        if len(data) <= SLICE_BYTES:
            await self._written(response.write(data))
            return
        for at in range(0, len(data), SLICE_BYTES):  # the time limit is for a slice
            await self._written(response.write(data[at : at + SLICE_BYTES]))

    async def _written(self, writing: Awaitable[None]) -> None:
        """Waits for a write of a slice at most. A client that takes too long for it, and for what waits before it, counts as
        gone."""
        try:
            with self._deadlines.within(self._write_s):
                await writing
        except TimeoutError:
            self._cut()
            raise ConnectionResetError("the client stopped reading") from None

    def _cut(self) -> None:
        """Closes the connection of the client at once."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _beside(self, step: Callable[[], Result]) -> Result:
        """The result of `step`, which only reads the exchange. Runs in a thread if the exchange is large."""
        if self._steps is None or is_small(self.exchange):
            return step()
        return await self._steps.run(self.exchange.setting.tenant, step)

    def _headers(self) -> CIMultiDict[str]:
        headers = answer_headers(
            self._head,
            self._upstream.response,
            self.exchange,
            more=self._more,
            retry_s=self._retry_s,
            own=self.own_headers,
            recall=self.recall,
        )
        if self.amend is not None and self._upstream.response is not None:
            self.amend(headers, self._upstream.response.headers)
        return headers

    async def _begin(self) -> web.StreamResponse:
        headers = await self._beside(self._headers)
        self._response = web.StreamResponse(status=self._head.status if self._head else 500, headers=headers)
        if self._request.version >= (1, 1):
            self._response.enable_chunked_encoding()
        await self._response.prepare(self._request)
        return self._response

    async def _finish(self, command: Finish) -> None:
        """Keeps the record, then sends the end of the answer."""
        # Before the record is kept: a cancellation from here on must find the end of the exchange, not begin another
        # one.
        self.finished = command
        began = _clock()
        data, self.is_recorded = command.data, True
        is_large = self._steps is not None and not is_small(self.exchange)
        try:
            record = await self._beside(lambda: command.record) if is_large else command.record
            # Before the wait: the recorder keeps the record even if the wait is cancelled, and it must not get it
            # twice.
            self._is_taken = True
            await self._recorder.keep(record)
        except AuditError as error:
            _log.error("record not kept", extra={"id": self.exchange.setting.id, "error": str(error)})
            # An exchange without a record may have no effect: not for its client, and not for later exchanges.
            data, self.is_recorded, self._is_turn = command.failed, False, False
            self._memory = None
        self._metrics.commit.observe(_clock() - began)
        if self.recall is not None and self.is_recorded:
            self.recall.finish(self.exchange, command.outcome)
        if self._is_turn:
            await self._keep_values()
        if self._memory is not None:
            await self._keep_memory()
        if self._response is None:
            self._head = self._head if self.is_recorded else None
            status = self._head.status if self._head else 503
            headers = await self._beside(self._headers) if is_large else self._headers()
            if len(data) <= self.whole_bytes or self._request.method == "HEAD":
                self._response = whole_response(self._request, status, data, headers)
                return
            self._response = web.StreamResponse(status=status, headers=headers)
            self._response.content_length = len(data)
            await self._response.prepare(self._request)
        if data:
            await self._send(data)
        await self._written(self._response.write_eof())

    async def _gone(self) -> None:
        """Ends the exchange of a client that left. Its record is kept, however often the task is cancelled meanwhile: aiohttp
        cancels it when the connection ends, also if the driver has cut it, and so does the end of the proxy."""
        ending = asyncio.ensure_future(self._end_without_client())
        is_cancelled = False
        while not ending.done():
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                is_cancelled = True
        ending.result()
        if is_cancelled:
            raise asyncio.CancelledError

    async def _end_without_client(self) -> None:
        if self.finished is None:
            # If the exchange had ended already, its `Finish` is among the commands that nobody has carried out.
            commands = await self._receive(DownstreamGone(_clock())) or [*self._unseen, *self._todo]
            self.finished = next((command for command in commands if isinstance(command, Finish)), None)
        if self.finished is not None and not self._is_taken:
            finish = self.finished
            record = await self._beside(lambda: finish.record)
            self._is_taken = True
            self._recorder.take(record)
        if self._is_turn:
            await self._keep_values()
        if self._memory is not None:
            await self._keep_memory()


def _show(event: Input, commands: Sequence[Command]) -> None:
    _log.debug(">> " + line(event))
    for command in commands:
        _log.debug("<< " + line(command))


async def _keep_intent(exchange: Exchange | PassThrough, recorder: Recorder, metrics: Metrics) -> bool:
    """Writes the intent of an exchange, if policies want one. Returns whether that was possible."""
    intent = exchange.intent
    if intent is None:
        return True
    began = _clock()
    try:
        await recorder.keep(intent)
    except AuditError as error:
        _log.error("intent not kept", extra={"id": exchange.setting.id, "error": str(error)})
        return False
    finally:
        metrics.intent.observe(_clock() - began)
    return True


def _aborted(code: ErrorCode) -> Aborted:
    return Aborted(code, code.message(), code.status, _clock())


def answer_headers(
    head: SendHead | None,
    upstream: AnswerHead | None,
    exchange: Exchange | PassThrough,
    more: Collection[str],
    retry_s: int,
    own: Mapping[str, str],
    recall: Recall | None = None,
) -> CIMultiDict[str]:
    """The headers of an answer: those of the upstream that are forwarded, or our own. `head`: `None` where an answer ends
    before it begins; `more`: names that settings allow; `retry_s`: what a 503 says in `Retry-After`, at least; `own`: what the
    proxy tells of its limits; `recall`: the cache, if it was asked."""
    forwarded = recall.response if recall is not None and recall.response else upstream
    if head is None or head.own or forwarded is None:
        headers = CIMultiDict(head.headers if head else ())
        headers["Content-Type"] = exchange.setting.codec.contract.media.whole
        if head is None or head.status == 503:  # no capacity, no upstream or no audit log: all are temporary
            headers["Retry-After"] = str(max(retry_s, int(headers.get("Retry-After", "1"))))
    else:
        headers = downstream_headers(forwarded.headers, exchange.sensitive_values, more)
        if head.streamed:
            headers["Cache-Control"] = "no-cache, no-transform"
            headers["X-Accel-Buffering"] = "no"
    if head and head.receipt:
        headers[RECEIPT_HEADER] = head.receipt
    if own:  # what the upstream tells of its limits is about the key of the proxy
        prefixes = exchange.setting.policies.formats.limit_prefixes
        for name in [name for name in headers if name.lower().startswith(prefixes)]:
            headers.popall(name, None)
        headers.extend(own)
    if recall is not None:
        headers.update(recall.headers)
    headers["x-guardproxy-id"] = exchange.setting.id
    headers["Server"] = "guardproxy"
    return headers


def _with_path(url: str, setting: Setting, path: str) -> str:
    """Returns the URL of the request with another path and the same query."""
    query = f"?{setting.address.query}" if setting.address.query else ""
    return url.removesuffix(setting.address.path + query) + path + query
