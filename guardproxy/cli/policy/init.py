"""`guardproxy policy init`: a shipped policy as a beginning of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from guardproxy.errors import PolicyError


def init(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A shipped policy; left out, all are listed.")] = "",
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to put it.")] = Path("policies"),
) -> None:
    """Copy a shipped policy, with its tests, into a folder. Nothing that is there is overwritten."""
    from guardproxy.policy.load import load_folder  # noqa: PLC0415
    from guardproxy.scanning import shipped_folder, shipped_names  # noqa: PLC0415

    if not name:
        for each in shipped_names():
            (policy,), _ = load_folder(shipped_folder(each))
            typer.echo(f"{each:<18} {policy.description}")
        return
    try:
        source = shipped_folder(name)
    except PolicyError as error:
        _wrong_use(error.message)
    found = [source / "default.yaml"] if name == "default" else sorted(filter(Path.is_file, source.rglob("*")))
    targets = {path: folder / path.relative_to(source) for path in found}
    if there := [str(target) for target in targets.values() if target.exists()]:
        _wrong_use(f"{', '.join(there)} is there already")
    try:
        for path, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            typer.echo(f"{target} written")
    except OSError as error:
        _wrong_use(f"{error.filename}: {(error.strerror or '').lower()}")
    typer.echo(f"next: guardproxy policy test {folder}")


def _wrong_use(message: str) -> NoReturn:
    typer.echo(f"guardproxy: {message}", err=True)
    raise typer.Exit(2)
