"""`guardproxy import`: turns the configuration of another gateway into ours, and reports every key of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from guardproxy.errors import GuardproxyError

app = typer.Typer(no_args_is_help=True, help="Turn the configuration of another gateway into settings and policies.")


@app.callback()
def _main() -> None:
    pass


@app.command("litellm")
def litellm(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The config.yaml of LiteLLM's proxy.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="A new folder for the files. Without it, only report.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Convert a configuration of LiteLLM, and say of every key whether it was taken, changed, or is not possible.

    No secret is copied: environment.sh names the variables that hold them. Exit code 1: something could not be taken.
    """
    from guardproxy import importing  # noqa: PLC0415

    try:
        conversion = importing.convert_litellm(_read(file), str(file))
        files = importing.files_of(conversion.draft)
        if out is not None:
            _write(out, files)
    except (GuardproxyError, OSError) as error:
        message = str(error) if isinstance(error, GuardproxyError) else f"{error.filename}: {error.strerror}"
        typer.echo(f"guardproxy: {message}", err=True)
        raise typer.Exit(2) from None
    counts = Counter(note.result for note in conversion.notes)
    if as_json:
        notes = [asdict(note) for note in conversion.notes]
        typer.echo(json.dumps({"notes": notes, "counts": counts, "files": sorted(files)}, indent=2))
    else:
        for note in conversion.notes:
            typer.echo(f"{file}:{note.line}: {note.result}: {note.path}: {note.text}")
        typer.echo(", ".join(f"{counts[result]} {result}" for result in ("taken", "changed", "not possible")))
        if out is not None:
            typer.echo(f"written to {out}: {', '.join(sorted(files))}")
    raise typer.Exit(1 if counts["not possible"] else 0)


def _read(file: Path) -> bytes:
    return file.read_bytes()


def _write(out: Path, files: dict[str, str]) -> None:
    """Writes the files. Raises `OSError` if one exists: nothing is overwritten."""
    for name in files:
        if (out / name).exists():
            raise FileExistsError(17, "exists already", str(out / name))
    for name, text in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text, "utf-8")
