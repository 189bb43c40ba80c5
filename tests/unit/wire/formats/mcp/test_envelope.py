"""An answer with a field in other letters cannot be read, and its id names the message that it answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wire.formats.mcp.test_codec import Played, call, event, message, result, said

PASSED = result(**said("hello"))
TOOL = {"name": "say", "inputSchema": {"type": "object"}}
AMBIGUOUS: list[Any] = [
    *({**PASSED, name: value} for name, value in (("Result", said("other")), ("ERROR", {}), ("Id", 8), ("Params", {}))),
    *({**PASSED, name: "x"} for name in ("Method", "JSONRPC", "re\u017fult")),  # a long s is an s, too
    result(tools=[TOOL], Tools=[TOOL]),
    result(tools=[{**TOOL, "Description": "x"}]),
    result(**said("hello"), Content=[]),
    *(result(**said("hello"), **{name: []}) for name in ("StructuredContent", "structuredcontent", "NextCursor")),
    result(tools=[{**TOOL, "inputschema": {}}]),
    result(content=[{"type": "text", "text": "hello", "Text": "other"}]),
]


def tell(tree: Any, *more: Any, is_streamed: bool, status: int = 200, to: Any = None) -> Played:
    played = Played(to or call())
    if is_streamed:
        return played.answer(map(event, (tree, *more)), status=status)
    return played.answer([json.dumps(tree).encode()], "application/json", status)


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("tree", AMBIGUOUS)
def test_an_answer_with_a_field_in_other_letters_cannot_be_read(tree: Any, is_streamed: bool) -> None:
    played = tell(tree, is_streamed=is_streamed)
    assert b"upstream_invalid_json" in played.client
    assert b"other" not in played.client
    assert played.outcome != "answered"


@pytest.mark.parametrize("is_streamed", [False, True])
def test_names_that_a_server_gives_may_have_any_letters(is_streamed: bool) -> None:
    free = {"Name": "a", "name": "b", "Result": {"result": 1}}
    content = [{"type": "text", "text": "hello"}]
    tree = result(content=content, structuredContent=free, _meta={"x/Note": "a", "x/note": "b"}, Unknown={"Id": 1})
    assert b'"Unknown"' in tell(tree, is_streamed=is_streamed).client


IDS = st.one_of(st.integers(-5, 5), st.sampled_from(["", "1", "7", "a"]), st.booleans(), st.none(), st.just([7]))


@given(own=st.one_of(st.integers(0, 3), st.sampled_from(["1", "a"])), other=IDS, is_error=st.booleans())
def test_a_plain_answer_has_the_id_of_its_message(own: Any, other: Any, is_error: bool) -> None:
    body = {"error": {"code": -32600, "message": "no"}} if is_error else {"result": said("hello")}
    to = message("tools/call", {"name": "say", "arguments": {"text": "hello"}}, own)
    played = tell({"jsonrpc": "2.0", "id": other, **body}, is_streamed=False, to=to)
    is_own = (type(own), own) == (type(other), other) or (is_error and other is None)
    assert (b"upstream_invalid_json" in played.client) is not is_own
    assert (played.status == 200) is is_own


@pytest.mark.parametrize("other", [8, "7", None, True])
def test_a_stream_goes_on_after_the_answer_to_another_message(other: Any) -> None:
    stray = {**result(**said("stray")), "id": other}
    played = tell(stray, PASSED, is_streamed=True)
    assert played.client == event(stray) + event(PASSED)
    assert played.outcome == "answered"
    assert b"upstream_truncated" in tell(stray, is_streamed=True).client
    seen = tell({**stray, "result": said("quokka")}, PASSED, is_streamed=True)
    assert b"quokka" not in seen.client  # it is read as any message


def test_an_error_without_an_id_ends_a_stream() -> None:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "unreadable"}}
    assert tell(error, PASSED, is_streamed=True).client == event(error)


def test_an_error_by_status_may_have_an_id_of_the_server() -> None:
    error = {"jsonrpc": "2.0", "id": "server-error", "error": {"code": -32600, "message": "no session"}}
    played = tell(error, is_streamed=False, status=404)
    assert (played.status, b"no session" in played.client) == (404, True)


def test_an_answer_to_a_message_that_asks_for_none_may_have_any_id() -> None:
    played = tell(PASSED, is_streamed=False, to={"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert b"hello" in played.client


@pytest.mark.parametrize("name", ["inputresponses", "InputResponses", "RequestState", "Arguments"])
def test_a_message_with_a_field_in_other_letters_is_refused(name: str) -> None:
    played = Played(message("tools/call", {"name": "say", name: {}}))
    assert (played.upstream, played.status) == ([], 400)
