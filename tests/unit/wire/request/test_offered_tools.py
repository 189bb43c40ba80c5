"""Which tools a request offers, in the words of every API, and the request without some of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from guardproxy.wire.request.offered_tools import offered_tools

FIELDS = ("tools", "functions", "mcp_servers", "generateContentRequest.tools")


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        ({"tools": [{"type": "function", "function": {"name": "a"}}]}, [("a", "")]),
        ({"tools": [{"type": "custom", "custom": {"name": "a"}}]}, [("a", "")]),
        ({"tools": [{"type": "function", "name": "a"}]}, [("a", "")]),
        ({"functions": [{"name": "a"}]}, [("a", "")]),
        ({"tools": [{"name": "a", "input_schema": {}}]}, [("a", "")]),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, [("web_search web_search_20250305", "")]),
        ({"tools": [{"type": "web_search_preview"}]}, [("web_search_preview", "")]),
        ({"tools": [{"type": "mcp", "server_label": "mail"}]}, [("mcp", "mail")]),
        ({"mcp_servers": [{"type": "url", "name": "mail"}]}, [("mcp_server", "mail")]),
        ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "mail"}]}, [("mcp_toolset", "mail")]),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "a"}]}]}, [("a", "")]),
        (
            {"tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b"}], "googleSearch": {}}]},
            [("a", ""), ("b", ""), ("google_search", "")],
        ),
        ({"tools": {"function_declarations": [{"name": "a"}]}}, [("a", "")]),
        ({"generateContentRequest": {"tools": [{"urlContext": {}}]}}, [("url_context", "")]),
        ({"input": [{"type": "additional_tools", "tools": [{"type": "function", "name": "a"}]}]}, [("a", "")]),
        ({"web_search_options": {}}, [("web_search", "")]),
        ({"tools": ["a", 5, {}]}, [("a", ""), ("", ""), ("", "")]),
        ({"tools": 5}, [("", "")]),
        ({"tools": [{"server_label": 5}]}, [("", "")]),
        ({"tools": [{"type": "function"}]}, [("", "")]),
        ({"tools": None}, []),
        ([], []),
    ],
)
def test_the_tools_that_a_request_offers(tree: Any, found: list[tuple[str, str]]) -> None:
    offers = offered_tools(tree, FIELDS, ("input",))
    assert [(" ".join(tool.names), tool.server) for tool in offers.every] == found


def test_the_tools_that_a_model_must_call() -> None:
    for choice in (
        {"tool_choice": {"type": "function", "function": {"name": "a"}}},
        {"tool_choice": {"type": "tool", "name": "a"}},
    ):
        assert offered_tools(choice, ()).chosen == ("a",)
    gemini = {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a", "b", 5]}}}
    assert offered_tools(gemini, ()).chosen == ("a", "b")
    listed = {"tool_choice": {"type": "allowed_tools", "tools": [{"name": "a"}]}}
    assert offered_tools(listed, ()).chosen == ("a",)
    assert offered_tools({"tool_choice": "auto"}, ()).chosen == ()


def test_a_request_without_some_tools() -> None:
    tree = {"model": "m", "tools": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "tool_choice": "auto"}
    before = deepcopy(tree)
    offers = offered_tools(tree, FIELDS)
    assert offers.without([("tools", 0), ("tools", 2)]) == {
        "model": "m",
        "tools": [{"name": "b"}],
        "tool_choice": "auto",
    }
    assert offers.without([("tools", at) for at in range(3)]) == {"model": "m"}
    assert tree == before
    gemini = {"tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}, {"googleSearch": {}}]}
    offers = offered_tools(gemini, FIELDS)
    paths = {tool.names[0]: tool.path for tool in offers.every}
    assert offers.without([paths["a"]]) == {"tools": [{"functionDeclarations": [{"name": "b"}]}, {"googleSearch": {}}]}
    assert offers.without([paths["a"], paths["b"]]) == {"tools": [{"googleSearch": {}}]}
    assert offers.without([paths["google_search"]]) == {"tools": [gemini["tools"][0]]}
    both = {"tools": [{"name": "a"}], "functions": [{"name": "b"}], "function_call": "auto"}
    assert offered_tools(both, FIELDS).without([("tools", 0)]) == {
        "functions": [{"name": "b"}],
        "function_call": "auto",
    }
