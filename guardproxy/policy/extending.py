"""A policy over another one: laying their trees over each other, and seeing that nothing has become looser.

In: the entries of two trees; then the two policies that were read from them. Out: the entries of both together; every place
where the second is weaker than the first, or where it cannot be shown that it is not. Kept: nothing.

What may change, and only so: `action` to a stronger one, `mode` from shadow to enforce, `enforce` to a larger share, `on` to
more, `when` to more, `restore` to false or to fewer places,
`operators` to what shows less, `severity` up, `early` to false, `then` to a stronger
one, `on_error` to block, `unmapped`, `opaque` and `token_ids` to refuse; options of a check as the check itself
declares them (`Option.tighter`).
`message`, `template` and the budget of a retry are free. Nothing can be taken away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import PurePath
from typing import Any

from guardproxy import checks
from guardproxy.policy import keys as tables
from guardproxy.policy.document import (
    ACTIONS,
    INTENT,
    MODES,
    ON_ERROR,
    PASSES,
    SEVERITIES,
    UNMAPPED,
    CheckSpec,
    Policy,
    Rule,
)
from guardproxy.policy.expression import And, Expression, Name
from guardproxy.policy.rollout import reach
from guardproxy.policy.tree import Node, Place
from guardproxy.redaction import DEFAULT
from guardproxy.redaction import KINDS as OPERATORS

INHERITED = ("checks", "rules", "on_error", "unmapped", "opaque", "token_ids", "enforce", "audit")
_THEN = ("pass_flagged", "fallback", "block")
_LIMIT_TERMS = 256

Entries = Mapping[str, Node]


def overlaid(under: Entries, over: Entries) -> Entries:
    """What is inherited from `under`, with `over` on top of it."""
    merged = {**{key: node for key, node in under.items() if key in INHERITED}, **over}
    if "checks" in under and "checks" in over:
        merged["checks"] = _mappings(under["checks"], over["checks"])
    if "rules" in under and "rules" in over:
        merged["rules"] = _rules(under["rules"], over["rules"])
    return merged


def _mappings(under: Node, over: Node) -> Node:
    if not isinstance(under.value, Mapping) or not isinstance(over.value, Mapping):
        return over
    merged = dict(under.value)
    for name, node in over.value.items():
        before = under.value.get(name)
        if before and isinstance(before.value, Mapping) and isinstance(node.value, Mapping):
            node = replace(node, value={**before.value, **node.value})  # noqa: PLW2901
        merged[name] = node
    return replace(over, value=merged)


def _rules(under: Node, over: Node) -> Node:
    if not isinstance(under.value, tuple) or not isinstance(over.value, tuple) or not over.value:
        return over
    rules = list(under.value)
    at = {_id(node): number for number, node in enumerate(rules)}
    for node in over.value:
        number = at.pop(_id(node), None)  # a second one of the same name is a duplicate
        if number is None:
            rules.append(node)
        else:
            rules[number] = _rule(rules[number], node)
    return replace(over, value=tuple(rules))


def _id(node: Node) -> Any:
    entry = node.value.get("id") if isinstance(node.value, Mapping) else None
    return entry.value if entry and isinstance(entry.value, str) else node


def _rule(under: Node, over: Node) -> Node:
    assert isinstance(under.value, Mapping)  # noqa: S101 - it has an `id`
    assert isinstance(over.value, Mapping)  # noqa: S101
    merged = {**under.value, **over.value}
    action = merged["action"].value if "action" in merged else None
    then = merged["then"].value if "then" in merged else None
    # What belonged to the weaker action, or to a fallback that is none any more, goes with it.
    kept = {
        key: node
        for key, node in merged.items()
        if key in over.value
        or key not in tables.RULE
        or (action in (tables.RULE[key].actions or (action,)) and (key != "fallback" or then == "fallback"))
    }
    return replace(over, value=kept)


Found = tuple[Place, str]


def loosened(before: Policy, after: Policy) -> Iterator[Found]:
    """Where `after` is weaker than `before`."""
    whose = f"tenant {after.tenant}: " if after.tenant else ""
    for place, message in (
        *_whole(before, after),
        *(
            found
            for name, spec in before.checks.items()
            for found in _check(before, after.on_error, name, spec, after.checks[name])
        ),
        *(found for rule in before.rules for found in _rule_loosened(before, rule, _named(after, rule.id))),
    ):
        yield place, whose + message


def _named(policy: Policy, name: str) -> Rule:
    return next(rule for rule in policy.rules if rule.id == name)


def _there(policy: Policy, place: Place | None) -> str:
    place = place or policy.place
    return f"{PurePath(place.path or policy.source).name}:{place.line}:{place.column}"


def _order(what: str, order: Sequence[Any], was: Any, now: Any) -> str:
    if order.index(now) >= order.index(was):
        return ""
    return f"{what} may not be weakened from {was} to {now}"


def _whole(before: Policy, after: Policy) -> Iterator[Found]:
    for key, weaker in (
        ("on_error", _order("`on_error`", tuple(reversed(ON_ERROR)), before.on_error, after.on_error)),
        ("unmapped", _order("`unmapped`", UNMAPPED, before.unmapped, after.unmapped)),
        ("token_ids", _order("`token_ids`", PASSES, before.token_ids, after.token_ids)),
        ("opaque", _opaque(before, after)),
        ("audit", "" if before.keep == after.keep else f"`audit` stays as it is, keep: {before.keep}"),
        ("audit", _order("`intent` of `audit`", INTENT, before.intent, after.intent)),
    ):
        if weaker:
            yield after.places[key], f"{weaker} ({_there(before, before.places.get(key))})"


def _opaque(before: Policy, after: Policy) -> str:
    gone = sorted(before.opaque - after.opaque)
    return f"`opaque` may not be weakened: {gone[0]} is refused there" if gone else ""


def _check(before: Policy, after_on_error: str, name: str, was: CheckSpec, now: CheckSpec) -> Iterator[Found]:
    if was.use != now.use:
        message = f"the check `{name}` stays `use: {was.use}` ({_there(before, was.places['use'])})"
        yield now.places["use"], message
        return
    if was.on_error or now.on_error:
        order = (was.on_error or before.on_error, now.on_error or after_on_error)
        if weaker := _order(f"`on_error` of `{name}`", tuple(reversed(ON_ERROR)), *order):
            yield (
                now.places.get("on_error", now.place),
                f"{weaker} ({_there(before, was.places.get('on_error', was.place))})",
            )
    declared = checks.options(was.use)
    for key, value in now.options.items():
        if key in was.options and was.options[key] == value:
            continue
        option = declared.get(key)
        start = option.default if option else None
        old = was.options.get(key, start)
        there = _there(before, was.places.get(key, was.place))
        if why := _option(option.tighter if option else None, old, value):
            yield now.places[key], f"`{key}` of `{name}` {why.format(was=_shown(old), now=_shown(value))} ({there})"


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _option(tighter: str | tuple[Any, ...] | None, was: Any, now: Any) -> str:
    """Why the new value may be weaker; empty where it is not."""
    if not tighter:
        return "may only be set where the check is first named"
    if was is None:
        return "is left out in the baseline, so it cannot be shown that {now} is stricter"
    if tighter == "lower":
        return _less(was, now)
    if tighter in ("longer", "shorter"):
        before, after = (one if isinstance(one, list) else [one] for one in (was, now))
        if gone := [one for one in before if one not in after] if tighter == "longer" else []:
            return f"may not lose `{gone[0]}`".replace("{", "{{").replace("}", "}}")
        if new := [one for one in after if one not in before] if tighter == "shorter" else []:
            return f"may not gain `{new[0]}`".replace("{", "{{").replace("}", "}}")
        return ""
    known = was in tighter and now in tighter and tighter.index(now) >= tighter.index(was)
    return "" if known else "may not be weakened from {was} to {now}"


def _less(was: Any, now: Any) -> str:
    """Of thresholds: single ones, or one for each label."""
    if isinstance(was, Mapping) or isinstance(now, Mapping):
        labels = sorted({*(was if isinstance(was, Mapping) else ()), *(now if isinstance(now, Mapping) else ())})
        pairs = [tuple(one.get(label) if isinstance(one, Mapping) else one for one in (was, now)) for label in labels]
    else:
        pairs = [(was, now)]
    for one, other in pairs:
        before, after = point(one), point(other)
        if before is None or after is None or before[0] != after[0]:
            return "cannot be compared: {was} there, {now} here"
        if after[1] > before[1]:
            return "may not be weakened from {was} to {now}"
    return ""


def point(value: Any) -> tuple[str, float] | None:
    """A threshold in a form in which less finds more: a score, or an operating point such as `1%`."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return "score", float(value)
    try:
        return ("point", -float(value.removesuffix("%"))) if value.endswith("%") else None
    except (AttributeError, ValueError):
        return None


def _rule_loosened(before: Policy, was: Rule, now: Rule) -> Iterator[Found]:
    weak: dict[str, str] = {
        "action": _action(was, now),
        "mode": _order("", tuple(reversed(MODES)), was.mode, now.mode),
        "severity": _order("", (None, *SEVERITIES), was.severity, now.severity),
    }
    if now.mode == "enforce" and reach(now) < reach(was):
        weak["enforce"] = " may not become less"
    if gone := sorted(was.on - now.on):
        direction, kind = gone[0]
        weak["on"] = f" may not lose `{kind}` of the {direction}"
    if not implies(was.when, now.when):
        weak["when"] = " may only be widened, with `or`"
    if was.action == now.action:
        if now.restore and not was.restore:
            weak["restore"] = " may not be switched on"
        elif now.restore and not now.restoration <= was.restoration:
            weak["restore"] = f" may not be given more places (was: {was.restoration})"
        if now.early and not was.early:
            weak["early"] = " may not be switched on"
        if label := _shows_more(was, now):
            weak["operators"] = f" may not show more of {label}"
        if was.retry and now.retry:
            weak["then"] = _order("", _THEN, was.retry.then, now.retry.then)
            same = (was.retry.model, was.retry.upstream) == (now.retry.model, now.retry.upstream)
            if not same and now.retry.then == "fallback":
                weak["fallback"] = " stays as it is"
    for key, why in weak.items():
        if why:
            there = _there(before, was.places.get(key, was.place))
            yield now.places.get(key, now.place), f"`{key}` of the rule `{was.id}`{why} ({there})"


def _action(was: Rule, now: Rule) -> str:
    if was.action in ACTIONS and now.action in ACTIONS:
        return _order("", ACTIONS, was.action, now.action)
    return "" if (was.action, was.options) == (now.action, now.options) else " of another package stays as it is"


def _shows_more(was: Rule, now: Rule) -> str:
    """A label of whose values the new operators show more than the old ones did."""
    for label in sorted({*was.operators.by_label, *now.operators.by_label, DEFAULT}):
        old, new = was.operators.of(label), now.operators.of(label)
        if old == new:
            continue
        if new.type != old.type:
            fine = OPERATORS.index(new.type) < OPERATORS.index(old.type)
        else:
            masks_more = old.chars_to_mask is not None and (new.chars_to_mask or 0) >= old.chars_to_mask
            fine = new.chars_to_mask is None or (masks_more and old.from_end == new.from_end)
        if not fine:
            return label
    return ""


def implies(was: Expression, now: Expression) -> bool:
    """Whether `now` holds wherever `was` does: in every smallest set of findings that makes `was` hold."""
    return all(now.holds(term) for term in terms(was))


def terms(expression: Expression) -> Collection[frozenset[str]]:
    """The sets of findings that are just enough, each of them; all names at once where there are too many."""
    if isinstance(expression, Name):
        return {expression.names()}
    parts = [terms(part) for part in expression.parts]
    if not isinstance(expression, And):
        return {term for part in parts for term in part}
    count = 1
    for part in parts:
        count *= len(part)
    if count > _LIMIT_TERMS:
        return {frozenset()}
    return {frozenset().union(*chosen) for chosen in product(*parts)}
