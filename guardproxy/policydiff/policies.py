"""Compares two sets of policies: the changes in words, and the effect of each change on protection.

In: policies, in any order. Out: changes, sorted by the name of the policy. Policies, checks, rules and items of lists are
matched by name, so their order is irrelevant.

The effect of a change follows from the files alone: `tightens` (checks find more, or rules do more), `loosens`,
`either` (it depends on the texts), `neutral` (only records, messages and costs change). `policy/values/strictness.py` defines
the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from guardproxy.decisions import Pass, Retry
from guardproxy.policy import And, Expression, FilePlace, Name
from guardproxy.policy.sections import SECTIONS
from guardproxy.policy.values import (
    KINDS_OF,
    SCALES,
    WHOLE,
    Match,
    Order,
    Policy,
    Rule,
    compare,
    compare_conditions,
    compare_operators,
    compare_restorations,
    compare_shares,
    decides,
    reach,
)
from guardproxy.policydiff.options import EFFECTS, Difference, Effect, options, show

# Fields of a policy, a rule or a retry. The first group changes only records, messages and costs: `attempts` and the
# budgets limit the number of answers of the model, never the text that reaches the client.
_NEUTRAL = ("keep", "message", "severity", "alert", "template", "price", "attempts", "total_s", "total_tokens")
_BY_HAND = (
    *("name", "match", "checks", "rules", "tests", "id", "on", "when", "retry", "operators", "rule", "restoration"),
    *("opaque", "fields", "share", "model", "upstream", "formats", "sections"),
)
_NOT_SHOWN = ("source", "place", "places", "tenant", "stands_for", "root", "unused", "out_of_reach")
_OF_THE_ACTION = ("restore", "early", "parallel")
"""Fields that a rule loses when its action becomes stronger."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a policy."""

    policy: str
    words: str
    effect: Effect

    def __str__(self) -> str:
        return f"{self.policy}: {self.words}"


def changes(old: Iterable[Policy], new: Iterable[Policy]) -> list[Change]:
    """Returns all changes between two sets."""
    before, after = ({policy.name: policy for policy in policies} for policies in (old, new))
    gone, fresh = (
        {name: policy for name, policy in these.items() if name not in those and not policy.tenant}
        for these, those in ((before, after), (after, before))
    )
    out: list[Change] = []
    if len(gone) == len(fresh) == 1 and not before.keys() & after.keys():  # a renamed policy
        ((name, policy),), ((other, newer),) = gone.items(), fresh.items()
        out += [Change(other, f"was named {name}", "neutral"), *_policy(policy, newer)]
        gone, fresh = {}, {}
    for name, policy in sorted(gone.items()):
        same = next((new_name for new_name in fresh if _bare(fresh[new_name]) == _bare(policy)), None)
        if same is not None:
            del fresh[same]
            out.append(Change(same, f"was named {name}", "neutral"))
        else:
            out.append(Change(name, f"the policy was removed, with {_count(policy.rules)}", _least(policy, "loosens")))
    for name, policy in sorted(fresh.items()):
        out.append(Change(name, f"the policy is new, with {_count(policy.rules)}", _least(policy, "tightens")))
    for name in sorted({*before} & {*after}):
        if not after[name].tenant:
            out += _policy(before[name], after[name])
    reported = {(change.policy, change.words) for change in out}
    out += (change for change in _tenants(before, after) if (change.policy, change.words) not in reported)
    return sorted(out, key=lambda change: change.policy)


def _tenants(before: Mapping[str, Policy], after: Mapping[str, Policy]) -> Iterator[Change]:
    """Yields the changes that affect a single tenant, whose overrides can only be stricter than the file."""
    for name in sorted(before.keys() | after.keys()):
        policy = after.get(name) or before[name]
        if not policy.tenant or not (policy.file in before and policy.file in after):
            continue
        if name not in before:
            yield Change(policy.file, f"has overrides for tenant {policy.tenant}", "tightens")
        elif name not in after:
            yield Change(policy.file, f"no longer has overrides for tenant {policy.tenant}", "loosens")
        else:
            general = {change.words for change in _policy(before[policy.file], after[policy.file])}
            for change in _policy(before[name], after[name]):
                if change.words.partition(" for tenant ")[0] not in general:
                    yield replace(change, policy=policy.file)


def _bare(policy: Policy) -> Policy:
    """Returns a policy without the fields that do not affect its decisions."""
    rules = tuple(replace(rule, place=FilePlace()) for rule in sorted(policy.rules, key=lambda rule: rule.id))
    return replace(policy, name="", source="", root="", place=FilePlace(), rules=rules, tests=(), description="")


def _count(rules: Sequence[Rule]) -> str:
    return f"{len(rules)} {'rule' if len(rules) == 1 else 'rules'}"


def _least(policy: Policy, effect: Effect) -> Effect:
    """Returns the effect of adding or removing a whole policy: neutral if all its rules only record."""
    changes_fields = policy.mode == "enforce" and (any(policy.fields.paths()) or policy.sections)
    return effect if changes_fields or any(map(_bites, policy.rules)) else "neutral"


def _bites(rule: Rule) -> bool:
    """Whether a rule changes more than the record."""
    return rule.mode == "enforce" and not decides(rule.action, Pass)


def _policy(old: Policy, new: Policy) -> Iterator[Change]:
    scope = _scope(old.match, new.match)

    def to_changes(differences: Iterable[Difference], bites: bool = True) -> Iterator[Change]:
        for words, effect in differences:
            yield Change(new.name, f"{words}{scope}", effect if bites else "neutral")

    yield from to_changes(_match(old.match, new.match))
    for name in sorted({*old.checks} & {*new.checks}):
        users = [rule for policy in (old, new) for rule in policy.rules if name in rule.when.names()]
        yield from to_changes(options(name, old.checks[name], new.checks[name]), any(map(_bites, users)))
        yield from to_changes(_on_error(name, old, new))
    yield from to_changes(_named_checks(old, new))
    yield from to_changes(_rules(old, new))
    yield from to_changes(_fields(old, new, ""))
    yield from to_changes(_opaque(old, new))
    yield from to_changes(_field_rules(old, new))
    yield from to_changes(_sections(old, new))
    yield from (Change(new.name, words, effect) for words, effect in _formats(old, new))
    if not new.tenant and old.stands_for != new.stands_for:
        was, now = (_join(sorted(policy.stands_for)) or "nothing" for policy in (old, new))
        yield from to_changes([Difference(f"extends {was} -> {now}", "neutral")])
    yield from to_changes(_tests(old, new))


def _formats(old: Policy, new: Policy) -> Iterator[Difference]:
    """Yields the changes of the declared formats. A new format opens its routes, and its texts are read."""
    before, after = ({declared.name: declared for declared in policy.formats} for policy in (old, new))
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield Difference(f"declares the format `{name}`", "either")
        elif name not in after:
            yield Difference(f"no longer declares the format `{name}`", "either")
        elif before[name] != after[name]:
            yield Difference(f"the format `{name}` is declared in another way", "either")


def _scope(old: Match, new: Match) -> str:
    """Describes the tenants, models and routes to which both policies are limited; empty if there is no common
    limit."""
    both = (("tenant", old.tenants, new.tenants), ("model", old.models, new.models), ("route", old.routes, new.routes))
    parts = [f"{word} {' or '.join(before)}" for word, before, after in both if before and before == after]
    return f" for {', '.join(parts)}" if parts else ""


def _match(old: Match, new: Match) -> Iterator[Difference]:
    for field in fields(Match):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after or not field.compare:
            continue
        if field.name == "when":
            was, now = (value.text if value else "always" for value in (before, after))
            effect: Effect = "loosens" if before is None else "tightens" if after is None else "either"
            yield Difference(f"applies when {was} -> {now}", effect)
            continue
        lists = [value for value in (before, after) if value is not None]
        if not all(isinstance(value, tuple) for value in lists):
            yield Difference(f"match {field.name} {show(before)} -> {show(after)}", "either")
        elif before is None:
            yield Difference(f"applies only to {field.name} {_join(after)}, before to all", "loosens")
        elif after is None:
            yield Difference(f"applies to all {field.name}, before only to {_join(before)}", "tightens")
        else:
            if more := [item for item in after if item not in before]:
                yield Difference(f"also applies to {field.name} {_join(more)}", "tightens")
            if fewer := [item for item in before if item not in after]:
                yield Difference(f"no longer applies to {field.name} {_join(fewer)}", "loosens")


def _join(items: Sequence[Any]) -> str:
    return ", ".join(map(str, items))


def _on_error(name: str, old: Policy, new: Policy) -> Iterator[Difference]:
    """Yields the difference of `on_error` of a check, if a policy sets it for this check."""
    own = old.checks[name].on_error, new.checks[name].on_error
    before, after = own[0] or old.on_error, own[1] or new.on_error
    if any(own) and before != after:
        yield Difference(f"`{name}` on_error {before} -> {after}", EFFECTS[compare("on_error", before, after)])


def _named_checks(old: Policy, new: Policy) -> Iterator[Difference]:
    """Yields added and removed checks. Their effect appears in the changes of the rules that use them."""
    for name in sorted({*new.checks} - {*old.checks}):
        yield Difference(f"the check `{name}` is new ({new.checks[name].use})", "neutral")
    for name in sorted({*old.checks} - {*new.checks}):
        yield Difference(f"the check `{name}` was removed", "neutral")


def _tests(old: Policy, new: Policy) -> Iterator[Difference]:
    before, after = ({test.name: test for test in policy.tests} for policy in (old, new))
    counts = {
        "new": len(after.keys() - before.keys()),
        "gone": len(before.keys() - after.keys()),
        "changed": sum(before[name] != after[name] for name in before.keys() & after.keys()),
    }
    if parts := [f"{count} {word}" for word, count in counts.items() if count]:
        yield Difference(f"tests: {', '.join(parts)}", "neutral")


# Rules.


def _rules(old: Policy, new: Policy) -> Iterator[Difference]:
    before, after = ({rule.id: rule for rule in policy.rules} for policy in (old, new))
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            rule = before[name]
            yield Difference(
                f"the rule `{name}` was removed ({rule_words(rule)})", "loosens" if _bites(rule) else "neutral"
            )
        elif name not in before:
            rule = after[name]
            yield Difference(
                f"the rule `{name}` is new ({rule_words(rule)})", "tightens" if _bites(rule) else "neutral"
            )
        else:
            bit, bites = _bites(before[name]), _bites(after[name])
            for words, effect in _rule(before[name], after[name]):
                # If the rule only recorded before, or only records now, its other changes have no effect on protection.
                counts = (bit and bites) or ((bit or bites) and words.startswith(("mode ", "action ", "enforce ")))
                yield Difference(f"rule `{name}`: {words}", effect if counts else "neutral")


def rule_words(rule: Rule) -> str:
    """Returns what a rule does, when and where."""
    quiet = " in shadow mode" if rule.mode == "shadow" else ""
    return f"{rule.action}{quiet} when {expression_text(rule.when)}, on {_places(rule.on)}"


def _rule(old: Rule, new: Rule) -> Iterator[Difference]:
    if old.when != new.when:
        effect = EFFECTS[compare_conditions(old.when, new.when)]
        yield Difference(f"when {expression_text(old.when)} -> {expression_text(new.when)}", effect)
    if fewer := old.on - new.on:
        yield Difference(f"no longer inspects {_places(fewer)}", "loosens")
    if more := new.on - old.on:
        yield Difference(f"now inspects {_places(more)}", "tightens")
    stays = old.action == new.action
    for words, effect in _of_action(old, new):
        yield Difference(words, effect if stays else "neutral")
    if reach(old) != reach(new) and old.share != new.share:
        percents = (f"{reach(rule) * 100 / WHOLE:g} %" for rule in (old, new))
        yield Difference(f"enforce {' -> '.join(percents)}", EFFECTS[compare_shares(reach(old), reach(new))])
    yield from _fields(old, new, "", skipped=_OF_THE_ACTION)


def _of_action(old: Rule, new: Rule) -> Iterator[Difference]:
    """Yields the differences of the fields that belong to the action of a rule."""
    for label in sorted({"DEFAULT", *old.operators.by_label, *new.operators.by_label}):
        before, after = old.operators.of(label), new.operators.of(label)
        if before != after:
            effect = EFFECTS[compare_operators(before, after)]
            yield Difference(f"operator for {label}: {before.type} -> {after.type}", effect)
    if old.restore and new.restore and old.restoration != new.restoration:
        effect = EFFECTS[compare_restorations(old.restoration, new.restoration)]
        yield Difference(f"restores values in {old.restoration} -> {new.restoration}", effect)
    for name in _OF_THE_ACTION:
        if (before := getattr(old, name)) != (after := getattr(new, name)):
            yield Difference(f"{name} {show(before)} -> {show(after)}", EFFECTS[compare(name, before, after)])
    if old.retry and new.retry:
        yield from _fields(old.retry, new.retry, "retry ")
        for name in ("model", "upstream"):
            if (before := getattr(old.retry, name)) != (after := getattr(new.retry, name)):
                effect = "either" if new.retry.then == "fallback" else "neutral"
                yield Difference(f"retry {name} {show(before)} -> {show(after)}", effect)


def _fields(
    old: Policy | Rule | Retry, new: Policy | Rule | Retry, prefix: str, skipped: Sequence[str] = ()
) -> Iterator[Difference]:
    """Yields the differences of all fields with a single plain value."""
    for field in fields(old):
        name = field.name
        if name in _BY_HAND or name in _NOT_SHOWN or name in skipped:
            continue
        before, after = getattr(old, name), getattr(new, name)
        if name == "description" and before != after:
            yield Difference("the description changed", "neutral")
        elif before != after:
            yield Difference(f"{prefix}{name} {show(before)} -> {show(after)}", _effect(name, before, after))


def _opaque(old: Policy, new: Policy) -> Iterator[Difference]:
    """Yields the differences of `opaque`, by kind of content."""
    for kind in sorted(old.opaque ^ new.opaque):
        fresh = kind in new.opaque
        was, now = ("pass", "refuse") if fresh else ("refuse", "pass")
        yield Difference(f"opaque {kind} {was} -> {now}", "tightens" if fresh else "loosens")


def _field_rules(old: Policy, new: Policy) -> Iterator[Difference]:
    """Yields the differences of the rules about fields of requests. Rules of shadow mode only record."""
    before, after = old.fields, new.fields
    before_share, after_share = (WHOLE if policy.share is None else policy.share for policy in (old, new))
    are_enforced = old.mode == new.mode == "enforce"
    if are_enforced and before_share != after_share and any(before.paths()) and any(after.paths()):
        percents = (f"{share * 100 / WHOLE:g} %" for share in (before_share, after_share))
        yield Difference(
            f"rules about fields: enforce {' -> '.join(percents)}", EFFECTS[compare_shares(before_share, after_share)]
        )
    for path in sorted(before.allow ^ after.allow):
        fresh = path in after.allow
        yield Difference(
            f"{'allows' if fresh else 'no longer allows'} the field {path}", "loosens" if fresh else "tightens"
        )
    for word, was, now in (("refuses", before.refuse, after.refuse), ("strips", before.strip, after.strip)):
        for path in sorted(was ^ now):
            fresh = path in now
            effect: Effect = "tightens" if fresh else "loosens"
            is_in_force = (new if fresh else old).mode == "enforce"
            words = f"{word if fresh else f'no longer {word}'} the field {path}"
            yield Difference(words, effect if is_in_force else "neutral")
    for path in sorted({*before.values, *after.values}):
        shown = [show(fields.values[path]) if path in fields.values else "as sent" for fields in (before, after)]
        if shown[0] != shown[1]:
            is_in_force = "enforce" in (old.mode, new.mode)
            yield Difference(f"sets the field {path}: {' -> '.join(shown)}", "either" if is_in_force else "neutral")


def _sections(old: Policy, new: Policy) -> Iterator[Difference]:
    """Yields the sections of gateway tasks that differ. The order of a section says whether it became stricter."""
    is_in_force = "enforce" in (old.mode, new.mode)
    for key in sorted(old.sections.keys() | new.sections.keys()):
        before, after = old.sections.get(key), new.sections.get(key)
        if before != after:
            word = "is new" if before is None else "was removed" if after is None else "changed"
            effect = EFFECTS[_section_order(key, before, after)] if old.mode == new.mode else "either"
            yield Difference(f"the section `{key}` {word}", effect if is_in_force else "neutral")


def _section_order(key: str, before: Any, after: Any) -> Order:
    """Compares the values of a section; `None` stands for a policy without it."""
    section = SECTIONS[key]
    if before is not None and after is not None:
        return section.order(before, after)
    return ("tighter" if before is None else "looser") if section.stacks else "unclear"


def _effect(name: str, old: Any, new: Any) -> Effect:
    if name in _NEUTRAL:
        return "neutral"
    return EFFECTS[compare(name, old, new)] if name in SCALES else "either"


def _places(on: frozenset[Any]) -> str:
    """Returns directions and kinds in the shortest form that a file can use."""
    left = set(on)
    words: list[str] = []
    for direction, kinds in KINDS_OF.items():
        if (whole := {(direction, kind) for kind in kinds}) <= on:
            words.append(direction)
            left -= whole
    if ("request", "tool_result") in left:  # covers documents
        left.discard(("request", "document"))
    both = {kind for direction, kind in left if {(way, kind) for way in KINDS_OF} <= left}
    words += sorted(both)
    for direction in KINDS_OF:
        kinds_left = sorted(kind for where, kind in left if where == direction and kind not in both)
        words += [f"{', '.join(kinds_left)} of the {direction}"] if kinds_left else []
    return ", ".join(words)


def expression_text(when: Expression, inside: bool = False) -> str:
    """Returns an expression as a file writes it."""
    if isinstance(when, Name):
        return when.name
    words = " and " if isinstance(when, And) else " or "
    text = words.join(expression_text(part, inside=True) for part in when.parts)
    return f"({text})" if inside else text
