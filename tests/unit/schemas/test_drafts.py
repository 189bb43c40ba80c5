"""The drafts: the library's keywords, with patterns in linear time and every step counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from referencing import Registry

from guardproxy.concurrency import stoppable
from guardproxy.schemas import Prefix, compile_schema, drafts
from guardproxy.schemas.drafts import (
    DRAFTS,
    Budget,
    CostError,
    allowed_steps,
    draft,
    draft_name,
    is_tame,
    limit_steps,
    spend,
    spending_from,
)


@pytest.mark.parametrize("name", DRAFTS)
def test_a_draft_knows_its_keywords(name: str) -> None:
    chosen = draft(name)
    assert draft(name) is chosen
    assert chosen.knows("maxLength")
    assert not chosen.knows("max_length")
    assert chosen.ref_alone == (name in ("4", "6", "7"))
    assert chosen.knows("const") == (name != "4")


def test_a_draft_is_known_by_its_address() -> None:
    assert draft_name("http://json-schema.org/draft-07/schema#") == "7"
    assert draft_name("https://json-schema.org/draft/2020-12/schema") == "2020-12"
    assert draft_name("http://json-schema.org/draft-03/schema#") is None


def test_steps_are_counted_and_end() -> None:
    with limit_steps(3):
        spend(3)
        with pytest.raises(CostError):
            spend(1)


def test_a_budget_is_shared_by_several_stretches() -> None:
    budget = Budget(3)
    for _ in range(3):
        with spending_from(budget):
            spend(1)
    with spending_from(budget), pytest.raises(CostError):
        spend(1)


def test_too_deep_is_too_much() -> None:
    def deeper() -> None:
        deeper()

    with pytest.raises(CostError, match="too deep"), limit_steps(1):
        deeper()


@pytest.mark.parametrize(
    ("schema", "value", "valid"),
    [
        ({"patternProperties": {"^x": {"type": "string"}}}, {"x1": "a", "y": 1}, True),
        ({"patternProperties": {"^x": {"type": "string"}}}, {"x1": 1}, False),
        ({"patternProperties": {"^x": {"type": "string"}}}, [1], True),
        ({"patternProperties": {"^x": True}, "additionalProperties": False}, {"x": 1}, True),
        ({"patternProperties": {"^x": True}, "additionalProperties": False}, {"y": 1}, False),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "null"}}, {"a": 1, "b": None}, True),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "null"}}, {"b": 1}, False),
        ({"additionalProperties": True}, {"b": 1}, True),
        ({"additionalProperties": False}, 3, True),
        ({"pattern": "^a"}, "ab", True),
        ({"pattern": "^a"}, "b", False),
        ({"pattern": "^a"}, 7, True),
        ({"uniqueItems": True}, [1, 2], True),
        ({"uniqueItems": True}, [1, 1], False),
        ({"uniqueItems": True}, "aa", True),
        ({"uniqueItems": False}, [1, 1], True),
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}, {"a": True}, None, 0, False], True),
        ({"uniqueItems": True}, [{"a": [1], "b": 2}, {"b": 2.0, "a": [1.0]}], False),
        ({"unevaluatedProperties": False}, {"a": 1}, False),
        ({"unevaluatedProperties": False}, 1, True),
    ],
)
def test_keywords_mean_what_they_mean(schema: object, value: object, valid: bool) -> None:
    validator = draft(drafts.LATEST).validator(schema, registry=Registry())
    with limit_steps(1000):
        assert validator.is_valid(value) == valid


@pytest.mark.parametrize(
    ("pattern", "tame"), [("^a*b*$", True), ("a*", True), ("a*b*", False), ("(ab)*", False), (r"\)*", True)]
)
def test_tame_patterns(pattern: str, tame: bool) -> None:
    assert is_tame(pattern) == tame


def test_steps_visit_the_stop_point_of_the_scan() -> None:
    visits = 0

    def pause() -> None:
        nonlocal visits
        visits += 1

    with stoppable(pause), limit_steps(100_000):
        for _ in range(10_000):
            spend(1)
        few = visits
        spend(1000)
    assert 50 < few < 100
    assert visits == few + 1


KEYS = 200


@pytest.mark.parametrize("word", ["patternProperties", "additionalProperties", "propertyNames"])
def test_patterns_of_keys_cost_in_proportion_to_their_number(word: str) -> None:
    """Both in the validator and while a text grows."""
    spent: list[int] = []
    for number in (5, 10, 20):
        patterns: Any = {f"^(x|y)[a-z]*{at}$": {} for at in range(number)}
        schema: Any = {"patternProperties": patterns}
        if word == "additionalProperties":
            schema["additionalProperties"] = {}
        if word == "propertyNames":
            schema = {"propertyNames": {"anyOf": [{"pattern": pattern} for pattern in (*patterns, "")]}}
        compiled = compile_schema(schema)
        text = json.dumps({f"xkey{at}": at for at in range(KEYS)})
        prefix = Prefix(compiled)
        granted = allowed_steps(len(text))
        prefix.feed(text)
        prefix.close()
        assert prefix.wrong is None
        spent.append(granted - prefix._budget.steps)
    assert spent[0] > 5 * KEYS * len("xkey100")
    assert 1.7 * spent[1] < spent[2] < 2.2 * spent[1]


def test_ordinary_patterns_of_names_fit_into_the_budget() -> None:
    """Letters of every script make a program of 120,000 instructions, of which a search uses few."""
    name: Any = {"type": "string", "pattern": r"^[\p{L} .'-]{1,100}$"}
    schema: Any = {"properties": {"people": {"type": "array", "items": {"properties": {"first": name, "last": name}}}}}
    people = [{"first": "Ana Mar\u00eda del Carmen", "last": "Fern\u00e1ndez de la Vega Sanz"}] * 10
    with limit_steps(100_000):
        assert not list(compile_schema(schema).errors({"people": people}))
    prefix = Prefix(compile_schema(schema))
    prefix.feed(json.dumps({"people": people}))
    assert prefix.wrong is None


def test_a_client_with_large_patterns_gets_no_more_than_the_budget() -> None:
    schema: Any = {"items": {"pattern": r"(?:.{0,99}\p{L}){0,9}1$"}}
    with pytest.raises(CostError), limit_steps(100_000):
        list(compile_schema(schema).errors(["\u0416" * 400] * 100))


def test_a_client_with_200_patterns_gets_no_more_than_the_budget() -> None:
    schema: Any = {"patternProperties": {f"^(x|y)[a-z]*{at}$": {} for at in range(200)}}
    prefix = Prefix(compile_schema(schema))
    with pytest.raises(CostError):
        prefix.feed(json.dumps({f"xkey{'a' * 12}{at}": 1 for at in range(2000)}))
