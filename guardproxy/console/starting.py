"""How the proxy starts the process of the console: its command, and the line that it gets on standard input.

In: settings and the paths of two sockets. Out: a command, an environment and a line, and in the other process the settings
again. Secrets of the proxy stay with it: none is in the line, and no variable with a setting is in the environment.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from guardproxy.config import SETTINGS, Config
from guardproxy.console.access.logins import LoginFile, load_logins
from guardproxy.errors import ConfigError

PACKAGES = ("jinja2", "duckdb")
OWN_PART = "console"  # of the settings, whose secrets the process needs
Started = tuple[tuple[str, ...], Mapping[str, str], bytes]


@dataclass(frozen=True, slots=True)
class ConsoleStart:
    """What the process gets of the proxy. `socket`: where it listens; `proxy`: where the admin port of the proxy answers;
    `folder`: is removed when the proxy is gone, as nobody else is there to do it."""

    config: Config
    socket: Path
    proxy: Path | None = None
    folder: Path | None = None

    def line(self) -> bytes:
        """Returns the line: places, and settings that are not the default and no secret of another part."""
        settings: dict[str, Any] = {}
        for setting in SETTINGS.values():
            value = setting.value_in(self.config)
            if value != setting.default and (not setting.is_secret or setting.part == OWN_PART):
                settings[setting.name] = list(value) if isinstance(value, tuple) else _plain(value)
        places = {"socket": self.socket, "proxy": self.proxy, "folder": self.folder}
        return (
            json.dumps({"settings": settings, **{name: str(path or "") for name, path in places.items()}}).encode()
            + b"\n"
        )

    @classmethod
    def read(cls, line: bytes) -> ConsoleStart:
        """Reads the line. Raises `ConfigError`, `KeyError` and `ValueError`."""
        tree = json.loads(line)
        values = {name: SETTINGS[name].read(value, "the proxy") for name, value in tree["settings"].items()}
        proxy, folder = (Path(tree[name]) if tree[name] else None for name in ("proxy", "folder"))
        return cls(Config.of(**values), Path(tree["socket"]), proxy, folder)


def are_packages_installed() -> bool:
    """Whether the console can run: it needs the extra `console`."""
    return all(find_spec(package) is not None for package in PACKAGES)


def starter(config: Config) -> Callable[[Path, Path, Path | None], Started]:
    """Returns what gives the command, the environment and the line for the places of a server. Raises `ConfigError` if the
    console cannot be with these settings."""
    names = SETTINGS["console"].names
    if not are_packages_installed():
        raise ConfigError(f"{names}: the packages of the console are missing: pip install 'guardproxy[console]'")
    path, has_provider = config.console.logins, bool(config.console.oidc_issuer)
    if has_provider and find_spec("jwt") is None:
        raise ConfigError(f"{SETTINGS['console_oidc_issuer'].names}: pip install 'guardproxy[jwt]'")
    if path is None and not has_provider:
        raise ConfigError(f"{names} needs {SETTINGS['console_logins'].names}")
    if path is not None and not _logins(path).logins and not has_provider:
        raise ConfigError(
            f"{path}: no login, so nobody could come in: guardproxy console login add NAME --role auditor --file {path}"
        )

    def started(socket: Path, proxy: Path, folder: Path | None) -> Started:
        command = (sys.executable, "-m", "guardproxy.console")
        return command, _environment(os.environ), ConsoleStart(config, socket, proxy, folder).line()

    return started


def _logins(path: Path) -> LoginFile:
    """Reads the file of logins. Raises `ConfigError` with the name of the setting."""
    try:
        return load_logins(path)
    except ConfigError as error:
        raise ConfigError(f"{SETTINGS['console_logins'].names}: {error}") from None


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of this process without settings of guardproxy."""
    return {name: value for name, value in own.items() if not name.startswith("GUARDPROXY_")}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
