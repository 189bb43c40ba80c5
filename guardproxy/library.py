"""Sets of policies by folder, file or shipped name, with their checks built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from guardproxy import plugins
from guardproxy.checks import QUICK, Resources, Traits, own_names
from guardproxy.config import shipped
from guardproxy.errors import PluginError, PolicyError
from guardproxy.findings import Scan, Window
from guardproxy.inference import Models
from guardproxy.policy import (
    ACTIONS,
    Files,
    Policy,
    PolicyErrors,
    PolicySet,
    build_checks,
    did_you_mean,
    join,
    load_file,
    load_folder,
)
from guardproxy.wire import codecs

Remote = Callable[[str, float], Any]


def folder_of(named: Path | None) -> Path:
    """The folder of policies that a user names: a path, or a shipped policy (`strict`); `None` is the shipped `default`.

    Raises `PolicyError` for a name that is neither.
    """
    if named is None:
        return shipped("policies")
    return named if named.exists() or len(named.parts) != 1 else shipped_folder(str(named))


def shipped_folder(name: str) -> Path:
    """The folder of a shipped policy. Each policy except `default` has its own folder, so that only one applies at a time."""
    known = shipped_names()
    if name not in known:
        message = f"there is no folder `{name}`, and no shipped policy of that name"
        raise PolicyError(f"{message}{did_you_mean(name, known)} (shipped: {join(known)})", name, 1, 1)
    return shipped("policies") / ("" if name == "default" else name)


def shipped_names() -> list[str]:
    """The names of the shipped policies."""
    return ["default", *sorted(path.name for path in shipped("policies").iterdir() if path.is_dir())]


def read_policies(named: Path | None) -> tuple[tuple[Policy, ...], str, Files]:
    """Reads the policies of a folder, of a file, or of a shipped name: the policies, their digest, the files that they name.
    Builds no checks.

    Raises `PolicyError`.
    """
    place = folder_of(named)
    files = Files(place.parent if place.is_file() else place)
    policies, digest = load_file(place, files) if place.is_file() else load_folder(place, files)
    return policies, digest, files


JUDGES = ("supervisor",)  # checks that ask a model for a judgement
DISTANT = ("http",)  # checks that ask a service

CheckSelection = Callable[[Policy], Policy]
"""Returns a policy with only those of its checks that should be built."""


def using(policy: Policy, uses: Sequence[str]) -> frozenset[str]:
    """The names of the checks of a policy whose `use` is in `uses`."""
    return frozenset(name for name, spec in policy.checks.items() if spec.use in uses)


def whole(policy: Policy) -> Policy:
    """Selects all checks."""
    return policy


def leaving_out(uses: Sequence[str]) -> CheckSelection:
    """Selects all checks whose `use` is not in `uses`."""

    def selected(policy: Policy) -> Policy:
        gone = using(policy, uses)
        return replace(policy, checks={name: spec for name, spec in policy.checks.items() if name not in gone})

    return selected


def judges_alone(policy: Policy) -> Policy:
    """Selects the checks that ask a model for a judgement. Every score becomes a finding, so that low scores are visible
    too."""
    every = {"threshold": 0.0, "first_stage": False}
    specs = {
        name: replace(policy.checks[name], options={**policy.checks[name].options, **every})
        for name in using(policy, JUDGES)
    }
    return replace(policy, checks=specs)


@dataclass(frozen=True, slots=True)
class SilentCheck:
    """Replaces a check that is left out. It finds nothing."""

    name: str
    digest: str = ""
    traits: Traits = QUICK

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        ends = (window.start + len(window.text) for window in windows)
        return [Scan((), end, end) for end in ends]


def loader(
    models: Path | None = None,
    runtime: Models | None = None,
    remote: Remote | None = None,
    asked: CheckSelection = whole,
    code: bool = False,
) -> Callable[[Path | None], PolicySet]:
    """Returns a function that loads policies as `load` does, with models that are loaded once for all policies. Checks that
    `asked` leaves out find nothing. `code`: whether policies may name classes to import; otherwise loading a policy runs no
    code of it."""
    runtime = runtime or Models((models,) if models else ())

    def load_set(named: Path | None) -> PolicySet:
        _refuse_clashes()
        policies, digest, files = read_policies(named)
        resources = Resources(runtime.scorer, runtime.tagger, files.read, remote, code)
        checks = dict(build_checks(tuple(map(asked, policies)), resources))
        for policy in policies:
            for name in policy.checks:
                checks.setdefault((policy.name, name), SilentCheck(name))
        return PolicySet(policies, checks, files.digest(digest))

    return load_set


def load(
    folder: Path | None,
    models: Path | None = None,
    runtime: Models | None = None,
    remote: Remote | None = None,
    *,
    code: bool = False,
) -> PolicySet:
    """Loads the policies of a folder or of a shipped name (`None`: `default`) and builds their checks. Raises `PolicyError`.

    `models`: a folder of models that take precedence over the shipped models. `runtime`: the runtime of models, if the
    process has one. `remote`: the services that checks may ask; without it, a check that asks a service fails. `code`:
    whether policies may name classes to import.
    """
    return loader(models, runtime, remote, code=code)(folder)


def _refuse_clashes() -> None:
    """Raises `PolicyError` if the names of installed plug-ins are ambiguous."""
    try:
        plugins.refuse_clashes(plugins.CHECKS, own_names())
        plugins.refuse_clashes(plugins.ACTIONS, ACTIONS)
        codecs()
    except PluginError as error:
        raise PolicyErrors([PolicyError(str(error))]) from None
