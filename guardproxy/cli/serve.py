"""`guardproxy serve`: the proxy, in one process or several. The declarations of the settings define its flags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from guardproxy.cli.printing import complain, fail, say, say_json
from guardproxy.config import SETTINGS, Config, Declaration, load
from guardproxy.crashes import refuse_core_files
from guardproxy.errors import ConfigError, GuardproxyError


class ServeCommand(TyperCommand):
    """Prints its options in the groups of the settings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes a section for each group, in the order of the declarations."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if row := parameter.get_help_record(ctx):
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or "Options", []).append(row)
        for group, rows in sections.items():
            with formatter.section(group):
                formatter.write_dl(rows)


def option(setting: Declaration) -> Parameter:
    """Returns the parameter of the command for a setting. Its value is `None` if the flag is absent."""
    flag = f"{setting.flag}/{setting.off_flag}" if setting.off_flag else setting.flag
    default_text = f" Default: {setting.shown_default}" if setting.shown_default else ""
    default = typer.Option(
        None, flag, help=setting.help + default_text, rich_help_panel=setting.group, show_default=False
    )
    kind = list[str] if setting.kind is tuple else setting.kind
    return Parameter(setting.name, Parameter.KEYWORD_ONLY, default=default, annotation=kind | None)


def serve(config: Path | None = None, check: bool = False, as_json: bool = False, **flags: Any) -> None:
    """Guard an LLM endpoint. Clients only change their base URL.

    Most starts name the endpoint, the policies and the folder of the log: guardproxy serve --upstream
    https://api.openai.com --policies strict --audit audit

    Every setting is a flag, an environment variable (--limit-texts is GUARDPROXY_LIMIT_TEXTS) and a key of the TOML
    file (limit_texts). A flag overrides the environment, the environment the file. Pass secrets by the environment or
    the file, because other users of the machine can see flags.
    """
    if as_json and not check:
        fail("--json is the form of what --check prints")
    try:
        settings = load(
            {name: value for name, value in flags.items() if value not in (None, [])}, file=config, warn=complain
        )
        if not settings.observability.core_files:
            refuse_core_files()
        if check:
            raise typer.Exit(_checked(settings, as_json=as_json))
        if settings.workers.count > 1:
            from guardproxy import server  # noqa: PLC0415

            raise typer.Exit(server.several(settings, doors_of, companion_of))
        _serve_alone(settings)
    except GuardproxyError as error:
        faults = str(error).splitlines()
        if as_json:
            say_json({"ok": False, "parts": [{"part": "settings", "ok": False, "says": faults}]}, 2)
        else:
            for fault in faults:
                complain(fault)
        raise typer.Exit(2) from None


def _checked(config: Config, *, as_json: bool) -> int:
    """Prints what a start with these settings would read. Returns the exit code."""
    from guardproxy import server  # noqa: PLC0415

    parts = list(server.check(config, doors_of, companion_of))
    if as_json:
        are_right = all(part.is_right for part in parts)
        shown = [{"part": part.name, "ok": part.is_right, "says": part.text.splitlines()} for part in parts]
        say_json({"ok": are_right, "parts": shown}, 2)
        return 0 if are_right else 2
    faults = 0
    for part in parts:
        first, *others = part.text.splitlines() or [""]
        say(f"{'ok   ' if part.is_right else 'wrong'}  {part.name:<10} {first}")
        for line in others:
            say(f"{'':<18}{line}")
        faults += 0 if part.is_right else 1 + len(others)
    say(
        f"{faults} {'fault' if faults == 1 else 'faults'}: the proxy would not start"
        if faults
        else "the proxy can start"
    )
    return 2 if faults else 0


CONFIG_FILE = Parameter(
    "config",
    Parameter.KEYWORD_ONLY,
    default=typer.Option(None, "--config", help="A TOML file with settings.", show_default=False),
    annotation=Path | None,
)
_CHECK = Parameter(
    "check",
    Parameter.KEYWORD_ONLY,
    default=typer.Option(
        False,
        "--check",
        help="Check settings, policies, models, keys and folders, and exit: 0, or 2 with a list. Opens and writes nothing.",
        show_default=False,
    ),
    annotation=bool,
)
_AS_JSON = Parameter(
    "as_json",
    Parameter.KEYWORD_ONLY,
    default=typer.Option(False, "--json", help="Print what --check finds as JSON.", show_default=False),
    annotation=bool,
)
_PARAMETERS = (CONFIG_FILE, _CHECK, _AS_JSON, *map(option, SETTINGS.values()))
serve.__signature__ = Signature(_PARAMETERS)  # type: ignore[attr-defined]  # typer reads the options from it
serve.__annotations__ = {parameter.name: parameter.annotation for parameter in _PARAMETERS}


def _serve_alone(config: Any) -> None:
    import uvloop  # noqa: PLC0415

    from guardproxy import server  # noqa: PLC0415
    from guardproxy.telemetry import configure_logs  # noqa: PLC0415

    configure_logs(config.observability.log_level, config.observability.log_format)
    uvloop.run(server.serve(config, doors_of=doors_of, companion_of=companion_of))


def doors_of(config: Config, worker: int) -> Sequence[Any]:
    """Returns the doors that settings open beside the port for clients. Raises `ConfigError`."""
    if not config.network.ext_proc:
        return ()
    try:
        from guardproxy.ext_proc import ExtProcDoor  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("grpc", "google"):
            raise
        names = SETTINGS["ext_proc"].names
        raise ConfigError(f"{names}: the packages for Envoy are missing: pip install 'guardproxy[envoy]'") from None
    return (ExtProcDoor(config),)


def companion_of(config: Config) -> Callable[[Any], Any] | None:
    """Returns what makes the command of the console's process; `None` without a console. Raises `ConfigError`."""
    if not config.console.is_on:
        return None
    from guardproxy.console.starting import starter  # noqa: PLC0415
    from guardproxy.server import CompanionCommand  # noqa: PLC0415

    start = starter(config)
    return lambda paths: CompanionCommand(*start(paths.socket, paths.admin, paths.own_folder))
