"""Put depth 0 into a model folder: the table of n-grams, the first network by windows, and what they may clear.

In: `ngrams.npz` of spans.py, the network of train.py, the folder of an encoder, the choice rows. Out: a new folder that reads
in spans, and in it `depth.json`: what is cleared and lost. The limits are chosen on the choice rows, for messages and for
tools' results apart: of the attacks that the encoder finds at its default point, at most `--lost` may be cleared. Where fewer
than `LEAST` are found in tools' results, the limit of messages holds; where fewer are found in messages, nothing is cleared.
The logit of a span that the encoder reads stays the encoder's, unless `--weight` adds depth 0: then `guardproxy model
calibrate` must choose the points again.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from guardproxy.inference import Settings, load, tokens
from guardproxy.inference.depth import DepthZero
from guardproxy.inference.model import ANY, FIRST_STAGE, GPU_FILE, NGRAMS, Model
from guardproxy.inference.models import read as read_model
from guardproxy.lab import configure, listed_files
from models.supervisor.recipe import groups
from models.supervisor.recipe.data import data_folder
from models.supervisor.recipe.first.spans import COLUMNS, MOST_CHARS, SPAN_ROOM, TOOL, Table
from models.supervisor.recipe.second.outputs import KINDS, Row

NETWORK = 1.5
"""The weight of the network beside the n-grams. Chosen on the choice group: with 0.75 and 3 less is cleared."""
SLOPE = 0.25
"""What depth 0 counts in the logit of a span that is cleared."""
LOST, LEAST = 0.02, 300
ESTIMATE = 0.3
"""The estimate at the limit, if the default point is not lower: where the scores of cleared spans end."""
COLUMN_OF = dict.fromkeys(("injection", "jailbreak", "embedded_instruction"), 0) | dict.fromkeys((*KINDS, "harmful"), 1)
Values = NDArray[np.float64]


def write_windows(source: Path, target: Path) -> None:
    """Writes the network of train.py without its last two steps: the logits of each window instead of the highest score."""
    import onnx

    model = onnx.load(str(source))
    graph = model.graph
    kept = [node for node in graph.node if node.op_type not in ("ReduceMax", "Sigmoid")]
    kept[-1].output[0] = "logits"
    del graph.node[:], graph.output[:]
    graph.node.extend(kept)
    shape = [1, "windows", len(COLUMNS)]
    graph.output.append(onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, shape))
    onnx.save(model, str(target))


def columns(table: Table, more: Values) -> list[dict[str, Any]]:
    """The `columns` of a configuration. `more`: what is added to the bias of tools' results."""
    return [
        {
            "scale": round(float(scale), 6),
            "network": NETWORK,
            "bias": {ANY: round(float(bias[0]), 4), TOOL: round(float(bias[1] + moved), 4)},
        }
        for scale, bias, moved in zip(table.scales(), table.bias.T, more, strict=True)
    ]


def highest(model: Model, rows: Sequence[Row]) -> Values:
    """The highest logit of each text in each column, (rows, columns), as the runtime reads it."""
    if model.spans is None:
        raise ValueError("the folder does not read in spans")
    zero = DepthZero(model.spans, model.folder / NGRAMS, model.folder / FIRST_STAGE)
    tokenizer, _ = tokens.load(model.folder)
    found = []
    for row in tqdm(rows, desc="depth 0", unit="text", mininterval=30):
        text = row["text"][:MOST_CHARS].encode("utf-8", "replace").decode()
        encoding = tokenizer.encode(text, add_special_tokens=False)
        found.append(zero.logits(text, encoding.ids, encoding.offsets, row["channel"]).max(0))
    return np.array(found)


def found_by_encoder(folder: Path, rows: Sequence[Row], kept: Path) -> NDArray[np.bool_]:
    """For each row and each of `COLUMNS` whether it is an attack of that kind that the encoder finds, (rows, columns).

    `kept`: where the answers go, since the encoder takes minutes.
    """
    scorer = load(folder, settings=Settings(threads=1, workers=1, remembered=0))
    known = json.loads(kept.read_text()) if kept.exists() else {}
    if known.get("digest") == scorer.digest and len(known["found"]) == len(rows):
        return np.array(known["found"], bool)
    found = []
    for row in tqdm(rows, desc="encoder", unit="text", mininterval=30):
        wanted = [row["label"] == 1 and label in row["labels"] for label in COLUMNS]
        if any(wanted):
            (scores,) = scorer.score([row["text"][:MOST_CHARS]], row["channel"])
            points = scorer.points_in(row["channel"])
            for at, label in enumerate(COLUMNS):
                outputs = scorer.labels[label].get(row["channel"], scorer.labels[label][ANY])
                reached = any(scores[output] >= points[output][scorer.default_point] for output in outputs)
                wanted[at] = wanted[at] and reached
        found.append(wanted)
    kept.write_text(json.dumps({"digest": scorer.digest, "found": found}))
    return np.array(found, bool)


def is_stranger(row: Row) -> bool:
    """Whether a choice row is of a source that left training with the third generation, or made of such rows. An encoder that
    was trained on it finds more of it than it will of other attacks."""
    return row["source"].startswith("choice/") or row["source"] in {source.name for source in groups.STRANGERS}


def limits(values: Values, found: NDArray[np.bool_], tools: NDArray[np.bool_], lost: float) -> Values:
    """The logit below which a span is cleared, for messages and tools' results, (2, columns); -inf where too few attacks
    say."""
    below = np.full((2, values.shape[1]), -np.inf)
    for kind, own in enumerate((~tools, tools)):
        for column in range(values.shape[1]):
            bad = values[own & found[:, column], column]
            if len(bad) >= LEAST:
                below[kind, column] = np.quantile(bad, lost, method="lower")
    return below


def shift(table: Table, below: Values) -> Values:
    """What is added to the logits of tools' results, (columns,), so that they have the limit of messages.

    Where too few attacks set a limit of their own, their bias is made at least that of messages: nothing may be cleared because
    attacks of its kind were lacking in training.
    """
    found: Values = np.maximum(table.bias[0].astype(np.float64) - table.bias[1], 0.0)
    np.subtract(below[0], below[1], out=found, where=np.isfinite(below).all(0))
    return found


def configuration(
    base: Mapping[str, Any], table: Table, below: Values, model: Model, weight: float = 0.0
) -> dict[str, Any]:
    """The configuration of a folder that reads in spans. `model`: the encoder's. `weight`: of depth 0 beside its logits.
    `below`: see `limits`."""
    parts, clearing = {}, {}
    for output in model.outputs:
        column = COLUMN_OF[output]
        calibration, limit = model.calibration[output], float(below[0, column])
        points = [model.points_in(kind)[output][model.default_point] for kind in ("assistant", *model.channel_points)]
        estimate = min(ESTIMATE, *points)
        alone = -5.0
        if math.isfinite(limit):
            logit = math.log(estimate / (1 - estimate))
            alone = calibration.bias + calibration.temperature * logit - SLOPE * limit
            least = max(estimate, model.points[output][model.default_point])
            clearing[output] = {"column": column, "below": round(estimate, 6), "least": least}
        parts[output] = {"column": column, "weight": weight, "slope": SLOPE, "alone": round(alone, 6)}
    return {
        **base,
        "max_tokens": SPAN_ROOM,
        "overlap_tokens": 48,
        "length_correction": 0,
        "first_stage": clearing,
        "spans": {"tokens": 48, "columns": columns(table, shift(table, below)), "outputs": parts},
    }


def shares(values: Values, found: NDArray[np.bool_], rows: Sequence[Row], limit: Values) -> dict[str, Any]:
    """For each column the share of found attacks lost, and of the harmless texts of each kind that are cleared. `limit`: of
    both kinds of channel, (columns,)."""
    cleared = values < limit
    result: dict[str, Any] = {}
    for column, label in enumerate(COLUMNS):
        by_kind: dict[str, list[bool]] = defaultdict(list)
        for row, is_cleared in zip(rows, cleared[:, column].tolist(), strict=True):
            if not row["label"]:
                by_kind[row["kind"]].append(is_cleared)
        bad = found[:, column]
        result[label] = {
            "attacks": int(bad.sum()),
            "lost": float(cleared[bad, column].mean()) if bad.any() else 0.0,
            "cleared": {kind: float(np.mean(own)) for kind, own in sorted(by_kind.items())},
        }
    return result


def write(folder: Path, config: Mapping[str, Any]) -> Model:
    """Writes the configuration and the sums, and reads the folder."""
    names = {name for name in (GPU_FILE, "model.onnx") if (folder / name).exists()}
    configure(folder, config, {*names, "tokenizer.json", "config.json", NGRAMS, FIRST_STAGE})
    return read_model(folder)


def assemble(table: Table, network: Path, encoder: Path, out: Path, rows: Sequence[Row], found: NDArray[np.bool_],
             lost: float = LOST, weight: float = 0.0) -> dict[str, Any]:  # fmt: skip
    """Writes the folder; returns what `depth.json` says. `found`: see `found_by_encoder`."""
    out.mkdir(parents=True)
    for name in listed_files(encoder):
        if name not in (FIRST_STAGE, NGRAMS):
            shutil.copyfile(encoder / name, out / name)
    write_windows(network, out / FIRST_STAGE)
    table.quantized().tofile(out / NGRAMS)
    model, base = read_model(encoder), json.loads((encoder / "config.json").read_text("utf-8"))
    nothing = np.full((2, len(COLUMNS)), -np.inf)
    whole = configuration(base, table, nothing, model)
    values = highest(write(out, whole), rows)
    tools = np.array([row["channel"] == TOOL for row in rows])
    values -= tools[:, None] * shift(table, nothing)  # of the folder that clears nothing yet
    below = limits(values, found, tools, lost)
    write(out, configuration(base, table, below, model, weight))
    moved = values + tools[:, None] * shift(table, below)
    report = {"lost": lost, "below": below.tolist(), **shares(moved, found, rows, below[0])}
    (out / "depth.json").write_text(json.dumps(report, indent=1).replace("-Infinity", "null") + "\n")
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-third"), help="holds ngrams.npz")
    parser.add_argument("--network", type=Path, default=Path("models/supervisor/first_stage.onnx"))
    parser.add_argument("--encoder", type=Path, default=Path("models/supervisor"), help="the encoder's model folder")
    parser.add_argument("--out", type=Path, default=Path("build/supervisor-third/spans"), help="the new folder")
    parser.add_argument("--lost", type=float, default=LOST, help="share of the found attacks that may be cleared")
    parser.add_argument("--knows-strangers", action="store_true", help="the encoder was trained on the choice sources")
    parser.add_argument("--weight", type=float, default=0.0, help="of depth 0 in the logits of spans that are read")
    args = parser.parse_args()
    rows = groups.choice_rows(data_folder())
    found = found_by_encoder(args.encoder, rows, args.data / "choice-found.json")
    if args.knows_strangers:
        found[[is_stranger(row) for row in rows]] = False
    table = Table.load(args.data / "ngrams.npz")
    report = assemble(table, args.network, args.encoder, args.out, rows, found, args.lost, args.weight)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
