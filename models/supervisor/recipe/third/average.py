"""The mean of the weights of trainings that went on from the same checkpoint with other seeds.

In: checkpoints of train.py, and the model folder that they went on from, if it is to count. Out: a checkpoint for finish.py.
Trainings that share their beginning end near each other, and the middle between them is better on texts of other people than
either, for no time in use.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from models.supervisor.recipe.third.shipped import shipped_weights

Weights = Mapping[str, torch.Tensor]


def mean(parts: Sequence[tuple[float, Weights]]) -> dict[str, torch.Tensor]:
    """The mean of weights by their shares, which should add up to 1. Types are those of the first."""
    return {
        name: torch.stack([share * weights[name].float() for share, weights in parts]).sum(0).to(tensor.dtype)
        for name, tensor in parts[0][1].items()
    }


def weights_of(path: Path) -> Weights:
    """The weights of a checkpoint or of a model folder."""
    if path.is_dir():
        return shipped_weights(path)
    found: Weights = torch.load(path, weights_only=True)["weights"]
    return found


def average(paths: Sequence[Path]) -> dict[str, object]:
    """`weights`: the mean of each number, a path that is given twice counting twice; `step` and `total`: those of the first
    path, which must be a checkpoint."""
    first = torch.load(paths[0], weights_only=True)
    weights = mean([(1 / len(paths), one) for one in (first["weights"], *map(weights_of, paths[1:]))])
    return {"weights": weights, "step": first["step"], "total": first["total"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "checkpoints", type=Path, nargs="+", metavar="CHECKPOINT", help="from the second on also a folder"
    )
    parser.add_argument("--out", type=Path, default=Path("build/supervisor-third/checkpoint.pt"))
    args = parser.parse_args()
    torch.save(average(args.checkpoints), args.out)


if __name__ == "__main__":
    main()
