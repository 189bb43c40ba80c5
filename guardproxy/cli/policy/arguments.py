"""Arguments that several commands of `guardproxy policy` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_WHAT = "A folder of policy files, or the name of a shipped policy."
Folder = Annotated[Path, typer.Argument(metavar="DIR", help=_WHAT)]
Folders = Annotated[list[Path], typer.Argument(metavar="DIR...", help=_WHAT)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Allow policies to import classes by name, which runs their code.")
]
