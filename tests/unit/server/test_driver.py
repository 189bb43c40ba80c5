"""The driver's own part: a client that stops reading is gone, and its connection with it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from guardproxy.config import Config
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

    def abort(self) -> None:
        self.aborted = True


def driver(transport: Transport) -> Driver:
    nothing: Any = None
    request: Any = SimpleNamespace(transport=transport)
    return Driver(
        nothing, request, nothing, nothing, nothing, Metrics(), Config(timeout_write_s=0.01, limit_answer_rate=0)
    )


async def test_a_client_that_stops_reading_is_cut_off() -> None:
    transport = Transport()
    with pytest.raises(ConnectionResetError):
        await driver(transport)._written(asyncio.get_running_loop().create_future())
    assert transport.aborted


@pytest.mark.parametrize(("rate", "limit_s"), [(0, 30.0), (1024, 128.0), (4096, 32.0), (1 << 20, 30.0)])
async def test_a_client_must_take_what_waits_for_it_at_a_rate(rate: int, limit_s: float) -> None:
    nothing: Any = None
    config = Config(limit_answer_rate=rate)
    assert Driver(nothing, nothing, nothing, nothing, nothing, Metrics(), config)._write_s == limit_s


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
