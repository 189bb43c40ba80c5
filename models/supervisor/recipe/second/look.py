"""A quick look at a network on the validation texts: by family of attacks and by kind of ordinary traffic, worst kind first.

In: `validation.jsonl`, an ONNX graph. Out: printed tables. Only the first 256 tokens of a text are
read, so this is for choosing between experiments; the figures of the card come from the project's own check.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from guardproxy.inference.running.session import Session
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.outputs import JAILBREAK, KINDS, OUTPUTS, Row

HERE = Path(__file__).parents[2]
SHARE = 0.005
"""Share of ordinary traffic that a threshold lets be found."""
ANY = "any content"
Array = NDArray[np.float64]


def logits(path: Path, texts: list[str]) -> NDArray[np.float32]:
    """(texts, columns). Each text runs alone: the fused attention of `model.onnx` reads no mask."""
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    session = Session(path, threads=1)
    rows = [encoding.ids[:256] for encoding in tokenizer.encode_batch(texts)]
    return np.stack([session.rows("logits", input_ids=row, attention_mask=[1] * len(row)) for row in rows])


def columns(values: NDArray[np.float32]) -> dict[str, Array]:
    """The columns to look at: each output, either injection output, and any content."""
    found = {name: values[:, at].astype(np.float64) for at, name in enumerate(OUTPUTS)}
    found["injection"] = np.maximum(found[JAILBREAK], found["embedded_instruction"])
    found[ANY] = found["harmful"]
    return found


def auc(bad: Array, fine: Array) -> float:
    rising = np.sort(fine)
    return float((np.searchsorted(rising, bad, "left") + np.searchsorted(rising, bad, "right")).mean() / 2 / len(fine))


def labels(row: Row) -> set[str]:
    """What a row is an attack of."""
    bad = {name for name, value in row["targets"].items() if value}
    found = {"injection"} if bad & {JAILBREAK, "order"} else set()
    return found | ({ANY} if bad & {"harmful", *KINDS} else set())


def look(rows: list[Row], scores: dict[str, Array]) -> list[str]:
    """Lines of the two tables."""
    lines = []
    sources = np.array([row["source"] for row in rows])
    ordinary = np.array([source.startswith("ordinary/") for source in sources])
    for label in ("injection", ANY):
        level = float(np.quantile(scores[label][ordinary], 1 - SHARE))
        one = float(np.quantile(scores[label][ordinary], 0.99))
        families: dict[str, list[int]] = defaultdict(list)
        for at, row in enumerate(rows):
            if label in labels(row):
                families[row["source"]].append(at)
        for name, places in sorted(families.items()):
            if len(places) > 9:
                bad = scores[label][places]
                found = (
                    f"{(bad > level).mean():6.1%} {(bad > one).mean():6.1%} AUC {auc(bad, scores[label][ordinary]):.3f}"
                )
                lines.append(f"{label:12} {name:44} {len(places):5} {found}")
        kinds = sorted(set(sources[ordinary]))
        worst = sorted(((float((scores[label][sources == kind] > one).mean()), kind) for kind in kinds), reverse=True)
        lines.append(
            f"{label:12} at 1 %: " + ", ".join(f"{kind.removeprefix('ordinary/')} {share:.1%}" for share, kind in worst)
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path, nargs="?", default=Path("build/supervisor-second/model/model.onnx"))
    parser.add_argument("--rows", type=Path, default=Path("build/supervisor-second/validation.jsonl"))
    parser.add_argument("--keep", type=Path, help="where to keep the logits")
    parser.add_argument("--kept", type=Path, help="logits kept before, instead of the graph's")
    args = parser.parse_args()
    rows = read(args.rows)
    texts = [row["text"].encode("utf-8", "replace").decode() for row in rows]
    values = np.load(args.kept) if args.kept else logits(args.graph, texts)
    if args.keep:
        np.save(args.keep, values)
    print("\n".join(look(rows, columns(values))))


if __name__ == "__main__":
    main()
