"""Where audit logs go: one sink a file; `file` is guardproxy's own.

Another package adds a sink by an entry point of the group `guardproxy.sinks` that names something like `FileSink`: called with
a folder, the log's name and what a new log says of itself, it gives a `Sink`. It takes the place of the file, and of
its promise: one that also sends records elsewhere holds a `FileSink` and appends to it first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from guardproxy import plugins
from guardproxy.errors import ConfigError, PluginError

OWN = ("file",)


class Sink(Protocol):
    """A log of one process."""

    @property
    def healthy(self) -> bool:
        """Whether a record that is appended now can be kept; while it is false, all traffic is refused."""
        ...

    @property
    def head(self) -> tuple[int, str]:
        """`seq` and `hash` of the last record that is kept."""
        ...

    @property
    def waiting(self) -> int:
        """How many records were taken and are not kept yet."""
        ...

    def append(self, record: Mapping[str, Any]) -> Future[tuple[int, str]]:
        """Takes a record, from any thread and at once; the future ends when it is durable, or with `AuditError`."""
        ...

    def close(self) -> None:
        """Keeps what was taken."""
        ...


Opener = Callable[[Path, str, Mapping[str, Any]], Sink]


def opener(name: str) -> Opener:
    """What opens the sink of this name. Raises `ConfigError`."""
    if name in OWN:
        return cast(Opener, import_module("guardproxy.audit.sinks.file").FileSink)
    found = plugins.load(plugins.SINKS, name, OWN)
    if found is None:
        known = ", ".join([*OWN, *plugins.names(plugins.SINKS)])
        raise ConfigError(f"there is no audit sink `{name}` (known: {known})")
    return cast(Opener, found)


def opened(name: str, folder: Path, log: str, header: Mapping[str, Any]) -> Sink:
    """The sink, open. Raises `ConfigError`, `AuditError`, or `PluginError` where a package's is broken."""
    open_it = opener(name)
    if name in OWN:
        return open_it(folder, log, header)
    whose = plugins.whose(plugins.SINKS, name)
    try:
        sink = open_it(folder, log, header)
    except Exception as error:
        raise PluginError(f"the plug-in {whose} cannot be opened: {type(error).__name__}: {error}") from error
    missing = [one for one in ("healthy", "head", "waiting", "append", "close") if not hasattr(sink, one)]
    if missing:
        raise PluginError(f"the plug-in {whose} is no sink: it has no {', '.join(missing)}")
    return sink
