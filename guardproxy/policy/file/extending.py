"""Merges a policy with the policy that it extends, and checks that the result is at least as strict.

In: the entries of two trees; then the two policies that were read from them. Out: the merged entries; every place where the
second policy is weaker than the first, or is not provably at least as strict.

`values/strictness.py` defines which value of a key is weaker; the table of each check defines it for the options. `message`,
`template` and the budget of a retry may change freely. `audit.keep`, `audit.subject` and the fallback of a retry may not
change. Nothing can be removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from guardproxy import checks
from guardproxy.policy.file import keys as tables
from guardproxy.policy.sections import SECTIONS
from guardproxy.policy.values.actions import ACTIONS
from guardproxy.policy.values.document import CheckSpec, Policy, Rule
from guardproxy.policy.values.fields import FIELD_KEYS
from guardproxy.policy.values.rollout import WHOLE, reach
from guardproxy.policy.values.strictness import (
    Order,
    canonical,
    compare,
    compare_conditions,
    compare_operators,
    compare_options,
    compare_restorations,
    compare_sets,
    compare_shares,
    items,
    same,
)
from guardproxy.policy.yaml.tree import FilePlace, YamlNode
from guardproxy.redaction import DEFAULT

INHERITED = (
    *("checks", "rules", "on_error", "unmapped", "opaque", "token_ids", *FIELD_KEYS, "mode", "enforce", "audit"),
    *SECTIONS,
)

Entries = Mapping[str, YamlNode]


def overlay(under: Entries, over: Entries) -> Entries:
    """Returns the entries of `under` that are inherited, overridden by the entries of `over`."""
    merged = {**{key: node for key, node in under.items() if key in INHERITED}, **over}
    if "checks" in under and "checks" in over:
        merged["checks"] = _mappings(under["checks"], over["checks"])
    if "rules" in under and "rules" in over:
        merged["rules"] = _rules(under["rules"], over["rules"])
    if "set" in under and "set" in over:
        merged["set"] = _mappings(under["set"], over["set"])
    for key in ("refuse", "strip"):
        if key in under and key in over:
            merged[key] = _lists(under[key], over[key])
    return merged


def _mappings(under: YamlNode, over: YamlNode) -> YamlNode:
    if not isinstance(under.value, Mapping) or not isinstance(over.value, Mapping):
        return over
    merged = dict(under.value)
    for name, node in over.value.items():
        before = under.value.get(name)
        if before and isinstance(before.value, Mapping) and isinstance(node.value, Mapping):
            node = replace(node, value={**before.value, **node.value})  # noqa: PLW2901
        merged[name] = node
    return replace(over, value=merged)


def _lists(under: YamlNode, over: YamlNode) -> YamlNode:
    """Returns a list with the items of both."""
    if not isinstance(under.value, tuple) or not isinstance(over.value, tuple):
        return over
    return replace(over, value=(*under.value, *over.value))


def _rules(under: YamlNode, over: YamlNode) -> YamlNode:
    if not isinstance(under.value, tuple) or not isinstance(over.value, tuple) or not over.value:
        return over
    rules = list(under.value)
    at = {_id(node): number for number, node in enumerate(rules)}
    for node in over.value:
        number = at.pop(_id(node), None)  # a second rule with the same name is reported as a duplicate
        if number is None:
            rules.append(node)
        else:
            rules[number] = _rule(rules[number], node)
    return replace(over, value=tuple(rules))


def _id(node: YamlNode) -> Any:
    entry = node.value.get("id") if isinstance(node.value, Mapping) else None
    return entry.value if entry and isinstance(entry.value, str) else node


def _rule(under: YamlNode, over: YamlNode) -> YamlNode:
    assert isinstance(under.value, Mapping)  # noqa: S101 - it has an `id`
    assert isinstance(over.value, Mapping)  # noqa: S101
    merged = {**under.value, **over.value}
    action = merged["action"].value if "action" in merged else None
    then = merged["then"].value if "then" in merged else None
    # Keys that belong to the weaker action, or to a fallback that no longer exists, are dropped.
    entries = {
        key: node
        for key, node in merged.items()
        if key in over.value
        or key not in tables.RULE
        or (action in (tables.RULE[key].actions or (action,)) and (key != "fallback" or then == "fallback"))
    }
    return replace(over, value=entries)


Weakness = tuple[FilePlace, str]
"""A place where a policy is weaker than the policy that it extends, and the reason."""


def weaknesses(before: Policy, after: Policy) -> Iterator[Weakness]:
    """Yields the places where `after` is weaker than `before`. `after` has at least the checks and rules of
    `before`."""
    tenant = f"tenant {after.tenant}: " if after.tenant else ""
    for place, message in (
        *_policy_weaknesses(before, after),
        *(weakness for name in before.checks for weakness in _check_weaknesses(before, after, name)),
        *(weakness for rule in before.rules for weakness in _rule_weaknesses(before, rule, _rule_of(after, rule.id))),
    ):
        yield place, tenant + message


def _rule_of(policy: Policy, name: str) -> Rule:
    return next(rule for rule in policy.rules if rule.id == name)


def _is_weaker(order: Order) -> bool:
    """Whether a change is refused because it is looser, or not provably at least as strict."""
    return order in ("looser", "unclear")


def _there(policy: Policy, place: FilePlace | None) -> str:
    place = place or policy.place
    return f"{PurePath(place.path or policy.source).name}:{place.line}:{place.column}"


def _weakening(old: Any, new: Any) -> str:
    return f"may not be weakened from {old} to {new}"


def _why_weaker(key: str, old: Any, new: Any) -> str:
    """Returns why the new value of a key in `SCALES` may be weaker; empty if it is at least as strict."""
    return _weakening(old, new) if _is_weaker(compare(key, old, new)) else ""


def _policy_weaknesses(before: Policy, after: Policy) -> Iterator[Weakness]:
    weak = [
        (key, f"`{key}` {why}")
        for key in ("on_error", "unmapped", "token_ids")
        if (why := _why_weaker(key, getattr(before, key), getattr(after, key)))
    ]
    if gone := sorted(before.opaque - after.opaque):
        weak.append(("opaque", f"`opaque` may not be weakened: {gone[0]} is refused there"))
    if more := sorted(after.fields.allow - before.fields.allow):
        weak.append(("allow_fields", f"`allow_fields` may not gain `{more[0]}`"))
    changed = [name for name, value in before.fields.values.items() if not same(value, after.fields.values.get(name))]
    if changed:
        weak.append(("set", f"`set` of `{changed[0]}` may not change"))
    share, own_share = (WHOLE if policy.share is None else policy.share for policy in (before, after))
    if (any(before.fields.paths()) or before.sections) and _is_weaker(compare_shares(share, own_share)):
        weak.append(("enforce", "`enforce` may not be reduced"))
    if why := _why_weaker("mode", before.mode, after.mode):
        weak.append(("mode", f"`mode` {why}"))
    weak += [(key, f"`{key}` {why}") for key, why in _section_weaknesses(before, after)]
    if before.keep != after.keep:
        weak.append(("audit", f"`audit` may not change: keep: {before.keep}"))
    if before.keep == after.keep and before.subject != after.subject:
        weak.append(("audit", f"`audit` may not change: subject: {before.subject}"))
    if why := _why_weaker("intent", before.intent, after.intent):
        weak.append(("audit", f"`intent` of `audit` {why}"))
    for key, message in weak:
        yield after.places.get(key, after.place), f"{message} ({_there(before, before.places.get(key))})"


def _section_weaknesses(before: Policy, after: Policy) -> Iterator[tuple[str, str]]:
    """Yields the sections that are weaker, and why."""
    for key, value in before.sections.items():
        order = SECTIONS[key].order(value, after.sections[key])
        if _is_weaker(order):
            yield key, "may not be weakened" if order == "looser" else "may not change"


def _check_weaknesses(before: Policy, after: Policy, name: str) -> Iterator[Weakness]:
    old, new = before.checks[name], after.checks[name]
    if old.use != new.use:
        message = f"the check `{name}` must keep `use: {old.use}`"
        yield new.places.get("use", new.place), f"{message} ({_there(before, old.places.get('use', old.place))})"
        return
    was, now = old.on_error or before.on_error, new.on_error or after.on_error
    if (old.on_error or new.on_error) and (why := _why_weaker("on_error", was, now)):
        there = _there(before, old.places.get("on_error", old.place))
        yield new.places.get("on_error", new.place), f"`on_error` of `{name}` {why} ({there})"
    declared = checks.options(old.use)
    for key in dict.fromkeys((*old.options, *new.options)):
        if why := _why_option_weaker(declared.get(key), old, new, key):
            there = _there(before, old.places.get(key, old.place))
            yield new.places.get(key, new.place), f"`{key}` of `{name}` {why} ({there})"


def _why_option_weaker(option: checks.Option | None, before: CheckSpec, after: CheckSpec, key: str) -> str:
    """Returns why the new value of an option may be weaker; empty if it is at least as strict."""
    old, new = before.options.get(key), after.options.get(key)
    if not _is_weaker(compare_options(option, old, new)):
        return ""
    if option is None or option.tighter is None:
        return "may only be set where the check is first declared"
    old, new = (option.default if value is None else value for value in (old, new))
    if old is None:
        return f"is not set in the baseline, so {_show(new)} is not provably stricter"
    if option.tighter == "longer" and (gone := _missing(old, new)):
        return f"may not lose `{gone[0]}`"
    if option.tighter == "shorter" and (more := _missing(new, old)):
        return f"may not gain `{more[0]}`"
    if option.tighter == "lower" and compare_options(option, old, new) == "unclear":
        return f"cannot be compared: {_show(old)} in the baseline, {_show(new)} here"
    return _weakening(_show(old), _show(new))


def _missing(old: Any, new: Any) -> list[Any]:
    """Returns the items of one list that another list lacks."""
    remaining = set(map(canonical, items(new)))
    return [item for item in items(old) if canonical(item) not in remaining]


def _show(value: Any) -> str:
    return "nothing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _rule_weaknesses(before: Policy, old: Rule, new: Rule) -> Iterator[Weakness]:
    weak = {
        "action": _why_action_weaker(old, new),
        "mode": _why_weaker("mode", old.mode, new.mode),
        "severity": _why_weaker("severity", old.severity, new.severity),
        "alert": "may not change" if old.alert is not None and new.alert != old.alert else "",
    }
    if new.mode == "enforce" and _is_weaker(compare_shares(reach(old), reach(new))):
        weak["enforce"] = "may not be reduced"
    if _is_weaker(compare_sets(old.on, new.on)):
        direction, kind = max(old.on - new.on)
        weak["on"] = f"may not lose `{kind}` of the {direction}"
    if _is_weaker(compare_conditions(old.when, new.when)):
        weak["when"] = "may only be widened, with `or`"
    if old.action == new.action:  # keys of a weaker action are gone
        weak |= _part_weaknesses(old, new)
    for key, why in weak.items():
        if why:
            there = _there(before, old.places.get(key, old.place))
            yield new.places.get(key, new.place), f"`{key}` of the rule `{old.id}` {why} ({there})"


def _why_action_weaker(old: Rule, new: Rule) -> str:
    if {old.action, new.action} <= {*ACTIONS}:
        return _why_weaker("action", old.action, new.action)
    stays = (old.action, old.options) == (new.action, new.options)
    return "" if stays else "of another package may not change"


def _part_weaknesses(old: Rule, new: Rule) -> dict[str, str]:
    """Returns the weaknesses of a rule whose action is the same: the reason for each key."""
    weak: dict[str, str] = {}
    if _is_weaker(compare("restore", old.restore, new.restore)):
        weak["restore"] = "may not be switched on"
    elif new.restore and _is_weaker(compare_restorations(old.restoration, new.restoration)):
        weak["restore"] = f"may not restore in more places (baseline: {old.restoration})"
    if _is_weaker(compare("early", old.early, new.early)):
        weak["early"] = "may not be switched on"
    if _is_weaker(compare("parallel", old.parallel, new.parallel)):
        weak["parallel"] = "may not let more requests go upstream before they are judged"
    for label in sorted({*old.operators.by_label, *new.operators.by_label, DEFAULT}):
        if _is_weaker(compare_operators(old.operators.of(label), new.operators.of(label))):
            weak.setdefault("operators", f"may not show more of {label}")
    if old.retry and new.retry:
        weak["then"] = _why_weaker("then", old.retry.then, new.retry.then)
        stays = (old.retry.model, old.retry.upstream) == (new.retry.model, new.retry.upstream)
        if not stays and new.retry.then == "fallback":
            weak["fallback"] = "may not change"
    return weak
