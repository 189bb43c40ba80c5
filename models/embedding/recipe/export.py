"""Write the folder of the embedding model: the table as whole numbers, the tokenizer, ordinary texts, the configuration.

python -m models.embedding.recipe.export --table build/embedding/table.npy
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from guardproxy.inference.embedding import FORMAT
from guardproxy.inference.folders.folder import VECTOR_FILES
from models.embedding.recipe import background
from models.encoder import write_arrays, write_sums, write_tokenizer

FOLDER = Path(__file__).parents[1]
VERSION = "1"
STEPS = 127
LARGEST = 65_535


def whole(table: Any) -> dict[str, Any]:
    """The rows in 8 bits, each with its own scale, which becomes the weight of the token in 16 bits."""
    largest = np.abs(table).max(1)
    rows = np.rint(table / np.maximum(largest, 1e-9)[:, None] * STEPS).astype(np.int8)
    weights = np.rint(largest * (LARGEST / largest.max())).astype(np.uint16)
    return {"table": rows, "weights": weights}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=Path("build/embedding/table.npy"))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    write_arrays(asked.folder / "weights.npz", whole(np.load(asked.table)))
    write_tokenizer(asked.folder / "tokenizer.json")
    config = {"format": FORMAT, "kind": "vectors", "name": "embedding", "version": VERSION}
    (asked.folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    content = {"texts": background.texts(Path(os.environ["GUARDPROXY_DATA"]))}
    (asked.folder / "background.json").write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", "utf-8")
    write_sums(asked.folder, VECTOR_FILES)


if __name__ == "__main__":
    main()
