"""The arguments that several commands of `guardproxy policy` take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder of policy files.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
