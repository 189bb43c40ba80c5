"""`extends` and `policy diff` agree: `extends` accepts a change exactly if `policy diff` does not call it looser.

Both compare the same pairs of policies: a policy, and the same policy with a few changed values.
"""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import permutations
from typing import Any

import pytest
from hypothesis import event, given, reject, settings
from hypothesis import strategies as st

from guardproxy.policy.file.extending import weaknesses
from guardproxy.policy.file.load import PolicyErrors, parse
from guardproxy.policy.values.document import Policy
from guardproxy.policydiff.policies import changes
from tests.kit.checks import promise

Values = dict[str, Any]

# What each part of a policy may say; `None` leaves it out. What records keep (`severity`, `audit.keep`) is not here: `extends`
# guards it too, and `policy diff` calls it neutral.
POLICY: dict[str, list[Any]] = {
    "on_error": [None, "block", "flag"],
    "unmapped": [None, "scan", "refuse"],
    "token_ids": [None, "pass", "refuse"],
    "opaque": [None, "pass", "refuse", {"image": "refuse"}, {"image": "refuse", "audio": "refuse"}],
    "intent": ["on", "off"],
    "description": ["one", "two"],
}
CHECKS: dict[str, dict[str, list[Any]]] = {
    "pattern": {
        "words": [["x"], ["x", "y"], ["y", "z"]],
        "label": [None, "MATCH", "OTHER"],
        "evasions": [None, "off", "standard", "strict"],
        "on_error": [None, "block", "flag"],
    },
    "supervisor": {
        "threshold": [None, 0.5, 0.4, "1%", "5 %", {"harm": 0.5}, {"harm": 0.4}, {"harm": 0.5, "injection": "1%"}],
        "first_stage": [None, True, False],
        "labels": [None, ["harm"], ["injection", "harm"]],
    },
    "secrets": {"skip": [None, ["a"], ["b", "a"]], "rules": [None, ["a"], ["a", "b"]]},
    "pii": {
        "language": [None, "en", "de", ["de", "en"], "auto"],
        "parity": [None, "strict", "extended"],
        "entities": [None, ["PERSON"], ["PERSON", "PHONE_NUMBER"]],
        "threshold": [None, 0.3, 0.4],
    },
    "json_schema": {"invented": [None, "refuse", "allow"], "repair": [None, True, False]},
    "http": {"sensitive": [None, True, False], "timeout_s": [None, 1, 2]},
}
RULE: dict[str, list[Any]] = {
    "on": [None, "response", "assistant", ["request", "response"], "user"],
    "when": ["pattern", "pattern or pii", "pattern and pii", "(pattern or http) and pii", "pii and (http or pattern)"],
    "action": ["redact", "retry", "block", "flag"],
    "mode": [None, "enforce", "shadow"],
    "enforce": [None, "10 %", "50 %", "100 %"],
    "message": [None, "sorry"],
    "restore": [None, True, False, {"in": ["assistant"]}, {"in": ["assistant", "tool_arguments"]}],
    "operators": [
        None,
        {"DEFAULT": "hash"},
        {"DEFAULT": "redact", "CARD": "mask"},
        {"CARD": {"type": "mask", "chars_to_mask": 4}},
        {"CARD": {"type": "mask", "chars_to_mask": 9}},
        {"CARD": {"type": "mask", "chars_to_mask": 9, "from_end": True}},
    ],
    "early": [None, True, False],
    "parallel": [None, True, False, "always"],
    "then": [None, "block", "pass_flagged", "fallback"],
    "fallback": [{"model": "m"}, {"model": "n"}],
    "attempts": [None, 1, 3],
}
OF_ACTION = {
    "redact": {"restore", "operators"},
    "retry": {"message", "early", "then", "fallback", "attempts"},
    "block": {"message", "early", "parallel"},
    "flag": {"parallel"},
}
SLOTS: dict[str, list[Any]] = {
    **{f"policy.{key}": values for key, values in POLICY.items()},
    **{f"check.{use}.{key}": values for use, options in CHECKS.items() for key, values in options.items()},
    **{f"rule.{key}": values for key, values in RULE.items()},
}
CHOICES = st.fixed_dictionaries({slot: st.sampled_from(values) for slot, values in SLOTS.items()})
ACTING = CHOICES.flatmap(  # the rule does more than record
    lambda values: st.builds(
        lambda action, mode: values | {"rule.action": action, "rule.mode": mode},
        st.sampled_from(["redact", "retry", "block"]),
        st.sampled_from([None, "enforce"]),
    )
)
MOVED = st.lists(st.sampled_from(sorted(SLOTS)), max_size=3, unique=True)


def part(values: Values, prefix: str) -> Values:
    """The values below a prefix that are not left out."""
    return {
        slot.removeprefix(prefix): value
        for slot, value in values.items()
        if slot.startswith(prefix) and value is not None
    }


def policy(values: Values) -> Policy:
    """The policy that the values make. One more rule makes every check count."""
    whole = part(values, "policy.")
    rule = part(values, "rule.")
    belonging = {key for keys in OF_ACTION.values() for key in keys} - OF_ACTION[rule["action"]]
    rule = {key: value for key, value in rule.items() if key not in belonging}
    if rule.get("then") != "fallback":
        rule.pop("fallback", None)
    if rule.get("mode") == "shadow":
        rule.pop("enforce", None)
    tree = {
        "policy": "p",
        **{key: value for key, value in whole.items() if key != "intent"},
        "audit": {"intent": whole["intent"]},
        "checks": {use: {"use": use, **part(values, f"check.{use}.")} for use in CHECKS},
        "rules": [{"id": "r", **rule}, {"id": "all", "when": " or ".join(CHECKS), "action": "block"}],
    }
    return parse(json.dumps(tree), "p.yaml")


def verdicts(old: Values, new: Values) -> tuple[bool, bool]:
    """Whether `extends` accepts the new policy over the old one, and whether `policy diff` calls no change looser.

    Raises `PolicyErrors` for values that make no policy.
    """
    before, after = policy(old), policy(new)
    is_accepted = not list(weaknesses(before, after))
    is_not_looser = all(change.effect in ("tightens", "neutral") for change in changes([before], [after]))
    event(f"accepted: {is_accepted}")
    return is_accepted, is_not_looser


def judged(old: Values, new: Values) -> tuple[bool, bool]:
    """The verdicts about values that make two policies; other values are not an example."""
    try:
        return verdicts(old, new)
    except PolicyErrors:
        reject()


@promise
@given(ACTING, CHOICES, MOVED)
def test_extends_accepts_what_the_diff_does_not_call_looser(old: Values, other: Values, moved: list[str]) -> None:
    is_accepted, is_not_looser = judged(old, old | {slot: other[slot] for slot in moved})
    assert is_accepted is is_not_looser


@promise
@given(CHOICES, CHOICES, MOVED)
def test_what_extends_accepts_the_diff_never_calls_looser(old: Values, other: Values, moved: list[str]) -> None:
    is_accepted, is_not_looser = judged(old, old | {slot: other[slot] for slot in moved})
    assert is_not_looser or not is_accepted


@pytest.mark.parametrize("slot", sorted(SLOTS.keys() - {"rule.action", "rule.mode"}))
@settings(max_examples=3)
@given(ACTING)
def test_each_single_change_is_judged_alike(slot: str, values: Values) -> None:
    for old, new in permutations(SLOTS[slot], 2):
        with suppress(PolicyErrors):
            is_accepted, is_not_looser = verdicts(values | {slot: old}, values | {slot: new})
            assert is_accepted is is_not_looser, (slot, old, new)
