"""A whole body is decoded at its end."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.events import Text
from guardproxy.wire.contract.codec import AnswerFacts
from guardproxy.wire.decoding.whole_body import WholeDecoder
from guardproxy.wire.json.walk import text
from tests.unit.wire.decoding.test_decoding import shape


def whole(limit_bytes: int = 1000) -> WholeDecoder:
    def notice(tree: Any, seen: AnswerFacts) -> None:
        seen.model = tree.get("model", "")

    return WholeDecoder({"text": text("assistant")}, notice, limit_bytes)


def test_a_whole_body_is_read_at_its_end() -> None:
    decoder = whole()
    assert decoder.feed(b'{"text": "a", ') == decoder.feed(b'"model": "m"}') == []
    events = decoder.end()
    assert shape(events) == ["assistant text: a", "end text", "unmapped model: m", "end model"]
    assert isinstance(events[0], Text)
    assert events[0].frame.terminal
    assert decoder.seen.model == "m"
    decoder.sent(events[0].frame)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b'{"a": 1, "a": 2}'])
def test_a_whole_body_that_is_no_object_is_a_fault(body: bytes) -> None:
    decoder = whole()
    decoder.feed(body)
    assert shape(decoder.end()) == ["fault upstream_invalid_json"]


def test_a_whole_body_above_the_limit_is_one_fault() -> None:
    decoder = whole(10)
    assert decoder.feed(b"x" * 10) == []
    assert shape(decoder.feed(b"x")) == ["fault upstream_too_large"]
    assert decoder.feed(b"x") == decoder.end() == []
