"""What the words before a number say of it."""

from __future__ import annotations

import pytest

from guardproxy.checks._shared.pii.extended.telephone_words import BeforeNumber, Relation


def before(text: str) -> BeforeNumber:
    return BeforeNumber(text, len(text))


@pytest.mark.parametrize(
    ("text", "relation"),
    [
        ("Tel.: ", Relation.TELEPHONE), ("telefonnummer ", Relation.TELEPHONE), ("\u260e\ufe0f ", Relation.TELEPHONE),
        ("name;telefon\nBo;", Relation.TELEPHONE), ("my new number is ", Relation.NUMBER), ("\nT: ", Relation.CALL),
        ("text me at ", Relation.CALL), ("rappelle-moi au ", Relation.CALL), ("text ", None), ("text at ", None), ("number ",
        None),
        ("my big number ", None), ("order number ", None), ("phone + ", None), ("phone, then ", None),
        ("phone" + " is" * 8, None),
        ("", None),
    ],
)  # fmt: skip
def test_the_word_directly_before_a_number_counts(text: str, relation: Relation | None) -> None:
    assert before(text).relation() is relation


@pytest.mark.parametrize(
    ("text", "is_other"),
    [
        ("order no. ", True), ("phone ", False), ("order by phone ", False), ("jane ", False), ("order ----------", False),
        ("", False),
        ("order" + " is" * 8, False),
    ],
)  # fmt: skip
def test_a_number_of_another_kind_is_known_by_its_word(text: str, is_other: bool) -> None:
    assert before(text).is_other() is is_other


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("call Jane Roe ", True, True), ("a@b.example, ", True, True), ("my number of old ", True, True), ("email jane ",
        True, True),
        ("phone of Jane ", True, True), ("call. The sum of ", False, True), ("call Mr. Roe ", True, True),
        ("call\n\nJane ", False, True), ("call\n\n\nJane ", False, False), ("call on the order of ", False, False),
        ("number, so: ", False, False), ("a number, so: ", False, True), ("an invoice number, so: ", False, False), ("Jane ",
        False, False),
        ("call" + " so" * 12, False, True), ("call" + " so" * 40, False, False), ("number", False, False), ("", False, False),
    ],
)  # fmt: skip
def test_a_word_further_away_counts_for_some_forms(text: str, near: bool, far: bool) -> None:
    assert (before(text).is_near(is_dashed=False), before(text).is_near(is_dashed=True)) == (near, far)
