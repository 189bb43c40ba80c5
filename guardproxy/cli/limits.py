"""`guardproxy limits`: checks a file of limits, shows what holds for a request, and prints the schema of the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.errors import ConfigError

if TYPE_CHECKING:
    from guardproxy.gateway import LimitSet

app = typer.Typer(no_args_is_help=True, help="Check limits and budgets before the proxy uses them.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The TOML file of limits, as for `--limits`.")]
Table = Annotated[
    str, typer.Option("--prices", help="The table of further prices, as for `serve`: none or genai-prices.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("lint")
def lint(file: File, prices: Table = "none", as_json: Json = False) -> None:
    """Read a file as the proxy would, and list its limits. Exit code 1: it cannot be used."""
    from guardproxy.policy import limit_words  # noqa: PLC0415

    try:
        limits = _read(file, prices)
    except ConfigError as error:
        typer.echo(json.dumps({"ok": False, "error": str(error)}) if as_json else str(error))
        raise typer.Exit(1) from None
    lines = [limit_words(rule) for rule in (*limits.early, *limits.late)]
    if as_json:
        typer.echo(json.dumps({"ok": True, "limits": lines, "prices": len(limits.prices)}, indent=2))
        return
    for line in lines:
        typer.echo(line)
    typer.echo(f"{len(lines)} {'limit' if len(lines) == 1 else 'limits'}, no errors")


@app.command("explain")
def explain(
    file: File,
    model: Annotated[str, typer.Option(help="The model of the request.")] = "",
    tenant: Annotated[str, typer.Option(help="The name of its tenant.")] = "",
    route: Annotated[str, typer.Option(help="Its method and path. Without it, the first format's.")] = "",
    prices: Table = "none",
    as_json: Json = False,
) -> None:
    """List the limits that count a request. A condition that needs more than these facts counts it."""
    from guardproxy.policy import About, limit_words  # noqa: PLC0415
    from guardproxy.wire import default_route  # noqa: PLC0415

    try:
        limits = _read(file, prices)
    except ConfigError as error:
        typer.echo(f"guardproxy: {error}", err=True)
        raise typer.Exit(2) from None
    about = About(route or default_route(), model, tenant)
    lines = [limit_words(rule) for rule in (*limits.early, *limits.late) if rule.match.holds(about)]
    typer.echo(json.dumps(lines, indent=2) if as_json else "\n".join(lines) or "no limit counts this request")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    from guardproxy import gateway  # noqa: PLC0415

    typer.echo(json.dumps(gateway.limit_schema(), indent=2))


def _read(file: Path, prices: str) -> LimitSet:
    """Reads the limits of a file. Raises `ConfigError`."""
    from guardproxy import gateway  # noqa: PLC0415

    if prices not in ("none", "genai-prices"):
        raise ConfigError(f"--prices {prices}: it is none or genai-prices")
    table = gateway.maintained_prices() if prices == "genai-prices" else None
    try:
        return gateway.read_limits(file.read_bytes(), str(file), table)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {(error.strerror or 'no reason given').lower()}") from None
