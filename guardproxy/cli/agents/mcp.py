"""`guardproxy mcp -- COMMAND`: a guard around an MCP server that speaks over its standard streams. No port is opened."""

from __future__ import annotations

import re
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import typer

from guardproxy.cli.printing import complain, fail
from guardproxy.cli.serve import CONFIG_FILE, option
from guardproxy.config import SETTINGS, load, needs_no_port
from guardproxy.crashes import refuse_core_files
from guardproxy.errors import GuardproxyError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_MOST_DIGITS = 6
_INTERPRETERS = re.compile(r"(?:python[0-9.]*|node|npx|uvx?|pipx|deno|bun|bash|sh|docker|podman|env)", re.ASCII)


def mcp(command: list[str], name: str = "", config: Path | None = None, **flags: Any) -> None:
    """Guard an MCP server that speaks over its standard streams: guardproxy mcp -- COMMAND ARGUMENTS.

    Write it where a client starts the server. Each message is checked by the policies and recorded. The settings are those of
    `guardproxy serve`, as flags, environment variables and keys of the file. The server gets the environment without the
    variables of guardproxy, and its exit code is that of this command.
    """
    name = name or name_of(command)
    if not _NAME.fullmatch(name) or sum(map(str.isdigit, name)) > _MOST_DIGITS:
        fail("--name has letters, at most 6 digits, `.`, `_` and `-`")
    try:
        given = {key: value for key, value in flags.items() if value not in (None, [])}
        # The address is never asked. It lets the settings be those of a proxy with one server of this name.
        settings = load({**given, "mcp": [f"{name}=http://localhost/"]}, file=config, warn=complain)
        # Before the first text: a core file would hold keys and texts.
        if not settings.observability.core_files:
            refuse_core_files()
        code = _guard(settings, name, command)
    except GuardproxyError as error:
        for fault in str(error).splitlines():
            complain(fault)
        raise typer.Exit(2) from None
    raise typer.Exit(code)


def name_of(command: list[str]) -> str:
    """Returns a name for a server: the first word of its command that is neither an interpreter nor an option, without the
    folder and the ending of a file."""
    for word in command:
        found = re.split(r"[/\\]", word.rstrip("/"))[-1].removesuffix(".py").removesuffix(".js").removesuffix(".mjs")
        if (
            _NAME.fullmatch(found)
            and not _INTERPRETERS.fullmatch(found)
            and sum(map(str.isdigit, found)) <= _MOST_DIGITS
        ):
            return found
    return "server"


def _guard(settings: Any, name: str, command: list[str]) -> int:
    import uvloop  # noqa: PLC0415

    from guardproxy import server  # noqa: PLC0415
    from guardproxy.telemetry import configure_logs  # noqa: PLC0415

    configure_logs(settings.observability.log_level, settings.observability.log_format)
    return uvloop.run(server.guard(settings, name, command))


_COMMAND = Parameter(
    "command",
    Parameter.KEYWORD_ONLY,
    default=typer.Argument(..., help="The command of the server, after `--`.", show_default=False),
    annotation=list[str],
)
_NAMED = Parameter(
    "name",
    Parameter.KEYWORD_ONLY,
    default=typer.Option(
        "",
        "--name",
        help="The name of the server in policies and records. Default: from its command.",
        show_default=False,
    ),
    annotation=str,
)
_PARAMETERS = (
    _COMMAND,
    _NAMED,
    CONFIG_FILE,
    *(option(declared) for declared in SETTINGS.values() if needs_no_port(declared)),
)
mcp.__signature__ = Signature(_PARAMETERS)  # type: ignore[attr-defined]  # typer reads the options from it
mcp.__annotations__ = {parameter.name: parameter.annotation for parameter in _PARAMETERS}
