"""Plug-ins that tests install: entry points of packages that are not there."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from guardproxy import plugins
from guardproxy.wire import registry

Install = Callable[..., None]


def installer(monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install(group, name, what, of)`: what an entry point gives; an exception is raised when it is loaded."""
    points: list[Any] = []

    def entry_points(group: str) -> list[Any]:
        return [one for one in points if one.group == group]

    def install(group: str, name: str, what: Any, of: str = "acme 1.0") -> None:
        package, _, version = of.partition(" ")

        def load() -> Any:
            if isinstance(what, Exception):
                raise what
            return what

        points.append(
            SimpleNamespace(
                group=group, name=name, load=load, dist=SimpleNamespace(name=package, version=version) if of else None
            )
        )
        forget()

    monkeypatch.setattr(plugins, "entry_points", entry_points)
    forget()
    return install


def forget() -> None:
    """What is installed is read anew."""
    plugins.installed_plugins.cache_clear()
    registry.installed.cache_clear()
