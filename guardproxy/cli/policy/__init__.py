"""`guardproxy policy`: commands for reviewing policy files before they are used. Each command has a file."""

from __future__ import annotations

import typer

from guardproxy.cli.policy import diff, explain, init, lint, schema, test
from guardproxy.cli.printing import Commands

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Write, check, test and compare policies.")
app.command("init")(init.init)
app.command("lint")(lint.lint)
app.command("schema")(schema.schema)
app.command("test")(test.run)
app.command("diff")(diff.diff)
app.command("explain")(explain.explain)
