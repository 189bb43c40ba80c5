"""Coverage: for each wire format, which checks inspect each kind of text.

In: a set of policies. Out: a row for each wire format, direction and kind of text, and a row for each field that is refused by
default because it bypasses the checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guardproxy.events import HOLDING
from guardproxy.findings import KINDS, Direction, Kind
from guardproxy.policy.conditions.matching import is_route
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.sections import DOCUMENTS
from guardproxy.policy.values.acting import checks_used
from guardproxy.policy.values.document import Policy
from guardproxy.wire import Codec


@dataclass(frozen=True, slots=True, order=True)
class CheckUse:
    """A check that inspects a text for a policy. `shadow`: it is used only by rules in shadow mode. `always`: it
    inspects every request; otherwise only requests for which the `match` of the policy holds."""

    policy: str
    check: str
    shadow: bool
    always: bool

    def __str__(self) -> str:
        name = f"{self.policy}/{self.check}"
        return f"({name})" if self.shadow else name if self.always else f"{name}*"


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """A kind of text in a wire format, and the checks that inspect it."""

    format: str
    direction: Direction
    kind: Kind
    checks: tuple[CheckUse, ...]


@dataclass(frozen=True, slots=True, order=True)
class FieldRow:
    """A field that bypasses the checks. `why`: what it does; `formats`: the wire formats that refuse it by default;
    `allowed`: the policies that allow it; `refused`: those that do not. It passes if every policy that applies allows it."""

    field: str
    why: str
    formats: tuple[str, ...]
    allowed: tuple[str, ...]
    refused: tuple[str, ...]


def denied_fields(policies: PolicySet) -> list[FieldRow]:
    """Returns every field that a format refuses by default, and the policies that allow it."""
    formats: dict[tuple[str, str], list[str]] = {}
    for codec in policies.formats.codecs:
        for name, why in codec.contract.denied.items():
            formats.setdefault((name, why), []).append(codec.name)
    files = [policy for policy in policies.policies if not policy.tenant]
    return [
        FieldRow(
            name,
            why,
            formats=tuple(sorted(names)),
            allowed=tuple(sorted(policy.name for policy in files if name in policy.fields.allow)),
            refused=tuple(sorted(policy.name for policy in files if name not in policy.fields.allow)),
        )
        for (name, why), names in sorted(formats.items())
    ]


def coverage(policies: PolicySet) -> list[CoverageRow]:
    """Returns every kind of text and the checks that inspect it, without the overrides of tenants, which only add
    checks."""
    return [
        CoverageRow(codec.name, direction, kind, tuple(sorted(_looking(policies, codec, direction, kind))))
        for codec in policies.formats.codecs
        for direction, kinds in codec.contract.carried().items()
        for kind in KINDS
        if kind in kinds or (direction, kind) in carried(codec, policies.policies)
    ]


def carried(codec: Codec, policies: Iterable[Policy]) -> frozenset[tuple[Direction, Kind]]:
    """Returns the texts that a format carries where these policies apply: a section may make documents of parts of others."""
    contract = codec.contract
    found = {(direction, kind) for direction, kinds in contract.carries.items() for kind in kinds}
    if not contract.carries["request"].isdisjoint(HOLDING) and any(
        DOCUMENTS.of(policy.sections) is not None
        and any(is_route(policy.match.routes, route) for route in codec.routes)
        for policy in policies
    ):
        found.add(("request", "document"))
    return frozenset(found)


def _looking(policies: PolicySet, codec: Codec, direction: Direction, kind: Kind) -> Iterator[CheckUse]:
    for policy in policies.policies:
        routes = [is_route(policy.match.routes, route) for route in codec.routes]
        if policy.tenant or not any(routes):
            continue
        others = (policy.match.models, policy.match.tenants, policy.match.headers or None, policy.match.when)
        always = all(routes) and not any(others)
        rules = [rule for rule in policy.rules if (direction, kind) in rule.on]
        for name in sorted({name for rule in rules for name in checks_used(policy, rule)}):
            if (direction, kind) in policies.checks[policy.name, name].traits.looks_at:
                enforced = any(rule.mode == "enforce" for rule in rules if name in checks_used(policy, rule))
                yield CheckUse(policy.name, name, not enforced, always)


def field_table(rows: list[FieldRow]) -> list[str]:
    """Formats the rows of fields as lines of text with aligned columns."""
    names = [(row.field, "refused" if not row.allowed else _allowed(row)) for row in rows]
    width = max((len(name) for name, _ in names), default=0)
    return [f"{'field'.ljust(width)}  requests with it", *(f"{name.ljust(width)}  {state}" for name, state in names)]


def _allowed(row: FieldRow) -> str:
    policies = ", ".join(row.allowed)
    return f"ALLOWED where only {policies} applies" if row.refused else f"ALLOWED by {policies}"


def table(rows: list[CoverageRow]) -> list[str]:
    """Formats the rows as lines of text with aligned columns."""
    head = ("format", "direction", "kind", "checks")
    cells = [head, *((row.format, row.direction, row.kind, ", ".join(map(str, row.checks)) or "NONE") for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in cells
    ]
    return [*lines, "(name): in shadow mode only; name*: only if the policy's `match` holds"]
