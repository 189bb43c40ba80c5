"""`guardproxy policy`: what a reviewer does with policy files before they see traffic. One command a file."""

from __future__ import annotations

import typer

from guardproxy.cli.policy import init, lint, schema, test

app = typer.Typer(no_args_is_help=True, help="Write, check, test and compare policies.")
app.command("init")(init.init)
app.command("lint")(lint.lint)
app.command("schema")(schema.schema)
app.command("test")(test.run)
