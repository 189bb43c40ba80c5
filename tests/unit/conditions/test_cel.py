"""Expressions over any set of names: their types, functions, and values that cannot be evaluated."""

from __future__ import annotations

import pytest

from guardproxy.conditions import CelError, CelFunction, CelNames, compile_expression

NAMES = CelNames((("it.name", "STRING"), ("it.more", "DYN")), ("it.more",), "members of more")


def test_an_expression_over_other_names() -> None:
    expression = compile_expression('it.name == "a" && it.more.n > 1', NAMES)
    assert expression.names == {"it.name", "it.more"}
    assert not expression.makes_lists
    assert expression.holds({"it.name": "a", "it.more": {"n": 2}}) is True
    assert expression.holds({"it.name": "b", "it.more": {"n": 2}}) is False
    assert expression.holds({"it.name": "a", "it.more": {}}) is None
    assert expression.holds({"it.name": "\ud800", "it.more": {"n": 2}}) is None
    assert compile_expression("has(it.more.n)", NAMES).holds({"it.more": {"n": 0}, "it.name": ""}) is True


def test_names_and_functions_of_another_set_are_unknown() -> None:
    for text, said in (("it.nam == 1", "did you mean `it.name`"), ("request.model == 'a'", "unknown name")):
        with pytest.raises(ExceptionGroup) as caught:
            compile_expression(text, NAMES)
        (error,) = caught.value.exceptions
        assert isinstance(error, CelError)
        assert said in error.message


def test_a_function_of_its_own() -> None:
    function = CelFunction("is_even", (("INT",),), lambda number: number % 2 == 0)
    names = CelNames((("it.n", "INT"),), (), "nothing", (function,))
    expression = compile_expression("is_even(it.n)", names)
    assert expression.holds({"it.n": 4}) is True
    assert expression.holds({"it.n": 5}) is False
