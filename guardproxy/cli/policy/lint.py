"""`guardproxy policy lint`: what is wrong with a folder of policies, and what a reviewer should know of it."""

from __future__ import annotations

import json

import typer

from guardproxy.cli.policy.arguments import AsJson, Folder
from guardproxy.errors import PolicyError


def lint(folder: Folder, as_json: AsJson = False) -> None:
    """Load a folder as the proxy would; say what is wrong, with file, line and column."""
    from guardproxy.policy.notes import notes  # noqa: PLC0415
    from guardproxy.scanning import load  # noqa: PLC0415

    errors: list[PolicyError] = []
    said: list[PolicyError] = []
    count = 0
    try:
        policies = load(folder).policies
        count, said = len(policies), notes(policies)
    except PolicyError as wrong:
        errors = list(getattr(wrong, "errors", [wrong]))
    if as_json:
        found, noted = (
            [{"file": e.path, "line": e.line, "column": e.column, "message": e.message} for e in listed]
            for listed in (errors, said)
        )
        typer.echo(json.dumps({"ok": not errors, "policies": count, "errors": found, "notes": noted}, indent=2))
    else:
        for error in errors:
            typer.echo(str(error))
        for note in said:
            typer.echo(f"{note} (note)")
        if not errors:
            typer.echo(f"{count} {'policy' if count == 1 else 'policies'}, no errors")
    raise typer.Exit(1 if errors else 0)
