"""Reads the `rules:` of a policy file.

In: the node of the list, and the names of the file's checks. Out: frozen `Rule`s; errors are added to the
`FileReading`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from guardproxy.decisions import Edit, Retry
from guardproxy.errors import PolicyError
from guardproxy.findings import KINDS, Direction, Kind
from guardproxy.policy.conditions.expression import Expression, has_and, parse_expression
from guardproxy.policy.file import keys as tables
from guardproxy.policy.values import acting, restoring, retrying, rollout
from guardproxy.policy.values.actions import ACTIONS, actions_with, decides
from guardproxy.policy.values.alerting import read_alert
from guardproxy.policy.values.document import KINDS_OF, MODES, SEVERITIES, WORDS_OF_ON, Parallel, Rule
from guardproxy.policy.values.operators import read_operators, unrestorable
from guardproxy.policy.yaml.reading import FileReading, did_you_mean, join
from guardproxy.policy.yaml.tree import FilePlace, YamlNode


def read_rules(reading: FileReading, node: YamlNode | None, checks: tuple[str, ...]) -> dict[str, Rule | None]:
    """Returns all rules of the file, by id; `None` for a rule that could not be read, so that tests may name it."""
    if node is None:
        return {}
    rules: dict[str, Rule | None] = {}
    places: dict[str, FilePlace] = {}
    items = reading.items(node, "a list of rules")
    if node.value == ():
        reading.fail(node.place, "a policy without rules does nothing; write at least one rule")
    for item in items:
        keys = reading.entries(item, "a mapping with `id`", tuple(tables.RULE), tables.needed(tables.RULE), "rule")
        name = reading.name(keys.get("id"))
        if name is not None and name in places:
            reading.fail(keys["id"].place, f"duplicate rule `{name}`, first {_at(places[name])}")
        rule = _rule(reading, keys, checks, name or "", item.place)
        if name is not None:
            places[name] = item.place
            rules[name] = rule
    return rules


def _rule(
    reading: FileReading, keys: Mapping[str, YamlNode], checks: tuple[str, ...], name: str, place: FilePlace
) -> Rule | None:
    on = read_on(reading, keys.get("on"))
    when = _when(reading, keys.get("when"), checks)
    action = reading.choice(keys.get("action"), acting.action_names(), place="action")
    options = keys["with"].plain() if "with" in keys and reading.mapping(keys["with"], "a mapping") is not None else {}
    restore, restoration = restoring.read_restore(reading, keys.get("restore"))
    operators = read_operators(reading, keys.get("operators"))
    message = reading.word(keys.get("message"), "a text, written as words")
    mode = reading.choice(keys.get("mode"), MODES, place="mode")
    severity = reading.choice(keys.get("severity"), SEVERITIES, place="severity")
    share = rollout.read_share(reading, keys.get("enforce"))
    if share is not None and mode == "shadow":
        reading.fail(keys["enforce"].key, "a rule in shadow mode enforces nothing; leave out `mode` or `enforce`")
    goes_out = any(direction == "request" for direction, _ in on)
    if action:
        _belong(reading, keys, action)
    restores = action in actions_with("restore")
    may_restore = restores or action is None
    if may_restore and restore and on and not goes_out:
        reading.fail(keys["restore"].key, "`restore` restores values of a request, but this rule inspects no request")
    if may_restore and restore and (fixed := unrestorable(operators)):
        reading.fail(keys["restore"].key, f"`restore` restores placeholders only; {fixed} cannot be restored")
    early = reading.boolean(keys.get("early"))
    parallel = _parallel(reading, keys.get("parallel"))
    if parallel != "off" and on and not goes_out:
        reading.fail(keys["parallel"].key, "`parallel` is about requests, but this rule inspects no request")
    retry = retrying.read_retry(reading, keys, name, message or "") if decides(action, Retry) else None
    reach = on & acting.reach(action) if action else on
    if action and on and not reach:
        reading.fail(keys["on"].place, acting.only(action))
    if when is None or action is None:
        return None
    if decides(action, Edit) and has_and(when):
        reading.fail(keys["when"].place, acting.NO_AND)
    return Rule(
        id=name,
        on=reach,
        out_of_reach=on - reach,
        when=when,
        action=action,
        restore=restores and goes_out and restore is not False,
        restoration=restoration,
        operators=operators,
        mode=mode or "enforce",
        message=message or "",
        severity=severity,
        alert=read_alert(reading, keys.get("alert"), severity),
        retry=retry,
        early=bool(early),
        parallel=parallel,
        share=share,
        options=options,
        place=place,
        places={key: node.key for key, node in keys.items()},
    )


def _parallel(reading: FileReading, node: YamlNode | None) -> Parallel:
    if node is None or node.value == "always":
        return "off" if node is None else "always"
    if isinstance(node.value, bool):
        return "on" if node.value else "off"
    reading.fail(node.place, "expected `true`, `false` or `always`")
    return "off"


def _at(place: FilePlace) -> str:
    return f"in {place.path}:{place.line}" if place.path else f"on line {place.line}"


def _belong(reading: FileReading, keys: Mapping[str, YamlNode], action: str) -> None:
    if "with" in keys and action in ACTIONS:
        reading.fail(keys["with"].key, f"`with` belongs to actions of other packages, not to {action}")
    for name, node in keys.items():
        actions = tables.RULE[name].actions
        if actions and action not in actions:
            verb, which = "belong" if name.endswith("rs") else "belongs", f"action{'s' if actions[1:] else ''}"
            reading.fail(node.key, f"`{name}` {verb} to the {which} {' and '.join(actions)}, not to {action}")


def read_on(reading: FileReading, node: YamlNode | None) -> frozenset[tuple[Direction, Kind]]:
    if node is None:
        return frozenset(pair for direction in KINDS_OF for pair in product([direction], KINDS_OF[direction]))
    if node.value == ():
        reading.fail(node.place, "an empty list inspects nothing; leave `on` out to inspect everything")
    words = reading.word_or_words(node)
    places = node.value if isinstance(node.value, tuple) else (node,)
    for item in places:
        if isinstance(item.value, str) and item.value and item.value not in WORDS_OF_ON:
            hint = did_you_mean(item.value, tuple(WORDS_OF_ON), "channel")
            options = (*KINDS_OF, *KINDS)
            reading.fail(
                item.place,
                f"unknown word `{item.value}`{hint} (expected any of {join(options)}, or both, like `request.assistant`)",
            )
    return frozenset(pair for word in words for pair in WORDS_OF_ON.get(word, ()))


def _when(reading: FileReading, node: YamlNode | None, checks: tuple[str, ...]) -> Expression | None:
    text = reading.word(node, "an expression like `pii or secrets`, written as words")
    if node is None or text is None:
        return None
    try:
        return parse_expression(text, checks)
    except PolicyError as error:
        inside = 0 if node.lead is None else node.lead + error.column - 1
        reading.fail(FilePlace(node.place.line, node.place.column + inside, node.place.path), error.message)
        return None
