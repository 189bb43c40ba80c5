"""A contract leaves nothing open: every field is required, and every table says something of every key."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields, replace
from typing import Any

import pytest

from guardproxy.wire.contract.contract import Contract, demand_of, name_beside
from guardproxy.wire.formats.openai_chat.contract import CONTRACT


def test_no_field_has_a_default() -> None:
    assert [field.name for field in fields(Contract) if field.default is not MISSING] == []
    assert [field.name for field in fields(Contract) if field.default_factory is not MISSING] == []
    with pytest.raises(TypeError, match="'parts'"):
        Contract(**{field.name: getattr(CONTRACT, field.name) for field in fields(Contract) if field.name != "parts"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"carries": {"request": frozenset()}}, "`carries` says nothing of response"),
        ({"parts": {"answer": None, "tool": None}}, "`parts` says nothing of input"),
        ({"limits": {}}, "`limits` says nothing of messages, tools"),
        ({"carries": {"request": frozenset(("smell",)), "response": frozenset()}}, "unknown kinds .* request: smell"),
        ({"terminal": ()}, "`terminal` is empty"),
    ],
)
def test_what_is_left_open_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONTRACT, **changes)


def test_kinds_are_listed_in_one_order() -> None:
    carries: dict[Any, Any] = {"request": {"user", "system"}, "response": {"error", "assistant"}}
    carried = replace(CONTRACT, carries=carries).carried()
    assert carried == {"request": ("system", "user"), "response": ("assistant", "error")}


def test_a_schema_applies_to_the_parts_that_a_format_has() -> None:
    parts: dict[Any, Any] = {"answer": re.compile("a"), "tool": None, "input": None}
    assert replace(CONTRACT, parts=parts).formed() == {("response", "assistant")}
    assert replace(CONTRACT, parts=parts | {"answer": None, "input": re.compile("a")}).formed() == {
        ("response", "tool_arguments")
    }


def test_a_demand_of_nothing() -> None:
    assert demand_of(None, {}).tools is None
    assert demand_of({}, {}).answer is not None


def test_a_name_beside_arguments() -> None:
    assert name_beside("a[3].input") == "a[3].name"
