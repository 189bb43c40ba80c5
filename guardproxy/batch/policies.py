"""Policies that each worker loads again, because compiled rules and models cannot be sent to another process.

In: the folder or the name of policies. Out: the policies. Kept: the policies that were loaded in this process.

What is sent is where the policies are, and their digests. A worker that finds other policies, other models or other libraries
refuses its work: its results would not be those of the command.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from guardproxy.errors import ConfigError
from guardproxy.library import JUDGES, load, using
from guardproxy.policy import PolicySet

Digests = Mapping[tuple[str, ...], str]


class SharedPolicies:
    """The policies at a path or with a shipped name (`None`: `default`). `code`: whether they may name classes to import.
    `expected`: the digests that they must have. Raises `PolicyError` and `ConfigError` when they are loaded."""

    def __init__(self, place: Path | None, code: bool = False, expected: Digests | None = None) -> None:
        self._place = place
        self._code = code
        self._expected = expected
        self._policies: PolicySet | None = None

    def __reduce__(self) -> tuple[type[SharedPolicies], tuple[Path | None, bool, Digests]]:
        return SharedPolicies, (self._place, self._code, _digests(self.load()))

    def load(self) -> PolicySet:
        """Returns the policies, which are loaded once."""
        if self._policies is None:
            policies = load(self._place, code=self._code)
            if self._expected is not None and _digests(policies) != self._expected:
                raise ConfigError(f"the policies {self._place or 'default'}, or their checks, differ on a worker")
            self._policies = policies
        return self._policies

    @property
    def use_models(self) -> bool:
        """Whether a check uses a model's judgement."""
        return any(using(policy, JUDGES) for policy in self.load().policies)


def _digests(policies: PolicySet) -> Digests:
    return {(): policies.digest, **{name: check.digest for name, check in policies.checks.items()}}
