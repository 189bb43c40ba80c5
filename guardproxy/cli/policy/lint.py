"""`guardproxy policy lint`: reports the errors of a folder of policies, and notes for its reviewers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardproxy.cli.keys import read_keys
from guardproxy.cli.policy.arguments import AllowCode, AsJson, Folder, Limits, Prices, refuse_costs_without_prices
from guardproxy.cli.printing import fail, say, say_json
from guardproxy.errors import ConfigError, PolicyError

if TYPE_CHECKING:
    from guardproxy.config import Config


def lint(
    folder: Folder,
    as_json: AsJson = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings and notes too.")] = False,
    covered: Annotated[
        bool, typer.Option("--coverage", help="Print which checks inspect which texts of each wire format.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The TOML file of the proxy. Policies may name only its tenants."),
    ] = None,
    tenant: Annotated[
        list[str] | None, typer.Option(help="A tenant, as for `serve --tenant`; the digest may be omitted.")
    ] = None,
    prices: Prices = "none",
    limits: Limits = None,
    allow_code: AllowCode = False,
) -> None:
    """Load a folder as the proxy would, and report errors with file, line and column.

    Warnings are probable errors; notes are costs and gaps. Exit code 0: no error; 1: errors (with --strict: also
    warnings and notes); 2: wrong use.
    """
    from guardproxy.library import load  # noqa: PLC0415
    from guardproxy.policy.tools import (  # noqa: PLC0415  # noqa: PLC0415
        CoverageRow,
        FieldRow,
        Note,
        coverage,
        denied_fields,
        field_table,
        notes,
        refuse_strangers,
        table,
    )

    errors: list[PolicyError] = []
    remarks: list[Note] = []
    rows: list[CoverageRow] = []
    fields: list[FieldRow] = []
    count = 0
    try:
        policies = load(folder, code=allow_code)
        settings = _settings(config)
        if settings:
            prices, limits = settings.clients.prices if prices == "none" else prices, limits or settings.clients.limits
        refuse_costs_without_prices(policies, prices, limits)
        if config or tenant:
            refuse_strangers(policies, _tenants(settings, tenant or []))
        count, remarks = sum(not policy.tenant for policy in policies.policies), notes(policies)
        rows, fields = (coverage(policies), denied_fields(policies)) if covered else ([], [])
    except PolicyError as wrong:
        errors = list(getattr(wrong, "errors", [wrong]))
    if as_json:
        document: dict[str, Any] = {
            "ok": not errors and not (strict and remarks),
            "policies": count,
            "errors": [{"file": e.path, "line": e.line, "column": e.column, "message": e.message} for e in errors],
            "notes": [
                {"file": note.path, **{k: v for k, v in asdict(note).items() if k != "path"}} for note in remarks
            ],
        }
        if covered:
            document["coverage"] = [asdict(row) for row in rows]
            document["fields"] = [asdict(row) for row in fields]
        say_json(document, 2)
    else:
        say(*map(str, (*errors, *remarks)))
        if covered and not errors:
            say(*table(rows), "", *field_table(fields))
        if not errors:
            say(f"{count} {'policy' if count == 1 else 'policies'}, no errors{_counts(remarks)}")
    raise typer.Exit(1 if errors or (strict and remarks) else 0)


def _settings(file: Path | None) -> Config | None:
    """Returns the settings of a file, if one is given."""
    from guardproxy import config as settings  # noqa: PLC0415

    try:
        # The settings need an upstream, which this command does not use.
        return settings.load({"upstream": ("http://127.0.0.1",)}, file=file) if file else None
    except ConfigError as error:
        fail(error)


def _tenants(config: Config | None, entries: list[str]) -> tuple[str, ...]:
    """Returns the names of the tenants in the settings."""
    names = config.tenants.names if config else ()
    try:
        if config and config.clients.keys:
            names = (*names, *(client.tenant for client in read_keys(config.clients.keys).clients))
    except ConfigError as error:
        fail(error)
    return (*names, *(entry.partition("=")[0] for entry in entries))


def _counts(remarks: list[Any]) -> str:
    counts = [(word, sum(note.weight == word for note in remarks)) for word in ("warning", "note")]
    return "".join(f", {count} {word}{'s' if count > 1 else ''}" for word, count in counts if count)
