"""Rules about fields: the order of policies and of their entries does not matter, and nothing else of a request changes."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.exchange.inputs.transcript import SendUpstream
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import PolicyErrors, build_checks, parse_all
from tests.kit.play import Play

PATHS = (
    "store",
    "logprobs",
    "metadata.a",
    "metadata.b",
    "metadata",
    "stream_options.include_usage",
    "tools.*.function.strict",
)
VALUES = st.sampled_from([True, False, 1, "x", {"k": [1, "v"]}])
POLICY = st.fixed_dictionaries(
    {},
    optional={
        "set": st.dictionaries(st.sampled_from(PATHS), VALUES, min_size=1, max_size=3),
        "strip": st.lists(st.sampled_from(PATHS), min_size=1, max_size=3, unique=True),
        "refuse": st.lists(st.sampled_from(PATHS), min_size=1, max_size=1),
        "mode": st.sampled_from(["enforce", "shadow"]),
        "allow_fields": st.just(["chat_template"]),
    },
)
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}
BODIES = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.just([{"role": "user", "content": "hi \u00e9"}])},
    optional={
        "store": st.booleans(),
        "logprobs": st.booleans(),
        "metadata": st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y"]), max_size=3),
        "tools": st.lists(
            st.sampled_from([TOOL, {"type": "function", "function": {"name": "g"}}]), min_size=1, max_size=2
        ),
        "seed": st.just(12345678901234567890),
        "temperature": st.just(0.1),
        "x_other": st.just({"deep": [1.5, None, True, "text"]}),
        "chat_template": st.just("x"),
    },
)


def loaded(policies: list[dict[str, Any]], shuffle: random.Random) -> PolicySet:
    """The set of these policies, in files and entries of any order."""
    files = []
    for number, policy in shuffle.sample(list(enumerate(policies)), len(policies)):
        entries = {
            key: dict(shuffle.sample(list(value.items()), len(value)))
            if isinstance(value, dict)
            else shuffle.sample(value, len(value))
            if isinstance(value, list)
            else value
            for key, value in policy.items()
        }
        keys = {"policy": f"p{number}", "rules": [{"id": "r", "when": "check_error", "action": "flag"}], **entries}
        lines = [f"{key}: {json.dumps(value)}\n" for key, value in keys.items()]
        files.append((f"{shuffle.random()}.yaml", "".join(shuffle.sample(lines, len(lines)))))
    parsed = parse_all(files)
    return PolicySet(parsed, build_checks(parsed, Resources()), "same")


def count(policies: list[dict[str, Any]], shuffle: random.Random) -> int:
    """The number of contradictions of the policies."""
    try:
        loaded(policies, shuffle)
    except PolicyErrors as errors:
        return len(errors.errors)
    return 0


def played(policies: PolicySet, body: dict[str, Any]) -> tuple[Any, ...]:
    done = Play(policies).ask(body)
    sent = [command.body for command in done.done if isinstance(command, SendUpstream)]
    return sent, done.client if not sent else b"", done.exchange.field_changes


@given(st.lists(POLICY, min_size=1, max_size=3), BODIES, st.randoms(use_true_random=False))
def test_no_order_matters(policies: list[dict[str, Any]], body: dict[str, Any], shuffle: random.Random) -> None:
    contradictions = count(policies, shuffle)
    assert [count(policies, shuffle) for _ in range(2)] == [contradictions] * 2
    if contradictions:
        return
    first = loaded(policies, shuffle)
    expected = played(first, body)
    for _ in range(2):
        assert played(loaded(policies, shuffle), body) == expected


@given(POLICY, BODIES)
def test_nothing_else_of_a_request_changes(policy: dict[str, Any], body: dict[str, Any]) -> None:
    try:
        sent, _, changes = played(loaded([policy], random.Random(1)), body)
    except PolicyErrors:
        return
    assume(sent)
    raw = json.dumps(body).encode()
    after = json.loads(sent[0])
    if not any(change.enforced for change in changes):
        assert sent == [raw]
    touched = {path.split(".")[0] for path in (*policy.get("set", ()), *policy.get("strip", ()))}
    assert {key: value for key, value in after.items() if key not in touched} == {
        key: value for key, value in body.items() if key not in touched
    }
    if policy.get("mode") != "shadow":
        for path in policy.get("strip", ()):
            if "." not in path:
                assert path not in after
        for path, value in policy.get("set", {}).items():
            if "." not in path:
                assert after[path] == value
