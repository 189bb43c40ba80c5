"""What an import makes, before it is written: settings, upstreams, policies and limits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NOT_NAME = re.compile(r"[^a-z0-9]+")
LIMIT_NAME = 48


class NewNames:
    """Gives names, each only once. `mark`: stands between a name that was given and the number that makes it another one;
    `used`: names that are not given."""

    def __init__(self, mark: str, used: Iterable[str] = ()) -> None:
        self._mark = mark
        self._used = set(used)
        self._asked: Counter[str] = Counter()

    def of(self, wanted: str) -> str:
        """Returns the name `wanted`, or with a number if it was given before."""
        name = wanted
        while self._asked[wanted] == 0 or name in self._used:
            self._asked[wanted] += 1
            number = self._asked[wanted]
            name = wanted if number == 1 else f"{wanted}{self._mark}{number}"
        self._used.add(name)
        return name


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
    only the environment has, in the words of a shell; `names_of_variables`: gives names of
    variables that have no meaning yet."""

    settings: dict[str, Any] = field(default_factory=dict)
    upstreams: dict[str, DraftUpstream] = field(default_factory=dict)
    policies: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    limits: list[Mapping[str, Any]] = field(default_factory=list)
    prices: dict[str, tuple[float, float]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    names_of_variables: NewNames = field(default_factory=lambda: NewNames("_"))
    _names_of_upstreams: NewNames = field(default_factory=lambda: NewNames("-"))
    _names_of_policies: NewNames = field(default_factory=lambda: NewNames("-"))
    _upstreams: dict[tuple[str, DraftUpstream], str] = field(default_factory=dict)  # the name by the wanted one
    _secrets: dict[str, str] = field(default_factory=dict)  # the variable for each secret of the file; never written

    def variable_for(self, secret: str, wanted: str) -> str:
        """Returns the variable that shall hold a secret: `wanted`, or with a number if that is the name of another secret."""
        if secret not in self._secrets:
            self._secrets[secret] = self.names_of_variables.of(wanted)
        return self._secrets[secret]

    def upstream(self, wanted: str, upstream: DraftUpstream) -> str:
        """Adds an upstream. Returns its name: `wanted`, or with a number if another upstream has that name."""
        key = wanted, upstream
        if key not in self._upstreams:
            self._upstreams[key] = self._names_of_upstreams.of(wanted)
            self.upstreams[self._upstreams[key]] = upstream
        return self._upstreams[key]

    @property
    def guards(self) -> bool:
        """Whether a rule changes or stops a text: rules that only watch guard nothing."""
        return not self.policies or any(
            rule["action"] != "flag" and "shadow" not in (rule.get("mode"), tree.get("mode"))
            for tree in self.policies.values()
            for rule in tree.get("rules", ())
        )

    def policy(self, wanted: str, tree: Mapping[str, Any]) -> str:
        """Adds a policy. Returns its name."""
        name = self._names_of_policies.of(plain_name(wanted))
        self.policies[name] = {"policy": name, **tree}
        return name


def is_name(value: object) -> bool:
    """Whether a value is a text that can name a model in a policy."""
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


def plain_name(text: str) -> str:
    """Returns a name of a policy or a rule for any text: lower-case letters, digits and `-`."""
    return _NOT_NAME.sub("-", text.lower()).strip("-")[:LIMIT_NAME].strip("-") or "imported"


def variable_of(value: object) -> str:
    """Returns the variable that a value like `os.environ/NAME` names; empty for any other value."""
    name = value.removeprefix("os.environ/") if isinstance(value, str) and value.startswith("os.environ/") else ""
    return name if ENVIRONMENT.fullmatch(name) else ""
