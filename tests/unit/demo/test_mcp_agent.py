"""The agent of the demo: it obeys a page, at whatever address its tools are, and says each step."""

from __future__ import annotations

import asyncio

import pytest

from guardproxy.demo import mcp_agent


def test_the_agent_does_what_a_page_says() -> None:
    said: list[str] = []

    async def run() -> tuple[list[str], list[tuple[str, str]]]:
        async with mcp_agent.tools() as tools:
            refused = [text for page in mcp_agent.PAGES for text in await mcp_agent.act(tools.url, page, said.append)]
            return refused, tools.sent

    refused, sent = asyncio.run(run())
    assert refused == []
    assert [to for to, _ in sent] == [mcp_agent.STRANGER, mcp_agent.STRANGER]
    assert [line.split()[0] for line in said] == ["agent", "result:"] * 4


def test_a_page_without_an_order_leads_to_no_call() -> None:
    async def run() -> list[tuple[str, str]]:
        async with mcp_agent.tools() as tools:
            await mcp_agent.act(tools.url, f"https://{mcp_agent.HOST}/nowhere", lambda _: None)
            return tools.sent

    assert asyncio.run(run()) == []


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mcp_agent.available() is None
    monkeypatch.setattr(mcp_agent, "find_spec", lambda _: None)
    assert mcp_agent.available() == "package `mcp` is not installed (pip install 'guardproxy[demo]')"


def test_a_guard_in_front_of_the_tools_is_a_setting_and_an_address() -> None:
    assert mcp_agent.settings("http://127.0.0.1:1/x") == {"mcp": ("office=http://127.0.0.1:1/x",)}
    assert mcp_agent.guarded(8080) == "http://127.0.0.1:8080/mcp/office"
