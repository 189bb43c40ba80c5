"""Long steps run in threads: a step that has not begun is dropped, one that runs is waited for, tenants share."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from msgspec import structs

from guardproxy.concurrency import ScanStopped, stop_point, stoppable
from guardproxy.exchange import PassThrough, SealedIds
from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.gate import GivenValues
from guardproxy.exchange.inputs.transcript import (
    DataReceived,
    DownstreamGone,
    Finish,
    RequestReceived,
    ResponseStarted,
    Scanned,
    ValuesFound,
)
from guardproxy.server.driving.offload import SHORT_DATA_BYTES, SHORT_RESTORED_BYTES, Interrupted, Steps, is_short
from guardproxy.wire.formats.openai_responses.field_map import STORED
from tests.kit.media import PNG
from tests.kit.play import KEYS, Play, chat_frames, policy_set, seal, setting

POLICY = """
policy: p
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.io"]}
rules:
  - {id: mail, on: request, when: mail, action: redact}
"""


def answering(user: str) -> Exchange:
    """An exchange whose answer has begun."""
    play = Play(policy_set(POLICY))
    play.ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": user}]})
    play.tell(ResponseStarted(200, "text/event-stream"))
    play.tell(DataReceived(chat_frames([{"content": "Hi"}])[0]))
    play.scan()
    return play.exchange


def test_many_values_that_come_back_at_once_are_a_long_step() -> None:
    """A frame of 4 KiB holds two hundred placeholders, and each costs some tens of microseconds."""
    plain, restoring = answering("hello"), answering("I am jo@ab.io")
    assert plain.size.restorable == 0
    assert restoring.size.restorable == 1
    for size, without, those in (
        (SHORT_RESTORED_BYTES, True, True),
        (SHORT_RESTORED_BYTES + 1, True, False),
        (SHORT_DATA_BYTES + 1, False, False),
    ):
        data = DataReceived(b"x" * size)
        assert is_short(data, plain) == without
        assert is_short(data, restoring) == those


def test_values_in_what_was_held_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = answering("I am jo@ab.io")
    assert is_short(Scanned(()), exchange)
    size = structs.replace(exchange.size, held_chars=SHORT_RESTORED_BYTES + 1)
    monkeypatch.setattr(Exchange, "size", size)
    assert not is_short(Scanned(()), exchange)
    assert not is_short(DataReceived(b""), exchange)
    monkeypatch.setattr(Exchange, "size", structs.replace(size, restorable=0))
    assert is_short(Scanned(()), exchange)
    assert is_short(DataReceived(b""), exchange)


@pytest.mark.parametrize(("values", "groups"), [(1000, 1), (1, 300)])
def test_many_values_of_earlier_turns_are_taken_in_a_thread(values: int, groups: int) -> None:
    exchange = answering("hi")
    causes = (("user", "mail", "MAIL"),)
    tokens = {f"[A_{number}]": "1" for number in range(values)}
    group = GivenValues(kinds=None, hosts=(), causes=causes, values=tokens)
    assert not is_short(ValuesFound((group,) * groups), exchange)
    assert is_short(ValuesFound((structs.replace(group, values={"[A_1]": "1"}),)), exchange)


async def test_a_step_gives_its_result() -> None:
    steps = Steps()
    assert await steps.run("t", threading.get_ident) != threading.get_ident()
    steps.close()


async def test_a_step_that_runs_is_waited_for() -> None:
    steps, begun, go = Steps(), threading.Event(), threading.Event()

    def step() -> str:
        begun.set()
        go.wait(10)
        return "result"

    task = asyncio.ensure_future(steps.run("t", step))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=0.01)
    assert not done, "its exchange is in use"
    go.set()
    with pytest.raises(Interrupted) as raised:
        await task
    assert raised.value.result == "result"
    steps.close()


@pytest.mark.parametrize("can_stop", [True, False])
async def test_a_step_that_nobody_waits_for_stops_at_its_next_stop_point(can_stop: bool) -> None:
    steps, begun, given_up = Steps(), threading.Event(), threading.Event()

    def step() -> str:
        begun.set()
        given_up.wait(10)
        for _ in range(1000):
            stop_point()
        return "the end"

    task = asyncio.ensure_future(steps.run("t", step, can_stop=can_stop))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.wait({task}, timeout=0)
    given_up.set()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert isinstance(raised.value, Interrupted) == (not can_stop)
    assert await steps.run("t", lambda: "free", can_stop=True) == "free"
    steps.close()


def test_an_exchange_whose_request_was_read_in_part_can_be_ended_and_its_record_shows_no_text_of_it() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    words = {"type": "text", "text": "I am jo@ab.io"}
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": [words, image]}] * 3}).encode()
    looks: list[None] = []
    with stoppable(lambda: looks.append(None)):
        Play(policy_set(POLICY)).exchange.receive(RequestReceived(body))
    assert len(looks) > 9
    for count in range(len(looks)):
        play = Play(policy_set(POLICY))
        left = iter(range(count))

        def look(left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise ScanStopped

        with stoppable(look), pytest.raises(ScanStopped):
            play.exchange.receive(RequestReceived(body))
        *_, finish = play.exchange.receive(DownstreamGone())
        assert isinstance(finish, Finish)
        assert (finish.record.outcome, finish.record.sizes["request"]) == ("client_closed", len(body))
        assert "jo@ab" not in finish.record.to_json().decode()


async def test_a_step_that_has_not_begun_is_dropped_and_tenants_share() -> None:
    steps, go = Steps(threads=2, share=1), threading.Event()
    first = asyncio.ensure_future(steps.run("one", lambda: go.wait(10)))
    ran: list[str] = []
    second = asyncio.ensure_future(steps.run("one", lambda: ran.append("second")))
    await steps.run("two", lambda: ran.append("two"))
    assert ran == ["two"], "the other tenant's thread is free"
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go.set()
    assert await first
    assert ran == ["two"]
    assert not steps._tenants
    steps.close()


def test_large_data_whose_ids_are_sealed_is_no_work_of_the_loop() -> None:
    route, large = "GET /v1/responses/{id}", DataReceived(b"{" * (SHORT_DATA_BYTES + 1))
    sealing = PassThrough(setting(policy_set(), route, keys=replace(KEYS, ids=SealedIds(seal, "acme", STORED))))
    assert not is_short(large, sealing)
    assert is_short(DataReceived(b"{"), sealing)
    assert is_short(large, PassThrough(setting(policy_set(), route)))
