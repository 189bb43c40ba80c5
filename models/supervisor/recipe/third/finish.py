"""Write the graphs of a checkpoint of the third generation into a model folder, of which first/assemble.py makes what ships.

In: `checkpoint.pt`, `validation.jsonl`. Out: `model.onnx`, `model.fp16.onnx`, `tokenizer.json`, a `config.json` that leaves
logits alone, SHA256SUMS, and `parity.json` beside the checkpoint. The output `injection` is the label of that name. The
composed outputs stay for policies that name them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from models.supervisor.recipe.export import Reading, write_config
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.finish import LABELS, TOKENS, Generation, write_folder
from models.supervisor.recipe.third.network import OUTPUTS, ROOM, SPAN, ComposedThird, ThirdSupervisor

READING = Reading(ROOM, SPAN, 0)
THIRD_GENERATION = Generation(ThirdSupervisor, ComposedThird, OUTPUTS, {"content": LABELS["content"]}, "4", READING)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-third"))
    parser.add_argument("--checkpoint", type=Path, default=Path("build/supervisor-third/checkpoint.pt"))
    parser.add_argument("--folder", type=Path, default=Path("build/supervisor-third/model"), help="the folder to write")
    args = parser.parse_args()
    of = THIRD_GENERATION
    write_folder(args.checkpoint, args.folder, read(args.data / "validation.jsonl"), of)
    write_config(args.folder, {}, {}, of.outputs, of.labels, of.version, TOKENS, {}, of.reading)


if __name__ == "__main__":
    main()
