"""Decisions about findings, and where an exchange goes.

A decision is `Pass`, `Edit`, `Retry` or `Stop`, from the weakest to the strongest. The strongest decision of all rules wins;
`policy/strictness.py` holds the order. A `Plan` has no strength: it says which upstream and which model answer, whatever is
decided about the texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from guardproxy.redaction import EVERYWHERE, PLACEHOLDERS, Operators, Restoration

Then = Literal["block", "pass_flagged", "fallback"]


@dataclass(frozen=True, slots=True)
class Pass:
    """The text goes on as it is; the record says that `rule` saw something (`flag`, or a rule in shadow mode)."""

    rule: str


@dataclass(frozen=True, slots=True)
class Edit:
    """The finding's span is replaced as `operators` say. `restore`: the answer's reader gets the value back, where a
    placeholder stood for it, in the texts that `restoration` names."""

    rule: str
    restore: bool = True
    operators: Operators = PLACEHOLDERS
    restoration: Restoration = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Retry:
    """The answer is not sent: the model is told what is wrong and answers again.

    `attempts`: how many more answers it may give. `total_s`, `total_tokens`: no further attempt is made when the whole
    exchange has taken this many seconds or all attempts this many tokens. `then`: what happens after the last attempt.
    `template`: what the model is told, `{errors}` in it being the list of faults. `model`, `upstream`: the model and the
    upstream of a `fallback` (empty: unchanged). `price`: of a million tokens of output, for the count of what was saved.
    """

    rule: str
    attempts: int = 2
    total_s: float = 120.0
    total_tokens: int | None = None
    then: Then = "block"
    template: str = ""
    model: str = ""
    upstream: str = ""
    price: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing at or after the finding goes on; the client gets the dialect's own refusal with `message`."""

    rule: str
    message: str = ""


Decision = Pass | Edit | Retry | Stop


@dataclass(frozen=True, slots=True)
class Plan:
    """Where an exchange goes. What a plan leaves empty stays as the request says."""

    upstream: str = ""
    """The name of the upstream."""
    model: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Members of the request's body to set, such as `max_tokens`."""
    reason: str = ""
    """Why, in words, for the record."""
    priority: int = 0
    """Where several plans name the same member, the plan with the highest priority sets it."""

    @property
    def is_empty(self) -> bool:
        """Whether the exchange goes where the request says."""
        return not (self.upstream or self.changes_body)

    @property
    def changes_body(self) -> bool:
        """Whether the body that goes upstream is another one than the request's."""
        return bool(self.model or self.parameters)


UNPLANNED = Plan()


def merged(plans: Iterable[Plan]) -> Plan:
    """One plan of several: each member is of the plan with the highest priority that names it, and of equals of the first."""
    ranked = sorted((plan for plan in plans if not plan.is_empty), key=lambda plan: -plan.priority)
    if not ranked:
        return UNPLANNED
    parameters: dict[str, Any] = {}
    for plan in reversed(ranked):
        parameters |= plan.parameters
    return Plan(
        next((plan.upstream for plan in ranked if plan.upstream), ""),
        next((plan.model for plan in ranked if plan.model), ""),
        parameters,
        "; ".join(dict.fromkeys(plan.reason for plan in ranked if plan.reason)),
        ranked[0].priority,
    )
