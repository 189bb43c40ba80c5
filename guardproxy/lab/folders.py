"""Writes model folders, new or with another configuration, with a matching SHA256SUMS.

In: files and a configuration. Out: a folder. A new folder is built beside its target and renamed when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guardproxy.errors import ConfigError

CARDS = ("card.md", "card.json", "LICENSE")
"""Files that describe a model's origin; they are copied but never loaded."""


@contextmanager
def new(folder: Path) -> Iterator[Path]:
    """Opens a context with an empty folder, which becomes `folder` at the end and is removed after an error.

    Raises `ConfigError` if `folder` exists or cannot be created.
    """
    if folder.exists():
        raise ConfigError(f"{folder} exists already; choose another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as parent:
            inside = Path(parent) / folder.name
            inside.mkdir()
            yield inside
            inside.rename(folder)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror or error}") from None


def configure(folder: Path, config: Mapping[str, Any], names: Iterable[str]) -> None:
    """Writes `config.json`, then the SHA256SUMS of the files `names`, the files that are loaded."""
    _put(folder / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    _put(folder / "SHA256SUMS", "".join(f"{_digest(folder / name)}  {name}\n" for name in sorted(names)))


def listed_files(folder: Path) -> list[str]:
    """Returns the files of a folder that its SHA256SUMS lists; the network for a GPU may not be installed."""
    lines = (folder / "SHA256SUMS").read_text("utf-8").splitlines()
    names = [line.partition(" ")[2].strip().lstrip("*") for line in lines]
    return [name for name in names if (folder / name).exists()]


def copy(source: Path, target: Path, config: Mapping[str, Any]) -> None:
    """Copies a model folder with its cards, with another configuration. Raises `ConfigError`."""
    with new(target) as folder:
        names = listed_files(source)
        for name in (*names, *(name for name in CARDS if (source / name).exists())):
            shutil.copyfile(source / name, folder / name)
        configure(folder, config, names)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put(path: Path, text: str) -> None:
    """Replaces a file atomically: a concurrent reader sees the old or the new content."""
    new_path = path.with_name(f".{path.name}.new")
    new_path.write_text(text, "utf-8")
    os.replace(new_path, path)
