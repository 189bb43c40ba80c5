"""Loads the parts of guardproxy that other packages provide by entry point: checks, wire formats, actions, sinks,
duties.

In: a group and a name. Out: the object that the entry point names, or `PluginError` with the package's name. Kept: the
list of installed plug-ins, read once. A plug-in is imported when a policy or a setting names it; wire formats are
always imported.

A name is unique: two packages with the same name, or a package with one of guardproxy's own names, are refused.
Otherwise it would be unclear which of them guards a text.

Decision: docs/decisions/0032-an-addition-is-one-folder.md
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
    """An entry point. `of`: the name and version of its package."""

    group: str
    name: str
    of: str
    point: EntryPoint

    def __str__(self) -> str:
        return f"`{self.name}` ({self.group}) of {self.of}"


@cache
def installed_plugins(group: str) -> tuple[Plugin, ...]:
    """Returns the plug-ins of a group, by name."""
    plugins = [
        Plugin(
            group, point.name, f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package", point
        )
        for point in entry_points(group=group)
    ]
    return tuple(sorted(plugins, key=lambda plugin: (plugin.name, plugin.of)))


def names(group: str) -> list[str]:
    """Returns the names of the plug-ins of a group."""
    return [plugin.name for plugin in installed_plugins(group)]


def refuse_clashes(group: str, own: Collection[str]) -> None:
    """Raises `PluginError` if a name of the group is used twice. `own`: guardproxy's own names."""
    first: dict[str, Plugin] = {}
    for plugin in installed_plugins(group):
        if plugin.name in own:
            raise PluginError(f"the plug-in {plugin} has one of guardproxy's own names; uninstall it")
        if (other := first.setdefault(plugin.name, plugin)) is not plugin:
            raise PluginError(f"the plug-ins {other} and {plugin} have the same name; uninstall one of them")


def load(group: str, name: str, own: Collection[str] = ()) -> Any:
    """Returns the object of a plug-in; `None` if no plug-in has this name. Raises `PluginError`."""
    matching = [plugin for plugin in installed_plugins(group) if plugin.name == name]
    if not matching:
        return None
    refuse_clashes(group, own)
    try:
        return matching[0].point.load()
    except Exception as error:
        raise PluginError(f"the plug-in {matching[0]} cannot be loaded: {type(error).__name__}: {error}") from error


def whose(group: str, name: str) -> str:
    """Returns the name of the plug-in and its package, for messages."""
    return next((str(plugin) for plugin in installed_plugins(group) if plugin.name == name), f"`{name}` ({group})")
