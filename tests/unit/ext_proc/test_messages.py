"""Messages of Envoy: read from bytes and written to bytes, with the numbers of the published protocol."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.ext_proc.messages import (
    PIECE_BYTES,
    TYPES,
    UNCHANGED,
    Data,
    EnvoyHead,
    Mutation,
    Trailers,
    UnreadableMessageError,
    body_replies,
    head_reply,
    read,
    trailers_reply,
    whole_reply,
)


def sent(**fields: Any) -> bytes:
    """A message of Envoy."""
    return bytes(TYPES["ProcessingRequest"](**fields).SerializeToString())


def got(raw: bytes) -> Any:
    """A message to Envoy."""
    return TYPES["ProcessingResponse"].FromString(raw)


def headers(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"headers": {"headers": [{"key": name, "raw_value": value.encode()} for name, value in pairs]}}


def test_the_wire_form_is_that_of_the_published_protocol() -> None:
    """By hand, from the numbers of the fields: a message of Envoy, and one to it."""
    body = b"\x22\x06" + b"\x0a\x02hi" + b"\x10\x01"  # request_body (4): body (1), end_of_stream (2)
    assert read(body) == Data(True, b"hi", True)
    part = b"\x22\x0c" + b"\x0a\x0a" + b"\x1a\x08" + b"\x1a\x06" + b"\x0a\x02hi" + b"\x10\x01"
    # response_body (4): response (1), body_mutation (3), streamed_response (3): body (1), end_of_stream (2)
    assert list(body_replies(b"hi", is_request=False, is_end=True)) == [part]


def test_heads_are_read() -> None:
    raw = sent(request_headers={**headers((":path", "/v1/x"), ("a", "b")), "end_of_stream": True})
    assert read(raw) == EnvoyHead(True, [(":path", "/v1/x"), ("a", "b")], is_end=True)
    assert read(sent(response_headers=headers((":status", "200")))) == EnvoyHead(False, [(":status", "200")])
    old = {"headers": {"headers": [{"key": "a", "value": "b"}]}}  # before Envoy sent raw values
    assert read(sent(request_headers=old)) == EnvoyHead(True, [("a", "b")])


def test_bytes_that_are_no_text_keep_their_form() -> None:
    raw = sent(request_headers={"headers": {"headers": [{"key": "a", "raw_value": b"\xff\xc3\xa4"}]}})
    head = read(raw)
    assert isinstance(head, EnvoyHead)
    assert head.headers == [("a", "\udcff\u00e4")]
    assert got(
        head_reply(Mutation(head.headers), is_request=True)
    ).request_headers.response.header_mutation.set_headers[0].header.raw_value == (b"\xff\xc3\xa4")


def test_the_address_of_the_client_is_an_attribute() -> None:
    group = {"fields": {"source.address": {"string_value": "192.0.2.1:4711"}}}
    other = {"fields": {"request.id": {"string_value": "7"}}}
    raw = sent(request_headers=headers(), attributes={"envoy.filters.http.ext_proc": group, "another": other})
    head = read(raw)
    assert isinstance(head, EnvoyHead)
    assert head.address == "192.0.2.1:4711"


@pytest.mark.parametrize(
    ("fields", "is_right"),
    [
        ({}, True),
        ({"protocol_config": {"request_body_mode": 4, "response_body_mode": 4}}, True),
        ({"protocol_config": {"request_body_mode": 4}}, False),
        ({"protocol_config": {"request_body_mode": 2, "response_body_mode": 4}}, False),
        ({"observability_mode": True}, False),
    ],
)
def test_the_mode_is_read(fields: dict[str, Any], is_right: bool) -> None:
    head = read(sent(request_headers=headers(), **fields))
    assert isinstance(head, EnvoyHead)
    assert head.is_right_mode is is_right


def test_bodies_and_trailers_are_read() -> None:
    assert read(sent(response_body={"body": b"hi"})) == Data(False, b"hi")
    assert read(sent(request_body={"end_of_stream": True})) == Data(True, b"", True)
    trailers = {"trailers": headers(("a", "1"), ("b", "2"), ("a", "3"))["headers"]}
    assert read(sent(request_trailers=trailers)) == Trailers(True, ("a", "b"))
    assert read(sent(response_trailers={})) == Trailers(False)


@pytest.mark.parametrize("raw", [b"", b"\xff\xff", b"\x0a\x00", b"\x22\x7fhi"])
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(UnreadableMessageError):
        read(raw)


def test_unknown_fields_are_skipped() -> None:
    assert read(sent(request_body={"body": b"hi"}) + b"\xaa\x06\x01x") == Data(True, b"hi")


def test_heads_are_answered() -> None:
    unchanged = got(head_reply(UNCHANGED, is_request=True))
    assert unchanged.WhichOneof is not None
    assert unchanged.HasField("request_headers")
    assert not unchanged.request_headers.response.HasField("header_mutation")
    change = Mutation([("a", "1"), ("b", "2"), ("a", "3")], ["c"])
    mutation = got(head_reply(change, is_request=False)).response_headers.response.header_mutation
    options = [(option.header.key, option.header.raw_value, option.append_action) for option in mutation.set_headers]
    assert options == [("a", b"1", 2), ("b", b"2", 2), ("a", b"3", 0)]
    assert list(mutation.remove_headers) == ["c"]
    removing = got(head_reply(Mutation(removing=["c"]), is_request=True)).request_headers.response.header_mutation
    assert list(removing.remove_headers) == ["c"]


@given(size=st.integers(0, 4 * PIECE_BYTES), is_end=st.booleans(), is_request=st.booleans())
def test_a_body_is_cut_into_pieces(size: int, is_end: bool, is_request: bool) -> None:
    data = (b"0123456789" * (size // 10 + 1))[:size]
    part = "request_body" if is_request else "response_body"
    pieces = [
        getattr(got(raw), part).response.body_mutation.streamed_response
        for raw in body_replies(data, is_request=is_request, is_end=is_end)
    ]
    assert b"".join(piece.body for piece in pieces) == data
    assert [piece.end_of_stream for piece in pieces] == [False] * (len(pieces) - 1) + [is_end]
    assert all(len(piece.body) <= PIECE_BYTES for piece in pieces)


def test_trailers_are_removed() -> None:
    assert list(got(trailers_reply(["a", "b"], is_request=True)).request_trailers.header_mutation.remove_headers) == [
        "a",
        "b",
    ]
    assert got(trailers_reply([], is_request=False)).HasField("response_trailers")


def test_an_answer_of_the_proxy_is_written() -> None:
    part = got(whole_reply(400, [("content-type", "application/json")], b"{}")).immediate_response
    assert (part.status.code, part.body, part.details) == (400, b"{}", "guardproxy")
    assert part.headers.set_headers[0].header.key == "content-type"
