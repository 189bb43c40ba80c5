"""Places of a tree whose values name something."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.wire.json import (
    KEYS,
    NAME,
    OTHERS,
    SECRET,
    STRUCTURE,
    UNMAPPED,
    conversation,
    first_naming_places,
    may_name_model,
    names_below,
    naming,
    naming_places,
    text,
)
from guardproxy.wire.json.named import UNREAD

_METADATA = text("metadata")
HOW: dict[Any, Any] = {
    "model": NAME,
    "models": [NAME],
    "answer": naming("answer"),
    "word": STRUCTURE,
    "words": [STRUCTURE],
    "note": _METADATA,
    "said": [{"text": text("user"), OTHERS: text("user")}],
    "chosen": lambda value: {"model": NAME} if isinstance(value, dict) else STRUCTURE,
    "loose": {"known": _METADATA, OTHERS: _METADATA, KEYS: _METADATA},
    "keys": {OTHERS: SECRET},
    "new": UNMAPPED,
    "talk": [conversation(lambda value: {"model": NAME})],
    "turn": conversation(lambda value: {"model": NAME}),
}


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        ({"model": "a", "models": ["b", "c"]}, [("model", "a"), ("models.0", "b"), ("models.1", "c")]),
        ({"models": "b", "model": None}, [("models", "b")]),
        ({"answer": "resp_1", "chosen": {"model": "d"}}, [("answer", "resp_1"), ("chosen.model", "d")]),
        ({"word": "x", "words": ["y"], "note": {"model": "n"}, "chosen": "x", "keys": {"model": "k"}}, []),
        ({"said": [{"text": "hi", "model": "m"}, None, "x"]}, []),
        ({"word": {"model": "w"}, "words": {"model": "v"}}, [("word", {"model": "w"}), ("words", {"model": "v"})]),
        ({"loose": {"known": "x", "more": "y"}, "new": "z"}, [("loose.more", "y"), ("new", "z")]),
        ({"talk": [{"model": "m"}], "turn": {"model": "m"}}, []),
        ({"models": {"model": "a"}}, [("models", {"model": "a"})]),
        ({"model": {"model": ["a"]}}, [("model", {"model": ["a"]}), ("model.model", ["a"])]),
        (
            {"models": ["b", {"model": "a", "x": "y"}]},
            [("models.0", "b"), ("models.1", {"model": "a", "x": "y"}), ("models.1.x", "y")],
        ),
        ({"loose": "whole", "other": 1, "chosen": None}, [("loose", "whole"), ("other", 1)]),
    ],
)
def test_places_that_name_something_are_found(tree: Any, found: list[tuple[str, Any]]) -> None:
    places = naming_places(tree, HOW)
    assert [(".".join(map(str, place.path)), place.value) for place in places] == found


def test_conversations_are_looked_at_if_asked() -> None:
    tree = {"talk": [{"model": "m"}], "turn": {"model": "n"}, "said": [{"text": "hi", "more": "x"}]}
    places = naming_places(tree, HOW, in_conversations=True)
    assert [place.value for place in places] == ["m", "n", "x"]


def test_a_field_of_numbers_is_foreign_only_if_it_is_too_long_to_be_looked_through() -> None:
    few, many = naming_places({"y": [[0, 1], 2], "z": [0] * 20_000}, HOW)
    assert (few.is_foreign, many.is_foreign) == (False, True)


def test_a_place_that_the_map_lists_is_told_from_others() -> None:
    places = {place.path: place for place in naming_places({"model": "a", "loose": {"x": "b"}, "y": "c"}, HOW)}
    assert {path: (place.is_listed, place.is_foreign) for path, place in places.items()} == {
        ("model",): (True, False),
        ("loose", "x"): (False, False),
        ("y",): (False, True),
    }


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"judge_model": "a", "n": 1, "deep": [{"engine": {"x": "b"}}]}, ["a", {"x": "b"}]),
        ({"models": [{"model": "a", "engine": "b"}]}, [[{"model": "a", "engine": "b"}], "a", "b"]),
        ({"model": 5, "models": None, "supports_model": True}, []),
        ("x", []),
    ],
)
def test_keys_that_could_name_a_model_are_found_below(value: Any, names: list[Any]) -> None:
    (place,) = naming_places({"y": value}, HOW)
    assert list(names_below([place], 100)) == names
    (whole,) = naming_places([value], {})
    assert list(names_below([whole], 100)) == names


@pytest.mark.parametrize("value", [{f"key{at}": "x" for at in range(40)}, ["x"] * 40, [{"a": "x", "b": "y"}] * 18])
def test_the_search_below_places_ends_with_a_mark(value: Any) -> None:
    places = naming_places({"y": value, "z": {"model": "late"}}, HOW)
    assert list(names_below(places, 20)) == [UNREAD]
    assert list(names_below(places, 100)) == ["late"]


@pytest.mark.parametrize(
    "tree",
    [
        {"models": ["a"] * 9},
        {"models": [{}] * 9},
        {f"key{at}": 1 for at in range(9)},
        {"models": {"a": 1} | {str(at): 1 for at in range(8)}},
    ],
)
def test_a_search_of_few_steps_says_that_it_is_not_whole(tree: Any) -> None:
    places, is_whole = first_naming_places(tree, HOW, 5)
    assert not is_whole
    assert places == naming_places(tree, HOW)[: len(places)]
    assert first_naming_places(tree, HOW, 20) == (naming_places(tree, HOW), True)


@pytest.mark.parametrize(
    "key", ["model", "Model", "base_model", "modelId", "model-name", "models", "model_list", "fallbacks"]
)
def test_a_key_that_could_name_a_model(key: str) -> None:
    assert may_name_model(key)
    assert may_name_model(f"default_{key}")


@pytest.mark.parametrize("key", ["", "modelled", "modality", "engineer", "mode", "text"])
def test_a_key_that_names_no_model(key: str) -> None:
    assert not may_name_model(key)
