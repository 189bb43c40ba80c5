"""Export the name tagger: from `checkpoint.pt` to a folder that policies can name, and prove the parity.

In: a checkpoint, the data sets. Out: `model.onnx` (int8) of one of the checkpoint's depths, its tokenizer, the word lists, a
provisional `config.json` (evaluate.py sets the thresholds) and SHA256SUMS; on the screen, how far the logits of the
fp32 and the int8 export are from those of torch, and how many words get another tag.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from tqdm import tqdm

from guardproxy.lab import write_graph, write_int8
from models.encoder import write_sums, write_tokenizer
from models.names.recipe.compose import Pool, compose
from models.names.recipe.network import LABELS, Names
from models.names.recipe.splits import rows
from models.names.recipe.train import COMPOSED, MAX_TOKENS, SEED, Sampler
from models.names.recipe.words import lists

HERE = Path(__file__).parents[1]
VERSION = "1"
FILES = ("config.json", "model.onnx", "tokenizer.json", "words.json")


class OneExit(nn.Module):
    """The network up to one exit, for a single row: no mask, no other heads."""

    def __init__(self, network: Names, exit_: int) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.encoder.encoder.layer = self.encoder.encoder.layer[:exit_]
        self.head = network.heads[network.exits.index(exit_)]

    def forward(self, input_ids: Tensor, case_ids: Tensor) -> Tensor:
        states = self.encoder(input_ids=input_ids, token_type_ids=case_ids).last_hidden_state
        out: Tensor = self.head(states)
        return out


def averaged(paths: list[Path], exit_: int) -> Names:
    """The network with the mean of the checkpoints' weights."""
    saved = [torch.load(path, map_location="cpu", weights_only=True) for path in paths]
    for path, one in zip(paths, saved, strict=True):
        print(f"{path.name}: step {one['step']} of {one['total']}")
    network = Names((exit_,))
    mean: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        values = [one["weights"][name.replace("heads.0", f"heads.{one['exits'].index(exit_)}")] for one in saved]
        mean[name] = torch.stack(values).mean(0) if value.is_floating_point() else values[0]
    network.load_state_dict(mean)
    return network


def write_config(folder: Path, thresholds: dict[str, float], bias: float) -> None:
    """`config.json`: see guardproxy/inference/names/tags.py for what each key means."""
    config = {
        "format": 1,
        "kind": "tags",
        "version": VERSION,
        "labels": list(LABELS),
        "thresholds": thresholds,
        "biases": dict.fromkeys(LABELS, bias),
        "temperatures": dict.fromkeys(LABELS, 1.0),
        "max_tokens": MAX_TOKENS,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    write_sums(folder, FILES)


def parity(module: OneExit, paths: dict[str, Path], samples: list[Any]) -> dict[str, Any]:
    """Largest difference of logits to torch, and the share of words with another tag."""
    module.eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {name: onnxruntime.InferenceSession(str(path), options) for name, path in paths.items()}
    gaps: dict[str, list[float]] = {name: [] for name in sessions}
    flips, words = dict.fromkeys(sessions, 0), 0
    for ids, cases, tags, _ in tqdm(samples, desc="parity", unit="text"):
        feed = {"input_ids": np.array([ids]), "case_ids": np.array([cases])}
        with torch.no_grad():
            wanted = module(torch.tensor([ids]), torch.tensor([cases])).numpy()
        scored = np.array(tags) >= 0
        words += int(scored.sum())
        for name, session in sessions.items():
            got = session.run(["logits"], feed)[0]
            gaps[name].append(float(np.abs(got - wanted).max()))
            flips[name] += int((got.argmax(-1) != wanted.argmax(-1))[0][scored].sum())
    return {name: {"largest": max(gap), "other_tags": flips[name] / words} for name, gap in gaps.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", default=[Path("build/names/checkpoint.pt")], help="averaged if several"
    )
    parser.add_argument("--exit", type=int, default=3, help="after which layer tags are read off")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--full-range", action="store_true", help="8-bit weights, for processors with VNNI only")
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("name the folder of the data sets with --data or GUARDPROXY_DATA")
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    module = OneExit(averaged(args.checkpoint, args.exit), args.exit)

    write_tokenizer(args.out / "tokenizer.json")
    fp32 = args.checkpoint[0].with_name("names.fp32.onnx")
    write_graph(module, fp32, ("input_ids", "case_ids"), per_token=True)
    write_int8(fp32, args.out / "model.onnx", reduce_range=not args.full_range)

    found = list(rows(Path(args.data)))
    rng = random.Random(SEED)
    own = [("composed", row) for row in compose(rng, Pool(rng), COMPOSED)]
    train = [(name, row) for name, part, row in found if part == "train"]
    words = lists([*train, *own], Path(args.data))
    (args.out / "words.json").write_text(json.dumps(words, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")
    write_config(args.out, dict.fromkeys(LABELS, 0.5), 0.0)

    sampler = Sampler([], Pool(rng), rng)
    texts = [(name, row) for name, part, row in found if part == "validation"][::3]
    encoded = sampler.tokenizer.encode_batch([row["text"] for _, row in texts], add_special_tokens=False)
    samples = [
        sampler.sample(name, row, one, False) for (name, row), one in zip(texts, encoded, strict=True) if one.ids
    ]
    print(json.dumps(parity(module, {"fp32": fp32, "int8": args.out / "model.onnx"}, samples), indent=2))


if __name__ == "__main__":
    main()
