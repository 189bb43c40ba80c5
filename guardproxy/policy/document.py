"""The shape of a policy file: the values that it becomes, and the reading of one file into them.

In: the text of a file. Out: a frozen `Policy`, or the list of everything that is wrong with the file, each with line
and column. Kept: nothing. Which checks exist, and which options they take, is found out when they are built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from typing import Any, Literal, get_args

from guardproxy.decisions import Retry
from guardproxy.errors import PolicyError
from guardproxy.findings import KINDS, Direction, Kind
from guardproxy.operators import PLACEHOLDERS, Operators
from guardproxy.policy import retrying, rollout
from guardproxy.policy.expression import RESERVED, Expression, has_and, parse_expression
from guardproxy.policy.operators import read_operators, unrestorable
from guardproxy.policy.reading import Reading, did_you_mean, join
from guardproxy.policy.tree import Node, Place, read_tree

OnError = Literal["block", "flag"]
Unmapped = Literal["scan", "refuse"]
Keep = Literal["none", "redacted"]
Action = Literal["flag", "redact", "retry", "block"]
Mode = Literal["enforce", "shadow"]
Severity = Literal["low", "medium", "high", "critical"]
Verdict = Literal["pass", "flag", "redact", "retry", "block"]

ON_ERROR: tuple[OnError, ...] = get_args(OnError)
UNMAPPED: tuple[Unmapped, ...] = get_args(Unmapped)
KEEP: tuple[Keep, ...] = get_args(Keep)
ACTIONS: tuple[Action, ...] = get_args(Action)
MODES: tuple[Mode, ...] = get_args(Mode)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

# An answer can echo every part of its request (some APIs do), so `response` leaves no kind out; a request is no error.
KINDS_OF: Mapping[Direction, frozenset[Kind]] = {
    "request": frozenset(KINDS) - {"error"},
    "response": frozenset(KINDS),
}

_POLICY_KEYS = (
    "policy",
    "description",
    "match",
    "checks",
    "rules",
    "on_error",
    "unmapped",
    "enforce",
    "audit",
    "tests",
)
_RULE_KEYS = (
    *("id", "on", "when", "action", "operators", "restore", "mode", "enforce", "message", "severity", "early"),
    *retrying.KEYS,
)
_EXPECT_KEYS = ("rule", "decision", "upstream_lacks", "upstream_has", "client_lacks")
_CHECK_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_ROUTE = re.compile(r"[A-Z]+ /\S*")


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a policy is for; `None` is any. `routes` are exact (`POST /v1/messages`), the others globs."""

    routes: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    tenants: tuple[str, ...] | None = None

    def holds(self, route: str, model: str, tenant: str) -> bool:
        """Whether all three match; an unknown model or tenant is the empty string, which only `*` matches."""
        return (
            (self.routes is None or route in self.routes)
            and (self.models is None or any(fnmatchcase(model, glob) for glob in self.models))
            and (self.tenants is None or any(fnmatchcase(tenant, glob) for glob in self.tenants))
        )


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """A check as a file asks for it: which one (`use`), and its options as plain YAML values.

    `place` and `places`: where the check and each of its keys (`use` among them) stand in the file.
    """

    use: str
    options: Mapping[str, Any]
    place: Place = field(default=Place(), compare=False)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens (`action`) where a text of one of the kinds in `on` makes `when` hold.

    `retry`: how, for that action. `early`: what is right so far of an answer leaves, though a later fault can then only end
    it with an error. `share`: of how many conversations in a million it is enforced; `None`: of all.
    """

    id: str
    on: frozenset[tuple[Direction, Kind]]
    when: Expression
    action: Action
    restore: bool = False
    operators: Operators = PLACEHOLDERS
    mode: Mode = "enforce"
    message: str = ""
    severity: Severity | None = None
    retry: Retry | None = None
    early: bool = False
    share: int | None = None
    place: Place = field(default=Place(), compare=False)


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


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy file. `source`: its path. `place`: where its name stands."""

    name: str
    description: str
    match: Match
    checks: Mapping[str, CheckSpec]
    rules: tuple[Rule, ...]
    on_error: OnError = "block"
    unmapped: Unmapped = "scan"
    keep: Keep = "redacted"
    tests: tuple[PolicyTest, ...] = ()
    source: str = ""
    place: Place = field(default=Place(), compare=False)


def read_policy(content: bytes | str, path: str) -> Policy | list[PolicyError]:
    """The policy that a file holds, or everything that is wrong with it, in the order of the file."""
    reading = Reading(path)
    try:
        root = read_tree(content, path)
    except PolicyError as error:
        return [error]
    policy = _policy(reading, root)
    if reading.errors:
        return sorted(reading.errors, key=lambda error: (error.line, error.column))
    return policy


def _policy(reading: Reading, root: Node) -> Policy:
    wanted = "a mapping that begins with `policy: some-name`"
    keys = reading.entries(root, wanted, _POLICY_KEYS, later=("extends",), needed=("policy", "rules"))
    checks = _checks(reading, keys.get("checks"))
    rules = _rules(reading, keys.get("rules"), tuple(checks))
    return Policy(
        name=reading.name(keys.get("policy")) or "",
        description=reading.word(keys.get("description"), "a text, written as words") or "",
        match=_match(reading, keys.get("match")),
        checks={name: spec for name, spec in checks.items() if spec},
        rules=rollout.shared(
            [rule for rule in rules.values() if rule], rollout.read_share(reading, keys.get("enforce"))
        ),
        on_error=reading.choice(keys.get("on_error"), ON_ERROR) or "block",
        unmapped=reading.choice(keys.get("unmapped"), UNMAPPED) or "scan",
        keep=_keep(reading, keys.get("audit")),
        tests=_tests(reading, keys.get("tests"), tuple(rules)),
        source=reading.path,
        place=keys["policy"].place if "policy" in keys else root.place,
    )


def _match(reading: Reading, node: Node | None) -> Match:
    if node is None:
        return Match()
    keys = reading.entries(node, "a mapping", ("routes", "models", "tenants"), later=("when",))
    for key, value in keys.items():
        if value.value == ():
            reading.fail(value.place, f"an empty list matches nothing; leave `{key}` out to match everything")
    found = {key: reading.words(value) for key, value in keys.items()}
    if "routes" in keys and isinstance(keys["routes"].value, tuple):
        for item in keys["routes"].value:
            if isinstance(item.value, str) and item.value and not _ROUTE.fullmatch(item.value):
                reading.fail(item.place, "a route is a method and a path, like `POST /v1/chat/completions`")
    return Match(found.get("routes"), found.get("models"), found.get("tenants"))


def _checks(reading: Reading, node: Node | None) -> dict[str, CheckSpec | None]:
    """All check names of the file; `None` for a check that could not be read, so that rules may still name it."""
    if node is None:
        return {}
    entries = reading.mapping(node, "a mapping of check names, like `pii: {use: pii}`") or {}
    return {name: _check(reading, name, value) for name, value in entries.items()}


def _check(reading: Reading, name: str, node: Node) -> CheckSpec | None:
    if name in RESERVED:
        reading.fail(node.key, f"`{name}` has a meaning of its own in `when`; give the check another name")
    elif not _CHECK_NAME.fullmatch(name):
        reading.fail(node.key, "the name of a check begins with a-z and goes on with a-z, 0-9, `_` and `-`")
    entries = reading.mapping(node, "a mapping with `use`, like `{use: pii}`")
    if entries is None:
        return None
    if "use" not in entries:
        reading.fail(node.place, "`use` is missing")
    use = reading.word(entries.get("use"))
    options = {key: value.plain() for key, value in entries.items() if key != "use"}
    return CheckSpec(use or "", options, node.key, {key: value.key for key, value in entries.items()})


def _rules(reading: Reading, node: Node | None, checks: tuple[str, ...]) -> dict[str, Rule | None]:
    """All rule ids of the file; `None` for a rule that could not be read, so that tests may still name it."""
    if node is None:
        return {}
    rules: dict[str, Rule | None] = {}
    places: dict[str, Place] = {}
    items = reading.items(node, "a list of rules")
    if node.value == ():
        reading.fail(node.place, "a policy without rules does nothing; write at least one rule")
    for item in items:
        keys = reading.entries(item, "a mapping with `id`", _RULE_KEYS, needed=("id", "when", "action"))
        name = reading.name(keys.get("id"))
        if name is not None and name in places:
            reading.fail(keys["id"].place, f"duplicate rule `{name}`, first on line {places[name].line}")
        rule = _rule(reading, keys, checks, name or "", item.place)
        if name is not None:
            places[name] = item.place
            rules[name] = rule
    return rules


def _rule(reading: Reading, keys: Mapping[str, Node], checks: tuple[str, ...], name: str, place: Place) -> Rule | None:
    on = _on(reading, keys.get("on"))
    when = _when(reading, keys.get("when"), checks)
    action = reading.choice(keys.get("action"), ACTIONS)
    restore = reading.boolean(keys.get("restore"))
    operators = read_operators(reading, keys.get("operators"))
    message = reading.word(keys.get("message"), "a text, written as words")
    mode = reading.choice(keys.get("mode"), MODES)
    severity = reading.choice(keys.get("severity"), SEVERITIES)
    share = rollout.read_share(reading, keys.get("enforce"))
    if share is not None and mode == "shadow":
        reading.fail(keys["enforce"].key, "a rule in shadow mode enforces nothing; leave out `mode` or `enforce`")
    goes_out = any(direction == "request" for direction, _ in on)
    if action not in ("redact", None) and "restore" in keys:
        reading.fail(keys["restore"].key, f"`restore` belongs to the action redact, not to {action}")
    elif restore and on and not goes_out:
        reading.fail(keys["restore"].key, "`restore` gives back what was taken out of a request; this rule sees none")
    if action not in ("redact", None) and "operators" in keys:
        reading.fail(keys["operators"].key, f"`operators` belong to the action redact, not to {action}")
    elif restore and (fixed := unrestorable(operators)):
        reading.fail(
            keys["restore"].key, f"`restore` gives back what placeholders stand for; {fixed} cannot be restored"
        )
    if action not in ("block", "retry", None) and "message" in keys:
        reading.fail(keys["message"].key, f"`message` belongs to the actions block and retry, not to {action}")
    early = reading.boolean(keys.get("early"))
    if action not in ("block", "retry", None) and "early" in keys:
        reading.fail(keys["early"].key, f"`early` belongs to the actions block and retry, not to {action}")
    retry = retrying.read_retry(reading, keys, name, message or "") if action == "retry" else None
    if action not in ("retry", None):
        for key in (key for key in retrying.KEYS if key in keys):
            reading.fail(keys[key].key, f"`{key}` belongs to the action retry, not to {action}")
    if retry:
        on = frozenset(pair for pair in on if pair[0] == "response")
        if "on" in keys and not on:
            reading.fail(keys["on"].place, "a retry asks for another answer, so it looks at answers: `on: response`")
    if when is None or action is None:
        return None
    if action == "redact" and has_and(when):
        reading.fail(
            keys["when"].place,
            "`and` cannot stand in a redact rule: in a stream the first finding has left before the second is known; "
            "write `or`, or use the action block",
        )
    return Rule(
        id=name,
        on=on,
        when=when,
        action=action,
        restore=action == "redact" and goes_out and restore is not False,
        operators=operators,
        mode=mode or "enforce",
        message=message or "",
        severity=severity,
        retry=retry,
        early=bool(early),
        share=share,
        place=place,
    )


def _on(reading: Reading, node: Node | None) -> frozenset[tuple[Direction, Kind]]:
    directions = tuple(KINDS_OF)
    if node is None:
        return frozenset(pair for direction in directions for pair in product([direction], KINDS_OF[direction]))
    if node.value == ():
        reading.fail(node.place, "an empty list sees nothing; leave `on` out to see everything")
    words = reading.word_or_words(node)
    options = (*directions, *KINDS)
    places = node.value if isinstance(node.value, tuple) else (node,)
    for item in places:
        if isinstance(item.value, str) and item.value and item.value not in options:
            hint = did_you_mean(item.value, options)
            reading.fail(item.place, f"unknown word `{item.value}`{hint} (expected any of {join(options)})")
    return frozenset(
        (direction, kind)
        for direction in directions
        for kind in KINDS_OF[direction]
        if direction in words or kind in words
    )


def _when(reading: Reading, node: Node | None, checks: tuple[str, ...]) -> Expression | None:
    text = reading.word(node, "an expression like `pii or secrets`, written as words")
    if node is None or text is None:
        return None
    try:
        return parse_expression(text, checks)
    except PolicyError as error:
        inside = 0 if node.lead is None else node.lead + error.column - 1
        reading.fail(Place(node.place.line, node.place.column + inside), error.message)
        return None


def _keep(reading: Reading, node: Node | None) -> Keep:
    if node is None:
        return "redacted"
    keys = reading.entries(node, "a mapping like `{keep: redacted}`", ("keep",))
    return reading.choice(keys.get("keep"), KEEP, later=("sealed", "full")) or "redacted"


def _tests(reading: Reading, node: Node | None, rules: tuple[str, ...]) -> tuple[PolicyTest, ...]:
    if node is None:
        return ()
    found = (_test(reading, item, rules) for item in reading.items(node, "a list of tests"))
    return tuple(test for test in found if test)


def _test(reading: Reading, node: Node, rules: tuple[str, ...]) -> PolicyTest | None:
    allowed = ("name", "request", "response", "expect")
    keys = reading.entries(node, "a mapping with `name`", allowed, needed=("name", "expect"))
    name = reading.word(keys.get("name"))
    sent: tuple[Direction, ...] = tuple(direction for direction in KINDS_OF if direction in keys)
    if len(sent) != 1 and keys:
        reading.fail(node.place, f"a test has either `request` or `response`, found {'both' if sent else 'neither'}")
    text = reading.word(keys.get(sent[0]), "a text, written as words") if sent else None
    expect = reading.entries(keys["expect"], "a mapping", _EXPECT_KEYS) if "expect" in keys else {}
    if "expect" in keys and keys["expect"].value == {}:
        reading.fail(keys["expect"].place, f"a test that expects nothing cannot fail; use one of {join(_EXPECT_KEYS)}")
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
