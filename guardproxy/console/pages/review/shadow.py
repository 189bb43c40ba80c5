"""What enforcing a rule in shadow mode would have done. Pure.

In: records of exchanges in which the rule held. Out: counts by effect, tenant, model and label, and examples.

An exchange that another rule stopped anyway would not have changed. The counts are those of the records: a rule that is
enforced also changes what the model sees, and so what it answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from guardproxy.audit import Record
from guardproxy.policy.values import action_of

BLOCKED, CHANGED, NOTED, ANYWAY = (
    "would be blocked",
    "would be changed",
    "would be noted",
    "stopped by another rule anyway",
)
EFFECTS = {"blocked": BLOCKED, "corrected": CHANGED, "none": NOTED}
ORDER = (BLOCKED, CHANGED, NOTED, ANYWAY)
KINDS = {BLOCKED: "bad", CHANGED: "warn", NOTED: "quiet", ANYWAY: "quiet"}
STOPPED = ("blocked_request", "blocked_response", "refused")
EXAMPLES = 20
LIMIT_GROUPS = 12


@dataclass(frozen=True, slots=True)
class ShadowExample:
    """An exchange in which the rule held: its id, time, tenant and model, what would have happened, and what was found."""

    id: str
    at: float
    tenant: str
    model: str
    effect: str
    found: str

    @property
    def kind(self) -> str:
        """Returns the colour of its effect."""
        return KINDS[self.effect]


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """What a rule would have done. `spans`: the places that it would have replaced; `policies`: that have the rule."""

    policies: tuple[str, ...]
    actions: tuple[str, ...]
    total: int
    effects: tuple[tuple[str, int], ...]
    spans: int
    tenants: tuple[tuple[str, int], ...]
    models: tuple[tuple[str, int], ...]
    labels: tuple[tuple[str, int], ...]
    examples: tuple[ShadowExample, ...]

    def count(self, effect: str) -> int:
        """Returns the number of exchanges with an effect."""
        return dict(self.effects).get(effect, 0)


def shadow_report(records: Iterable[Record], rule: str) -> ShadowReport:
    """Returns what the rule would have done in these exchanges; those in which it did not hold in shadow mode are left out."""
    effects: Counter[str] = Counter()
    tenants: Counter[str] = Counter()
    models: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    policies: dict[str, None] = {}
    actions: dict[str, None] = {}
    examples: list[ShadowExample] = []
    spans = 0
    for record in records:
        held = [found for found in record.decisions if found.rule == rule and found.mode == "shadow"]
        if not held:
            continue
        policies |= dict.fromkeys(found.policy for found in held)
        actions |= dict.fromkeys(found.action for found in held)
        effect = _effect(record, [found.action for found in held])
        effects[effect] += 1
        who = record.tenant_name or record.tenant or "no credential"
        tenants[who] += 1
        models[record.model or "no model"] += 1
        labels.update({f"{found.check}: {found.label}" for found in held})
        if effect == CHANGED:
            spans += len({(found.direction, found.attempt, found.path, found.start, found.end) for found in held})
        if len(examples) < EXAMPLES:
            names = ", ".join(dict.fromkeys(found.label for found in held))
            examples.append(ShadowExample(record.id, record.at, who, record.model, effect, names))
    return ShadowReport(
        policies=tuple(policies),
        actions=tuple(actions),
        total=effects.total(),
        effects=tuple((effect, effects[effect]) for effect in ORDER if effects[effect]),
        spans=spans,
        tenants=tuple(tenants.most_common(LIMIT_GROUPS)),
        models=tuple(models.most_common(LIMIT_GROUPS)),
        labels=tuple(labels.most_common(LIMIT_GROUPS)),
        examples=tuple(sorted(examples, key=lambda example: ORDER.index(example.effect))),
    )


def _effect(record: Record, actions: Iterable[str]) -> str:
    """Returns the strongest effect that the actions would have had."""
    if record.outcome in STOPPED:
        return ANYWAY
    every = {EFFECTS[known.effect] if (known := action_of(action)) else NOTED for action in actions}
    return next(effect for effect in ORDER if effect in every)
