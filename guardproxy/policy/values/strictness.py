"""The only definition of what is stricter: for decisions, values of a policy, operators, conditions and options of
checks. The order of actions is that of their declarations (`actions.py`).

In: two values, the first of an older or inherited policy, the second of the policy that replaces it. Out: an `Order`, which
says whether the second protects more. `extends` refuses looser and unclear values (`file/extending.py`). `policy diff`
reports the order (`policydiff/`). All code that needs the strongest of several decisions calls `strongest`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Literal

from guardproxy.checks import Option
from guardproxy.decisions import Decision
from guardproxy.policy.conditions.expression import And, Expression, Name
from guardproxy.policy.values.actions import ACTIONS, VERDICTS, Verdict, verdict_of
from guardproxy.redaction import KINDS as OPERATORS
from guardproxy.redaction import Operator, Restoration

Order = Literal["same", "tighter", "looser", "unclear"]
"""The second of two values relative to the first. `unclear`: it depends on the texts, or is not known."""

SCALES: Mapping[str, tuple[Any, ...]] = {
    "on_error": ("flag", "block"),
    "unmapped": ("scan", "refuse"),
    "token_ids": ("pass", "refuse"),
    "intent": ("off", "on"),
    "action": ACTIONS,
    "mode": ("shadow", "enforce"),
    "severity": (None, "low", "medium", "high", "critical"),
    "restore": (True, False),
    "early": (True, False),
    "parallel": ("always", "on", "off"),
    "then": ("pass_flagged", "fallback", "block"),
}
"""The values of each key with a fixed set of values, from the loosest to the strictest."""

_LIMIT_TERMS = 256


# Decisions.


def strongest(decisions: Iterable[Decision]) -> Verdict:
    """Returns the verdict of the strongest decision; `pass` if there is no decision."""
    return max(map(verdict_of, decisions), key=VERDICTS.index, default="pass")


# Values of a policy.


def same(first: Any, second: Any) -> bool:
    """Whether two plain values are equivalent: 1 differs from true, and the order of a list does not matter."""
    return canonical(first) == canonical(second)


def canonical(value: Any) -> str:
    """Returns a text that is equal for equivalent plain values."""
    if isinstance(value, (list, tuple)):
        value = sorted(map(canonical, value))
    return json.dumps(value, sort_keys=True, default=str)


def compare(key: str, old: Any, new: Any) -> Order:
    """Returns the order of two values of a key in `SCALES`. Raises `KeyError` for any other key."""
    return _on_scale(SCALES[key], old, new)


def _on_scale(scale: Sequence[Any], old: Any, new: Any) -> Order:
    if same(old, new):
        return "same"
    ranks = [next((rank for rank, value in enumerate(scale) if same(value, wanted)), None) for wanted in (old, new)]
    return "unclear" if ranks[0] is None or ranks[1] is None else _by_size(ranks[0], ranks[1])


def _by_size(old: float, new: float) -> Order:
    return "tighter" if new > old else "looser" if new < old else "same"


def together(orders: Iterable[Order]) -> Order:
    """Returns the order of two values, given the orders of their parts."""
    distinct = {order for order in orders if order != "same"}
    return distinct.pop() if len(distinct) == 1 else "unclear" if distinct else "same"


def compare_sets(old: Collection[Any], new: Collection[Any]) -> Order:
    """Returns the order of two sets; a larger set protects more."""
    return _by_inclusion(frozenset(old) <= frozenset(new), frozenset(new) <= frozenset(old))


def _by_inclusion(is_wider: bool, is_narrower: bool) -> Order:
    if is_wider:
        return "same" if is_narrower else "tighter"
    return "looser" if is_narrower else "unclear"


def compare_restorations(old: Restoration, new: Restoration) -> Order:
    """Returns the order of two sets of places in which values are restored; fewer places protect more."""
    return _by_inclusion(new <= old, old <= new)


def compare_shares(old: int, new: int) -> Order:
    """Returns the order of two numbers of conversations, in a million, for which a rule is enforced."""
    return _by_size(old, new)


def compare_operators(old: Operator, new: Operator) -> Order:
    """Returns the order of two operators; an operator that shows less of a value protects more."""
    if old.type != new.type:
        return _by_size(OPERATORS.index(new.type), OPERATORS.index(old.type))
    if old.chars_to_mask is None or new.chars_to_mask is None:
        return _by_size(old.chars_to_mask is None, new.chars_to_mask is None)
    return _by_size(old.chars_to_mask, new.chars_to_mask) if old.from_end == new.from_end else "unclear"


# Conditions.


def compare_conditions(old: Expression, new: Expression) -> Order:
    """Returns the order of two conditions of a rule; a condition that holds in more cases protects more."""
    return "same" if old == new else _by_inclusion(implies(old, new), implies(new, old))


def implies(first: Expression, second: Expression) -> bool:
    """Whether the second expression holds whenever the first holds, that is, for every minimal set of findings for
    which the first holds."""
    return all(second.holds(term) for term in terms(first))


def terms(expression: Expression) -> Collection[frozenset[str]]:
    """Returns the minimal sets of findings for which an expression holds; a single empty set if there are too many."""
    if isinstance(expression, Name):
        return {expression.names()}
    parts = [terms(part) for part in expression.parts]
    if not isinstance(expression, And):
        return {term for part in parts for term in part}
    count = 1
    for part in parts:
        count *= len(part)
    # Nothing follows from an empty set, so the order is unclear, and `extends` refuses what is unclear.
    if count > _LIMIT_TERMS:
        return {frozenset()}
    return {frozenset().union(*chosen) for chosen in product(*parts)}


# Options of checks.


def compare_options(option: Option | None, old: Any, new: Any) -> Order:
    """Returns the order of two values of an option; `None` is a missing value. `option`: `None` if it is not
    declared."""
    if option is None:
        return "same" if same(old, new) else "unclear"
    old, new = (option.default if value is None else value for value in (old, new))
    if same(old, new):
        return "same"
    if option.tighter is None or old is None or new is None:
        return "unclear"
    if option.tighter == "lower":
        return together(_compare_thresholds(was, now) for was, now in _thresholds(old, new))
    if isinstance(option.tighter, tuple):
        return _on_scale(option.tighter, old, new)
    shorter, longer = (old, new) if option.tighter == "longer" else (new, old)
    return compare_sets(*(set(map(canonical, items(value))) for value in (shorter, longer)))


def items(value: Any) -> Sequence[Any]:
    """Returns the items of a list; a single value is a list with one item."""
    return value if isinstance(value, (list, tuple)) else [value]


def _thresholds(old: Any, new: Any) -> Iterable[tuple[Any, Any]]:
    """Returns the thresholds to compare: one pair, or a pair for each label. A single threshold counts for every
    label."""
    labels = {label for value in (old, new) if isinstance(value, Mapping) for label in value}
    if not labels:
        return [(old, new)]
    return [
        (
            old.get(label) if isinstance(old, Mapping) else old,
            new.get(label) if isinstance(new, Mapping) else new,
        )
        for label in labels
    ]


def _compare_thresholds(old: Any, new: Any) -> Order:
    before, after = threshold(old), threshold(new)
    if before is None or after is None or before[0] != after[0]:
        return "unclear"
    return _by_size(after[1], before[1])


def threshold(value: Any) -> tuple[str, float] | None:
    """Returns the kind and number of a score or an operating point (`1%`), where a lower number finds more; `None` for
    other values."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return "score", float(value)
    try:
        return ("point", -float(value.removesuffix("%"))) if value.endswith("%") else None
    except (AttributeError, ValueError):
        return None
