"""Asking the proxy: open pages share an answer, and what was asked once is not kept for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from guardproxy.console.proxy_client import KEPT_S, LIMIT_KEPT, ProxyClient, ProxyError


class Counting(ProxyClient):
    """A client whose answers are counted. `now_s`: what its clock says."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.asked: list[tuple[str, str]] = []
        super().__init__(None, lambda: self.now_s)

    async def _ask(self, method: str, path: str) -> str:
        self.asked.append((method, path))
        await asyncio.sleep(0)
        return "[1]" if path != "/text" else "<html>"


async def test_pages_that_ask_at_once_share_an_answer_for_a_moment() -> None:
    client = Counting()
    assert await asyncio.gather(*(client.get("/a") for _ in range(5))) == [[1]] * 5
    assert client.asked == [("GET", "/a")]
    client.now_s = KEPT_S
    await client.get("/a")
    assert len(client.asked) == 2
    await client.post("/b")
    await client.get("/a")
    assert client.asked[2:] == [("POST", "/b"), ("GET", "/a")], "after a change everything is asked anew"


async def test_what_was_asked_once_is_not_kept_for_ever() -> None:
    client = Counting()
    for number in range(20 * LIMIT_KEPT):
        client.now_s += KEPT_S / 10
        await client.get(f"/all/limits?client={number}")
    assert len(client._kept) <= LIMIT_KEPT + 1
    assert len(client._turns) <= LIMIT_KEPT + 2


async def test_an_answer_that_is_no_json_is_an_error() -> None:
    client = Counting()
    for asked in (client.get, client.post):
        with pytest.raises(ProxyError, match="no JSON"):
            await asked("/text")


async def test_a_proxy_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProxyError, match="does not answer"):
        await ProxyClient(tmp_path / "nobody.sock").text("/all/status")
    with pytest.raises(ProxyError, match="without a proxy"):
        await ProxyClient(None).text("/all/status")


async def test_pages_share_a_failure_too() -> None:
    class Failing(Counting):
        async def _ask(self, method: str, path: str) -> str:
            await super()._ask(method, path)
            raise ProxyError("the proxy does not answer")

    client = Failing()
    asked = await asyncio.gather(*(client.get("/a") for _ in range(5)), return_exceptions=True)
    assert [str(error) for error in asked] == ["the proxy does not answer"] * 5
    assert client.asked == [("GET", "/a")]
    client.now_s = KEPT_S
    with pytest.raises(ProxyError):
        await client.get("/a")
    assert len(client.asked) == 2


async def test_an_answer_from_before_a_change_is_not_kept() -> None:
    is_changing, has_answered = asyncio.Event(), asyncio.Event()

    class Changing(Counting):
        async def _ask(self, method: str, path: str) -> str:
            if method == "POST":
                is_changing.set()
                await has_answered.wait()
            await super()._ask(method, path)
            return f"{len(self.asked)}"

    client = Changing()
    change = asyncio.create_task(client.post("/all/reload"))
    await is_changing.wait()
    before = await client.get("/a")
    has_answered.set()
    await change
    assert await client.get("/a") != before
