"""What authors of formats share: the words of a reply, the text of a content."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.authoring import Reply, text_of, word_parts
from guardproxy.wire.turns import Call


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
