"""What holds for the map of requests of every format: which places name a model."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from guardproxy.wire.declared import DeclaredCodec
from guardproxy.wire.json import may_name_model
from guardproxy.wire.json_codec import JsonCodec
from guardproxy.wire.registry import codecs
from guardproxy.wire.statements import brief_statement_of, statement_of
from tests.kit.maps import OTHER, MapPlace, places
from tests.unit.wire.declared.test_codec import LINES

FORMATS: dict[str, JsonCodec[Any]] = {
    codec.name: codec for codec in (*codecs(), DeclaredCodec(LINES)) if isinstance(codec, JsonCodec)
}
# Objects about models that name none.
_ABOUT_MODELS = frozenset(("modelArmorConfig", "model_armor_config"))


@cache
def asked(name: str) -> list[MapPlace]:
    """The places of a request."""
    codec = FORMATS[name]
    return places(codec.grammar.request, codec.contract.words.values)


def named(codec: JsonCodec[Any], place: MapPlace, value: Any) -> Any:
    return statement_of(place.build(value), codec.contract.statements)


@pytest.mark.parametrize("name", FORMATS)
def test_every_place_of_a_model_is_in_the_statement(name: str) -> None:
    codec = FORMATS[name]
    found = [place for place in asked(name) if place.leaf.names == "model"]
    assert found
    for place in found:
        said = named(codec, place, "the-model")
        assert "the-model" in said.models, place.name
        assert brief_statement_of(place.build("the-model"), codec.contract.statements).models == said.models
        strange = named(codec, place, {"to": "the-model"})
        assert "model" in strange.unclear or "the-model" in strange.models, place.name


@pytest.mark.parametrize("name", FORMATS)
def test_every_place_with_the_name_of_a_model_is_one(name: str) -> None:
    wrong = [
        place.name
        for place in asked(name)
        if may_name_model(place.key) and place.key not in _ABOUT_MODELS and not place.leaf.names
    ]
    assert wrong == []


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("key", ["model", "judge_model", "fallbackModels", "deployment-id", "modelName", "fallbacks"])
def test_a_model_at_a_place_that_no_map_lists_is_named(name: str, key: str) -> None:
    codec = FORMATS[name]
    for place in asked(name):
        if place.path[-1] != OTHER or place.leaf.kind not in ("metadata", "tool_definition") or place.leaf.names:
            continue
        holder = place.build("\0")
        for tree in (_renamed(holder, key, "the-model"), place.build({"deep": [{key: "the-model"}]})):
            assert "the-model" in statement_of(tree, codec.contract.statements).models, place.name


def _renamed(node: Any, key: str, value: Any) -> Any:
    """The tree with `key: value` in place of the key that no map lists."""
    if isinstance(node, dict):
        own = {name: _renamed(child, key, value) for name, child in node.items() if name != OTHER}
        return {**own, key: value} if OTHER in node else own
    return [_renamed(child, key, value) for child in node] if isinstance(node, list) else node


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "value",
    ["b", ["b"], {"a": "b"}, {"a": {}}, [{"a": ["b"]}]],
)
def test_a_field_that_no_format_knows_is_foreign(name: str, value: Any) -> None:
    codec = FORMATS[name]
    assert statement_of({"x_new": value}, codec.contract.statements).foreign == "x_new"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("value", [None, 1, 0.5, True, "", [], {}, [1, [2]]])
def test_numbers_and_empty_values_are_not_foreign(name: str, value: Any) -> None:
    codec = FORMATS[name]
    assert statement_of({"x_new": value}, codec.contract.statements).foreign == ""
