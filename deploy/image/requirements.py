"""Prints what a project needs from pyproject.toml: its dependencies and those of the extras that are named, one on each line.

An image installs them in a layer of their own, which a change of the code leaves as it is.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main(file: str, *extras: str) -> None:
    """Prints the requirements. What belongs to the project itself is left out."""
    project = tomllib.loads(Path(file).read_text("utf-8"))["project"]
    listed = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    # A marker about an extra speaks of the project: pip would see no extra here.
    for line in listed:
        requirement, _, marker = line.partition(";")
        if "extra != 'gpu'" in marker and "gpu" in extras:
            continue
        if not requirement.startswith("guardproxy"):
            kept = "" if "extra" in marker else marker
            sys.stdout.write(f"{requirement.strip()};{kept}\n" if kept else f"{requirement.strip()}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
