"""Where lines of the audit log go.

- `writing/log_file.py`: the log itself, as files in a folder.
- `stdout.py`, `http.py`, `kafka.py`, `objects.py`: the targets of `audit ship`, which reads the files and sends their lines.
- Sinks: guardproxy ships none. Another package adds one, which gets copies while the proxy runs.

Another package adds a sink by an entry point of the group `guardproxy.sinks` that names an `Opener`. A sink receives
every line after it is durable in the file. Each sink has a thread and a bounded queue, so it delays no client. Lines
that do not fit into the queue, or that the sink fails to accept, are not sent again. The header of each file is sent
before its lines, so a copy of a file verifies like the file. Decision:
docs/decisions/0030-the-file-is-the-log-sinks-get-copies.md
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from guardproxy import plugins
from guardproxy.audit.shipping.shipping import Target
from guardproxy.errors import ConfigError, PluginError


class Sink(Protocol):
    """Receives copies of the lines of a log."""

    def take(self, line: bytes) -> None:
        """Accepts a line with its newline. May block. An exception is logged and counted; then the next line
        follows."""
        ...

    def close(self) -> None:
        """Ends the sink. No line follows."""
        ...


Opener = Callable[[str], Sink]
"""Opens a sink for a log. In: the name of the log (`audit-0`), which differs between the workers of a server."""


def sink_opener(name: str) -> Opener:
    """Returns what opens the sink of this name. Raises `ConfigError` for an unknown name, and `PluginError` for a plug-in that
    cannot be imported."""
    opener = plugins.load(plugins.SINKS, name, ())
    if opener is None:
        known = ", ".join(plugins.names(plugins.SINKS)) or "none is installed"
        raise ConfigError(f"there is no audit sink `{name}` (known: {known})")
    return cast(Opener, opener)


def open_sink(name: str, log: str) -> Sink:
    """Opens the sink of this name. Raises `ConfigError` for an unknown name, and `PluginError` for a broken plug-in."""
    opener = sink_opener(name)
    whose = plugins.whose(plugins.SINKS, name)
    try:
        sink = opener(log)
    except Exception as error:
        raise PluginError(f"the plug-in {whose} cannot be opened: {type(error).__name__}: {error}") from error
    missing = [method for method in ("take", "close") if not hasattr(sink, method)]
    if missing:
        raise PluginError(f"the plug-in {whose} is not a sink: it lacks {', '.join(missing)}")
    return sink


def target_of(url: str, token: str = "") -> Target:
    """Returns the target of `audit ship` for a URL, or for `-`, which is standard output. `token`: the bearer token for
    HTTP. Raises `ConfigError`."""
    scheme = url.partition(":")[0].lower()
    if url == "-":
        from guardproxy.audit.shipping.targets.stdout import StreamTarget  # noqa: PLC0415

        return StreamTarget()
    if scheme in ("http", "https"):
        from guardproxy.audit.shipping.targets.http import HttpTarget  # noqa: PLC0415

        return HttpTarget(url, token)
    if scheme == "kafka":
        from guardproxy.audit.shipping.targets.kafka import KafkaTarget  # noqa: PLC0415

        return KafkaTarget(url)
    if scheme in ("s3", "gs", "az", "file"):
        from guardproxy.audit.shipping.targets.objects import ObjectTarget  # noqa: PLC0415

        return ObjectTarget(url)
    raise ConfigError("expected `-` or a URL that begins with http, https, s3, gs, az, file or kafka")
