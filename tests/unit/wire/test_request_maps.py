"""What holds for the map of requests of every format: which places name a model, and that nothing goes on unread."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from guardproxy.events import Frame
from guardproxy.exchange.inputs.inspection import uninspected
from guardproxy.policy.values.document import MEDIA
from guardproxy.wire.contract.request_facts import brief_statement_of, statement_of
from guardproxy.wire.contract.writing import Prompt
from guardproxy.wire.declared import DeclaredCodec
from guardproxy.wire.decoding.decoding import events_of
from guardproxy.wire.decoding.json_codec import JsonCodec
from guardproxy.wire.decoding.token_data import TOKENS
from guardproxy.wire.json import may_name_model, walk
from guardproxy.wire.json.opaque import NOT_KEPT
from guardproxy.wire.registry import codecs
from guardproxy.wire.request.requests import drop_echoes, refuse_other_case
from tests.kit.maps import OTHER, MapPlace, places
from tests.unit.wire.declared.test_codec import LINES

FORMATS: dict[str, JsonCodec[Any]] = {
    codec.name: codec for codec in (*codecs(), DeclaredCodec(LINES)) if isinstance(codec, JsonCodec)
}
OF_MODELS = [name for name, codec in FORMATS.items() if codec.contract.serves_models]
# Objects about models that name none.
ALL_OPAQUE = frozenset(MEDIA)
_ABOUT_MODELS = frozenset(("modelArmorConfig", "model_armor_config"))


@cache
def asked(name: str) -> list[MapPlace]:
    """The places of a request."""
    codec = FORMATS[name]
    return places(codec.grammar.request, codec.contract.words.values)


def named(codec: JsonCodec[Any], place: MapPlace, value: Any) -> Any:
    return statement_of(place.build(value), codec.contract.statements)


@pytest.mark.parametrize("name", OF_MODELS)
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
def test_a_model_beside_the_name_of_a_model_is_named(name: str) -> None:
    codec = FORMATS[name]
    beside = ({"model": "a", "base_model": "b"}, {"model": "a", "fallbacks": [{"model": "a", "engine": "b"}]})
    for place in asked(name):
        if place.leaf.names == "model":
            for value in (*beside, [beside[0]], {"model": ["a", "b"]}):
                said = named(codec, place, value)
                assert "b" in said.models or "model" in said.unclear, (place.name, value)
            unknown = named(codec, place, {"model": "a", "x_new": ["b"]})
            assert unknown.foreign or "b" in unknown.models or "model" in unknown.unclear, place.name


@pytest.mark.parametrize("name", FORMATS)
def test_a_schema_with_fields_of_these_names_names_no_model(name: str) -> None:
    """A client may ask for an answer, or offer a tool, that tells of a model."""
    codec = FORMATS[name]
    fields = {field: {"type": "string"} for field in ("model", "car_model", "fallbacks", "engine")}
    schema = {"type": "object", "properties": fields, "required": [*fields]}
    for prompt in (Prompt("m", "hi", schema=schema), Prompt("m", "hi", tools={"go": schema})):
        said = statement_of(codec.author.request(prompt), codec.contract.statements)
        assert set(said.models) <= {"m"}
        assert "model" not in said.unclear
        assert not said.foreign


@pytest.mark.parametrize("name", OF_MODELS)
def test_every_place_with_the_name_of_a_model_is_one(name: str) -> None:
    wrong = [
        place.name
        for place in asked(name)
        if may_name_model(place.key) and place.key not in _ABOUT_MODELS and not place.leaf.names
    ]
    assert wrong == []


@pytest.mark.parametrize("name", OF_MODELS)
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
    """The tree with `key: value` instead of the key that no map lists."""
    if isinstance(node, dict):
        own = {name: _renamed(child, key, value) for name, child in node.items() if name != OTHER}
        return {**own, key: value} if OTHER in node else own
    return [_renamed(child, key, value) for child in node] if isinstance(node, list) else node


@pytest.mark.parametrize("name", OF_MODELS)
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


_UNREAD: dict[str, Any] = {"opaque": NOT_KEPT, "secret": NOT_KEPT, "token_ids": list(range(9)), "tokens": [1]}
"""A value for each way of reading a place that no check reads."""


@pytest.mark.parametrize("name", FORMATS)
def test_no_map_of_a_request_holds_what_only_an_answer_may_hold(name: str) -> None:
    for place in asked(name):
        assert place.leaf.how != "tokens", place.name
        assert place.leaf.media not in ("vectors", "scores"), place.name


@pytest.mark.parametrize("name", FORMATS)
def test_what_no_check_reads_can_be_refused(name: str) -> None:
    codec = FORMATS[name]
    for place in asked(name):
        if place.leaf.how not in _UNREAD:
            continue
        tree = place.build(_UNREAD[place.leaf.how])
        events = events_of(walk(tree, codec.grammar.request, words=codec.contract.words), Frame(b"", tree), "request")
        assert uninspected(events, ALL_OPAQUE, token_ids=True) is not None, place.name


@pytest.mark.parametrize("name", FORMATS)
def test_token_data_in_a_request_is_read_or_removed(name: str) -> None:
    codec = FORMATS[name]
    secret = [{"token": "4111 1111 1111 1111", "logprob": -1, "bytes": [1], "top_logprobs": [{"token": "x"}]}]
    holders = {place.path[:-1]: place for place in asked(name) if place.key and place.path[-1] != "[]"}
    for field in sorted(TOKENS | {"logprobs", "logprobsResult", "avgLogprobs"}):
        for path, place in holders.items():
            tree = _beside(place.build("\0"), field, secret)
            drop_echoes(tree, refuse_other_case(tree, codec.grammar.request))
            if "4111" not in str(tree):
                continue
            leaves = list(walk(tree, codec.grammar.request, words=codec.contract.words))
            unread = [leaf.leaf.media or leaf.leaf.how for leaf in leaves if not leaf.text]
            is_read = any("4111" in leaf.text for leaf in leaves)
            assert is_read or set(unread) & (ALL_OPAQUE | {"token_ids", "not_token_ids"}), (path, field)


def _beside(node: Any, field: str, value: Any) -> Any:
    """The tree with a field beside the value that marks a place."""
    if isinstance(node, dict):
        inner = {name: _beside(child, field, value) for name, child in node.items()}
        return {**inner, field: value} if "\0" in [*node.values()] else inner
    return [_beside(child, field, value) for child in node] if isinstance(node, list) else node
