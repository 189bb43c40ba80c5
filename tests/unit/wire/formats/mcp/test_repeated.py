"""Headers that repeat values of the body: they equal it, and an edit of the body is an edit of the header."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.inbound import decode_header_value, encode_header_value

from guardproxy.errors import DownstreamError
from guardproxy.wire.formats.mcp.repeated import REPEATED, decoded, encoded, places, values


def call(**arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "send", "arguments": arguments}}


def in_base64(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


@given(st.text(st.characters(codec="utf-8")))
def test_values_are_written_as_the_sdk_writes_them(value: str) -> None:
    assert encoded(value) == encode_header_value(value)
    assert decoded(encoded(value)) == decode_header_value(encoded(value)) == value


@pytest.mark.parametrize("value", ["=?base64?!?=", "=?base64?YR==?=", "=?base64?/w==?="])
def test_base64_that_is_no_text_is_refused(value: str) -> None:
    assert decoded(value) is decode_header_value(value) is None
    with pytest.raises(DownstreamError):
        places(call(), [("Mcp-Name", value)])


@pytest.mark.parametrize(
    ("tree", "name", "value"),
    [
        (call(), "Mcp-Method", "tools/call"),
        (call(), "Mcp-Name", "send"),
        (call(), "Mcp-Name", in_base64("send")),
        (call(q="mara"), "Mcp-Param-Q", "mara"),
        (call(q="J\u00f6rg"), "Mcp-Param-Q", in_base64("J\u00f6rg")),
        (call(a={"b": 5}), "Mcp-Param-B", "5"),
        (call(a=True, b="true"), "Mcp-Param-A", "true"),
        (call(a=1.5), "Mcp-Param-Any", "1.5"),
        ({"method": "resources/read", "params": {"uri": "a:b"}}, "mcp-name", "a:b"),
    ],
)
def test_a_header_that_equals_the_body_passes_as_it_came(tree: Any, name: str, value: str) -> None:
    assert REPEATED.names.fullmatch(name.lower())
    found = places(tree, [(name, value)])
    written = values(tree, found)
    assert {key: decoded(each) for key, each in written.items()} == {name.lower(): decoded(value)}


@pytest.mark.parametrize(
    "sent",
    [
        [("Mcp-Method", "tools/list")],
        [("Mcp-Name", "other")],
        [("Mcp-Param-Q", "other")],
        [("Mcp-Param-Q", "['x']")],
        [("Mcp-Name", "send"), ("mcp-name", "send")],
    ],
)
def test_a_header_with_another_value_is_refused(sent: list[tuple[str, str]]) -> None:
    with pytest.raises(DownstreamError) as raised:
        places(call(q="mara", list=["x"]), sent)
    assert raised.value.code == "header_mismatch"
    assert "mara" not in str(raised.value)
    with pytest.raises(DownstreamError):
        places({"method": "tools/list"}, [("Mcp-Name", "send")])
    with pytest.raises(DownstreamError):
        places({}, [("Mcp-Method", "tools/list")])


def test_an_edit_of_the_body_is_an_edit_of_the_header() -> None:
    found = places(call(q="mara@example.com", name="send"), [("Mcp-Param-Q", "mara@example.com"), ("Mcp-Name", "send")])
    both = places(call(a="x", b="y"), [("Mcp-Param-A", "x"), ("Mcp-Param-B", "y")])
    assert values(call(a="1", b="2"), both) == {"mcp-param-a": "1", "mcp-param-b": "2"}
    assert values(call(q="[MAIL]", name="send"), found) == {"mcp-param-q": "[MAIL]", "mcp-name": "send"}
    assert values(call(name="send"), found) == {"mcp-name": "send"}


def test_of_several_places_the_name_decides_and_otherwise_all_must_agree() -> None:
    tree = call(user_id="x@y.example", copy="x@y.example")
    by_name = places(tree, [("Mcp-Param-UserId", "x@y.example")])
    assert values(call(user_id="[A]", copy="[B]"), by_name) == {"mcp-param-userid": "[A]"}
    by_value = places(tree, [("Mcp-Param-Other", "x@y.example")])
    assert values(call(user_id="[A]", copy="[A]"), by_value) == {"mcp-param-other": "[A]"}
    assert values(call(user_id="[A]", copy="[B]"), by_value) == {}
    twice = places(tree, [("Mcp-Param-Other", "x@y.example"), ("Mcp-Param-Third", "x@y.example")])
    assert values(tree, twice) == {"mcp-param-other": "x@y.example", "mcp-param-third": "x@y.example"}


@pytest.mark.parametrize(
    "name", ["mcp-protocol-version", "mcp-session-id", "mcp-param-", "x-mcp-name", "mcp-param-a b"]
)
def test_other_headers_repeat_nothing(name: str) -> None:
    assert not REPEATED.names.fullmatch(name)
