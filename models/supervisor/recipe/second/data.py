"""Prepare the data of the second generation: from the data folder to `train.jsonl`, `validation.jsonl`, `report.jsonl`.

In: the folder named by GUARDPROXY_DATA, own texts. Out: rows of outputs.py. Whole sources are held out, as in the first
generation: `report` is never looked at, `validation` holds its sources and the pool of ordinary traffic. The training set is
balanced (balance.py), so that no opening, pattern or group decides. The same seed gives the same files.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from tqdm import tqdm

from models.supervisor.recipe import data as first
from models.supervisor.recipe.second.balance import balanced, described, is_harmful, unbalanced
from models.supervisor.recipe.second.contrast import composed_rows
from models.supervisor.recipe.second.noise import disturbed
from models.supervisor.recipe.second.ordinary import APART, is_apart, ordinary
from models.supervisor.recipe.second.outputs import JAILBREAK, Row, composed, row
from models.supervisor.recipe.second.reframing import reframed
from models.supervisor.recipe.second.sources import TRAINING

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
    earlier, report = first.held_out(folder)
    families = [
        row(one["text"], found, name)
        for name, (found, most) in FAMILIES.items()
        for one in first.take(first.read(folder, name), most, rng)
    ]
    kept = [_converted(one) for one in earlier if one["source"] != "benign/alpaca_eval_answers-nc"]
    return kept + families + ordinary(folder, rng), report


def _converted(one: Row) -> Row:
    channel = "tool_result" if "documents" in one["source"] else "user"
    return row(one["text"], composed(one["targets"]), one["source"], channel, one["span"])


def public_rows(folder: Path, rng: random.Random) -> list[Row]:
    """Rows of the public sets, capped by source."""
    apart = {name for name, *_ in APART.values()}
    chosen: list[Row] = []
    for source in tqdm(TRAINING, desc="sources", unit="file"):
        given = first.read(folder, source.name)
        if source.name in apart:
            given = [one for place, one in enumerate(given) if not is_apart(source.name, one, place)]
        rows = list(source.reader(given))
        bad = first.take([one for one in rows if is_harmful(one)], source.harmful, rng)
        fine = first.take([one for one in rows if not is_harmful(one)], source.harmless, rng)
        chosen += [one | {"source": source.name} for one in (*bad, *fine)] * source.repeats
    return chosen


def own_rows(rng: random.Random) -> tuple[list[Row], list[Row]]:
    """Own texts of both generations: to train on, and to validate with."""
    train, held = first.own_rows([], rng)
    templated = ("own/documents", "own/phrases")
    kept = [one for one in train if one["source"] not in templated or rng.random() < OWN_DOCUMENTS]
    return [_converted(one) for one in kept] + composed_rows(rng), [_converted(one) for one in held]


def with_noise(rows: list[Row], rng: random.Random) -> list[Row]:
    """The rows, some of them disturbed. A row with a span stays as it is, since its span would move."""
    found = []
    for one in rows:
        if one["span"] or one["source"] == "own/definition" or rng.random() >= NOISE_SHARE:
            found.append(one)
            continue
        text, is_disguise = disturbed(one["text"], rng)
        hidden = {"obfuscation": 1} if is_disguise else {}
        if is_disguise and one["targets"].get("harmful") == 1:
            hidden[JAILBREAK] = 1
        found.append(one | {"text": text, "targets": one["targets"] | hidden})
    return found


def prepared(folder: Path) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows to train on, to validate with and to report on."""
    rng = random.Random(SEED)
    validation, report = held_out(folder, rng)
    mine, held = own_rows(rng)
    validation += held
    overlaps = first.overlap_filter(validation + report)
    given = [*public_rows(folder, rng), *reframed(folder, rng), *mine]
    rows = [one for one in given if one["source"] == "own/definition" or not overlaps(one["text"])]
    train = balanced(with_noise(rows, rng), rng)
    rng.shuffle(train)
    return train, validation, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/supervisor-second"), help="folder for the three files")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, rows in zip(("train", "validation", "report"), prepared(first.data_folder()), strict=True):
        first.write(args.out / f"{name}.jsonl", rows)
        if name == "train":
            print(json.dumps(unbalanced(described(rows))))


if __name__ == "__main__":
    main()
