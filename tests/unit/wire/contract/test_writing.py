"""What authors of formats share: the words of a reply, the text of a content."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.contract.codec import Codec
from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import Reply, in_turns, text_of, variant, word_parts
from guardproxy.wire.registry import codecs


def test_every_text_of_a_reply_counts() -> None:
    assert Reply("one two", "three", "four", (Call("f", "{} {}"),)).words == 6


@pytest.mark.parametrize(
    ("content", "text"),
    [("a", "a"), ([{"type": "text", "text": "a"}, {"text": "b"}, {"text": 7}, "c"], "a\nb"), (None, ""), (7, "")],
)
def test_the_text_of_a_content(content: Any, text: str) -> None:
    assert text_of(content) == text


@given(st.text())
def test_parts_of_words_are_the_text(text: str) -> None:
    assert "".join(word_parts(text)) == text


def test_streams_take_turns() -> None:
    assert "".join(in_turns(map(iter, ("ad", "b", "cef")))) == "abcdef"
    assert list(in_turns([])) == []


def test_alternative_answers_differ() -> None:
    assert [variant("a", 0), variant("a", 1), variant("", 1)] == ["a", "a (answer 2)", ""]


@pytest.mark.parametrize("item", [{"x": "a\u2028"}, "a\nb", [1], {"a": {"type": "x"}}])
@pytest.mark.parametrize("codec", [pytest.param(codec, id=codec.name) for codec in codecs()])
def test_an_event_has_no_end_of_a_line_within(codec: Codec, item: Any) -> None:
    assert len(codec.author.event(item).decode().strip("\n").replace("\ndata:", "").splitlines()) == 1


@pytest.mark.parametrize("codec", [pytest.param(codec, id=codec.name) for codec in codecs()])
def test_a_stream_with_its_end_needs_no_other(codec: Codec) -> None:
    end = codec.author.ending(["no JSON"])
    assert len(end) == 1
    assert codec.author.ending(["no JSON", *end]) == []
    assert codec.author.ending([]) == end
