"""Calls of other gateways as chat requests and answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.adapters import chat
from guardproxy.adapters.chat import Said
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire import installed
from guardproxy.wire.json import read

CALL = {"id": "call_1", "type": "function", "function": {"name": "send", "arguments": "{}"}}


@given(st.text(max_size=3 * chat.FINE_TAIL_CHARS))
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    assert "".join(chat.pieces(text)) == text


def test_a_long_text_has_few_pieces() -> None:
    pieces = list(chat.pieces("x" * 100_000))
    assert len(pieces) < 100_000 / chat.COARSE_CHARS + 3 * chat.FINE_TAIL_CHARS / chat.FINE_CHARS


@given(st.lists(st.text(max_size=99), max_size=3))
def test_a_stream_says_what_it_was_made_of(texts: list[str]) -> None:
    said = Said(tuple(texts), (CALL,), {"reasoning": "why"})
    assert chat.said_in(b"".join(chat.stream_of(said)), said) == said


def test_the_format_of_the_route_reads_what_is_written() -> None:
    codec = installed().codec_for(chat.ROUTE)
    assert codec is not None
    assert codec.read_request("/v1/chat/completions", "", chat.body_of(chat.request_of(()))).frame.tree
    said = Said(("one", "two"), (CALL,))
    decoder = codec.decoder(streamed=True, failed=False, limit_bytes=1 << 20)
    events = [*decoder.feed(b"".join(chat.stream_of(said))), *decoder.end()]
    texts = [event.text for event in events if hasattr(event, "text")]
    assert {"one", "two", "{}"} <= set(texts)


def test_the_absent_fields_of_a_request_are_left_out() -> None:
    assert chat.request_of([chat.user("x")], tools=None, model="m") == {"messages": [chat.user("x")], "model": "m"}


def test_only_content_of_the_answer_is_read_from_a_stream() -> None:
    stream = b'\n: note\n\ndata: {"choices":[{"index":7,"delta":{"content":"x"}},{"delta":null}]}\n\ndata: [DONE]\n\n'
    assert chat.said_in(stream, Said(("",))) == Said(("",))


def test_an_error_of_the_format_is_read() -> None:
    assert chat.refusal_in(b'{"error":{"code":"c","message":"m"}}') == "m"
    assert chat.refusal_in(b'{"error":"m"}') == ""
    assert chat.refusal_in(b'{"result":{"isError":true,"content":[{"text":"a"},{"text":"b"},1]}}') == "a b"
    assert chat.refusal_in(b'{"result":{"content":"a"}}') == ""


def test_a_tree_has_one_canonical_form() -> None:
    trees = (b'{"b":[1.0,true,null,"x"],"a":1e2}', b'{"a":100,"b":[1,true,null,"x"]}')
    assert len({chat.canonical(read(tree)) for tree in trees}) == 1
    numbers = [read(b"[0.5,123456789012345678901234567890,1e300]"), [0.5, "123456789012345678901234567890", 1e300]]
    assert len(set(map(chat.canonical, numbers))) == 1
    assert chat.canonical([1]) != chat.canonical([True])


def test_a_body_is_read_as_it_was_written() -> None:
    assert chat.tree_of(b'{"a":1.0}') == read(b'{"a":1.0}')


def test_images_become_parts() -> None:
    assert chat.image_parts(["u"]) == [{"type": "image_url", "image_url": {"url": "u"}}]


def test_fields_have_their_types() -> None:
    assert chat.object_of({}, "x") == {}
    assert chat.list_of(None, "x", str, "texts") == []
    assert chat.list_of(["a"], "x", str, "texts") == ["a"]
    assert chat.text_of(None, "x") == ""
    assert chat.text_of("a", "x") == "a"


@pytest.mark.parametrize(
    "read_field",
    [
        lambda: chat.object_of([], "x"),
        lambda: chat.list_of("a", "x", str, "texts"),
        lambda: chat.list_of([1], "x", str, "texts"),
        lambda: chat.text_of(1, "x"),
    ],
)
def test_a_field_of_another_type_is_refused(read_field: object) -> None:
    assert callable(read_field)
    with pytest.raises(DownstreamError, match="`x` must be") as raised:
        read_field()
    assert raised.value.code is ErrorCode.INVALID_TYPE
    assert raised.value.status == 400
