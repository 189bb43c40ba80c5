"""`guardproxy import`: turns the configuration of another gateway into ours, and reports every key of it."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from guardproxy.cli.printing import Commands, fail, say, say_json
from guardproxy.errors import GuardproxyError

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Turn the configuration of another gateway into settings and policies."
)


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
    """Convert a configuration of LiteLLM, and report for every key whether it was taken, changed, or is not possible.

    No secret is copied: environment.sh names the variables that hold them. Exit code 0: the result serves, guards, limits and
    admits as the file says; 1: it does not in some point.
    """
    from guardproxy import importing  # noqa: PLC0415

    try:
        conversion = importing.convert_litellm(_read(file), str(file))
        files = importing.files_of(conversion.draft)
        if out is not None:
            _write(out, files)
    except (GuardproxyError, OSError) as error:
        message = str(error) if isinstance(error, GuardproxyError) else f"{error.filename}: {error.strerror}"
        fail(message)
    counts = Counter(note.result for note in conversion.notes)
    losses, guards = sum(note.is_loss for note in conversion.notes), conversion.draft.guards
    if as_json:
        notes = [asdict(note) for note in conversion.notes]
        told = {"notes": notes, "counts": counts, "losses": losses, "guards": guards, "files": sorted(files)}
        say_json(told, 2)
    else:
        for note in conversion.notes:
            say(f"{file}:{note.line}: {note.result}: {note.path}: {note.text}")
        totals = ", ".join(f"{counts[result]} {result}" for result in ("taken", "changed", "not possible"))
        say(f"{totals}{f' (the result lacks {losses} of these)' if losses else ''}")
        if not guards:
            say(
                "the result guards nothing: no guardrail of the file changes or stops a text. Add one: "
                f"guardproxy policy init default {shlex.quote(str((out or Path('DIR')) / 'policies'))}"
            )
        if out is not None:
            say(f"written to {out}: {', '.join(sorted(files))}")
            say(f"check it: guardproxy serve --check --config {shlex.quote(str(out / 'guardproxy.toml'))}")
    raise typer.Exit(1 if losses else 0)


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
