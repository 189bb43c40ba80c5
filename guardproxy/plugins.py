"""Parts of guardproxy that other packages bring, by entry point: checks, wire formats, actions, sinks, duties.

In: a group and a name. Out: the object that the entry point names, or `PluginError`, which says whose it is. Kept: the list of
what is installed, read once. What no policy and no setting names is not imported, but for wire formats, which all are.

A name stands for one thing: two packages that bring the same, or one that brings a name of guardproxy's own, are refused, for
nobody should have to know which of them guards a text.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from guardproxy.errors import PluginError

CHECKS = "guardproxy.checks"
WIRE = "guardproxy.wire"
ACTIONS = "guardproxy.actions"
SINKS = "guardproxy.sinks"
DUTIES = "guardproxy.duties"
GROUPS = (CHECKS, WIRE, ACTIONS, SINKS, DUTIES)


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point. `of`: the name and version of the package that brings it."""

    group: str
    name: str
    of: str
    point: EntryPoint

    def __str__(self) -> str:
        return f"`{self.name}` ({self.group}) of {self.of}"


@cache
def installed(group: str) -> tuple[Plugin, ...]:
    """The plug-ins of a group, by name."""
    found = [
        Plugin(
            group, point.name, f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package", point
        )
        for point in entry_points(group=group)
    ]
    return tuple(sorted(found, key=lambda one: (one.name, one.of)))


def names(group: str) -> list[str]:
    """The names that plug-ins of a group have."""
    return [one.name for one in installed(group)]


def refuse_clashes(group: str, own: Collection[str]) -> None:
    """Raises `PluginError` where a name of the group stands for two things. `own`: guardproxy's names."""
    first: dict[str, Plugin] = {}
    for one in installed(group):
        if one.name in own:
            raise PluginError(f"the plug-in {one} has a name of guardproxy's own; uninstall it")
        if (other := first.setdefault(one.name, one)) is not one:
            raise PluginError(f"the plug-ins {other} and {one} have the same name; uninstall one of them")


def load(group: str, name: str, own: Collection[str] = ()) -> Any:
    """What a plug-in brings; `None` where there is none of that name. Raises `PluginError`."""
    found = [one for one in installed(group) if one.name == name]
    if not found:
        return None
    refuse_clashes(group, own)
    try:
        return found[0].point.load()
    except Exception as error:
        raise PluginError(f"the plug-in {found[0]} cannot be loaded: {type(error).__name__}: {error}") from error


def whose(group: str, name: str) -> str:
    """The plug-in in words, for messages."""
    return next((str(one) for one in installed(group) if one.name == name), f"`{name}` ({group})")
