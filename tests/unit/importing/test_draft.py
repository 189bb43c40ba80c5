"""The parts of an import have names of their own."""

from __future__ import annotations

import pytest

from guardproxy.importing.draft import DraftUpstream, ImportDraft, NewNames, plain_name, variable_of


def test_equal_upstreams_are_one_and_others_get_numbers() -> None:
    draft, first = ImportDraft(), DraftUpstream("https://a", "", "A")
    assert [draft.upstream("x", first), draft.upstream("x", DraftUpstream("https://b", "", "A"))] == ["x", "x-2"]
    assert [draft.upstream("x", first), draft.upstream("x", DraftUpstream("https://b", "", "A"))] == ["x", "x-2"]


def test_policies_with_the_same_name_get_numbers() -> None:
    draft = ImportDraft()
    assert [draft.policy(name, {}) for name in ("My Guard!", "my guard", "ünï", "")] == [
        "my-guard",
        "my-guard-2",
        "n",
        "imported",
    ]
    assert draft.policies["my-guard-2"] == {"policy": "my-guard-2"}
    assert len(plain_name("x" * 200)) == 48


def test_each_secret_has_a_variable() -> None:
    draft = ImportDraft()
    assert [draft.variable_for(secret, "A_KEY") for secret in ("one", "two", "one")] == ["A_KEY", "A_KEY_2", "A_KEY"]


def test_no_secret_gets_a_variable_that_the_file_names_for_another_one() -> None:
    draft = ImportDraft(names_of_variables=NewNames("_", ("A_KEY", "A_KEY_2")))
    assert [draft.variable_for(secret, "A_KEY") for secret in ("one", "two")] == ["A_KEY_3", "A_KEY_4"]


@pytest.mark.parametrize(
    ("value", "variable"),
    [("os.environ/A_B", "A_B"), ("os.environ/$(id)", ""), ("os.environ/", ""), ("A", ""), (1, ""), (None, "")],
)
def test_only_names_of_variables_are_taken(value: object, variable: str) -> None:
    assert variable_of(value) == variable
