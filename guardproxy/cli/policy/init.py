"""`guardproxy policy init`: copies a shipped policy as a starting point."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guardproxy.cli.policy.arguments import AsJson
from guardproxy.cli.printing import fail, say, say_json
from guardproxy.errors import PolicyError

SCHEMA = "policy.schema.json"


def init(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A shipped policy. Without it, list all of them.")] = "",
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder for the copy.")] = Path("policies"),
    as_json: AsJson = False,
) -> None:
    """Copy a shipped policy, with its tests, into a folder. No existing file is overwritten.

    The JSON Schema of policy files is copied too; editors use it for completion and checks.
    """
    from guardproxy.config import package_folder  # noqa: PLC0415
    from guardproxy.library import shipped_folder, shipped_names  # noqa: PLC0415
    from guardproxy.policy.file import load_folder  # noqa: PLC0415

    if not name:
        names = shipped_names()
        found = {
            name: policy
            for folder in names
            for policy in load_folder(shipped_folder(folder))[0]
            if (name := policy.name)
        }
        descriptions = {name: found[name].description for name in names}
        if as_json:
            say_json(descriptions, 2)
        else:
            say(*(f"{policy:<18} {description}" for policy, description in descriptions.items()))
        return
    try:
        source = shipped_folder(name)
    except PolicyError as error:
        fail(error.message)
    sources = [source / "default.yaml"] if name == "default" else sorted(filter(Path.is_file, source.rglob("*")))
    targets = {path: folder / path.relative_to(source) for path in sources}
    if existing := [str(target) for target in targets.values() if target.exists()]:
        fail(f"{', '.join(existing)} exists already")
    schema = folder / SCHEMA
    if not schema.exists():
        targets[package_folder("policies") / SCHEMA] = schema
    try:
        for path, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            # In the copy, the schema is in the folder of the policy.
            target.write_text(path.read_text("utf-8").replace(f"$schema=../{SCHEMA}", f"$schema={SCHEMA}", 1), "utf-8")
    except OSError as error:
        fail(f"{error.filename}: {(error.strerror or '').lower()}")
    if as_json:
        say_json({"written": list(map(str, targets.values()))}, 2)
        return
    say(*(f"{target} written" for target in targets.values()))
    say(f"next: guardproxy policy test {folder}")
