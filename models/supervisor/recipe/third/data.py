"""Prepare the data of the third generation: `train.jsonl` of the training group, `validation.jsonl` of the choice group.

In: the folder named by GUARDPROXY_DATA, own texts of all generations. Out: rows of `second/outputs.py`. The choice sources,
the report sources and their twins are left out (`groups.py`). The own documents are taken whole. A family of texts that one
list of templates makes has at most `MOST_OF_TEMPLATES` rows of a label, since variety decides and not number. The same seed
gives the same files.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path
from zlib import crc32

from tokenizers import Tokenizer

from models.encoder import encoder_folder
from models.supervisor.recipe import data as first
from models.supervisor.recipe import groups
from models.supervisor.recipe.second.balance import describe, is_harmful, rebalance, unbalanced_features
from models.supervisor.recipe.second.contrast import compose_rows
from models.supervisor.recipe.second.data import convert, public_without_choice, with_noise
from models.supervisor.recipe.second.outputs import Row, make_row
from models.supervisor.recipe.second.sources import FINE
from models.supervisor.recipe.third.suffixes import suffixed
from models.supervisor.recipe.third.surroundings import results, surroundings
from models.supervisor.recipe.third.targets import conclude, of_label

SEED = 20_31
OWN = Path(__file__).parents[1] / "own" / "third"
OWN_REPEATS = 3
"""How often an own row of this generation is taken: they are few and better than the rest."""
HELD_OF = 10
"""One pair of so many of an own file is kept for validation."""
MOST_OF_TEMPLATES = 1000
TEMPLATES = (
    "own/places", "own/plain", "own/hateful", "own/friendly", "own/dislike", "own/order",
    "own/question", "own/wrapper", "own/pretext", "own/phrases", "reframed/",
    "injection/synth_direct", "injection/synth_indirect",
    "injection/counterfactual_", "content/counterfactual_", "injection/jailbreak_templates_filled",
    "injection/pyrit_templates_filled", "content/identity_madlibs", "injection/templated_benign_security",
)  # fmt: skip
"""How the name of a source begins whose rows are made of one list of templates."""


def own_third(held: bool) -> list[Row]:
    """The own rows of this generation, to train on or to validate with: twins stand on the same side."""
    rows = []
    for path in sorted(OWN.glob("*.jsonl")):
        for place, line in enumerate(path.read_text("utf-8").splitlines()):
            given = json.loads(line)
            channel = given.get("channel", "user")
            told = given["targets"] if "targets" in given else of_label(given["label"], channel)
            pair = f"{path.stem} {given.get('pair', place // 2)}"
            if (crc32(pair.encode()) % HELD_OF == 0) == held:
                source = f"own/third/{path.stem}:{given['kind']}"
                rows.append(make_row(given["text"], conclude(told, channel), source, channel, given.get("span")))
    return rows


def family(row: Row) -> str | None:
    """The templates that a row was made of, if it was made of any."""
    return row["source"] if row["source"].startswith(TEMPLATES) else None


def capped(rows: list[Row], rng: random.Random) -> list[Row]:
    """The rows in random order, with at most `MOST_OF_TEMPLATES` of each label of a family of templates."""
    found: list[Row] = []
    sizes: dict[tuple[str, bool], int] = defaultdict(int)
    for row in rng.sample(rows, len(rows)):
        name = family(row)
        if name:
            key = (name, is_harmful(row))
            sizes[key] += 1
            if sizes[key] > MOST_OF_TEMPLATES:
                continue
        found.append(row)
    return found


def pieces_of_words() -> list[str]:
    """The words of the encoder's vocabulary, and parts of words."""
    tokenizer = Tokenizer.from_file(str(encoder_folder() / "tokenizer.json"))
    found = {token.removeprefix("##") for token in tokenizer.get_vocab()}
    return sorted(piece for piece in found if len(piece) > 1 and piece.isalpha())


def choice_row(row: Row) -> Row:
    """A choice row as a validation row: what it says of the outputs."""
    if not row["label"]:
        found = FINE
    else:
        found = {"harmful": 1} if groups.CONTENT in row["labels"] else {}
        if groups.INJECTION in row["labels"]:
            found = found | of_label(1, row["channel"])
    source = f"ordinary/{row['kind']}" if not row["label"] else row["source"]
    return make_row(row["text"], conclude(found, row["channel"]), source, row["channel"], row["span"])


def validation(folder: Path) -> list[Row]:
    """The choice rows, and own rows of all generations that were kept apart, to choose points with.

    The own rows name kinds of harm, which no choice source does.
    """
    _, old = first.own_rows(random.Random(SEED))
    held = [convert(row) for row in old] + [row | {"source": "own/third:held"} for row in own_third(held=True)]
    concluded = [row | {"targets": conclude(row["targets"], row["channel"])} for row in held]
    return [choice_row(row) for row in groups.choice_rows(folder)] + concluded


def prepare(folder: Path) -> list[Row]:
    """Rows to train on, in random order. Real code and documents are not balanced: nearly all are harmless in use, too."""
    rng = random.Random(SEED)
    twins = groups.twins(folder)
    old, _ = first.own_rows(rng)
    own = own_third(held=False)
    mine = [convert(row) for row in old] + compose_rows(rng) + own * OWN_REPEATS
    _, report = first.held_out(folder)
    overlaps = first.overlap_filter(report)

    def kept(rows: list[Row]) -> list[Row]:
        return [
            row
            for row in rows
            if row["source"] == "own/definition" or not (overlaps(row["text"]) or twins.is_twin(row))
        ]

    def concluded(rows: list[Row]) -> list[Row]:
        return [row | {"targets": conclude(row["targets"], row["channel"])} for row in rows]

    rows = concluded(capped(kept([*public_without_choice(folder, rng), *mine]), rng))
    train = rebalance(with_noise([*rows, *suffixed(rows, pieces_of_words(), rng)], rng), rng)
    others = results(folder, report, rng)
    train += concluded(kept([*surroundings(own, others, rng), *others]))
    rng.shuffle(train)
    return train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/supervisor-third"), help="folder for the files")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    folder = first.data_folder()
    rows = prepare(folder)
    first.write(args.out / "train.jsonl", rows)
    print(json.dumps(unbalanced_features(describe(rows))))
    first.write(args.out / "validation.jsonl", validation(folder))


if __name__ == "__main__":
    main()
