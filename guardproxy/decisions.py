"""Decisions about findings, and plans for exchanges.

A decision is `Pass`, `Edit`, `DropChunk`, `Retry`, `Confirm` or `Stop`, from the weakest to the strongest. The strongest
decision of all rules wins; `policy/values/actions.py` declares the order. A `Plan` has no strength: it selects the upstream
and the model, independently of the decisions about texts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from guardproxy.redaction import EVERYWHERE, PLACEHOLDERS, Operators, Restoration

Then = Literal["block", "pass_flagged", "fallback"]


@dataclass(frozen=True, slots=True)
class Pass:
    """Forwards the text unchanged; the record names `rule` (action `flag`, or a rule in shadow mode)."""

    rule: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces the span of the finding as `operators` define. `restore`: whether the value is restored in the answer,
    in the places of `restoration`."""

    rule: str
    restore: bool = True
    operators: Operators = PLACEHOLDERS
    restoration: Restoration = EVERYWHERE

    def restores(self, label: str) -> bool:
        """Whether a value with this label can come back: nothing but a placeholder stands for one value."""
        return self.restore and self.operators.of(label).type == "placeholder"


@dataclass(frozen=True, slots=True)
class DropChunk:
    """Cuts the document or the result of a tool with the finding out of the request."""

    rule: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Withholds the answer: the model gets the errors and answers again.

    `attempts`: the number of further answers. `total_s`, `total_tokens`: no further attempt begins once the exchange
    has taken this many seconds, or all attempts this many tokens. `then`: what happens after the last attempt.
    `template`: the message to the model, in which `{errors}` is the list of errors. `model`, `upstream`: the model and
    the upstream of a `fallback` (empty: unchanged). `price`: of a million output tokens, for the metric of savings.
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
class Confirm:
    """Ends a call of a tool as `Stop` does, until a person has approved the call; then it passes once. `message`: what the
    client reads before the id of the confirmation; empty: the proxy's own words."""

    rule: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Ends the text at the finding; the client gets a refusal in its wire format, with `message`. `confirmation`: the id under
    which a person may approve the call; empty if nobody can."""

    rule: str
    message: str = ""
    confirmation: str = ""


Decision = Pass | Edit | DropChunk | Retry | Confirm | Stop


@dataclass(frozen=True, slots=True)
class Plan:
    """Where an exchange goes. Empty members leave the request unchanged."""

    upstream: str = ""
    """The name of the upstream."""
    model: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Members of the request's body to set, such as `max_tokens`."""
    reason: str = ""
    """The reason, in words, for the record."""
    priority: int = 0
    """If several plans set the same member, the plan with the highest priority wins."""

    @property
    def is_empty(self) -> bool:
        """Whether the plan changes nothing."""
        return not (self.upstream or self.changes_body)

    @property
    def changes_body(self) -> bool:
        """Whether the body that goes upstream differs from the request's."""
        return bool(self.model or self.parameters)


UNPLANNED = Plan()


def merge_plans(plans: Collection[Plan]) -> Plan:
    """Merges plans: each member comes from the plan with the highest priority that sets it, or the first of equal
    ones."""
    if not plans:
        return UNPLANNED
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
