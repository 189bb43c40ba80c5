"""The driver's own part: a client that stops reading is gone, and its connection with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from multidict import CIMultiDict

from guardproxy.audit import Record
from guardproxy.config import Config
from guardproxy.exchange import Command, DownstreamGone, Finish, Input, SendData, SendHead, SendUpstream, Waited
from guardproxy.server.driving.driver import Driver, Pieces, _with_path
from guardproxy.server.driving.offload import Steps
from guardproxy.server.observing.metrics import DurationBuckets, Metrics
from tests.kit.play import policy_set, setting
from tests.kit.records import plain_record

POLICY = """
policy: p
checks:
  word: {use: pattern, words: [x]}
rules:
  - {id: r, on: request, when: word, action: flag}
"""


class Transport:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


def driver(transport: Transport) -> Driver:
    nothing: Any = None
    request: Any = SimpleNamespace(transport=transport)
    return Driver(
        nothing, request, nothing, nothing, nothing, Metrics(), Config.of(timeout_write_s=0.01, limit_answer_rate=0)
    )


async def test_a_client_that_stops_reading_is_cut_off() -> None:
    transport = Transport()
    with pytest.raises(ConnectionResetError):
        await driver(transport)._written(asyncio.get_running_loop().create_future())
    assert transport.aborted


@pytest.mark.parametrize(("rate", "limit_s"), [(0, 30.0), (1024, 128.0), (4096, 32.0), (1 << 20, 30.0)])
async def test_a_client_must_take_what_waits_for_it_at_a_rate(rate: int, limit_s: float) -> None:
    nothing: Any = None
    config = Config.of(limit_answer_rate=rate)
    assert Driver(nothing, nothing, nothing, nothing, nothing, Metrics(), config)._write_s == limit_s


async def test_a_write_that_goes_through_changes_nothing() -> None:
    transport = Transport()
    written = asyncio.get_running_loop().create_future()
    written.set_result(None)
    await driver(transport)._written(written)
    assert not transport.aborted


class Ending:
    """An exchange that ends when its client is gone."""

    setting = SimpleNamespace(tenant="acme", id="0123")

    stored_turn: object = None

    def __init__(self, finish: Finish) -> None:
        self.finish = finish

    def receive(self, event: Input) -> list[Command]:
        return [self.finish] if isinstance(event, DownstreamGone) else []


@dataclass
class Desk:
    """A driver whose steps wait for `go_on`. `taken`: the records that the recorder has."""

    finish: Finish = field(default_factory=lambda: Finish("client_closed", composing=lambda: plain_record(id="0123")))
    steps: Steps = field(default_factory=lambda: Steps(1))
    go_on: threading.Event = field(default_factory=threading.Event)
    taken: list[Record] = field(default_factory=list)

    def driver(self) -> Driver:
        nothing: Any = None
        recorder: Any = SimpleNamespace(take=self.taken.append)
        exchange: Any = Ending(self.finish)
        self.steps._pool.submit(self.go_on.wait)
        return Driver(exchange, nothing, nothing, nothing, recorder, Metrics(), Config(), self.steps)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Every step of its exchange is a long one."""
    monkeypatch.setattr("guardproxy.server.driving.driver.is_short", lambda event, exchange: False)
    monkeypatch.setattr("guardproxy.server.driving.driver.is_small", lambda exchange: False)
    made = Desk()
    yield made
    made.go_on.set()
    made.steps.close()


async def test_a_record_is_kept_however_often_its_task_is_cancelled(desk: Desk) -> None:
    task = asyncio.create_task(desk.driver()._gone())
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    desk.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert desk.taken == [desk.finish.record]


async def test_a_record_is_kept_if_the_client_leaves_while_it_is_made(desk: Desk) -> None:
    driver = desk.driver()
    task = asyncio.create_task(driver._finish(desk.finish))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    desk.go_on.set()
    for _ in range(2):
        await driver._gone()
    assert desk.taken == [desk.finish.record]


@pytest.mark.parametrize("where", ["record", "values", "nowhere"])
async def test_values_are_kept_once_wherever_the_client_leaves(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    turn, hangs, kept, written = object(), [where], list[object](), list[object]()

    async def arrive(place: str) -> None:
        if place in hangs:
            hangs.remove(place)
            await asyncio.get_running_loop().create_future()

    async def keep(tenant: str, values: object) -> None:
        await arrive("values")
        kept.append(values)

    async def write(record: Record) -> None:
        written.append(record)
        await arrive("record")

    finish = Finish("answered", b"end", lambda: plain_record(id="0123"))
    made, nothing = Ending(finish), cast(Any, None)
    made.stored_turn = turn
    monkeypatch.setattr("guardproxy.server.driving.driver.Exchange", Ending)
    monkeypatch.setattr(Driver, "_headers", lambda driver: CIMultiDict[str]())
    recorder: Any = SimpleNamespace(keep=write, take=written.append)
    request: Any = SimpleNamespace(method="POST")
    exchange: Any = made
    driver = Driver(exchange, request, nothing, nothing, recorder, Metrics(), Config())
    driver.earlier, driver._is_turn = cast(Any, SimpleNamespace(keep=keep)), True
    task = asyncio.create_task(driver._finish(finish))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await driver._gone()
    assert (kept, len(written)) == ([turn], 1)


class Over:
    """An exchange that is over with its first input, which gives text and the end behind it."""

    setting = SimpleNamespace(tenant="acme", id="0123")
    seals_ids = False

    def __init__(self, finish: Finish) -> None:
        self.commands: list[Command] = [SendData(b"text"), finish]

    def receive(self, event: Input) -> list[Command]:
        commands, self.commands = self.commands, []
        return commands

    def patience_s(self, at_s: float) -> float | None:
        return None


class ClientSide:
    """An answer on its way to a client. `is_read`: whether the client takes it."""

    def __init__(self, *, is_read: bool) -> None:
        self.is_read = is_read
        self.begun = asyncio.Event()

    async def write(self, data: bytes) -> None:
        self.begun.set()
        if not self.is_read:
            await asyncio.get_running_loop().create_future()


class EndedUpstream:
    """An upstream that nobody may ask for more."""

    sending = response = None

    def close(self) -> None:
        pass

    async def read(self) -> bytes:
        raise AssertionError("the exchange is over")


@pytest.mark.parametrize("is_read", [False, True], ids=["text waits", "record is made"])
@pytest.mark.parametrize("end", ["client leaves", "shutdown", "time-out"])
async def test_a_record_is_kept_if_the_end_of_an_answer_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, end: str, is_read: bool
) -> None:
    monkeypatch.setattr("guardproxy.server.driving.driver.is_small", lambda exchange: False)
    composing, go_on = threading.Event(), threading.Event()

    def compose() -> Record:
        composing.set()
        go_on.wait()
        return plain_record(id="0123")

    finish, steps, transport, taken = Finish("answered", b"end", compose), Steps(1), Transport(), list[Record]()
    recorder: Any = SimpleNamespace(take=taken.append)
    client: Any = ClientSide(is_read=is_read)
    nothing: Any = None
    exchange: Any = Over(finish)
    request: Any = SimpleNamespace(transport=transport)
    upstream: Any = EndedUpstream()
    driver = Driver(exchange, request, upstream, nothing, recorder, Metrics(), Config(), steps)
    driver._response, driver._head = client, SendHead(200, streamed=True)
    task = asyncio.create_task(driver.run(nothing))
    await client.begun.wait()
    if is_read:
        await asyncio.to_thread(composing.wait)
    if end == "time-out":
        driver._deadlines._limits[0].give_up()
    else:
        if end == "shutdown":
            driver.abort()
        task.cancel()
    go_on.set()
    await asyncio.wait({task})
    steps.close()
    assert taken == [finish.record]
    assert transport.aborted == (end != "client leaves")


class Impatient:
    """An exchange that ends when it has waited, or asks again."""

    setting = SimpleNamespace(tenant="acme", id="0123")
    seals_ids = False

    def __init__(self, last: Command) -> None:
        self.last = last
        self.inputs: list[Input] = []

    def receive(self, event: Input) -> list[Command]:
        self.inputs.append(event)
        return [self.last] if isinstance(event, Waited) else []

    def patience_s(self, at_s: float) -> float | None:
        return 0.0


class LeavingClient(EndedUpstream):
    """An upstream whose client leaves while its answer is given up."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task

    async def read(self) -> bytes:
        try:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
        finally:
            self._task.cancel()


@pytest.mark.parametrize("last", [Finish("late", b"", plain_record(id="0123")), SendUpstream(b"{}")])
async def test_a_client_that_leaves_while_an_answer_is_given_up_is_gone(last: Command) -> None:
    taken = list[Record]()
    recorder: Any = SimpleNamespace(take=taken.append)
    exchange: Any = Impatient(last)
    nothing: Any = None

    async def run() -> None:
        task: Any = asyncio.current_task()
        upstream: Any = LeavingClient(task)
        await Driver(exchange, nothing, upstream, nothing, recorder, Metrics(), Config()).run(nothing)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(run())
    assert isinstance(exchange.inputs[-1], DownstreamGone)
    assert len(taken) == isinstance(last, Finish)


@pytest.mark.parametrize(
    ("url", "query", "expected"),
    [
        ("http://u/base/models/m/chat", "", "http://u/base/models/n/chat"),
        ("http://u/models/m/chat?beta=true", "beta=true", "http://u/models/n/chat?beta=true"),
        ("http://u/models/m/chat/models/m/chat", "", "http://u/models/m/chat/models/n/chat"),
    ],
)
def test_another_model_in_the_path_changes_the_end_of_the_url(url: str, query: str, expected: str) -> None:
    about = setting(policy_set(POLICY), "POST /models/{model}/chat", path="/models/m/chat", query=query)
    assert _with_path(url, about, "/models/n/chat") == expected


STREAM = SendHead(200, streamed=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    times = [1.0, 1.5, 4.0, 4.25]
    monkeypatch.setattr("time.perf_counter", lambda: times.pop(0))
    return times


def test_each_piece_is_measured_from_the_one_before(clock: list[float]) -> None:
    between = DurationBuckets()
    pieces = Pieces(between.observe)
    for _ in range(4):
        pieces.sent(STREAM)
    assert (sum(between.counts), between.sum_s) == (3, 3.25)


def test_a_keep_alive_is_no_piece(clock: list[float]) -> None:
    between = DurationBuckets()
    pieces = Pieces(between.observe)
    pieces.sent(STREAM)
    pieces.sent(STREAM)
    pieces.pause()
    pieces.sent(STREAM)
    pieces.sent(STREAM)
    assert (sum(between.counts), between.sum_s) == (2, 0.75)


@pytest.mark.parametrize("head", [None, SendHead(200, streamed=False)])
def test_an_answer_that_is_no_stream_is_not_measured(head: SendHead | None, clock: list[float]) -> None:
    between = DurationBuckets()
    pieces = Pieces(between.observe)
    pieces.sent(head)
    assert len(clock) == 4
    assert sum(between.counts) == 0
