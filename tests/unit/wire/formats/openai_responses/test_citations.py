"""Numbers that count characters of a text, in answers and in events."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.events import Count
from guardproxy.redaction import NO_SHAPES
from guardproxy.wire.formats.openai_responses.citations import counts_of

NOTE = {"type": "url_citation", "start_index": 1, "end_index": 2}
PART = {"type": "output_text", "text": "abc", "annotations": [{"type": "file_path"}, NOTE]}
ITEM = {"type": "message", "content": ["x", PART]}


def count(*path: str | int, text: str = "output[0].content[1].text") -> Count:
    return Count((*path, "start_index"), (*path, "end_index"), text)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"output": [ITEM]}, count("output", 0, "content", 1, "annotations", 1)),
        ({"response": {"output": [ITEM]}}, count("response", "output", 0, "content", 1, "annotations", 1)),
        (
            {"item": ITEM, "output_index": 3},
            count("item", "content", 1, "annotations", 1, text="output[3].content[1].text"),
        ),
        (
            {"part": PART, "output_index": 3, "content_index": 2},
            count("part", "annotations", 1, text="output[3].content[2].text"),
        ),
        (
            {"annotation": NOTE, "output_index": 3, "content_index": 2},
            count("annotation", text="output[3].content[2].text"),
        ),
    ],
)
def test_a_citation_counts_in_the_text_of_its_part(tree: dict[str, Any], expected: Count) -> None:
    assert counts_of(NO_SHAPES, tree) == (expected,)


def test_a_citation_with_one_number() -> None:
    note = {"type": "file_citation", "index": 3}
    assert counts_of(NO_SHAPES, {"annotation": note}) == (
        Count(("annotation", "index"), ("annotation", "index"), "output[0].content[0].text"),
    )


@pytest.mark.parametrize("tree", [{}, {"output": 5}, {"response": 5}, {"item": 5}, {"output": [{"content": [5]}]}])
def test_other_shapes_count_nothing(tree: dict[str, Any]) -> None:
    assert counts_of(NO_SHAPES, tree) == ()
