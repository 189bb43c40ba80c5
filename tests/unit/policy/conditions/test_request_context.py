"""The readings of a request that conditions are asked about."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.policy.conditions.cel import compile_cel
from guardproxy.policy.conditions.request_context import LIMIT_READINGS, About, first_language


def values(about: About, name: str, *headers: str) -> list[tuple[bool, Any]]:
    return [(normal, found.get(name, "absent")) for normal, found in about.readings([name], headers)]


def test_a_model_is_given_as_it_stands_and_in_normal_form() -> None:
    name = "request.model"
    assert values(About(model="GPT-4"), name) == [(False, "GPT-4"), (True, "GPT-4"), (True, "gpt-4")]
    assert values(About(), name) == [(False, ""), (False, "absent"), (True, ""), (True, "absent")]
    assert (False, "b") in values(About(model="a", models=("b",)), name)
    assert (True, "absent") in values(About(model="a", models=("\u0430",)), name)
    assert About(model="a", unclear=frozenset(("model",))).model_spellings() is None


def test_every_limit_is_given_and_none_is_the_smallest_and_the_largest() -> None:
    name = "request.max_tokens"
    assert values(About(), name)[:2] == [(False, 0), (False, 2**63 - 1)]
    assert values(About(max_tokens=5, limits=(5, 7)), name)[:2] == [(False, 5), (False, 7)]
    assert (False, "absent") in values(About(unclear=frozenset(("max_tokens",))), name)


def test_a_tenant_that_is_not_known_has_no_value() -> None:
    assert values(About(tenant=None), "tenant.name") == [(False, "absent"), (True, "absent")]
    assert values(About(tenant="Acme"), "tenant.name") == [(False, "Acme"), (True, "acme")]


def test_the_values_of_a_header_are_given_apart() -> None:
    about = About(headers={"x-a": "Red, blue"})
    found = [held["request.headers"]["x-a"] for _, held in about.readings(["request.headers"], ["x-a", "x-b"])]
    assert found == ["Red, blue", "red, blue", "red", "blue"]


def test_too_many_readings_are_none() -> None:
    about = About(model="a/b/c/d/e/f/g:h", headers={f"x-{at}": "a,b,c,d" for at in range(4)})
    names = ["request.model", "request.headers"]
    readings = list(about.readings(names, [f"x-{at}" for at in range(4)]))
    assert len(readings) <= LIMIT_READINGS + 1
    assert "request.model" not in readings[-1][1]
    tests = " || ".join(f'request.headers["x-{at}"] == "z"' for at in range(4))
    assert compile_cel(f'request.model == "y" || {tests}').holds(about) is None


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('request.model == "GPT-4"', True),
        ("request.model == 'GPT-4'", True),
        ('request.model == r"GPT-4"', True),
        ('request.model == """GPT-4"""', True),
        ('request.model.matches("^GPT")', True),
        ('request.model.matches(r"^G\\Dt")', True),
        ('request.model == "GPT-5" // "GPT-4"', False),
        ('b"GPT-4" == b"gpt-4" || request.model == "x"', False),
    ],
)
def test_texts_of_an_expression_are_compared_in_small_letters(text: str, holds: bool) -> None:
    assert compile_cel(text).holds(About(model="gpt-4")) is holds


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("de", "de"),
        ("de-CH, fr", "de"),
        (" ES", "es"),
        ("nl;q=1", "nl"),
        ("", ""),
        ("deutsch", ""),
        ("*", ""),
        ("d", ""),
    ],
)
def test_the_language_is_the_first_that_is_named(value: str, code: str) -> None:
    assert first_language(value) == code
