"""Make a model folder of a checkpoint of the second generation: graphs, calibration and operating points.

In: `checkpoint.pt`, `validation.jsonl`. Out: a folder with `model.onnx`, `model.fp16.onnx`, `tokenizer.json`, `config.json`,
SHA256SUMS, and `parity.json` beside the checkpoint. Points are chosen on ordinary traffic and the held own texts, each kind
weighing the same and each text judged in its own channel; the report sources are not looked at. `--only-points` leaves the
graphs of the folder as they are: for another length of the pieces.
`python -m models.supervisor.recipe.evaluate` writes the figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.encoder import write_tokenizer
from models.supervisor.recipe.calibrate import logits
from models.supervisor.recipe.export import SECOND, Reading, write_config, write_graphs
from models.supervisor.recipe.points import choose
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.network import CHANNEL_TOKENS, ComposedSupervisor, Supervisor
from models.supervisor.recipe.second.outputs import OUTPUTS, Row
from models.supervisor.recipe.sources import INJECTION

VERSION = "3"
LABELS = {"injection": {"any": list(INJECTION)}, "content": {"any": ["harmful"]}}
"""An override is an attack in a tool's result too. `content`: harm of any kind at one operating point."""
TOKENS = CHANNEL_TOKENS | dict.fromkeys(("metadata", "unmapped"), CHANNEL_TOKENS["user"])
"""Fields beside the messages are the client's words, like a user's message."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What differs between generations: the network in training and in the graph, and what its configuration says."""

    network: Callable[[], Supervisor]
    composed: Callable[[Any], torch.nn.Module]
    outputs: tuple[str, ...]
    labels: Mapping[str, Mapping[str, Sequence[str]]]
    version: str
    reading: Reading


SECOND_GENERATION = Generation(Supervisor, ComposedSupervisor, OUTPUTS, LABELS, VERSION, SECOND)


def write_folder(checkpoint: Path, folder: Path, rows: list[Row], generation: Generation = SECOND_GENERATION) -> None:
    """Writes the graphs, the tokenizer and a configuration that leaves logits alone."""
    torch.set_num_threads(1)
    saved = torch.load(checkpoint, weights_only=True)
    network = generation.network()
    network.load_state_dict(saved["weights"])
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / "tokenizer.json")
    parity = write_graphs(generation.composed(network).eval(), folder, checkpoint.parent, rows)
    parity |= {"step": saved["step"], "total": saved["total"]}
    checkpoint.with_name("parity.json").write_text(json.dumps(parity, indent=2))


def write_points(folder: Path, kept: Path, rows: list[Row], generation: Generation = SECOND_GENERATION) -> None:
    """Chooses calibration and points with the graphs of the folder, and writes them to its configuration. `kept`: where
    the logits of the rows go."""
    outputs, labels, version, reading = generation.outputs, generation.labels, generation.version, generation.reading
    write_config(folder, {}, {}, outputs, labels, version, TOKENS, {}, reading)
    values = logits(folder, rows, outputs)
    np.save(kept, values)
    chosen = choose(values, rows, outputs)
    write_config(
        folder,
        chosen.calibration,
        chosen.operating_points,
        outputs,
        labels,
        version,
        TOKENS,
        chosen.channel_points,
        reading,
    )


def run(description: str | None, built: str, generation: Generation) -> None:
    """The command of a generation, whose files lie in the folder `built`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(built))
    parser.add_argument("--checkpoint", type=Path, default=Path(built) / "checkpoint.pt")
    parser.add_argument("--folder", type=Path, default=Path(built) / "model", help="the folder to write")
    parser.add_argument("--only-points", action="store_true", help="leave the graphs of the folder as they are")
    args = parser.parse_args()
    rows = read(args.data / "validation.jsonl")
    if not args.only_points:
        write_folder(args.checkpoint, args.folder, rows, generation)
    write_points(args.folder, args.checkpoint.with_name("validation-logits.npy"), rows, generation)


def main() -> None:
    run(__doc__, "build/supervisor-second", SECOND_GENERATION)


if __name__ == "__main__":
    main()
