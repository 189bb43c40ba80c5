"""The mean of the weights of trainings that went on from the same checkpoint with other seeds.

In: checkpoints of train.py. Out: a checkpoint for finish.py. Trainings that share their beginning end near each other, and the
middle between them is better on texts of other people than either, for no time in use.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch


def average(paths: Sequence[Path]) -> dict[str, object]:
    """`weights`: the mean of each number; `step` and `total`: those of the first checkpoint."""
    saved = [torch.load(path, weights_only=True) for path in paths]
    weights = {
        name: torch.stack([one["weights"][name].float() for one in saved]).mean(0).to(tensor.dtype)
        for name, tensor in saved[0]["weights"].items()
    }
    return {"weights": weights, "step": saved[0]["step"], "total": saved[0]["total"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--out", type=Path, default=Path("build/supervisor-third/checkpoint.pt"))
    args = parser.parse_args()
    torch.save(average(args.checkpoints), args.out)


if __name__ == "__main__":
    main()
