"""Put depth 0 into a model folder: the table of n-grams, and what it may clear.

In: `ngrams.npz` of spans.py, the folder of an encoder, the validation rows, which begin with the choice rows. Out: a new
folder that reads in spans, and in it `depth.json`: what is cleared and lost. First the encoder reads all spans, and calibration
and points are chosen. Then the limits are chosen on the choice rows, for messages and for tools' results apart: of the attacks
that the encoder finds at its default point, at most `--lost` may be cleared. Where fewer than `LEAST` are found in tools'
results, the limit of messages holds; where fewer are found in messages, nothing is cleared. What depth 0 says is added to the
encoder's logit of `injection` by `ADDED`.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from guardproxy.inference.folders import tokens
from guardproxy.inference.folders.folder import GPU_FILE
from guardproxy.inference.folders.model import ANY, FIRST_STAGE, NGRAMS, Calibration, Model
from guardproxy.inference.models import read as read_model
from guardproxy.inference.scoring.depth import DepthZero
from guardproxy.lab import configure, listed_files
from models.supervisor.recipe import groups
from models.supervisor.recipe.calibrate import logits
from models.supervisor.recipe.data import data_folder
from models.supervisor.recipe.first.spans import COLUMNS, MOST_CHARS, SPAN_ROOM, TOOL, Floats, Table
from models.supervisor.recipe.points import Chosen, choose
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.outputs import KINDS, Row

SLOPE = 0.25
"""What depth 0 counts in the logit of a span that is cleared."""
CORRECTION, CORRECTED_PIECES = 1, 6
"""The logit of a text of n spans is lowered by `CORRECTION` times ln n, as each span is another chance of a false alarm. Beyond
so many spans it is lowered no further, or attacks in long texts would be lost. Chosen on the choice group."""
LOST, LEAST = 0.02, 300
LEAST_POSITIVES = 20
"""Texts to be found by an output, below which its logits are left as they are."""
ADDED = {"injection": 0.2}
"""Output -> what depth 0 counts in the logit of a span that the encoder reads. The two err in different places. Chosen on the
choice group, where it gains in messages and tools' results and nothing for `harmful`."""
ESTIMATE = 0.3
"""The estimate at the limit, if the default point is not lower: where the scores of cleared spans end."""
COLUMN_OF = dict.fromkeys(("injection", "jailbreak", "embedded_instruction"), 0) | dict.fromkeys((*KINDS, "harmful"), 1)
Values = NDArray[np.float64]


class Depth(Protocol):
    """What a configuration says of depth 0: a `Table`, or one whose weights stay in their file."""

    @property
    def bias(self) -> Floats: ...

    def scales(self) -> Floats: ...


def columns(table: Depth, more: Values) -> list[dict[str, Any]]:
    """The `columns` of a configuration. `more`: what is added to the bias of tools' results."""
    return [
        {
            "scale": round(float(scale), 6),
            "network": 0,
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


def found_by_encoder(values: Values, rows: Sequence[Row], model: Model) -> NDArray[np.bool_]:
    """For each row and each of `COLUMNS` whether it is an attack of that kind that is found at the default point.

    `values`: logits of the outputs, (rows, outputs), before calibration. Returns (rows, columns).
    """
    found = np.zeros((len(rows), len(COLUMNS)), np.bool_)
    places = {name: at for at, name in enumerate(model.outputs)}
    for at, row in enumerate(rows):
        points = model.points_in(row["channel"])
        for column, label in enumerate(COLUMNS):
            if row["label"] == 1 and label in row["labels"]:
                of_kind = model.labels[label]
                outputs = of_kind.get(row["channel"], of_kind[ANY])
                found[at, column] = any(
                    score(values[at, places[name]], model.calibration[name]) >= points[name][model.default_point]
                    for name in outputs
                )
    return found


def score(logit: float, calibration: Calibration) -> float:
    return float(1 / (1 + np.exp(-(logit - calibration.bias) / calibration.temperature)))


def limits(
    values: Values, found: NDArray[np.bool_], tools: NDArray[np.bool_], lost: float, least: int | None = None
) -> Values:
    """The logit below which a span is cleared, for messages and tools' results, (2, columns); -inf where too few attacks
    say: fewer than `least` (default `LEAST`)."""
    below = np.full((2, values.shape[1]), -np.inf)
    for kind, own in enumerate((~tools, tools)):
        for column in range(values.shape[1]):
            bad = values[own & found[:, column], column]
            if len(bad) >= (least or LEAST):
                below[kind, column] = np.quantile(bad, lost, method="lower")
    return below


def shift(table: Depth, below: Values) -> Values:
    """What is added to the logits of tools' results, (columns,), so that they have the limit of messages.

    Where too few attacks set a limit of their own, their bias is made at least that of messages: nothing may be cleared because
    attacks of its kind were lacking in training.
    """
    found: Values = np.maximum(table.bias[0].astype(np.float64) - table.bias[1], 0.0)
    np.subtract(below[0], below[1], out=found, where=np.isfinite(below).all(0))
    return found


def configuration(base: Mapping[str, Any], table: Depth, below: Values, model: Model) -> dict[str, Any]:
    """The configuration of a folder that reads in spans. `model`: the encoder's. `below`: see `limits`."""
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
        weight = ADDED.get(output, 0.0)
        parts[output] = {"column": column, "weight": weight, "slope": SLOPE, "alone": round(alone, 6)}
    return {
        **base,
        "max_tokens": SPAN_ROOM,
        "overlap_tokens": 48,
        "length_correction": CORRECTION,
        "length_pieces": CORRECTED_PIECES,
        "first_stage": clearing,
        "spans": {"tokens": 48, "merge": True, "columns": columns(table, shift(table, below)), "outputs": parts},
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
    configure(folder, config, {*names, "tokenizer.json", "config.json", NGRAMS})
    return read_model(folder)


def whole(table: Table, encoder: Path, out: Path) -> Model:
    """Writes a folder that reads in spans and clears nothing."""
    out.mkdir(parents=True, exist_ok=True)
    for name in listed_files(encoder):
        if name not in (FIRST_STAGE, NGRAMS):
            shutil.copyfile(encoder / name, out / name)
    table.quantized().tofile(out / NGRAMS)
    return write(out, configuration(config_of(out), table, nothing(), read_model(encoder)))


def nothing() -> Values:
    """Limits that clear nothing."""
    return np.full((2, len(COLUMNS)), -np.inf)


def config_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return found


def rescale(table: Depth, model: Model, chosen: Chosen) -> Model:
    """Gives a folder that clears nothing a calibration and points."""
    config = config_of(model.folder) | chosen.as_config()
    # What a cleared span scores follows from the calibration, which must be read first.
    return write(model.folder, configuration(config, table, nothing(), write(model.folder, config)))


def clear(
    table: Depth, model: Model, rows: Sequence[Row], found: NDArray[np.bool_], lost: float = LOST
) -> dict[str, Any]:
    """Gives the folder of `whole` its limits; returns what `depth.json` says. `found`: see `found_by_encoder`."""
    values = highest(model, rows)
    tools = np.array([row["channel"] == TOOL for row in rows])
    values -= tools[:, None] * shift(table, nothing())  # of the folder that clears nothing yet
    below = limits(values, found, tools, lost)
    write(model.folder, configuration(config_of(model.folder), table, below, model))
    moved = values + tools[:, None] * shift(table, below)
    report = {"lost": lost, "below": below.tolist(), **shares(moved, found, rows, below[0])}
    (model.folder / "depth.json").write_text(json.dumps(report, indent=1).replace("-Infinity", "null") + "\n")
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-third"), help="holds ngrams.npz")
    parser.add_argument("--encoder", type=Path, default=Path("build/supervisor-third/model"), help="its model folder")
    parser.add_argument("--out", type=Path, default=Path("build/supervisor-third/spans"), help="the new folder")
    parser.add_argument("--lost", type=float, default=LOST, help="share of the found attacks that may be cleared")
    args = parser.parse_args()
    validation, table = read(args.data / "validation.jsonl"), Table.load(args.data / "ngrams.npz")
    rows = groups.choice_rows(data_folder())
    if any(row["text"] != other["text"] for row, other in zip(rows, validation, strict=False)):
        raise SystemExit(f"{args.data}/validation.jsonl does not begin with the choice rows: write it again")
    model = whole(table, args.encoder, args.out)
    values = logits(args.out, validation, model.outputs)
    np.save(args.data / "span-logits.npy", values)
    model = rescale(table, model, choose(values, validation, model.outputs, LEAST_POSITIVES))
    found = found_by_encoder(values[: len(rows)], rows, model)
    print(json.dumps(clear(table, model, rows, found, args.lost), indent=1))


if __name__ == "__main__":
    main()
