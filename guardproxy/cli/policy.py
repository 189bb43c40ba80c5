"""`guardproxy policy`: what a reviewer does with policy files before they see traffic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from guardproxy.errors import PolicyError

app = typer.Typer(no_args_is_help=True, help="Check policy files and run their tests.")
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder of policy files.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("lint")
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


@app.command("test")
def run_test(folder: Folder, as_json: AsJson = False) -> None:
    """Run the `tests:` of every policy file, each against its own policy alone. Needs no network."""
    from guardproxy.scanning import load, run_tests  # noqa: PLC0415

    try:
        results = run_tests(load(folder))
    except PolicyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    failed = [one for one in results if one.faults]
    if as_json:
        shown = [{"policy": one.policy, "test": one.name, "faults": list(one.faults)} for one in results]
        typer.echo(json.dumps({"ok": not failed, "tests": shown}, indent=2))
    else:
        for one in results:
            typer.echo(f"{'FAIL' if one.faults else 'ok  '} {one.policy}: {one.name}")
            for fault in one.faults:
                typer.echo(f"       {fault}")
        typer.echo(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    raise typer.Exit(1 if failed else 0)
