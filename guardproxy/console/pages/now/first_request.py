"""How to send the first request: a line for the shell. Pure.

In: the address for clients, and the settings. Out: the line, with the route and the body of a format that an upstream answers.
"""

from __future__ import annotations

import shlex

from guardproxy.config import Config
from guardproxy.wire import Dialect, installed

MODEL = "your-model"


def first_request(url: str, config: Config) -> str:
    """Returns a line for `curl`. `url`: for clients; empty if it is not known, then that of the settings."""
    names = [name for name in Dialect.names() if _is_answered(name, config)] or list(Dialect.names())
    dialect = Dialect.of(names[0], MODEL)
    assert dialect is not None  # noqa: S101 - it is one of the names
    address = url or f"http://127.0.0.1:{config.network.port}"
    body = dialect.body("", "Hello!").decode()
    header = dialect.codec.contract.key_header
    key = "$GUARDPROXY_KEY" if config.clients.has_credentials else "$YOUR_API_KEY"
    return " ".join(
        (
            "curl",
            shlex.quote(f"{address}{dialect.path}"),
            "-H 'content-type: application/json'",
            f'-H "{header.name}: {header.prefix}{key}"',
            "-d",
            shlex.quote(body),
        )
    )


def _is_answered(name: str, config: Config) -> bool:
    codec = installed().named(name)
    named = config.upstreams.named
    takes_all = len(named) < len(config.upstreams.entries) or not named
    return codec is not None and (takes_all or codec.provider in named)
