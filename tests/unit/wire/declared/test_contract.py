"""The contract of a declared format follows from its declaration."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardproxy.findings import Channel
from guardproxy.wire.declared import PointerError, RequestPlaces, StreamPlaces, pointer
from guardproxy.wire.declared.contract import concrete, contract_of, ending, framing_of, kinds_of, maps_of
from guardproxy.wire.framing import ndjson, sse
from tests.unit.wire.declared.test_codec import EVENTS, LINES, PLAIN


def test_the_kinds_of_texts() -> None:
    assert kinds_of(LINES.request.texts) == {"user", "assistant", "system", "tool_result", "metadata"}
    assert contract_of(LINES).carries["response"] == {"assistant", "reasoning", "metadata", "unmapped", "error"}
    assert contract_of(EVENTS).carries["request"] == {"user", "unmapped"}


def test_the_parts_of_an_answer() -> None:
    contract = contract_of(EVENTS)
    assert contract.part(Channel("response", "assistant", "choices[2].text")) == "answer"
    assert contract.part(Channel("response", "assistant", "choices[2].other")) is None
    assert (contract.answer_path, contract.error_path) == (("choices", 0, "text"), ("error",))
    assert contract.limits == {"messages": (), "tools": ()}
    assert contract_of(LINES).limits["messages"] == ("turns",)
    assert concrete(pointer("/a/*/b")) == ("a", 0, "b")


def test_the_end_of_a_stream() -> None:
    assert ending(LINES) == b'{"last":true}\n'
    assert ending(EVENTS) == b"data: [DONE]\n\n"
    assert ending(PLAIN) == b"data: [DONE]\n\n"
    assert [framing_of(declaration) for declaration in (LINES, EVENTS, PLAIN)] == [ndjson, sse, sse]
    assert contract_of(replace(EVENTS, stream=StreamPlaces("sse", media="text/lines"))).media.streamed == "text/lines"


def test_a_place_is_declared_once() -> None:
    twice = replace(EVENTS, request=RequestPlaces(((pointer("/prompt"), "user"),), model=pointer("/prompt")))
    with pytest.raises(PointerError, match="declared twice") as caught:
        maps_of(twice)
    assert caught.value.pointers == (pointer("/prompt"),)
    assert contract_of(LINES).signs.match("/acme/v1/talk", {})
    assert contract_of(EVENTS).signs.match("/v9/", {})
