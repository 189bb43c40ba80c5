"""`guardproxy policy lint`: what is wrong with a folder of policies, and what a reviewer should know of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from guardproxy.cli.policy.arguments import AllowCode, AsJson, Folder
from guardproxy.errors import ConfigError, PolicyError


def lint(
    folder: Folder,
    as_json: AsJson = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings and notes too.")] = False,
    covered: Annotated[
        bool, typer.Option("--coverage", help="Print which checks look at which texts of which wire formats.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The proxy's TOML file: its tenants are those that policies may name."),
    ] = None,
    tenant: Annotated[
        list[str] | None, typer.Option(help="A tenant, as `serve --tenant` takes it; the digest may be left out.")
    ] = None,
    allow_code: AllowCode = False,
) -> None:
    """Load a folder as the proxy would; say what is wrong, with file, line and column.

    Warnings are likely to be mistakes, notes are costs and gaps. Exit code 0: no error; 1: errors (with --strict: or anything
    else); 2: wrong use.
    """
    from guardproxy.library import load  # noqa: PLC0415
    from guardproxy.policy import (  # noqa: PLC0415  # noqa: PLC0415
        Note,
        coverage,
        notes,
        refuse_strangers,
        table,
    )

    errors: list[PolicyError] = []
    said: list[Note] = []
    rows = []
    count = 0
    try:
        policies = load(folder, code=allow_code)
        if config or tenant:
            refuse_strangers(policies, _tenants(config, tenant or []))
        count, said = sum(not policy.tenant for policy in policies.policies), notes(policies)
        rows = coverage(policies) if covered else []
    except PolicyError as wrong:
        errors = list(getattr(wrong, "errors", [wrong]))
    if as_json:
        shown: dict[str, Any] = {
            "ok": not errors and not (strict and said),
            "policies": count,
            "errors": [{"file": e.path, "line": e.line, "column": e.column, "message": e.message} for e in errors],
            "notes": [{"file": note.path, **{k: v for k, v in asdict(note).items() if k != "path"}} for note in said],
        }
        if covered:
            shown["coverage"] = [asdict(row) for row in rows]
        typer.echo(json.dumps(shown, indent=2))
    else:
        for one in (*errors, *said):
            typer.echo(str(one))
        if covered and not errors:
            typer.echo("\n".join(table(rows)))
        if not errors:
            typer.echo(f"{count} {'policy' if count == 1 else 'policies'}, no errors{_counted(said)}")
    raise typer.Exit(1 if errors or (strict and said) else 0)


def _tenants(file: Path | None, named: list[str]) -> tuple[str, ...]:
    """The names of the tenants that the settings give."""
    from guardproxy import config as settings  # noqa: PLC0415

    try:
        # No upstream is asked for here.
        found = settings.load({"upstream": ("http://127.0.0.1",)}, file=file).tenant_names if file else ()
    except ConfigError as error:
        typer.echo(f"guardproxy: {error}", err=True)
        raise typer.Exit(2) from None
    return (*found, *(entry.partition("=")[0] for entry in named))


def _counted(said: list[Any]) -> str:
    counts = [(word, sum(note.weight == word for note in said)) for word in ("warning", "note")]
    return "".join(f", {count} {word}{'s' if count > 1 else ''}" for word, count in counts if count)
