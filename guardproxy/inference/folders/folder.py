"""Finds a model folder, checks it against its SHA256SUMS and reads its `config.json`.

In: the name of a model, or its folder. Out: the folder's digest and its configuration. A folder that was changed or is
incomplete raises `ConfigError`; the message says what was expected, what was found and what to do.

The models that ship are distributions of their own, which fill one folder `guardproxy_models` of the installed packages.
A checkout has them in `models/`.

Decision: docs/decisions/0064-weights-are-packages-of-their-own.md
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from guardproxy.errors import ConfigError

MODELS, GPU_MODELS = "guardproxy-models", "guardproxy-models-gpu"
"""The distributions of the models that ship, and of their networks for a GPU. Both have the same version."""
GPU_FILE = "model.fp16.onnx"
FAST_FILES = ("weights.npz", "words.json", "config.json")
"""The files of a tagger that gives `forms`; see weights.py."""
VECTOR_FILES = ("weights.npz", "tokenizer.json", "background.json", "config.json")
"""The files of a model that gives `vectors`; see embedding.py."""
_PACKAGE = "guardproxy_models"
_INSTALL = (
    "; the models that ship are a package, run: pip install 'guardproxy[models]' (in a checkout: pip install ./models)"
)


def find(name: str = "supervisor", folders: tuple[Path, ...] = ()) -> Path:
    """Returns the folder of the model `name`: searches `folders`, the source tree and the installed packages, in this
    order.

    Raises `ConfigError` when there is no such folder, or when `name` is not a plain name.
    """
    # A path could lead out of the folders that are searched.
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError("the name of a model must be the plain name of a folder, without a path")
    installed = _installed()
    for folder in (*folders, Path(__file__).parents[3] / "models", *installed):
        if (folder / name / "config.json").is_file():
            return folder / name
    is_shipped_here = any(any(place.glob("*/config.json")) for place in installed)
    raise ConfigError(f"no model `{name}` is installed" + ("" if is_shipped_here else _INSTALL))


def verify(folder: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> tuple[str, frozenset[str]]:
    """Checks each file against SHA256SUMS; returns the digest of the folder and the names of `optional` that exist.

    The digest covers the names and hashes of the files. An optional file that exists but is not listed is refused,
    because no hash vouches for it. An optional network for a GPU counts with the hash that is listed and is not read: it may
    be absent, and what loads it must check it as a needed file. So the digest is the same on every machine. Raises
    `ConfigError`.
    """
    sums = folder / "SHA256SUMS"
    try:
        lines = sums.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{sums} cannot be read; {again(folder)}") from error
    # `sha256sum` writes a `*` before the name of a file that it read as binary.
    wanted = {name.strip().lstrip("*"): digest for digest, _, name in (line.partition(" ") for line in lines)}
    counted = [name for name in optional if name in wanted or (folder / name).exists()]
    checked = []
    for name in (*needed, *counted):
        if name not in wanted:
            raise ConfigError(f"{sums} does not name `{name}`; {again(folder, name)}")
        if name != GPU_FILE or name in needed:
            _check(folder, name, wanted[name])
        checked.append(f"{name} {wanted[name]}")
    existing = frozenset(name for name in counted if name != GPU_FILE or (folder / name).exists())
    return "sha256:" + hashlib.sha256("\n".join(checked).encode()).hexdigest(), existing


def again(folder: Path, name: str = "") -> str:
    """Returns what a reader of an error can do about a folder, or about its file `name`, that is not as it was made."""
    if folder.parent.name != _PACKAGE:
        return "copy or install the model again, or export it again if it is your own"
    try:
        version = f"=={metadata.version(MODELS)}"  # the next major version may be one that this code cannot read
    except metadata.PackageNotFoundError:
        version = ""
    wanted = (MODELS, GPU_MODELS) if name == GPU_FILE else (MODELS,)
    return f"run: pip install --force-reinstall --no-deps {' '.join(name + version for name in wanted)}"


def _installed() -> list[Path]:
    """Returns the folders that the distributions of models fill; more than one if they are installed in several places."""
    spec = find_spec(_PACKAGE)
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


def _check(folder: Path, name: str, wanted: str) -> None:
    """Raises `ConfigError` if the SHA-256 of a file is not `wanted`."""
    try:
        with (folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(
            f"{folder / name} cannot be read (expected: sha256 {wanted}); {again(folder, name)}"
        ) from error
    if digest != wanted:
        raise ConfigError(
            f"{folder / name} does not match SHA256SUMS: found sha256 {digest}, expected {wanted}; {again(folder, name)}"
        )


def configuration(folder: Path, kind: str, form: int) -> dict[str, Any]:
    """Returns the content of `config.json`, which must have this kind and the format version `form`. Raises
    `ConfigError`."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not valid JSON; {again(folder)}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path} must hold an object; {again(folder)}")
    if (own := config.get("kind", "scores")) != kind:
        raise ConfigError(f"{folder} holds a model that gives `{own}`, but a model that gives `{kind}` is needed")
    if config.get("format") != form:
        raise ConfigError(f"{path}: `format` must be {form} for a model that gives `{kind}`; {again(folder)}")
    return config


def kind_of(folder: Path) -> str:
    """Returns what a model gives, as its `config.json` says; empty if it cannot be read."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    return str(config.get("kind", "")) if isinstance(config, dict) else ""


def is_number(value: Any, low: float, high: float) -> bool:
    """Whether a value of a configuration is a number from `low` to `high`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def tokens_at_most(path: Path, config: Mapping[str, Any]) -> int:
    """Returns `max_tokens`: the most tokens of one forward pass, with the two special tokens. Raises `ConfigError`."""
    most = config.get("max_tokens")
    if isinstance(most, bool) or not isinstance(most, int) or not 16 <= most <= 512:
        raise ConfigError(f"{path}: `max_tokens` must be a whole number from 16 to 512")
    return most


def word_lists(folder: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Returns the words that are part of no name, and those among them that are not part of a date either. Raises
    `ConfigError`."""
    path = folder / "words.json"
    try:
        lists = json.loads(path.read_text("utf-8"))
        return frozenset(map(str, lists["plain"])), frozenset(map(str, lists["timeless"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} must hold the word lists `plain` and `timeless`") from error
