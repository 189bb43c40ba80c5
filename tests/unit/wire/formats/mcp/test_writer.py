"""Messages that the author of MCP writes, for demos and tests."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.wire.contract.turns import ModelTurn
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.formats.mcp import turns
from guardproxy.wire.formats.mcp.contract import POST
from guardproxy.wire.formats.mcp.writer import author


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 3, "method": method, "params": params}


def test_a_prompt_is_an_argument_of_a_call() -> None:
    tree = author.request(Prompt("m", "hello there"))
    assert author.is_request(tree)
    assert author.read(tree) == Prompt("", "hello there", prompt_words=2)
    with pytest.raises(ValueError, match="text must be a string"):
        author.read(message("tools/list"))
    assert turns.further(tree, ModelTurn("a"), "again") == tree


@pytest.mark.parametrize(
    ("tree", "result"),
    [
        (message("resources/list"), {"resources": []}),
        (message("initialize", protocolVersion="2025-11-25"), {"protocolVersion": "2025-11-25"}),
        (message("server/discover"), {"supportedVersions": ["2026-07-28"]}),
        (message("tools/call", arguments={"text": "hi"}), {"content": [{"type": "text", "text": "hi"}]}),
        (message("ping"), {"resultType": "complete"}),
    ],
)
def test_a_server_answers_each_method(tree: Any, result: dict[str, Any]) -> None:
    answer = author.unanswered(POST, tree, "1")
    assert answer["id"] == 3
    assert result.items() <= answer["result"].items()
    assert [tool["name"] for tool in author.unanswered(POST, message("tools/list"), "1")["result"]["tools"]] == ["say"]


def test_a_stream_ends_with_the_answer() -> None:
    items = list(author.items(Prompt("m", "hi"), Reply("ho"), "1", list))
    assert author.ending(items) == []
    assert author.ending(items[:1])[0]["result"] == {}
    assert author.models(["m"]) == {}
