"""The driver's own part: a client that stops reading is gone, and its connection with it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from guardproxy.config import Config
from guardproxy.server.deadlines import Deadlines
from guardproxy.server.driver import Driver, _with_path
from guardproxy.server.status import Metrics
from tests.kit.play import policy_set, setting

POLICY = """
policy: p
checks:
  word: {use: pattern, words: [x]}
rules:
  - {id: r, on: request, when: word, action: flag}
"""


class Transport:
    aborted = False
    waiting_bytes = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def abort(self) -> None:
        self.aborted = True


def driver(transport: Transport | None, **settings: Any) -> Driver:
    nothing: Any = None
    request: Any = SimpleNamespace(transport=transport)
    return Driver(nothing, request, nothing, nothing, nothing, Metrics(), Config(timeout_write_s=0.01, **settings))


async def test_a_client_that_stops_reading_is_cut_off() -> None:
    transport = Transport()
    with pytest.raises(ConnectionResetError):
        await driver(transport)._written(asyncio.get_running_loop().create_future())
    assert transport.aborted


@pytest.mark.parametrize(
    ("rate", "waiting_bytes", "limit_s"),
    [(0, 65536, 0.01), (1024, 0, 1.0), (1024, 64512, 64.0), (1 << 20, 0, 0.01)],
)
async def test_a_client_must_take_what_waits_for_it_at_a_rate(
    rate: int, waiting_bytes: int, limit_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, limits = Transport(), list[float]()
    transport.waiting_bytes = waiting_bytes
    driving = driver(transport, limit_answer_rate=rate)
    within = driving._deadlines.within

    def noted(self: Deadlines, limit_s: float) -> Any:
        limits.append(limit_s)
        return within(limit_s)

    monkeypatch.setattr(Deadlines, "within", noted)
    written = asyncio.get_running_loop().create_future()
    written.set_result(None)
    await driving._written(written, 1024)
    assert limits == [limit_s]


async def test_without_a_connection_there_is_nothing_to_measure() -> None:
    written = asyncio.get_running_loop().create_future()
    written.set_result(None)
    await driver(None)._written(written)


async def test_a_write_that_goes_through_changes_nothing() -> None:
    transport = Transport()
    written = asyncio.get_running_loop().create_future()
    written.set_result(None)
    await driver(transport)._written(written)
    assert not transport.aborted


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
