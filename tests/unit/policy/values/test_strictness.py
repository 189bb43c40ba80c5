"""The one order of strength: every word of a policy has its place, and comparing the other way round gives the reverse."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks import Option, check_names, options
from guardproxy.decisions import Confirm, Decision, DropChunk, Edit, Pass, Retry, Stop, Then
from guardproxy.findings import KINDS
from guardproxy.policy.conditions.expression import And, Expression, Name, Or
from guardproxy.policy.values import document
from guardproxy.policy.values.actions import ACTIONS, VERDICTS, verdict_of
from guardproxy.policy.values.strictness import (
    SCALES,
    Order,
    compare,
    compare_conditions,
    compare_operators,
    compare_options,
    compare_restorations,
    compare_sets,
    compare_shares,
    implies,
    same,
    strongest,
    terms,
    threshold,
    together,
)
from guardproxy.redaction import EVERYWHERE, Operator, Restoration
from guardproxy.redaction import KINDS as OPERATORS

REVERSE: dict[Order, Order] = {"same": "same", "tighter": "looser", "looser": "tighter", "unclear": "unclear"}
DECISIONS: tuple[Decision, ...] = (Pass("r"), Edit("r"), DropChunk("r"), Retry("r"), Confirm("r"), Stop("r"))


# Decisions.


def test_every_decision_has_its_verdict_in_the_order_of_the_actions() -> None:
    assert tuple(map(verdict_of, DECISIONS)) == ACTIONS == VERDICTS[1:]
    assert {type(decision) for decision in DECISIONS} == set(get_args(Decision))


def test_the_strongest_of_decisions_is_the_same_in_any_order() -> None:
    assert strongest([]) == "pass"
    for decisions in permutations(DECISIONS):
        assert strongest(decisions) == "block"
        assert strongest(decisions[:2]) == max(map(verdict_of, decisions[:2]), key=VERDICTS.index)


# Words.


def test_every_scale_has_exactly_the_values_of_its_key() -> None:
    values: dict[str, tuple[Any, ...]] = {
        "on_error": document.ON_ERROR,
        "unmapped": document.UNMAPPED,
        "token_ids": document.PASSES,
        "intent": document.INTENT,
        "action": ACTIONS,
        "mode": document.MODES,
        "severity": (None, *document.SEVERITIES),
        "restore": (True, False),
        "early": (True, False),
        "parallel": document.PARALLEL,
        "then": get_args(Then),
    }
    assert {key: set(scale) for key, scale in SCALES.items()} == {key: set(value) for key, value in values.items()}


@pytest.mark.parametrize("key", SCALES)
def test_a_later_value_of_a_scale_is_tighter(key: str) -> None:
    scale = SCALES[key]
    for (low, old), (high, new) in product(enumerate(scale), repeat=2):
        expected = "tighter" if high > low else "looser" if high < low else "same"
        assert compare(key, old, new) == expected


def test_a_value_that_is_not_on_the_scale_cannot_be_compared() -> None:
    assert compare("action", "page", "block") == compare("action", "block", "page") == "unclear"
    assert compare("action", "page", "page") == "same"
    assert compare("restore", 1, True) == "unclear"
    with pytest.raises(KeyError):
        compare("message", "a", "b")


def test_parts_that_disagree_cannot_be_compared() -> None:
    assert together(()) == together(("same",)) == "same"
    assert together(("tighter", "same", "tighter")) == "tighter"
    assert together(("tighter", "looser")) == together(("unclear", "same")) == "unclear"


def test_types_are_told_apart_and_the_order_of_a_list_is_not() -> None:
    assert same([1, "a"], ["a", 1])
    assert not same(1, True)
    assert not same(1, "1")


def test_more_texts_more_conversations_and_fewer_places_are_tighter() -> None:
    assert (compare_sets("ab", "abc"), compare_sets("ab", "a"), compare_sets("ab", "bc")) == (
        *("tighter", "looser", "unclear"),
    )
    assert compare_sets("ab", "ba") == "same"
    assert (compare_shares(1, 2), compare_shares(2, 1), compare_shares(2, 2)) == ("tighter", "looser", "same")
    few, other = Restoration(frozenset(KINDS[:1])), Restoration(frozenset(KINDS[1:2]))
    assert compare_restorations(EVERYWHERE, few) == "tighter"
    assert compare_restorations(few, EVERYWHERE) == "looser"
    assert compare_restorations(few, other) == "unclear"
    assert compare_restorations(few, few) == "same"


# Operators.

MASKS = st.builds(
    Operator,
    st.sampled_from(OPERATORS),
    masking_char=st.sampled_from("*#"),
    chars_to_mask=st.sampled_from([None, 2, 4]),
    from_end=st.booleans(),
)


@given(MASKS, MASKS)
def test_operators_compare_the_other_way_round_in_reverse(old: Operator, new: Operator) -> None:
    assert compare_operators(new, old) == REVERSE[compare_operators(old, new)]


@pytest.mark.parametrize(
    ("old", "new", "order"),
    [
        (Operator("mask"), Operator("hash"), "tighter"),
        (Operator("placeholder"), Operator("mask"), "looser"),
        (Operator("mask", chars_to_mask=4), Operator("mask"), "tighter"),
        (Operator("mask", chars_to_mask=4), Operator("mask", chars_to_mask=5), "tighter"),
        (Operator("mask", chars_to_mask=4), Operator("mask", chars_to_mask=4, masking_char="#"), "same"),
        (Operator("mask", chars_to_mask=4), Operator("mask", chars_to_mask=5, from_end=True), "unclear"),
        (Operator("replace", new_value="a"), Operator("replace", new_value="b"), "same"),
        (Operator("hash"), Operator("hash", hash_type="sha512"), "same"),
    ],
)
def test_an_operator_that_shows_less_is_tighter(old: Operator, new: Operator, order: Order) -> None:
    assert compare_operators(old, new) == order


# Conditions.


EXPRESSIONS = st.recursive(
    st.sampled_from("abcd").map(Name),
    lambda inner: st.tuples(inner, inner).map(And) | st.tuples(inner, inner).map(Or),
    max_leaves=8,
)


@given(EXPRESSIONS, EXPRESSIONS)
def test_one_expression_implies_another_where_it_does_for_every_set_of_findings(
    was: Expression, now: Expression
) -> None:
    sets = [{name for name, here in zip("abcd", bits, strict=True) if here} for bits in product((0, 1), repeat=4)]
    assert implies(was, now) is all(now.holds(found) for found in sets if was.holds(found))


def test_an_expression_with_too_many_cases_implies_nothing() -> None:
    many = And(tuple(Or((Name(f"a{at}"), Name(f"b{at}"))) for at in range(9)))
    assert terms(many) == {frozenset()}
    assert not implies(many, many)
    assert compare_conditions(many, many) == "same"


@pytest.mark.parametrize(
    ("old", "new", "order"),
    [
        (Name("a"), Or((Name("a"), Name("b"))), "tighter"),
        (Name("a"), And((Name("a"), Name("b"))), "looser"),
        (Name("a"), Name("b"), "unclear"),
        (Or((Name("a"), Name("b"))), Or((Name("b"), Name("a"))), "same"),
    ],
)
def test_a_condition_that_holds_more_often_is_tighter(old: Expression, new: Expression, order: Order) -> None:
    assert compare_conditions(old, new) == order


# Options.


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (0.5, ("score", 0.5)),
        (1, ("score", 1.0)),
        ("5%", ("point", -5.0)),
        ("x%", None),
        ("often", None),
        (True, None),
        (None, None),
    ],
)
def test_a_threshold_is_a_score_or_a_point(value: object, found: object) -> None:
    assert threshold(value) == found


LONGER = Option("More.", {}, tighter="longer")
SHORTER = Option("Fewer.", {}, default=[], tighter="shorter")
LOWER = Option("A threshold.", {}, tighter="lower")
RANKED = Option("A word.", {}, default="mid", tighter=("low", "mid", "high"))
FIXED = Option("A name.", {}, default="x")


@pytest.mark.parametrize(
    ("option", "old", "new", "order"),
    [
        (LONGER, ["a"], ["b", "a"], "tighter"),
        (LONGER, "a", ["a", "b"], "tighter"),
        (LONGER, ["a"], "a", "same"),
        (LONGER, ["a", "b"], ["c", "b"], "unclear"),
        (LONGER, None, ["a"], "unclear"),
        (SHORTER, ["a"], None, "tighter"),
        (SHORTER, None, ["a"], "looser"),
        (LOWER, 0.5, 0.4, "tighter"),
        (LOWER, "1%", "5 %", "tighter"),
        (LOWER, 0.5, "5%", "unclear"),
        (LOWER, 0.5, True, "unclear"),
        (LOWER, {"a": 0.5, "b": 0.5}, {"a": 0.4, "b": 0.5}, "tighter"),
        (LOWER, {"a": 0.5, "b": 0.5}, {"a": 0.4, "b": 0.6}, "unclear"),
        (LOWER, {"a": 0.5}, 0.5, "same"),
        (LOWER, {"a": 0.5}, {"b": 0.5}, "unclear"),
        (RANKED, None, "high", "tighter"),
        (RANKED, "low", None, "tighter"),
        (RANKED, "low", "other", "unclear"),
        (FIXED, "x", None, "same"),
        (FIXED, "x", "y", "unclear"),
        (None, 1, 1, "same"),
        (None, 1, 2, "unclear"),
    ],
)
def test_values_of_an_option(option: Option | None, old: Any, new: Any, order: Order) -> None:
    assert compare_options(option, old, new) == order
    assert compare_options(option, new, old) == REVERSE[order]


@pytest.mark.parametrize("use", check_names())
def test_every_ranked_option_of_every_check_orders_all_its_values(use: str) -> None:
    for key, option in options(use).items():
        if isinstance(option.tighter, tuple):
            orders = [compare_options(option, old, new) for old, new in product(option.tighter, repeat=2)]
            assert "unclear" not in orders, key
            assert orders.count("same") == len(option.tighter), key
