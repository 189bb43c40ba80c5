"""What the request readers share."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.errors import DownstreamError
from guardproxy.testing.material import path_of
from guardproxy.wire import Codec, Prompt, codecs
from guardproxy.wire.json import MapFields, naming, text
from guardproxy.wire.request.requests import drop_echoes, expect_list, expect_type, read_body, refuse_other_case


def test_a_body_is_an_object() -> None:
    assert read_body(b'{"a": 1}') == {"a": 1}
    for body, code in (
        (b"[]", "invalid_type"),
        (b"null", "invalid_type"),
        (b"{", "invalid_json"),
        (b"\xff", "invalid_encoding"),
    ):
        with pytest.raises(DownstreamError) as caught:
            read_body(body)
        assert (caught.value.status, caught.value.code, caught.value.field) == (400, code, None)


@pytest.mark.parametrize(
    ("tree", "types", "required", "says"),
    [
        ({"a": "x"}, str, False, None),
        ({"a": None}, str, False, None),
        ({}, str, False, None),
        ({"a": True}, bool, False, None),
        ({"a": [1]}, (str, list), True, None),
        ({"a": 1}, str, False, "`at.a` must be a string"),
        ({"a": True}, int, False, "`at.a` must be a whole number"),
        ({"a": True}, (str, list), False, "`at.a` must be a string or a list"),
        ({"a": 1.5}, int, False, "`at.a` must be a whole number"),
        ({"a": {}}, list, False, "`at.a` must be a list"),
        ({"a": []}, dict, False, "`at.a` must be an object"),
        ({"a": 1}, bool, False, "`at.a` must be true or false"),
        ({}, str, True, "`at.a` is missing"),
        ({"a": None}, str, True, "`at.a` is missing"),
        ([], str, False, "`at` must be an object"),
    ],
)
def test_a_type_is_expected(tree: Any, types: Any, required: bool, says: str | None) -> None:
    if says is None:
        expect_type(tree, "a", types, "at", required=required)
        return
    with pytest.raises(DownstreamError) as caught:
        expect_type(tree, "a", types, "at", required=required)
    assert str(caught.value) == says
    assert caught.value.field == ("at" if isinstance(tree, list) else "at.a")


def test_a_list_of_objects_is_expected() -> None:
    expect_list({}, "a")
    expect_list({"a": [{}]}, "a", required=True)
    for tree, required, says in (
        ({"a": []}, True, "`a` must not be empty"),
        ({}, True, "`a` is missing"),
        ({"a": [{}, 5]}, False, "`a[1]` must be an object"),
        ({"a": "x"}, False, "`a` must be a list"),
    ):
        with pytest.raises(DownstreamError) as caught:
            expect_list(tree, "a", required=required)
        assert str(caught.value) == says


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({"prompt": "a", "new": {"Prompt": 1}, "free": {"Prompt": 1}}, None),
        ({"Prompt": "a"}, "Prompt"),
        ({"items": [{"text": "a"}, {"TEXT": "b"}]}, "items[1].TEXT"),
        ({"items": {"TEXT": "b"}}, None),
        ({"items": ["TEXT"], "prompt": [{"TEXT": "b"}]}, None),
        ("no object", None),
    ],
)
def test_a_known_field_in_other_letters_is_refused(tree: Any, field: str | None) -> None:
    how: MapFields = {"prompt": text("user"), "free": text("user"), "items": [lambda value: {"text": text("user")}]}
    if field is None:
        refuse_other_case(tree, how)
        return
    with pytest.raises(DownstreamError, match="must be written as") as caught:
        refuse_other_case(tree, how)
    assert caught.value.field == field


@pytest.mark.parametrize("codec", [pytest.param(codec, id=codec.name) for codec in codecs()])
def test_every_format_refuses_a_field_in_other_letters(codec: Codec) -> None:
    """Servers that read `Model` as `model` would read a text that the checks take for something else."""
    tree = codec.author.request(Prompt("m", "hello"))
    name = next(key for key in tree if key != "model" and key.islower())
    with pytest.raises(DownstreamError, match=f"must be written as `{name}`"):
        codec.read_request(path_of(codec), "", codec.write_body({**tree, name.title(): tree[name]}))


def test_token_data_of_an_answer_is_emptied() -> None:
    how: MapFields = {
        "parts": [{"text": text("user"), "logprobs": naming("echo", text("user"))}],
        "free": text("metadata"),
    }
    tree: dict[str, Any] = {
        "parts": [{"text": "a", "logprobs": [{"token": "a"}]}, {"logprobs": []}, {"logprobs": {"x": 1}}],
        "free": {"logprobs": [1]},
    }
    echoes = refuse_other_case(tree, how)
    assert echoes == [("parts", 0, "logprobs"), ("parts", 2, "logprobs")]
    drop_echoes(tree, echoes)
    assert tree == {
        "parts": [{"text": "a", "logprobs": []}, {"logprobs": []}, {"logprobs": []}],
        "free": {"logprobs": [1]},
    }
