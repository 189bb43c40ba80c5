"""Edits of policy files change one place and keep every other character."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policytest.editing import (
    EditError,
    PolicyText,
    difference,
    enforced,
    quoted,
    with_allowed,
    with_test,
    written,
)

SHIPPED = sorted((Path(__file__).parents[3] / "policies").rglob("*.yaml"))
FILE = """\
# top
policy: a   # name
mode: shadow # until June
checks:
  # about c
  c:
    use: pii   # uses
    # keep me
  d:
    use: secrets
    allow:
      - a # first
      # two
  e: {use: pii,   # why
      allow: [x,   # x
              y]   # y
     }
  f: {use: pii, allow: []}
rules:
  - mode: shadow
    id: r1
    # between
    on: request
  - id: r2
    enforce: 10 %   # later
    # behind
    on: user
  - {id: r3,
     mode: shadow, # wait
     on: x}
  - {id: r4, on: x,
     mode: shadow  # wait
    }
  - id: r5

# end
"""
TEST = '- name: new\n  request: "a: b"\n  expect: {rule: none}\n'


def changes(new: str, old: str = FILE) -> list[str]:
    """The lines that an edit took away and added."""
    return [line for line in difference(old, new, "f").splitlines()[2:] if line[:1] in "+-"]


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("", ["-mode: shadow # until June"]),
        ("r1", ["-  - mode: shadow", "-    id: r1", "+  - id: r1"]),
        ("r2", ["-    enforce: 10 %   # later"]),
        ("r3", ["-     mode: shadow, # wait", "+     # wait"]),
        ("r4", ["-  - {id: r4, on: x,", "-     mode: shadow  # wait", "+  - {id: r4, on: x  # wait"]),
    ],
)
def test_a_rule_is_enforced_by_taking_its_mode_away(rule: str, wanted: list[str]) -> None:
    assert changes(enforced(FILE, rule)) == wanted


@pytest.mark.parametrize(
    ("rule", "words"), [("r5", "not a key of the rule `r5`"), ("r9", "has no rule `r9` of its own")]
)
def test_a_rule_that_cannot_be_enforced_here(rule: str, words: str) -> None:
    with pytest.raises(EditError, match=words):
        enforced(FILE, rule)


def test_a_policy_that_is_enforced_already() -> None:
    with pytest.raises(EditError, match="not a key of the policy"):
        enforced("policy: a\nmode: enforce\n")


def test_nothing_is_left_of_a_file_with_one_key() -> None:
    with pytest.raises(EditError, match="not valid YAML"):
        enforced("mode: shadow")


@pytest.mark.parametrize(
    ("check", "wanted"),
    [
        ("c", ['+    allow: ["v"]']),
        ("d", ['+      - "v"']),
        ("e", ["-              y]   # y", '+              y, "v"]   # y']),
        ("f", ["-  f: {use: pii, allow: []}", '+  f: {use: pii, allow: ["v"]}']),
    ],
)
def test_a_value_is_allowed_where_the_check_is(check: str, wanted: list[str]) -> None:
    assert changes(with_allowed(FILE, check, "v")) == wanted


def test_a_check_of_another_file_is_not_changed_here() -> None:
    with pytest.raises(EditError, match="no check `z` of its own"):
        with_allowed(FILE, "z", "v")
    with pytest.raises(EditError, match="`use` of the check `f` is no list"):
        with_allowed(FILE, "f", "v", "use")


def test_an_edit_that_would_change_more_is_refused() -> None:
    with pytest.raises(EditError, match="in a form that this program does not edit"):
        with_allowed("a: &x [one]\nchecks: {c: {use: pii, allow: *x}}\n", "c", "v")


def test_texts_have_the_edits_as_methods() -> None:
    text = PolicyText(FILE)
    assert text.enforced("r1").text == enforced(FILE, "r1")
    assert text.with_allowed("c", "v").text == with_allowed(FILE, "c", "v")
    assert text.with_test(TEST).text == with_test(FILE, TEST)
    assert text.difference(text.enforced(), "f") == difference(FILE, enforced(FILE), "f")
    assert PolicyText.quoted("a") == '"a"'


def test_a_test_is_added_at_the_end() -> None:
    first = with_test(FILE, TEST)
    assert changes(first) == ["+", "+tests:", *(f"+  {line}" for line in TEST.splitlines())]
    second = with_test(first, TEST.replace("new", "other"))
    assert changes(second, first) == [f"+  {line}" for line in TEST.replace("new", "other").splitlines()]
    block = "policy: a\ntests:\n- name: x\n  request: |\n    two\n    lines\n\n# the end\nmode: shadow"
    assert changes(with_test(block, TEST), block) == [f"+{line}" for line in TEST.splitlines()]


@pytest.mark.parametrize("tests", ["tests: []", "tests:", "tests: [{name: a}]"])
def test_tests_in_another_form_are_left_to_people(tests: str) -> None:
    with pytest.raises(EditError, match="by hand"):
        with_test(f"policy: a\n{tests}\n", TEST)


@pytest.mark.parametrize("text", ["", "- a", "a: [", "# only"])
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(EditError):
        enforced(text)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.name))
def test_every_shipped_policy_can_be_edited(path: Path) -> None:
    text = path.read_text("utf-8")
    tree = yaml.safe_load(text)
    lines = text.splitlines()
    for check in tree["checks"]:
        kept = with_allowed(with_allowed(text, check, "one"), check, "two: {x}").splitlines()
        assert len(kept) - len(lines) in (0, 1)
    for rule in tree["rules"]:
        if rule.get("mode") == "shadow":
            assert len(changes(enforced(text, rule["id"]), text)) == 2
    assert [line for line in changes(with_test(text, TEST), text) if line[0] == "-"] == []


@given(st.text())
def test_a_quoted_text_is_read_as_it_was(text: str) -> None:
    line = quoted(text)
    assert "\n" not in line
    assert line.isprintable()
    read = yaml.safe_load(line)
    assert read == text


@given(st.text(min_size=1).filter(str.strip))
def test_any_value_can_be_allowed(value: str) -> None:
    new = with_allowed(FILE, "c", value)
    assert yaml.safe_load(new)["checks"]["c"]["allow"] == [value]


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda part: st.lists(part) | st.dictionaries(st.text(), part),
)


@given(TREES)
def test_json_is_written_on_one_line(tree: Any) -> None:
    assert yaml.safe_load(written(tree)) == tree
