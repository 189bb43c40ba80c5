"""Prompts: texts are read, token ids are named, anything else is refused with its field."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.errors import DownstreamError
from guardproxy.wire.json import walk
from guardproxy.wire.json.opaque import NOT_KEPT
from guardproxy.wire.request.prompts import check, texts, texts_or_tokens


@pytest.mark.parametrize("value", [None, "", "hi", [], ["hi", ""], [1, 2], [[1], [2, 3]], [[]], [[], [1]]])
def test_the_forms_of_a_prompt(value: Any) -> None:
    check(value, "prompt")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (5, "prompt"),
        ({"text": "hi"}, "prompt"),
        (["hi", 5], "prompt[0]"),
        ([5, "hi"], "prompt[0]"),
        ([[1], "hi"], "prompt[1]"),
        ([[1, "hi"]], "prompt[0]"),
        ([1.5], "prompt[0]"),
        ([True], "prompt[0]"),
        ([[1], [[2]]], "prompt[1]"),
        ([None], "prompt[0]"),
    ],
)
def test_other_forms_are_refused_with_their_field(value: Any, field: str) -> None:
    with pytest.raises(DownstreamError) as caught:
        check(value, "prompt")
    assert (caught.value.code, caught.value.field) == ("invalid_type", field)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("hi", [((), "hi", "text")]),
        (["hi", "you"], [((0,), "hi", "text"), ((1,), "you", "text")]),
        ([1, 2], [((), "", "token_ids")]),
        ([[1], [2]], [((), "", "token_ids")]),
        (["hi", 5], [((), "", "token_ids")]),
        (NOT_KEPT, [((), "", "token_ids")]),
        ([], []),
    ],
)
def test_how_a_prompt_is_read(value: Any, read: list[Any]) -> None:
    leaves = list(walk(value, texts_or_tokens))
    assert [(leaf.path, leaf.text, leaf.leaf.how) for leaf in leaves] == read
    assert not any(leaf.leaf.unmapped for leaf in leaves)
    assert {leaf.leaf.kind for leaf in leaves if leaf.text} <= {"user"}


def test_the_texts_of_a_prompt() -> None:
    assert list(texts("hi")) == ["hi"]
    assert list(texts(["a", {"type": "text", "text": "b"}, {"type": "image_url"}, 5, [1]])) == ["a", "b"]
    assert list(texts(None)) == []
