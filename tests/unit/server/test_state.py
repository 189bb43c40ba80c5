"""The state of the settings: in memory, or in a server, whose absence is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from guardproxy.config import load
from guardproxy.errors import ConfigError, StoreError
from guardproxy.gateway import Add, Answer, MemoryStore
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
    state = SharedState(load(UPSTREAM, {}))
    assert isinstance(state.store, MemoryStore)
    assert counted(state, 2) == [1, 2]


def test_processes_share_a_server(tmp_path: Path) -> None:
    with valkey(tmp_path) as url:
        assert counted(SharedState(load(UPSTREAM | {"state": url}, {})), 2) == [1, 2]
        assert counted(SharedState(load(UPSTREAM | {"state": url}, {})), 2) == [3, 4]


def test_a_server_that_is_away_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    values = UPSTREAM | {"state": f"unix://{tmp_path}/valkey.sock", "state_down": "local"}
    state = SharedState(load(values, {}))
    assert counted(state, 2) == [1, 2]
    assert state.trouble == ("the state cannot be reached: ConnectionError",)
    with valkey(tmp_path):
        state = SharedState(load(values, {}))
        assert counted(state, 1) == [1]
    assert state.trouble == ()
    state._note("")
    assert [record.message for record in caplog.records] == ["state not reached", "state reached again"]
    with pytest.raises(StoreError):
        counted(SharedState(load(values | {"state_down": "closed"}, {})), 1)


def test_another_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="`state` must be like redis://host:6379/0"):
        load(UPSTREAM | {"state": "http://host"}, {})
