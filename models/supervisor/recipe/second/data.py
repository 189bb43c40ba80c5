"""Prepare the data of the second generation: from the data folder to `train.jsonl`, `validation.jsonl`, `report.jsonl`.

In: the folder named by GUARDPROXY_DATA, own texts. Out: rows of outputs.py. Whole sources are held out, as in the first
generation: `report` is never looked at, `validation` holds its sources and the pool of ordinary traffic. The training set is
balanced (balance.py), so that no opening, pattern or group decides. The same seed gives the same files.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from models.supervisor.recipe import data as first
from models.supervisor.recipe import groups
from models.supervisor.recipe.second.balance import describe, is_harmful, rebalance, unbalanced_features
from models.supervisor.recipe.second.contrast import compose_rows
from models.supervisor.recipe.second.noise import disturb
from models.supervisor.recipe.second.ordinary import APART, is_apart, ordinary
from models.supervisor.recipe.second.outputs import JAILBREAK, Row, make_row, to_parts
from models.supervisor.recipe.second.reframing import reframe
from models.supervisor.recipe.second.sources import TRAINING, Source

SEED = 20_27
NOISE_SHARE = 0.12
"""Share of the rows, harmful and harmless, that get noise."""
OWN_DOCUMENTS = 0.35
"""Share taken of the first generation's own documents and phrases, which are many and templated."""
FAMILIES = {
    "injection/jailjudge_complex": ({JAILBREAK: 1}, 418),
    "injection/toxicchat_jailbreaks-nc": ({JAILBREAK: 1}, 89),
    "content/toxicchat_toxic-nc": ({"harmful": 1}, 264),
}
"""Attacks of families that are validated on alone."""


def held_out(folder: Path, rng: random.Random) -> tuple[list[Row], list[Row]]:
    """Validation rows, and report rows with the targets of the first generation, which evaluate.py reads."""
    first_generation, report = first.held_out(folder)
    families = [
        make_row(row["text"], found, name)
        for name, (found, most) in FAMILIES.items()
        for row in first.take(first.read(folder, name), most, rng)
    ]
    kept = [convert(row) for row in first_generation if row["source"] != "benign/alpaca_eval_answers-nc"]
    return kept + families + ordinary(folder, rng), report


def convert(row: Row) -> Row:
    channel = "tool_result" if "documents" in row["source"] else "user"
    return make_row(row["text"], to_parts(row["targets"]), row["source"], channel, row["span"])


def public_rows(folder: Path, rng: random.Random, sources: Sequence[Source] = TRAINING) -> list[Row]:
    """Rows of the public sets, capped by source."""
    apart = {name for name, *_ in APART.values()}
    chosen: list[Row] = []
    for source in tqdm(sources, desc="sources", unit="file"):
        given = first.read(folder, source.name)
        if source.name in apart:
            given = [row for place, row in enumerate(given) if not is_apart(source.name, row, place)]
        rows = list(source.reader(given))
        bad = first.take([row for row in rows if is_harmful(row)], source.harmful, rng)
        fine = first.take([row for row in rows if not is_harmful(row)], source.harmless, rng)
        chosen += [row | {"source": source.name} for row in (*bad, *fine)] * source.repeats
    return chosen


def own_rows(rng: random.Random) -> tuple[list[Row], list[Row]]:
    """Own texts of both generations: to train on, and to validate with."""
    train, held = first.own_rows(rng)
    templated = ("own/documents", "own/phrases")
    kept = [row for row in train if row["source"] not in templated or rng.random() < OWN_DOCUMENTS]
    return [convert(row) for row in kept] + compose_rows(rng), [convert(row) for row in held]


def with_noise(rows: list[Row], rng: random.Random) -> list[Row]:
    """The rows, some of them disturbed. A row with a span stays as it is, since its span would move."""
    found = []
    for row in rows:
        if row["span"] or row["source"] == "own/definition" or rng.random() >= NOISE_SHARE:
            found.append(row)
            continue
        text, is_disguise = disturb(row["text"], rng)
        hidden = {"obfuscation": 1} if is_disguise else {}
        if is_disguise and row["targets"].get("harmful") == 1:
            hidden[JAILBREAK] = 1
        found.append(row | {"text": text, "targets": row["targets"] | hidden})
    return found


def public_without_choice(folder: Path, rng: random.Random) -> list[Row]:
    """Rows of the public sets and of the frames around their questions, without the choice sources and their twins."""
    strangers = {source.name for source in groups.STRANGERS}
    given = [*public_rows(folder, rng, groups.training_sources()), *reframe(folder, rng, strangers)]
    return groups.without_twins(given, folder)


def prepare(folder: Path, without_choice: bool = False) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows to train on, to validate with and to report on. `without_choice`: the choice sources are not trained on."""
    rng = random.Random(SEED)
    validation, report = held_out(folder, rng)
    mine, held = own_rows(rng)
    validation += held
    overlaps = first.overlap_filter(validation + report)
    public = (
        public_without_choice(folder, rng) if without_choice else [*public_rows(folder, rng), *reframe(folder, rng)]
    )
    rows = [row for row in [*public, *mine] if row["source"] == "own/definition" or not overlaps(row["text"])]
    train = rebalance(with_noise(rows, rng), rng)
    rng.shuffle(train)
    return train, validation, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/supervisor-second"), help="folder for the three files")
    parser.add_argument("--without-choice", action="store_true", help="leave out the choice sources and their twins")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, rows in zip(
        ("train", "validation", "report"), prepare(first.data_folder(), args.without_choice), strict=True
    ):
        first.write(args.out / f"{name}.jsonl", rows)
        if name == "train":
            print(json.dumps(unbalanced_features(describe(rows))))


if __name__ == "__main__":
    main()
