"""The state of the settings: in memory, or in a server, whose absence is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import redis

from guardproxy.config import load
from guardproxy.errors import ConfigError, StoreError
from guardproxy.gateway.store import Add, Answer, MemoryStore, Settle, Take, lease_of
from guardproxy.server.state import SharedState
from tests.kit.valkey import valkey

UPSTREAM = {"upstream": ("https://a.example",)}


def counted(state: SharedState, times: int) -> list[Answer]:
    async def count() -> list[Answer]:
        answers = [(await state.store.perform([Add("n", 1, 100)]))[0] for _ in range(times)]
        await state.close()
        return answers

    return asyncio.run(count())


def test_without_an_address_each_process_counts_its_own() -> None:
    state = SharedState(load(UPSTREAM, {}).clients)
    assert isinstance(state.store, MemoryStore)
    assert counted(state, 2) == [1, 2]


def test_processes_share_a_server(tmp_path: Path) -> None:
    with valkey(tmp_path) as url:
        assert counted(SharedState(load(UPSTREAM | {"state": url}, {}).clients), 2) == [1, 2]
        assert counted(SharedState(load(UPSTREAM | {"state": url}, {}).clients), 2) == [3, 4]


def test_a_server_that_is_away_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    values = UPSTREAM | {"state": f"unix://{tmp_path}/valkey.sock", "state_down": "local"}
    state = SharedState(load(values, {}).clients)
    assert counted(state, 2) == [1, 2]
    assert state.fault == ("the state cannot be reached: ConnectionError",)
    with valkey(tmp_path):
        state = SharedState(load(values, {}).clients)
        assert counted(state, 1) == [1]
    assert state.fault == ()
    state._note("")
    assert [record.message for record in caplog.records] == ["state not reached", "state reached again"]
    with pytest.raises(StoreError):
        counted(SharedState(load(values | {"state_down": "closed"}, {}).clients), 1)


def test_another_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="`state` must be like redis://host:6379/0"):
        load(UPSTREAM | {"state": "http://host"}, {})


async def test_the_lease_is_renewed_and_ended_and_what_nobody_holds_is_given_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with valkey(tmp_path) as url:
        state = SharedState(load(UPSTREAM | {"state": url}, {}).clients)
        state.lease.named = lambda: [("s", "open")]
        owner = state.lease.owner
        for name in ("open", "lost"):
            await state.store.perform([Take("s", name, 1, 9, 100, 100, owner=owner)])
        running = asyncio.create_task(state.run())
        async with asyncio.timeout(60):
            while "given back" not in caplog.text:  # noqa: ASYNC110 - the log tells nobody
                await asyncio.sleep(0)
        assert await state.store.perform([Take("s", "probe", 0, 9, 9, 9)]) == (1,)
        running.cancel()
        await state.close()
        with redis.Redis.from_url(url) as client:
            assert not client.exists(f"guardproxy:{lease_of(owner)}")


async def test_what_is_never_counted_is_told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.gateway.store.failover.MOST_KEPT", 1)
    state = SharedState(load(UPSTREAM | {"state": "unix:///nobody.sock"}, {}).clients)
    for name in ("a", "b"):
        await state.store.perform([Settle("s", name, 1, 1, True, 9)])
    await state.close()
    assert [(record.message, record.__dict__["count"]) for record in caplog.records if "count" in record.__dict__] == [
        ("usage of exchanges is lost and not counted", 2)
    ]
    assert state.fault
