"""Give the encoder an exit: train it, put it into the graphs, choose its limits. In about 20 minutes on one core.

In: a folder of first/assemble.py, `train.jsonl`. Out: a folder whose encoder has an exit behind its layer `LAYER`, and
`exit.json`, which says what it clears and loses. The encoder and depth 0 stay as they are.

The exit learns the logits that the whole int8 encoder gives for spans of training rows, most of which depth 0 leaves open. Its
limits are chosen like those of depth 0: of the attacks of the choice group that are found without it, at most `LOST` are lost.
An attack is lost if every row by which it is found leaves at the exit.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, gelu, smooth_l1_loss
from tqdm import tqdm

from guardproxy.checks import Query
from guardproxy.findings import Kind
from guardproxy.inference.folders.folder import GPU_FILE
from guardproxy.inference.folders.model import ANY, Model
from guardproxy.inference.models import read as read_model
from guardproxy.inference.running.batching import Row as Tokens
from guardproxy.inference.running.cache import Verdicts
from guardproxy.inference.running.session import Session
from guardproxy.inference.scoring.reader import ModelReader
from guardproxy.lab.folders import listed_files
from models.supervisor.recipe import groups
from models.supervisor.recipe.data import data_folder
from models.supervisor.recipe.first.assemble import COLUMN_OF, LOST, SLOPE, config_of, limits, write
from models.supervisor.recipe.first.spans import COLUMNS, MOST_CHARS, TOOL
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.balance import is_harmful
from models.supervisor.recipe.second.network import pool
from models.supervisor.recipe.second.outputs import Row
from models.supervisor.recipe.third.exit_graph import with_exit, with_states

SEED = 20_33
LAYER = 2
SPANS = 40_000
"""Spans to learn from."""
CLEARED_SHARE = 0.1
"""Share of the spans that depth 0 clears which are learned from all the same."""
WIDTH, HIDDEN = 192, 192
PASSES, RATE, BATCH, BLOCK = 5, 1e-3, 32, 50
WARM_UP = 200
"""Steps in which the rate rises."""
SOFTNESS = 1.4
WEIGHTS = {"injection": 3.0, "harmful": 2.0, "jailbreak": 1.0, "embedded_instruction": 1.0}
"""What the loss of an output counts, if not 0.3."""
LEAST = 200
"""Attacks that set a limit: orders in tools' results need one of their own, since the exit knows them less well."""
TEXTS_OF_KIND = 45
"""Harmless texts of a kind that are looked at for the report."""
Values = NDArray[np.float64]


class Leaf(nn.Module):
    """The exit: a layer for each token, one that mixes neighbours, mean and maximum of the states and of these, and a head."""

    def __init__(self, states: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(states, WIDTH)
        self.beside = nn.Conv1d(WIDTH, WIDTH, 5, padding=2, groups=WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Sequential(
            nn.Dropout(0.1),
            nn.Linear(2 * (states + WIDTH), HIDDEN),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(HIDDEN, outputs),
        )

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """The logits of all outputs of the encoder."""
        there = attention_mask.unsqueeze(-1).to(states.dtype)
        own = gelu(self.first(states)) * there
        own = own + gelu(self.second(self.beside(own.transpose(1, 2)).transpose(1, 2)))
        found: Tensor = self.head(torch.cat([pool(own, attention_mask), pool(states, attention_mask)], -1))
        return found


class Columns(nn.Module):
    """The exit as it runs: with some of its outputs."""

    def __init__(self, leaf: Leaf, places: Sequence[int]) -> None:
        super().__init__()
        self.leaf = leaf
        self.places = list(places)

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        found: Tensor = self.leaf(states, attention_mask)[:, self.places]
        return found


def open_pieces(reader: ModelReader, query: Query) -> tuple[list[Tokens], list[bool], Verdicts]:
    """The tokens of each span's piece, whether depth 0 leaves the span open, and what is known before the encoder."""
    reading = reader.read(query, Verdicts())
    verdicts = Verdicts([(piece.start, piece.end) for piece in reading.pieces], reading.first, added=reading.added)
    return (
        [piece.ids for piece in reading.pieces],
        [not cleared for cleared in reader.cleared(verdicts, query)],
        verdicts,
    )


def query_of(row: Row, outputs: Sequence[str]) -> Query:
    return Query(row["text"][:MOST_CHARS], tuple(outputs), True, row["channel"])


def chosen(row: Row, spans: Sequence[tuple[int, int]], rng: random.Random) -> list[int]:
    """Which spans of a training row to learn from. An attack without a known place may lie anywhere before the end."""
    every = range(len(spans))
    if not is_harmful(row):
        return rng.sample(every, min(2, len(every)))
    if row["span"]:
        holding = next((at for at in every if spans[at][1] >= row["span"][1]), len(every) - 1)
        return list(dict.fromkeys((holding, rng.choice(every))))
    return [every[-1] if len(every) < 3 else rng.choice(every)]


def samples(rows: list[Row], reader: ModelReader, outputs: Sequence[str], count: int) -> Iterator[Tokens]:
    """Rows of tokens to learn from, at most `count`."""
    rng = random.Random(SEED)
    found = 0
    for row in rng.sample(rows, len(rows)):
        query = query_of(row, outputs)
        pieces, is_open, verdicts = open_pieces(reader, query)
        for at in chosen(row, verdicts.spans, rng):
            if is_open[at] or rng.random() < CLEARED_SHARE:
                yield reader.row(pieces[at], reader.channel(query))
                found += 1
        if found >= count:
            return


class Lessons:
    """What the lower layers and the whole encoder give for rows of tokens."""

    def __init__(self, graph: Path, rows: Sequence[Tokens]) -> None:
        with TemporaryDirectory() as scratch:
            path = Path(scratch) / "states.onnx"
            path.write_bytes(with_states(graph, LAYER))
            session = Session(path, 1).session
            states, logits = [], []
            for row in tqdm(rows, desc="states", unit="row", mininterval=30):
                ids = np.array([row], np.int64)
                feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
                judged, own = session.run(["logits", "states"], feed)
                states.append(own[0].astype(np.float16))
                logits.append(judged[0])
        self.lengths = np.array([len(own) for own in states])
        self.states, self.logits = states, np.array(logits, np.float32)

    def batch(self, places: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        longest = int(self.lengths[places].max())
        states = np.zeros((len(places), longest, self.states[0].shape[1]), np.float32)
        mask = np.zeros((len(places), longest), np.int64)
        for at, place in enumerate(places):
            states[at, : self.lengths[place]] = self.states[place]
            mask[at, : self.lengths[place]] = 1
        return torch.from_numpy(states), torch.from_numpy(mask), torch.from_numpy(self.logits[places])

    def batches(self, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """The places of all rows once, in batches of similar length, in random order."""
        order = rng.permutation(len(self.lengths))
        for first in range(0, len(order), BATCH * BLOCK):
            block = order[first : first + BATCH * BLOCK]
            block = block[np.argsort(self.lengths[block], kind="stable")]
            starts = range(0, len(block), BATCH)
            yield from (block[starts[at] : starts[at] + BATCH] for at in rng.permutation(len(starts)))


def train(lessons: Lessons, outputs: Sequence[str]) -> Leaf:
    """Learns the chance that the whole encoder gives, and a little of its logit."""
    torch.manual_seed(SEED)
    leaf = Leaf(lessons.states[0].shape[1], len(outputs))
    weights = torch.tensor([WEIGHTS.get(name, 0.3) for name in outputs])
    optimizer = torch.optim.AdamW(leaf.parameters(), RATE, weight_decay=0.01)
    rng = np.random.default_rng(SEED)
    order = [places for _ in range(PASSES) for places in lessons.batches(rng)]
    for step, places in enumerate(tqdm(order, desc="exit", unit="step", mininterval=30)):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * (1 - step / len(order))
        states, mask, wanted = lessons.batch(places)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = leaf(states, mask)
        chance = torch.sigmoid(wanted / SOFTNESS)
        loss = binary_cross_entropy_with_logits(found.float() / SOFTNESS, chance, reduction="none")
        loss = loss + 0.1 * smooth_l1_loss(found.float(), wanted.clamp(-6, 6), reduction="none")
        optimizer.zero_grad()
        (loss * weights).sum(1).mean().backward()
        nn.utils.clip_grad_norm_(leaf.parameters(), 1.0)
        optimizer.step()
    leaf.eval()
    return leaf


def draw(leaf: Leaf, outputs: Sequence[str], path: Path, states: int) -> None:
    """Writes the graph of the exit: a column for each of `COLUMNS`."""
    places = [outputs.index(name) for name in ("injection", "harmful")]
    mask = torch.ones(2, 12, dtype=torch.int64)
    mask[1, 9:] = 0
    free = {0: "rows", 1: "tokens"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Columns(leaf, places).eval(),
            (torch.randn(2, 12, states), mask),
            str(path),
            input_names=["states", "attention_mask"],
            output_names=["exit"],
            dynamic_axes={"states": free, "attention_mask": free, "exit": {0: "rows"}},
            opset_version=17,
            dynamo=False,
        )


def put(leaf: Leaf, model: Model, out: Path, states: int) -> None:
    """Writes the graphs with their exit; the other files are copied."""
    out.mkdir(parents=True, exist_ok=True)
    for name in listed_files(model.folder):
        shutil.copyfile(model.folder / name, out / name)
    with TemporaryDirectory() as scratch:
        whole, small = Path(scratch) / "leaf.onnx", Path(scratch) / "leaf8.onnx"
        draw(leaf, model.outputs, whole, states)
        quantize_dynamic(
            str(whole), str(small), weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
            op_types_to_quantize=["MatMul", "Gemm"], extra_options={"DefaultTensorType": 1},
        )  # fmt: skip
        with_exit(model.folder / "model.onnx", out / "model.onnx", small, LAYER, len(COLUMNS), can_stop=True)
        if GPU_FILE in model.files:
            with_exit(model.folder / GPU_FILE, out / GPU_FILE, whole, LAYER, len(COLUMNS), can_stop=False)


def effective(below: Values) -> Values:
    """The logit of each column below which a row leaves, for messages and tools' results, (2, columns); minus infinity where
    none may. `below`: the limits that were found. Tools' results without a limit of their own have that of messages."""
    return np.stack([below[0], np.where(np.isfinite(below).all(0), below[1], below[0])])


def configuration(config: dict[str, Any], model: Model, below: Values) -> dict[str, Any]:
    """The configuration with the exit. `below`: see `effective`."""
    moved = np.zeros(below.shape[1])
    np.subtract(below[0], below[1], out=moved, where=np.isfinite(below[0]))
    parts = {}
    for output, clearing in model.clearing.items():
        limit = float(below[0, COLUMN_OF[output]])
        if math.isfinite(limit):
            calibration = model.calibration[output]
            logit = calibration.bias + calibration.temperature * math.log(clearing.below / (1 - clearing.below))
            parts[output] = {"column": COLUMN_OF[output], "slope": SLOPE, "alone": round(logit - SLOPE * limit, 6)}
    columns = [{ANY: 0.0, TOOL: round(float(shift), 4)} for shift in moved]
    return {**config, "spans": {**config["spans"], "exit": {"columns": columns, "outputs": parts}}}


class Exits:
    """What the exit of a folder says of texts, whatever its limits are."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._reader = ModelReader(model, 6)
        self._session = Session(model.folder / "model.onnx", 1)

    def outputs(self, label: str, kind: Kind) -> tuple[str, ...]:
        of_kind = self.model.labels[label]
        return of_kind.get(kind, of_kind[ANY])

    def rows(self, row: Row, label: str) -> Iterator[tuple[float, bool]]:
        """For each row of the encoder by which a text is judged the exit's logit for a label, and whether it makes the text
        found at the default point."""
        kind, column = row["channel"], COLUMNS.index(label)
        outputs = self.outputs(label, kind)
        query = query_of(row, outputs)
        pieces, _, verdicts = open_pieces(self._reader, query)
        points = self.model.points_in(kind)
        for at in dict.fromkeys(self._reader.judges(verdicts, query)):
            if at is not None:
                logits = self._session.logits(self._reader.row(pieces[at], self._reader.channel(query)))
                added = verdicts.added[at]
                scores = dict(zip(self.model.outputs, self._reader.scores(logits, len(pieces), added), strict=True))
                is_found = any(scores[name] >= points[name][self.model.default_point] for name in outputs)
                yield logits[len(self.model.outputs) + column], is_found


def highest(exits: Exits, rows: Sequence[Row]) -> tuple[Values, NDArray[np.bool_]]:
    """For each text and column the highest logit of the exit of the rows by which it is found, and whether it is an attack that
    is found, (texts, columns)."""
    values = np.full((len(rows), len(COLUMNS)), -np.inf)
    for at, row in enumerate(tqdm(rows, desc="attacks", unit="text", mininterval=30)):
        for column, label in enumerate(COLUMNS):
            if row["label"] and label in row["labels"]:
                values[at, column] = max((logit for logit, found in exits.rows(row, label) if found), default=-np.inf)
    return values, np.isfinite(values)


def some_harmless(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """At most `TEXTS_OF_KIND` harmless texts of each kind of channel and kind of text."""
    by_kind: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if not row["label"]:
            by_kind[(row["channel"], row["kind"])].append(row)
    rng = random.Random(SEED)
    return {kind: rng.sample(own, min(TEXTS_OF_KIND, len(own))) for kind, own in sorted(by_kind.items())}


def shares(
    exits: Exits, rows: Sequence[Row], values: Values, found: NDArray[np.bool_], below: Values
) -> dict[str, Any]:
    """For each column the attacks that are found without the exit, the share of them that is lost, and which share of the rows
    that depth 0 leaves open leaves at the exit, in harmless texts of each kind."""
    tools = np.array([row["channel"] == TOOL for row in rows])
    lost = (values < below[tools.astype(int)]) & found
    fine = some_harmless(rows)
    report: dict[str, Any] = {}
    for column, label in enumerate(COLUMNS):
        left: dict[str, list[float]] = {}
        for (kind, name), own in fine.items():
            level = below[int(kind == TOOL), column]
            leaving = [logit < level for row in own for logit, _ in exits.rows(row, label)]
            if leaving:
                left[f"{name} ({kind})"] = [len(leaving), round(float(np.mean(leaving)), 3)]
        report[label] = {
            "attacks": [int((found[:, column] & side).sum()) for side in (~tools, tools)],
            "lost": [int((lost[:, column] & side).sum()) for side in (~tools, tools)],
            "left": left,
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-third"))
    parser.add_argument("--folder", type=Path, default=Path("build/supervisor-third/spans"), help="reads in spans")
    parser.add_argument("--out", type=Path, default=Path("build/supervisor-third/exit"), help="the new folder")
    parser.add_argument("--lost", type=float, default=LOST, help="share of the found attacks that may be lost")
    parser.add_argument("--spans", type=int, default=SPANS, help="spans to learn from")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = read_model(args.folder)
    reader = ModelReader(model, 6)
    rows = read(args.data / "train.jsonl")
    lessons = Lessons(args.folder / "model.onnx", list(samples(rows, reader, ("injection", "harmful"), args.spans)))
    put(train(lessons, model.outputs), model, args.out, lessons.states[0].shape[1])
    finish(args.out, args.lost)


def finish(folder: Path, lost: float) -> None:
    """Chooses the limits of the exit of a folder."""
    config = config_of(folder)
    config["spans"].pop("exit", None)
    model = write(folder, config)
    exits = Exits(model)
    rows = groups.choice_rows(data_folder())
    values, found = highest(exits, rows)
    below = effective(limits(values, found, np.array([row["channel"] == TOOL for row in rows]), lost, LEAST))
    write(folder, configuration(config, model, below))
    report = {"lost": lost, "below": below.tolist(), **shares(exits, rows, values, found, below)}
    (folder / "exit.json").write_text(json.dumps(report, indent=1).replace("-Infinity", "null") + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
