"""Measure an embedding model on pairs by others that nothing was trained on, and how long a text takes.

python -m models.embedding.recipe.measure --folder models/embedding
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from guardproxy.inference.embedding import TableEmbedder

WORDS = 30


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def cosines(embedder: TableEmbedder, pairs: Sequence[dict[str, Any]]) -> Any:
    """The cosine of both texts of each pair."""
    first, second = (
        np.frombuffer(b"".join(embedder.embed([pair[side] for pair in pairs])), np.int8)
        .reshape(len(pairs), -1)
        .astype(np.float64)
        for side in ("a", "b")
    )
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / np.maximum(lengths, 1e-9)


def ranks(values: Any) -> Any:
    """The rank of each value; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def auc(bad: Any, fine: Any) -> float:
    """How often a value of the first exceeds one of the second."""
    place = ranks(np.concatenate([bad, fine]))[: len(bad)]
    return float((place.sum() - len(bad) * (len(bad) + 1) / 2) / len(bad) / len(fine))


def measure(embedder: TableEmbedder, data: Path) -> dict[str, float]:
    """The figures of the card."""
    sick, msrp = (rows(data / "pairs" / f"{name}-nc.jsonl.gz") for name in ("sick", "msrp"))
    scores = cosines(embedder, sick)
    related = np.corrcoef(ranks(scores), ranks(np.array([pair["relatedness"] for pair in sick])))[0, 1]
    news = cosines(embedder, msrp)
    same = np.array([pair["label"] == "same" for pair in msrp])
    return {"SICK, rank correlation": float(related), "MSRP, AUC": auc(news[same], news[~same])}


def ms_a_text(embedder: TableEmbedder, texts: Sequence[str]) -> float:
    """The median time for a text of about `WORDS` words, one at a time."""
    long_enough = [" ".join(text.split()[:WORDS]) for text in texts if len(text.split()) >= WORDS]
    times = []
    for text in long_enough[:500]:
        start = time.perf_counter()
        embedder.embed([text])
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1])
    asked = parser.parse_args()
    data = Path(os.environ["GUARDPROXY_DATA"])
    embedder = TableEmbedder(asked.folder)
    figures = measure(embedder, data)
    stories = [row["a"] for row in rows(data / "pairs" / "mctest_statements-nc.jsonl.gz")[::9]]
    figures["ms a text"] = ms_a_text(embedder, stories)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
