"""Two sets of policies -> what changed, in words, and what each change does to protection.

In: policies, in any order. Out: changes, by policy, in the order of the names; policies, checks, rules and items of lists are
matched by name, so that moving them is no change. Kept: nothing.

What a change does is told from the files alone: `tightens` (more is found, or more is done about it), `loosens`, `either`
(it depends on the texts), `neutral` (only records and words change).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any

from guardproxy import policy
from guardproxy.decisions import Retry
from guardproxy.policy import ACTIONS, KINDS_OF, And, Expression, Match, Name, Place, Policy, Rule
from guardproxy.policydiff.options import Changed, Effect, options, shown
from guardproxy.redaction import Operators

_LIMIT_NAMES = 10  # of an expression, for all their combinations to be tried
# By field: the values in the order in which they protect more.
_ORDERS: Mapping[str, tuple[Any, ...]] = {
    "on_error": ("flag", "block"),
    "unmapped": ("scan", "refuse"),
    "intent": ("off", "on"),
    "token_ids": ("pass", "refuse"),
    "action": ACTIONS,
    "mode": ("shadow", "enforce"),
    "restore": (True, False),
    "early": (True, False),
    "then": ("pass_flagged", "fallback", "block"),
}
_NEUTRAL = ("keep", "message", "severity", "template", "price")
_BY_HAND: tuple[str, ...] = (
    "name",
    "match",
    "checks",
    "rules",
    "tests",
    "id",
    "on",
    "when",
    "retry",
    "operators",
    "rule",
    "strength",
)
_BY_HAND += ("restoration", "opaque")
_NOT_SHOWN = ("source", "place", "places", "tenant", "stands_for", "root", "unused")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one policy."""

    policy: str
    words: str
    effect: Effect

    def __str__(self) -> str:
        return f"{self.policy}: {self.words}"


def changes(old: Iterable[Policy], new: Iterable[Policy]) -> list[Change]:
    """Everything that differs."""
    before, after = ({policy.name: policy for policy in each} for each in (old, new))
    gone, fresh = (
        {name: policy for name, policy in one.items() if name not in other and not policy.tenant}
        for one, other in ((before, after), (after, before))
    )
    out: list[Change] = []
    if len(gone) == len(fresh) == 1 and not before.keys() & after.keys():  # two versions of one policy
        ((name, policy),), ((other, newer),) = gone.items(), fresh.items()
        out += [Change(other, f"was called {name}", "neutral"), *_policy(policy, newer)]
        gone, fresh = {}, {}
    for name, policy in sorted(gone.items()):
        same = next((one for one in fresh if _bare(fresh[one]) == _bare(policy)), None)
        if same is not None:
            del fresh[same]
            out.append(Change(same, f"was called {name}", "neutral"))
        else:
            out.append(Change(name, f"the policy is gone, with {_count(policy.rules)}", _least(policy, "loosens")))
    for name, policy in sorted(fresh.items()):
        out.append(Change(name, f"the policy is new, with {_count(policy.rules)}", _least(policy, "tightens")))
    for name in sorted({*before} & {*after}):
        if not after[name].tenant:
            out += _policy(before[name], after[name])
    said = {(change.policy, change.words) for change in out}
    out += (change for change in _tenants(before, after) if (change.policy, change.words) not in said)
    return sorted(out, key=lambda change: change.policy)


def _tenants(before: Mapping[str, Policy], after: Mapping[str, Policy]) -> Iterator[Change]:
    """What is special for one tenant, which can only be stricter than the file. What changed for all is left out."""
    for name in sorted(before.keys() | after.keys()):
        policy = after.get(name) or before[name]
        if not policy.tenant or not (policy.file in before and policy.file in after):
            continue
        if name not in before:
            yield Change(policy.file, f"has overrides for tenant {policy.tenant}", "tightens")
        elif name not in after:
            yield Change(policy.file, f"has no overrides for tenant {policy.tenant} any more", "loosens")
        else:
            general = {change.words for change in _policy(before[policy.file], after[policy.file])}
            for change in _policy(before[name], after[name]):
                if change.words.partition(" for tenant ")[0] not in general:
                    yield replace(change, policy=policy.file)


def _bare(policy: Policy) -> Policy:
    """A policy without what does not matter to what it does."""
    rules = tuple(replace(rule, place=Place()) for rule in sorted(policy.rules, key=lambda rule: rule.id))
    return replace(policy, name="", source="", root="", place=Place(), rules=rules, tests=(), description="")


def _count(rules: Sequence[Rule]) -> str:
    return f"{len(rules)} {'rule' if len(rules) == 1 else 'rules'}"


def _least(policy: Policy, effect: Effect) -> Effect:
    """The effect of a whole policy: none, where all its rules only record."""
    return effect if any(map(_bites, policy.rules)) else "neutral"


def _bites(rule: Rule) -> bool:
    """Whether a rule changes anything but the record."""
    return rule.mode == "enforce" and rule.action != "flag"


def _policy(old: Policy, new: Policy) -> Iterator[Change]:
    scope = _scope(old.match, new.match)

    def told(found: Iterable[Changed], bites: bool = True) -> Iterator[Change]:
        for words, effect in found:
            yield Change(new.name, f"{words}{scope}", effect if bites else "neutral")

    yield from told(_match(old.match, new.match))
    for name in sorted({*old.checks} & {*new.checks}):
        users = [rule for policy in (old, new) for rule in policy.rules if name in rule.when.names()]
        yield from told(options(name, old.checks[name], new.checks[name]), any(map(_bites, users)))
    yield from told(_named_checks(old, new))
    yield from told(_rules(old, new))
    yield from told(_fields(old, new, ""))
    yield from told(_opaque(old, new))
    if not new.tenant and old.stands_for != new.stands_for:
        was, now = (_listed(sorted(policy.stands_for)) or "nothing" for policy in (old, new))
        yield from told([Changed(f"extends {was} -> {now}", "neutral")])
    yield from told(_tests(old, new))


def _scope(old: Match, new: Match) -> str:
    """For whom both policies are, where that is not everybody."""
    both = (("tenant", old.tenants, new.tenants), ("model", old.models, new.models), ("route", old.routes, new.routes))
    told = [f"{word} {' or '.join(before)}" for word, before, after in both if before and before == after]
    return f" for {', '.join(told)}" if told else ""


def _match(old: Match, new: Match) -> Iterator[Changed]:
    for field in fields(Match):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after or not field.compare:
            continue
        if field.name == "when":
            was, now = (value.text if value else "always" for value in (before, after))
            effect: Effect = "loosens" if before is None else "tightens" if after is None else "either"
            yield Changed(f"applies when {was} -> {now}", effect)
            continue
        lists = [value for value in (before, after) if value is not None]
        if not all(isinstance(value, tuple) for value in lists):
            yield Changed(f"match {field.name} {shown(before)} -> {shown(after)}", "either")
        elif before is None:
            yield Changed(f"only for {field.name} {_listed(after)}, was for all", "loosens")
        elif after is None:
            yield Changed(f"for all {field.name}, was only for {_listed(before)}", "tightens")
        else:
            if more := [one for one in after if one not in before]:
                yield Changed(f"also for {field.name} {_listed(more)}", "tightens")
            if fewer := [one for one in before if one not in after]:
                yield Changed(f"no longer for {field.name} {_listed(fewer)}", "loosens")


def _listed(items: Sequence[Any]) -> str:
    return ", ".join(map(str, items))


def _named_checks(old: Policy, new: Policy) -> Iterator[Changed]:
    """Checks that came or went; what that does is told by the rules that name them."""
    for name in sorted({*new.checks} - {*old.checks}):
        yield Changed(f"the check `{name}` is new ({new.checks[name].use})", "neutral")
    for name in sorted({*old.checks} - {*new.checks}):
        yield Changed(f"the check `{name}` is gone", "neutral")


def _tests(old: Policy, new: Policy) -> Iterator[Changed]:
    before, after = ({test.name: test for test in policy.tests} for policy in (old, new))
    counts = {
        "new": len(after.keys() - before.keys()),
        "gone": len(before.keys() - after.keys()),
        "changed": sum(before[name] != after[name] for name in before.keys() & after.keys()),
    }
    if told := [f"{count} {word}" for word, count in counts.items() if count]:
        yield Changed(f"tests: {', '.join(told)}", "neutral")


# Rules.


def _rules(old: Policy, new: Policy) -> Iterator[Changed]:
    before, after = ({rule.id: rule for rule in policy.rules} for policy in (old, new))
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            rule = before[name]
            yield Changed(f"the rule `{name}` is gone ({_summary(rule)})", "loosens" if _bites(rule) else "neutral")
        elif name not in before:
            rule = after[name]
            yield Changed(f"the rule `{name}` is new ({_summary(rule)})", "tightens" if _bites(rule) else "neutral")
        else:
            was, now = _bites(before[name]), _bites(after[name])
            for words, effect in _rule(before[name], after[name]):
                # Of a rule that did nothing before, or does nothing now, what it looked for is of no matter.
                told = (was and now) or ((was or now) and words.startswith(("mode ", "action ", "enforce ")))
                yield Changed(f"rule `{name}`: {words}", effect if told else "neutral")


def _summary(rule: Rule) -> str:
    quiet = " in shadow mode" if rule.mode == "shadow" else ""
    return f"{rule.action}{quiet} when {written(rule.when)}, on {_places(rule.on)}"


def _rule(old: Rule, new: Rule) -> Iterator[Changed]:
    if old.when != new.when:
        yield Changed(f"when {written(old.when)} -> {written(new.when)}", _implied(old.when, new.when))
    if fewer := old.on - new.on:
        yield Changed(f"no longer looks at {_places(fewer)}", "loosens")
    if more := new.on - old.on:
        yield Changed(f"now looks at {_places(more)}", "tightens")
    yield from _operators(old.operators, new.operators)
    if old.restore and new.restore and old.restoration != new.restoration:
        fewer_places, more_places = new.restoration <= old.restoration, old.restoration <= new.restoration
        effect: Effect = "tightens" if fewer_places else "loosens" if more_places else "either"
        yield Changed(f"values come back in {old.restoration} -> {new.restoration}", effect)
    yield from _fields(old, new, "")
    if old.retry and new.retry:
        yield from _fields(old.retry, new.retry, "retry ")


def _operators(old: Operators, new: Operators) -> Iterator[Changed]:
    for label in sorted({"DEFAULT", *old.by_label, *new.by_label}):
        before, after = old.of(label), new.of(label)
        if before != after:
            yield Changed(f"what stands for {label}: {before.type} -> {after.type}", "either")


def _fields(old: Policy | Rule | Retry, new: Policy | Rule | Retry, prefix: str) -> Iterator[Changed]:
    """The fields that hold one plain value each, whatever they are."""
    for field in fields(old):
        name = field.name
        if name in _BY_HAND or name in _NOT_SHOWN:
            continue
        before, after = getattr(old, name), getattr(new, name)
        if name == "description" and before != after:
            yield Changed("the description is another", "neutral")
        elif name == "share" and before != after:
            was, now = (policy.WHOLE if share is None else share for share in (before, after))
            percents = (f"{share * 100 / policy.WHOLE:g} %" for share in (was, now))
            yield Changed(f"enforce {' -> '.join(percents)}", "tightens" if now > was else "loosens")
        elif before != after:
            yield Changed(f"{prefix}{name} {shown(before)} -> {shown(after)}", _ranked(name, before, after))


def _opaque(old: Policy, new: Policy) -> Iterator[Changed]:
    """Content that no check can read, by kind."""
    for kind in sorted(old.opaque ^ new.opaque):
        fresh = kind in new.opaque
        was, now = ("pass", "refuse") if fresh else ("refuse", "pass")
        yield Changed(f"opaque {kind} {was} -> {now}", "tightens" if fresh else "loosens")


def _ranked(name: str, old: Any, new: Any) -> Effect:
    if name in _NEUTRAL:
        return "neutral"
    order = _ORDERS.get(name, ())
    if old not in order or new not in order:
        return "either"
    return "tightens" if order.index(new) > order.index(old) else "loosens"


def _places(on: frozenset[Any]) -> str:
    """Directions and kinds, as short as a file may write them."""
    left = set(on)
    said: list[str] = []
    for direction, kinds in KINDS_OF.items():
        if (whole := {(direction, kind) for kind in kinds}) <= on:
            said.append(direction)
            left -= whole
    both = {kind for direction, kind in left if {(one, kind) for one in KINDS_OF} <= left}
    said += sorted(both)
    for direction in KINDS_OF:
        kinds_left = sorted(kind for one, kind in left if one == direction and kind not in both)
        said += [f"{', '.join(kinds_left)} of the {direction}"] if kinds_left else []
    return ", ".join(said)


def written(when: Expression, inside: bool = False) -> str:
    """An expression as a file writes it."""
    if isinstance(when, Name):
        return when.name
    words = " and " if isinstance(when, And) else " or "
    text = words.join(written(part, inside=True) for part in when.parts)
    return f"({text})" if inside else text


def _implied(old: Expression, new: Expression) -> Effect:
    """Whether one holds wherever the other does: all combinations of what may be found are tried."""
    names = sorted(old.names() | new.names())
    if len(names) > _LIMIT_NAMES:
        return "either"
    cases = [set(some) for count in range(len(names) + 1) for some in combinations(names, count)]
    lost = any(old.holds(case) and not new.holds(case) for case in cases)
    won = any(new.holds(case) and not old.holds(case) for case in cases)
    if lost and won:
        return "either"
    return "loosens" if lost else "tightens" if won else "neutral"
