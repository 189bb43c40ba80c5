"""Arguments that several commands of `guardproxy policy` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.cli.limits import read_limit_file
from guardproxy.cli.printing import fail
from guardproxy.errors import ConfigError

if TYPE_CHECKING:
    from guardproxy.policy import PolicySet

_WHAT = "A folder of policy files, or the name of a shipped policy."
Folder = Annotated[Path, typer.Argument(metavar="DIR", help=_WHAT)]
Folders = Annotated[list[Path], typer.Argument(metavar="DIR...", help=_WHAT)]
Prices = Annotated[
    str, typer.Option("--prices", help="The prices that the proxy will have, as for `serve`: none or genai-prices.")
]
Limits = Annotated[
    Path | None,
    typer.Option("--limits", metavar="FILE", help="The file of limits that the proxy will have, with its prices."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Allow policies to import classes by name, which runs their code.")
]


def refuse_costs_without_prices(policies: PolicySet, prices: str, limits: Path | None) -> None:
    """Raises `PolicyErrors` for limits of `cost` that no price serves. `prices`, `limits`: as the settings of the proxy."""
    from guardproxy.policy.tools import refuse_unpriced  # noqa: PLC0415

    try:
        has_prices = bool(read_limit_file(limits, prices).prices)
    except ConfigError as error:
        fail(error)
    if not has_prices:
        refuse_unpriced(policies)
