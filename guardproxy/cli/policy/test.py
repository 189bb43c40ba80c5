"""`guardproxy policy test`: the `tests:` of policy files."""

from __future__ import annotations

import json

import typer

from guardproxy.cli.policy.arguments import AsJson, Folder
from guardproxy.errors import PolicyError


def run(folder: Folder, as_json: AsJson = False) -> None:
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
