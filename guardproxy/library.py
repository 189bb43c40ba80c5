"""Loads sets of policies by folder, file or shipped name, and builds their checks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from guardproxy import plugins
from guardproxy.checks import QUICK, AskedModel, Resources, Traits, hint, own_names
from guardproxy.conditions import RequestFeatures
from guardproxy.config import package_folder
from guardproxy.errors import ConfigError, PluginError, PolicyError
from guardproxy.findings import Scan, Window
from guardproxy.inference import Models
from guardproxy.policy import PolicySet
from guardproxy.policy.file import Files, PolicyErrors, build_checks, load_file, load_folder
from guardproxy.policy.sections import ROUTE
from guardproxy.policy.values import ACTIONS, Policy
from guardproxy.wire import codecs

Remote = Callable[[str, float], Any]
AskingModels = Callable[[AskedModel], Any]


def folder_of(name_or_path: Path | None) -> Path:
    """Returns the folder of policies for a path or for the name of a shipped policy (`strict`); `None` means `default`.

    Raises `PolicyError` if it is neither an existing path nor a shipped name.
    """
    if name_or_path is None:
        return package_folder("policies")
    is_path = len(name_or_path.parts) != 1 or os.path.exists(
        name_or_path
    )  # a path that is too long does not exist either
    return name_or_path if is_path else shipped_folder(str(name_or_path))


def shipped_folder(name: str) -> Path:
    """Returns the folder of a shipped policy. Each policy except `default` has its own folder, so that it applies
    alone."""
    known = shipped_names()
    if name not in known:
        message = f"there is no folder and no shipped policy `{name}`"
        raise PolicyError(f"{message}{hint(name, known)} (shipped: {', '.join(known)})", name, 1, 1)
    return package_folder("policies") / ("" if name == "default" else name)


def shipped_names() -> list[str]:
    """Returns the names of the shipped policies."""
    return ["default", *sorted(path.name for path in package_folder("policies").iterdir() if path.is_dir())]


def read_policies(
    name_or_path: Path | None, instead: Mapping[str, bytes] = MappingProxyType({})
) -> tuple[tuple[Policy, ...], str, Files]:
    """Reads the policies of a folder, a file or a shipped name, without building checks. `instead`: the content of files that
    are not read from the folder, by their names.

    Returns the policies, their digest, and the files that they name. Raises `PolicyError`.
    """
    place = folder_of(name_or_path)
    is_file = os.path.isfile(place)
    files = Files(place.parent if is_file else place, instead)
    policies, digest = load_file(place, files) if is_file else load_folder(place, files)
    return policies, digest, files


JUDGES = ("supervisor",)  # checks that use a model's judgement
TOPICS = ("topic",)  # checks that use the model of vectors
ASKING = ("llm",)  # checks that ask a model elsewhere
DISTANT = ("http", *ASKING)  # checks that use a service

CheckSelection = Callable[[Policy], Policy]
"""Returns a copy of a policy with only the checks that should be built."""


def using(policy: Policy, uses: Sequence[str]) -> frozenset[str]:
    """Returns the names of a policy's checks whose `use` is in `uses`."""
    return frozenset(name for name, spec in policy.checks.items() if spec.use in uses)


def whole(policy: Policy) -> Policy:
    """Selects all checks."""
    return policy


def all_but(uses: Sequence[str]) -> CheckSelection:
    """Returns a selection of all checks whose `use` is not in `uses`."""

    def select(policy: Policy) -> Policy:
        gone = using(policy, uses)
        return replace(policy, checks={name: spec for name, spec in policy.checks.items() if name not in gone})

    return select


def only_judges(policy: Policy) -> Policy:
    """Selects the checks that use a model's judgement, and lowers their thresholds to 0 so that low scores are visible
    too."""
    every = {"threshold": 0.0, "first_stage": False}
    specs = {
        name: replace(policy.checks[name], options={**policy.checks[name].options, **every})
        for name in using(policy, JUDGES)
    }
    return replace(policy, checks=specs)


@dataclass(frozen=True, slots=True)
class SilentCheck:
    """Replaces a check that is not selected. It finds nothing."""

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
    selection: CheckSelection = whole,
    code: bool = False,
    asking: AskingModels | None = None,
    instead: Mapping[str, bytes] = MappingProxyType({}),
) -> Callable[[Path | None], PolicySet]:
    """Returns a function that loads policies as `load` does; models are loaded once for all its calls.

    `selection`: selects the checks to build; the others find nothing. `code`: whether policies may name classes to import;
    otherwise loading a policy runs none of its code. `instead`: as for `read_policies`.
    """
    runtime = runtime or Models((models,) if models else ())

    def load_set(name_or_path: Path | None) -> PolicySet:
        _refuse_clashes()
        policies, digest, files = read_policies(name_or_path, instead)
        resources = Resources(
            runtime.scorer,
            runtime.tagger,
            files.read,
            remote,
            code,
            runtime.pairs,
            runtime.embedder,
            runtime.background,
            runtime.tokenizer,
            asking,
        )
        checks = dict(build_checks(tuple(map(selection, policies)), resources))
        for policy in policies:
            for name in policy.checks:
                checks.setdefault((policy.name, name), SilentCheck(name))
        return PolicySet(policies, checks, files.digest(digest), _difficulty(policies, runtime))

    return load_set


def _difficulty(policies: Sequence[Policy], runtime: Models) -> RequestFeatures | None:
    """Loads the model of difficulty if a route asks it. Raises `PolicyErrors` if it cannot be loaded."""
    routes = ((policy, ROUTE.of(policy.sections)) for policy in policies)
    asks = next(
        (policy for policy, route in routes if route and route.simple and route.simple.difficulty is not None), None
    )
    if asks is None:
        return None
    try:
        return runtime.difficulty()
    except ConfigError as error:
        raise PolicyErrors(
            [
                PolicyError(
                    f"`difficulty` of the route needs a model: {error}", asks.source, asks.place.line, asks.place.column
                )
            ]
        ) from None


def load(
    folder: Path | None,
    models: Path | None = None,
    runtime: Models | None = None,
    remote: Remote | None = None,
    *,
    code: bool = False,
    asking: AskingModels | None = None,
) -> PolicySet:
    """Loads the policies of a folder or a shipped name (`None`: `default`) and builds their checks. Raises
    `PolicyError`.

    `models`: a folder of models that take precedence over the shipped models. `runtime`: the models of the process, if
    they are loaded already. `remote`: returns the services that checks may query; without it, such a check fails.
    `code`: whether policies may name classes to import. `asking`: returns the models at upstreams that checks may ask; without
    it, such a check fails.
    """
    return loader(models, runtime, remote, code=code, asking=asking)(folder)


def _refuse_clashes() -> None:
    """Raises `PolicyError` if the names of installed plug-ins are ambiguous."""
    try:
        plugins.refuse_clashes(plugins.CHECKS, own_names())
        plugins.refuse_clashes(plugins.ACTIONS, ACTIONS)
        codecs()
    except PluginError as error:
        raise PolicyErrors([PolicyError(str(error))]) from None
