"""The command line. Each command group has a file. Commands import their code when they run, so `--help` is fast."""

from __future__ import annotations

from typing import Annotated

import typer

from guardproxy.cli import (
    audit,
    bench,
    console,
    demo,
    drift,
    importing,
    keys,
    limits,
    policy,
    replay,
    routes,
    scan,
    serve,
    tenant,
)
from guardproxy.cli.agents import confirm, mcp, tools
from guardproxy.cli.model import commands as model
from guardproxy.cli.printing import CommandLine, say

app = typer.Typer(
    cls=CommandLine,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A guard in front of any LLM endpoint: redacts, judges, blocks, streams, and records every decision.\n\n"
    "Start with `guardproxy demo`, then `guardproxy serve --upstream https://api.openai.com`.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        from guardproxy import plugins  # noqa: PLC0415

        say(version("guardproxy"))
        for group in plugins.GROUPS:
            for plugin in plugins.installed_plugins(group):
                say(f"plug-in {plugin}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and the installed plug-ins."
        ),
    ] = False,
) -> None:
    pass


app.command("serve", cls=serve.ServeCommand)(serve.serve)
app.command("mcp", cls=serve.ServeCommand)(mcp.mcp)
app.command("demo")(demo.demo)
app.command("scan")(scan.scan)
app.add_typer(policy.app, name="policy")
app.add_typer(tenant.app, name="tenant")
app.add_typer(keys.app, name="keys")
app.add_typer(limits.app, name="limits")
app.add_typer(tools.app, name="tools")
app.add_typer(model.app, name="model")
app.add_typer(routes.app, name="route")
app.add_typer(audit.app, name="audit")
app.add_typer(console.app, name="console")
app.command("confirm")(confirm.confirm)
app.command("replay")(replay.replay)
app.command("drift")(drift.drift)
app.command("bench")(bench.bench)
app.add_typer(importing.app, name="import")
