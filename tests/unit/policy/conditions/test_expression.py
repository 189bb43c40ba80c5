"""`when`: binding, names, truth, and columns of errors."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.errors import PolicyError
from guardproxy.policy.conditions.expression import And, Expression, Name, Or, has_and, parse_expression

A, B, C = Name("a"), Name("b"), Name("c")
NAMES = ("a", "b", "c", "my_check-2")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a", A),
        (" (a) ", A),
        ("a or b or c", Or((A, B, C))),
        ("a and b or c", Or((And((A, B)), C))),
        ("a or b and c", Or((A, And((B, C))))),
        ("(a or b) and c", And((Or((A, B)), C))),
        ("a\nor check_error", Or((A, Name("check_error")))),
        ("a and(b)", And((A, B))),
        ("my_check-2", Name("my_check-2")),
    ],
)
def test_binding(text: str, tree: Expression) -> None:
    assert parse_expression(text, NAMES) == tree


def test_names() -> None:
    assert parse_expression("a and (b or check_error) or a", NAMES).names() == {"a", "b", "check_error"}


@pytest.mark.parametrize(
    ("text", "found"), [("a", False), ("a or b", False), ("a and b", True), ("a or b and c", True)]
)
def test_has_and(text: str, found: bool) -> None:
    assert has_and(parse_expression(text, NAMES)) is found


@pytest.mark.parametrize(
    ("text", "column"), [("a or", 5), ("a or dd", 6), ("(a", 3), ("a b", 3), ("", 1), ("a + b", 3)]
)
def test_errors_name_the_column(text: str, column: int) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_expression(text, NAMES)
    assert (caught.value.path, caught.value.line, caught.value.column) == ("", 1, column)


def written(tree: Expression) -> str:
    match tree:
        case Name(name):
            return name
        case And(parts):
            return "(" + " and ".join(map(written, parts)) + ")"
        case Or(parts):
            return "(" + " or ".join(map(written, parts)) + ")"


trees = st.recursive(
    st.sampled_from([A, B, C]),
    lambda inner: st.builds(And, st.tuples(inner, inner)) | st.builds(Or, st.tuples(inner, inner, inner)),
    max_leaves=12,
)


@given(trees)
def test_an_expression_means_what_python_means_by_it(tree: Expression) -> None:
    text = written(tree)
    parsed = parse_expression(text, NAMES)
    assert parsed == tree
    for present in chain.from_iterable(combinations("abc", size) for size in range(4)):
        assert parsed.holds(present) == eval(text, {name: name in present for name in "abc"})
