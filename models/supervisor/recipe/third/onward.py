"""Make the folder of a training that went on from a folder with the lower `LAYER` layers frozen: depth 0 and the exit stay.

In: checkpoints of train.py, each with its share; the folder that the training began with, which has the rest of the weight; the
validation rows. Out: a folder with the mean of the weights, and its calibration, points and limits chosen anew, by the rules of
first/assemble.py and exit.py. The exit reads the frozen layers alone, so it need not learn again; what it may clear hangs on
what the new encoder finds. `--graphs` writes the graphs alone, with the configuration of the old folder: to choose a share.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch

from guardproxy.inference.folders.folder import GPU_FILE
from guardproxy.inference.folders.model import ANY, Model
from guardproxy.inference.models import read as read_model
from guardproxy.lab import listed_files, write_graph, write_int8
from guardproxy.lab.exporting.graphs import write_fp16
from models.supervisor.recipe import groups
from models.supervisor.recipe.calibrate import logits
from models.supervisor.recipe.data import data_folder
from models.supervisor.recipe.first.assemble import (
    LEAST_POSITIVES,
    LOST,
    clear,
    config_of,
    configuration,
    found_by_encoder,
    nothing,
    write,
)
from models.supervisor.recipe.first.spans import COLUMNS, TOOL, Floats
from models.supervisor.recipe.points import UNTOUCHED, choose
from models.supervisor.recipe.rows import Row, read
from models.supervisor.recipe.third.average import Weights, mean, weights_of
from models.supervisor.recipe.third.exit import LAYER, finish
from models.supervisor.recipe.third.exit_graph import leaf_of, with_exit
from models.supervisor.recipe.third.network import ComposedThird, ThirdSupervisor
from models.supervisor.recipe.third.shipped import shipped_weights


def draw(weights: Weights, old: Path, out: Path, gpu: bool) -> None:
    """Writes the folder `out`: all of `old` but for the weights of the encoder. `gpu`: write the graph for a GPU, too."""
    out.mkdir(parents=True, exist_ok=True)
    for name in listed_files(old):
        shutil.copyfile(old / name, out / name)
    network = ThirdSupervisor()
    network.load_state_dict(weights)
    composed: Any = ComposedThird(network).eval()
    with TemporaryDirectory() as scratch:
        whole, graph, leaf = (Path(scratch) / name for name in ("whole.onnx", "graph.onnx", "leaf.onnx"))
        write_graph(composed, whole, ("input_ids", "attention_mask"), per_token=False)
        for name, can_stop in (("model.onnx", True), (GPU_FILE, False)):
            if can_stop:
                write_int8(whole, graph, heads=network.encoder.config.num_attention_heads)
            elif gpu:
                write_fp16(whole, graph)
            else:
                continue
            onnx.save(leaf_of(onnx.load(str(old / name))), str(leaf))
            with_exit(graph, out / name, leaf, LAYER, len(COLUMNS), can_stop)
    write(out, config_of(out))


@dataclass(frozen=True, slots=True)
class KeptDepth:
    """The depth 0 of a folder, of which the weights stay in their file. `steps`: (columns,). `bias`: (2, columns)."""

    steps: Floats
    bias: Floats

    def scales(self) -> Floats:
        return self.steps


def depth_of(config: Mapping[str, Any]) -> KeptDepth:
    """What the configuration of a folder says of its depth 0."""
    columns = config["spans"]["columns"]
    bias = [[column["bias"].get(kind, column["bias"][ANY]) for column in columns] for kind in (ANY, TOOL)]
    return KeptDepth(np.array([column["scale"] for column in columns], np.float32), np.array(bias, np.float32))


def opened(config: dict[str, Any], table: KeptDepth, model: Model) -> dict[str, Any]:
    """The configuration with limits that clear nothing: those it had rest on other points."""
    found = configuration(config, table, nothing(), model)
    return {**found, "spans": {**found["spans"], "exit": config["spans"]["exit"]}}


def scale_anew(out: Path, validation: Sequence[Row], kept: Path) -> None:
    """Chooses calibration, points and the limits of depth 0 of a folder of `draw`, whose exit has no limits then.

    `kept`: a file for the logits of the validation rows, which begin with the choice rows.
    """
    config = config_of(out)
    table = depth_of(config)
    config["calibration"] = {name: dict(UNTOUCHED) for name in config["outputs"]}
    model = write(out, opened(config, table, read_model(out)))
    rows = groups.choice_rows(data_folder())
    values = logits(out, list(validation), model.outputs)
    np.save(kept, values)
    config = config_of(out) | choose(values, validation, model.outputs, LEAST_POSITIVES).as_config()
    # What a cleared span scores follows from the calibration, which must be read first.
    model = write(out, opened(config, table, write(out, config)))
    clear(table, model, rows, found_by_encoder(values[: len(rows)], rows, model))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--share", type=float, default=0.5, help="of each checkpoint in the mean")
    parser.add_argument(
        "--old", type=Path, default=Path("models/supervisor"), help="the folder that the training began with"
    )
    parser.add_argument("--out", type=Path, default=Path("build/supervisor-third/onward"), help="the new folder")
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-third"), help="holds validation.jsonl")
    parser.add_argument("--graphs", action="store_true", help="write the graphs alone")
    args = parser.parse_args()
    torch.set_num_threads(1)
    trained = [(args.share, weights_of(path)) for path in args.checkpoints]
    rest = 1.0 - args.share * len(trained)
    draw(mean([(rest, shipped_weights(args.old)), *trained]), args.old, args.out, gpu=not args.graphs)
    if not args.graphs:
        scale_anew(args.out, read(args.data / "validation.jsonl"), args.out.with_suffix(".npy"))
        finish(args.out, LOST)


if __name__ == "__main__":
    main()
