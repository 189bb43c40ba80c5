"""`guardproxy limits`: checks a file of limits, shows what holds for a request, and prints the schema of the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.cli.printing import Commands, fail, say, say_json
from guardproxy.errors import ConfigError

if TYPE_CHECKING:
    from guardproxy.gateway import LimitSet

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Check limits and budgets before the proxy uses them.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The TOML file of limits, as for `--limits`.")]
Table = Annotated[
    str, typer.Option("--prices", help="The table of further prices, as for `serve`: none or genai-prices.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("lint")
def lint(file: File, prices: Table = "none", as_json: Json = False) -> None:
    """Read a file as the proxy would, and list its limits. Exit code 1: it cannot be used."""
    from guardproxy.policy.usage import limit_words  # noqa: PLC0415

    try:
        limits = read_limit_file(file, prices)
    except ConfigError as error:
        if as_json:
            say_json({"ok": False, "error": str(error)})
        else:
            say(str(error))
        raise typer.Exit(1) from None
    lines = [limit_words(rule) for rule in (*limits.early, *limits.late)]
    if as_json:
        say_json({"ok": True, "limits": lines, "prices": len(limits.prices)}, 2)
        return
    say(*lines)
    say(f"{len(lines)} {'limit' if len(lines) == 1 else 'limits'}, no errors")


@app.command("explain")
def explain(
    file: File,
    model: Annotated[str, typer.Option(help="The model of the request.")] = "",
    tenant: Annotated[str, typer.Option(help="The name of its tenant.")] = "",
    route: Annotated[str, typer.Option(help="Its method and path. Without it, the first format's.")] = "",
    prices: Table = "none",
    as_json: Json = False,
) -> None:
    """List the limits that count a request. A limit whose condition needs further facts is listed, too."""
    from guardproxy.policy import About  # noqa: PLC0415
    from guardproxy.policy.usage import limit_words  # noqa: PLC0415
    from guardproxy.wire import default_route  # noqa: PLC0415

    try:
        limits = read_limit_file(file, prices)
    except ConfigError as error:
        fail(error)
    about = About(route or default_route(), model, tenant)
    lines = [limit_words(rule) for rule in (*limits.early, *limits.late) if rule.match.holds(about)]
    if as_json:
        say_json(lines, 2)
    else:
        say(*(lines or ["no limit counts this request"]))


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    from guardproxy import gateway  # noqa: PLC0415

    say_json(gateway.limit_schema(), 2)


def read_limit_file(file: Path | None, prices: str) -> LimitSet:
    """Reads the limits and prices of a file, or the prices of the table alone. `prices`: the table of further prices. Raises
    `ConfigError`."""
    from guardproxy import gateway  # noqa: PLC0415

    if prices not in ("none", "genai-prices"):
        raise ConfigError(f"--prices {prices}: expected none or genai-prices")
    table = gateway.maintained_prices() if prices == "genai-prices" else None
    try:
        return gateway.read_limits(file.read_bytes() if file else b"", str(file), table)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {(error.strerror or 'no reason given').lower()}") from None
