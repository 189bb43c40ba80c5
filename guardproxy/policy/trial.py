"""The `tests:` of a policy file: examples, and what must come of each.

In: the nodes of one file. Out: frozen values; mistakes are noted in the `Reading` like all others of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from guardproxy.findings import Direction
from guardproxy.policy.reading import Reading, did_you_mean, join
from guardproxy.policy.tree import Node, Place

Verdict = Literal["pass", "flag", "redact", "retry", "block"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
EXPECT_KEYS = ("rule", "decision", "upstream_lacks", "upstream_has", "client_lacks")
_KEYS = ("name", "request", "response", "expect")
_DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """An example that a policy file carries: `text` going in `direction`, and what must come of it.

    Empty fields expect nothing. `upstream_*` and `client_lacks` are texts that must (not) reach the model or client.
    """

    name: str
    direction: Direction
    text: str
    rule: str | None = None
    decision: Verdict | None = None
    upstream_lacks: tuple[str, ...] = ()
    upstream_has: tuple[str, ...] = ()
    client_lacks: tuple[str, ...] = ()
    place: Place = field(default=Place(), compare=False)


def read_tests(
    reading: Reading, node: Node | None, rules: Sequence[str], checks: Sequence[str]
) -> tuple[PolicyTest, ...]:
    """The tests of a file. `rules`, `checks`: the names that they may use."""
    if node is None:
        return ()
    found = (_test(reading, item, rules) for item in reading.items(node, "a list of tests"))
    return tuple(test for test in found if test)


def _test(reading: Reading, node: Node, rules: Sequence[str]) -> PolicyTest | None:
    keys = reading.entries(node, "a mapping with `name`", _KEYS, needed=("name", "expect"))
    name = reading.word(keys.get("name"))
    sent: tuple[Direction, ...] = tuple(direction for direction in _DIRECTIONS if direction in keys)
    if len(sent) != 1 and keys:
        reading.fail(node.place, f"a test has either `request` or `response`, found {'both' if sent else 'neither'}")
    text = reading.word(keys.get(sent[0]), "a text, written as words") if sent else None
    expect = reading.entries(keys["expect"], "a mapping", EXPECT_KEYS) if "expect" in keys else {}
    if "expect" in keys and keys["expect"].value == {}:
        reading.fail(keys["expect"].place, f"a test that expects nothing cannot fail; use one of {join(EXPECT_KEYS)}")
    rule = reading.word(expect.get("rule"))
    if rule is not None and rule not in rules:
        reading.fail(expect["rule"].place, f"unknown rule `{rule}`{did_you_mean(rule, rules)}")
    if name is None or text is None:
        return None
    return PolicyTest(
        name=name,
        direction=sent[0],
        text=text,
        rule=rule,
        decision=reading.choice(expect.get("decision"), VERDICTS),
        upstream_lacks=reading.word_or_words(expect.get("upstream_lacks")),
        upstream_has=reading.word_or_words(expect.get("upstream_has")),
        client_lacks=reading.word_or_words(expect.get("client_lacks")),
        place=node.place,
    )
