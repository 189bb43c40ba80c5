"""Where calls of tools are in a tree, and which of them lack the names of their tools."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.wire import installed
from guardproxy.wire.contract.calls import NO_CALLS, calls_in, calls_of_all

CALLS = calls_of_all(calls_in(("items", None, "call")), calls_in(("item",), ("call",)))


@pytest.mark.parametrize(
    ("tree", "paths"),
    [
        (
            {"items": [{"call": {}}, {"call": None}, 5, {"call": {"name": "a"}}]},
            [("items", 0, "call"), ("items", 3, "call")],
        ),
        ({"items": {"call": {}}}, [("items", "call")]),
        ({"item": {"type": "call"}}, [("item",)]),
        ({"item": {"type": "text"}}, []),
        ({"item": {"type": ["call"]}}, []),
        ({"item": None, "items": None}, []),
        ({}, []),
    ],
)
def test_calls_are_found_at_their_places(tree: Any, paths: Any) -> None:
    assert [path for path, _ in CALLS(tree, streamed=False)] == paths


ODD = calls_of_all(
    calls_in(("items", None, "call"), goes_on=True),
    calls_in(("item",), ("call",), inputs=("input",)),
    calls_in(("one", None), is_single=True),
)
NAMED: Any = {"name": "a", "input": {}}


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        ({"items": [{"call": NAMED}, {"call": {}}]}, []),
        ({"items": {"call": NAMED}}, [(("items", "call"), {})]),
        ({"Items": [{"call": NAMED}]}, [(("Items", 0, "call"), {})]),
        ({"items": [{"Call": NAMED, "call": NAMED}]}, [(("items", 0, "Call"), {})]),
        ({"items": [{"call": {"name": "a", "Name": "b"}}]}, [(("items", 0, "call", "Name"), {})]),
        ({"item": {"type": "call", **NAMED}}, [(("item",), {"type": "call", **NAMED})]),
        ({"item": {"type": "other", **NAMED}}, [(("item",), {})]),
        ({"item": {"type": "other", "name": "a"}}, []),
        ({"item": {"type": "other", "input": {}}}, []),
        ({"one": NAMED}, [(("one",), NAMED)]),
    ],
)
def test_a_call_at_no_place_of_the_format_has_no_clear_name(tree: Any, found: Any) -> None:
    assert list(ODD(tree, streamed=False)) == found


@pytest.mark.parametrize("codec", installed().codecs, ids=lambda codec: codec.name)
@pytest.mark.parametrize(
    "tree", [None, [], {}, {"choices": 5, "candidates": [5], "item": 5, "result": 5, "message": []}]
)
def test_what_is_no_call_lacks_no_name(codec: Any, tree: Any) -> None:
    for streamed in (False, True):
        assert codec.contract.calls.unnamed(tree, streamed=streamed) == []


def test_a_call_of_gemini_that_goes_on_needs_no_name() -> None:
    (codec,) = [codec for codec in installed().codecs if codec.name == "gemini_generate"]
    path = ("candidates", 0, "content", "parts", 0, "functionCall")

    def unnamed(call: Any, *, streamed: bool) -> Any:
        tree = {"candidates": [{"content": {"parts": [{"functionCall": call}, 5, {"text": "x"}]}}]}
        return codec.contract.calls.unnamed(tree, streamed=streamed)

    later: list[dict[str, Any]] = [{}, {"willContinue": True, "partialArgs": []}]
    first: list[dict[str, Any]] = [{"args": {}}, {"name": ""}]
    for call in later:
        assert unnamed(call, streamed=True) == []
        assert unnamed(call, streamed=False) == [path]
    for call in first:
        assert unnamed(call, streamed=True) == [path]
    assert unnamed({"name": "a"}, streamed=False) == unnamed(5, streamed=False) == []


def test_a_format_without_calls_lacks_no_name() -> None:
    assert NO_CALLS.unnamed({"name": ""}, streamed=False) == []
