"""guardproxy's own actions: what their declarations say, and that no other part knows an action by its name."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

import guardproxy
from guardproxy.decisions import Confirm, Decision, DropChunk, Edit, Pass, Retry, Stop
from guardproxy.findings import ALL_PLACES
from guardproxy.policy.conditions.expression import Name
from guardproxy.policy.file.keys import RULE
from guardproxy.policy.values.actions import (
    ACTIONS,
    EVERY,
    VERDICTS,
    Action,
    action_of,
    actions_with,
    decides,
    verdict_of,
)
from guardproxy.policy.values.document import Rule

PACKAGE = Path(guardproxy.__file__).parent
KINDS = get_args(Decision)


@pytest.mark.parametrize(
    ("rule", "decision"),
    [
        (Rule("r", frozenset(), Name("x"), "flag"), Pass("r")),
        (Rule("r", frozenset(), Name("x"), "redact", restore=True), Edit("r", restore=True)),
        (Rule("r", frozenset(), Name("x"), "redact", restore=False), Edit("r", restore=False)),
        (Rule("r", frozenset(), Name("x"), "drop_chunk"), DropChunk("r")),
        (Rule("r", frozenset(), Name("x"), "retry", retry=Retry("r", 5)), Retry("r", 5)),
        (Rule("r", frozenset(), Name("x"), "retry", message="m"), Stop("r", "m")),
        (Rule("r", frozenset(), Name("x"), "confirm", message="ask"), Confirm("r", "ask")),
        (Rule("r", frozenset(), Name("x"), "block", message="not here"), Stop("r", "not here")),
    ],
    ids=[
        "flag",
        "redact",
        "redact, not restored",
        "drop_chunk",
        "retry",
        "retry that cannot be read",
        "confirm",
        "block",
    ],
)
def test_an_action_decides_as_its_rule_says(rule: Rule, decision: Decision) -> None:
    action = action_of(rule.action)
    assert action is not None
    assert action.decide(rule) == decision


def test_the_rank_of_an_action_follows_its_decision() -> None:
    ranks = [KINDS.index(action.decision) for action in EVERY]
    assert ranks == sorted(ranks)
    assert {action.decision for action in EVERY} == set(KINDS), "a decision that no action makes"


@pytest.mark.parametrize("kind", KINDS)
def test_every_decision_has_one_verdict(kind: type[Decision]) -> None:
    verdict = verdict_of(kind("r"))
    assert verdict in VERDICTS
    assert decides(verdict, kind)
    assert not decides("another", kind)


@pytest.mark.parametrize("action", EVERY, ids=ACTIONS)
def test_a_declaration_is_complete(action: Action) -> None:
    assert RULE.keys() >= set(action.keys)
    assert all(action.name in actions_with(key) for key in action.keys)
    assert bool(action.only) == (action.reach != ALL_PLACES), "a rule out of reach needs a reason"


def test_an_action_of_another_package_has_no_declaration() -> None:
    assert action_of("hush") is None


def names_of_actions(node: ast.AST) -> set[str]:
    """The actions that a node names."""
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and each.value in ACTIONS}


def asks_by_name(node: ast.AST) -> bool:
    """Whether a node compares an action with a name, or is a table by the names of actions."""
    if isinstance(node, ast.Compare):
        sides = (node.left, *node.comparators)
        asked = any(isinstance(side, ast.Attribute) and side.attr == "action" for side in sides)
        asked = asked or any(isinstance(side, ast.Name) and side.id == "action" for side in sides)
        return asked and bool(names_of_actions(node))
    keys = [key.value for key in node.keys if isinstance(key, ast.Constant)] if isinstance(node, ast.Dict) else []
    return len(set(keys) & set(ACTIONS)) > 1


def test_no_other_part_knows_an_action_by_its_name() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if PACKAGE / "testing" not in path.parents  # it writes policies
        for node in ast.walk(ast.parse(path.read_text()))
        if asks_by_name(node)
    ]
    assert not found


@pytest.mark.parametrize("source", ["rule.action == 'flag'", "action in ('redact', None)", "{'block': 1, 'retry': 2}"])
def test_a_question_by_name_is_found(source: str) -> None:
    assert any(map(asks_by_name, ast.walk(ast.parse(source))))
