"""What an import makes, before it is written: settings, upstreams, policies and limits."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NOT_NAME = re.compile(r"[^a-z0-9]+")
LIMIT_NAME = 48


@dataclass(frozen=True, slots=True)
class DraftUpstream:
    """An upstream. `url`: empty if the variable `url_variable` holds it. `key_variable`: the variable that holds its key; empty
    if it needs none."""

    url: str
    url_variable: str
    key_variable: str


@dataclass(slots=True)
class ImportDraft:
    """The parts of an import. `settings`: of the process; `policies`: trees of policy files, by name; `limits`: rows of the
    file of limits; `prices`: of a million tokens, `(input, output)`, by model; `variables`: values of further settings that
    only the environment has, in the words of a shell; `named`: the variables that the file itself names."""

    settings: dict[str, Any] = field(default_factory=dict)
    upstreams: dict[str, DraftUpstream] = field(default_factory=dict)
    policies: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    limits: list[Mapping[str, Any]] = field(default_factory=list)
    prices: dict[str, tuple[float, float]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    named: frozenset[str] = frozenset()
    _secrets: dict[str, str] = field(default_factory=dict)  # the variable for each secret of the file; never written

    def variable_for(self, secret: str, wanted: str) -> str:
        """Returns the variable that shall hold a secret: `wanted`, or with a number if that is the name of another secret."""
        if secret not in self._secrets:
            self._secrets[secret] = _unused(wanted, {*self.named, *self._secrets.values()}, "_")
        return self._secrets[secret]

    def upstream(self, wanted: str, upstream: DraftUpstream) -> str:
        """Adds an upstream. Returns its name: `wanted`, or with a number if another upstream has that name."""
        number = 1
        name = wanted
        while self.upstreams.setdefault(name, upstream) != upstream:
            number += 1
            name = f"{wanted}-{number}"
        return name

    def policy(self, wanted: str, tree: Mapping[str, Any]) -> str:
        """Adds a policy. Returns its name."""
        name = _unused(plain_name(wanted), self.policies, "-")
        self.policies[name] = {"policy": name, **tree}
        return name


def _unused(wanted: str, used: Container[str], mark: str) -> str:
    """Returns a name that is not used: `wanted`, or with a number after `mark`."""
    numbered = (f"{wanted}{mark}{number}" for number in count(2))
    return next(name for name in chain((wanted,), numbered) if name not in used)


def plain_name(text: str) -> str:
    """Returns a name of a policy or a rule for any text: lower-case letters, digits and `-`."""
    return _NOT_NAME.sub("-", text.lower()).strip("-")[:LIMIT_NAME].strip("-") or "imported"


def variable_of(value: object) -> str:
    """Returns the variable that a value like `os.environ/NAME` names; empty for any other value."""
    name = value.removeprefix("os.environ/") if isinstance(value, str) and value.startswith("os.environ/") else ""
    return name if ENVIRONMENT.fullmatch(name) else ""
