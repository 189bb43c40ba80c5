"""A folder of a model of vectors that knows a few words, each with a direction of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from guardproxy.inference.folders.folder import VECTOR_FILES
from models.embedding.recipe.export import whole
from models.encoder import write_arrays, write_sums

SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
WORDS = ["red", "green", "blue", "apple", "pear", "car", "bus"]
WIDTH = 12
BACKGROUND = ["a red car", "the green bus"]


def write_vectors(folder: Path, words: Sequence[str] = WORDS, **changed: Any) -> Path:
    """Writes the folder. A word weighs as much as its place in `words`, and a token of `SPECIAL` nothing. `changed`: arrays in
    the place of these."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = [*SPECIAL, *words]
    tokenizer: Any = Tokenizer(models.WordLevel({word: at for at, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    weights = [0] * len(SPECIAL) + [at + 1 for at in range(len(words))]
    directions = np.eye(len(vocabulary), max(WIDTH, len(vocabulary)))
    write_arrays(folder / "weights.npz", whole(directions * np.array(weights)[:, None]) | changed)
    (folder / "background.json").write_text(json.dumps({"texts": BACKGROUND}))
    (folder / "config.json").write_text(json.dumps({"format": 1, "kind": "vectors", "version": "1"}))
    write_sums(folder, VECTOR_FILES)
    return folder
