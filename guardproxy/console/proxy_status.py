"""What the processes of the proxy say of themselves: the answers of `/all/status`, as values. Pure.

In: JSON of the admin port. Out: a status for each worker, `None` for a worker that does not answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

Statuses = Mapping[str, "ProcessStatus | None"]
"""The status of each worker by its title, such as `worker 0`."""


class StatusTrouble(msgspec.Struct, frozen=True):
    """Something that is wrong now. `settings`: those that mend it. `code`: the error that requests get because of it."""

    text: str
    settings: tuple[str, ...] = ()
    code: str | None = None
    meaning: str = ""
    is_serious: bool = False


class StatusCount(msgspec.Struct, frozen=True):
    """A metric that grows only while something is wrong."""

    name: str
    text: str
    value: float
    settings: tuple[str, ...] = ()


class StatusRule(msgspec.Struct, frozen=True):
    """A rule in force."""

    id: str
    action: str
    mode: str
    severity: str = ""
    message: str = ""


class StatusGuard(msgspec.Struct, frozen=True):
    """A policy in force."""

    policy: str
    description: str = ""
    mode: str = "enforce"
    rules: tuple[StatusRule, ...] = ()


class StatusScorer(msgspec.Struct, frozen=True):
    """A check that gives scores with a model. `least`: the score from which a label is a finding."""

    check: str
    model: str
    least: Mapping[str, float] = {}
    policies: tuple[str, ...] = ()


class ProcessStatus(msgspec.Struct, frozen=True):
    """What a process is like now; see `server/processes/standing.py`. `is_shared`: whether all workers count in a
    store. `url`: for clients; empty without a port for them.
    `models`: where each model runs that gives scores. `folders`: of the models in use."""

    troubles: tuple[StatusTrouble, ...] = ()
    counts: tuple[StatusCount, ...] = ()
    gauges: Mapping[str, float] = {}
    upstreams: Mapping[str, str] = {}
    checkpoint_at: float = 0.0
    is_shared: bool = False
    url: str = ""
    engine: str = ""
    policies: str = ""
    models: Mapping[str, str] = {}
    folders: Mapping[str, str] = {}
    guards: tuple[StatusGuard, ...] = ()
    scorers: tuple[StatusScorer, ...] = ()

    def rule(self, name: str) -> tuple[StatusGuard, StatusRule] | None:
        """Returns the rule of this name with its policy; `None` if no policy in force has it."""
        return next(((guard, rule) for guard in self.guards for rule in guard.rules if rule.id == name), None)


def read_statuses(shown: Any) -> dict[str, ProcessStatus | None]:
    """Reads the answer to `/all/status`. A part that is no status counts as a process that does not answer."""
    if not isinstance(shown, dict):
        return {}
    return {str(title): _status(status) for title, status in shown.items()}


def _status(shown: Any) -> ProcessStatus | None:
    try:
        return msgspec.convert(shown, ProcessStatus, strict=False) if isinstance(shown, dict) else None
    except msgspec.ValidationError:
        return None


def first_status(statuses: Statuses) -> ProcessStatus:
    """Returns the status of the first worker that answers; an empty one if none does."""
    return next((status for status in statuses.values() if status is not None), ProcessStatus())
