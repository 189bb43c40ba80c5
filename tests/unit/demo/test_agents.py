"""The agent of the demo: it obeys a page, at whatever address its tools are, and says each step."""

from __future__ import annotations

import asyncio

import pytest

from guardproxy.demo import agents


def test_the_agent_does_what_a_page_says() -> None:
    said: list[str] = []

    async def run() -> tuple[list[str], list[tuple[str, str]]]:
        async with agents.tools() as tools:
            refused = [text for page in agents.PAGES for text in await agents.act(tools.url, page, said.append)]
            return refused, tools.sent

    refused, sent = asyncio.run(run())
    assert refused == []
    assert [to for to, _ in sent] == [agents.STRANGER, agents.STRANGER]
    assert [line.split()[0] for line in said] == ["agent", "result:"] * 4


def test_a_page_without_an_order_leads_to_no_call() -> None:
    async def run() -> list[tuple[str, str]]:
        async with agents.tools() as tools:
            await agents.act(tools.url, f"https://{agents.HOST}/nowhere", lambda _: None)
            return tools.sent

    assert asyncio.run(run()) == []


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert agents.available() is None
    monkeypatch.setattr(agents, "find_spec", lambda _: None)
    assert agents.available() == "package `mcp` is not installed (pip install 'guardproxy[demo]')"
