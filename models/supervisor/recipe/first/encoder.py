"""Let the encoder score texts, for the first network to learn from and for its limits to be chosen with.

In: a model folder, a file of rows. Out: one JSON line a row, in an order that the seed decides: the row's place in the file
and for each piece of the text the encoder's score of each output. A run goes on where the last one stopped, so rows can be
added; the scores of another encoder are refused.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from guardproxy.checks import Query
from guardproxy.inference import Settings, load
from models.supervisor.recipe.first.data import is_attack
from models.supervisor.recipe.first.network import COLUMNS, FAMILY
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.outputs import Row

SEED = 20_28
MOST_CHARS = 6000
DIGITS = 12
POINT = "1%"
Scores = dict[int, list[dict[str, float]]]
"""Place of a row -> the scores of each piece."""


def encoder_digest(folder: Path) -> str:
    """What the scores depend on: the encoder, not the first stage beside it."""
    lines = (folder / "SHA256SUMS").read_text("utf-8").splitlines()
    return next(line.split()[0] for line in lines if line.split()[1] == "model.onnx")


def read_scores(path: Path, folder: Path) -> Scores:
    """Empty without the file. Exits when it holds the scores of another encoder."""
    if not path.exists():
        return {}
    head, *lines = path.read_text("utf-8").splitlines()
    if json.loads(head) != {"encoder": encoder_digest(folder)}:
        raise SystemExit(f"{path} holds the scores of another encoder; remove it")
    return {line["row"]: line["pieces"] for line in map(json.loads, lines)}


def margin(score: float, point: float) -> float:
    """How far a score lies above the operating point, as a difference of logits."""
    least = 10.0**-DIGITS
    one, other = (min(max(value, least), 1 - least) for value in (score, point))
    return math.log(one / (1 - one)) - math.log(other / (1 - other))


def margins(scores: Mapping[str, float], points: Mapping[str, Mapping[str, float]]) -> list[float]:
    """The highest margin of the outputs of each family, in one piece."""
    highest = [-math.inf] * len(COLUMNS)
    for output, score in scores.items():
        highest[FAMILY[output]] = max(highest[FAMILY[output]], margin(score, points[output][POINT]))
    return highest


def highest(pieces: Sequence[Mapping[str, float]], points: Mapping[str, Mapping[str, float]]) -> list[float]:
    """The highest margin of each family over the pieces of a text."""
    return [max(family) for family in zip(*(margins(scores, points) for scores in pieces), strict=True)]


def query(row: Row, outputs: tuple[str, ...] = ()) -> Query:
    """The query for a row. A text without a channel is a user's message."""
    return Query(row["text"][:MOST_CHARS], outputs, first_stage=False, kind=row.get("channel", "user"))


def chosen(rows: list[Row], attacks: int, harmless: int) -> list[int]:
    """Places of the rows to score; a larger choice begins with the smaller one."""
    places = list(range(len(rows)))
    random.Random(SEED).shuffle(places)
    bad = [at for at in places if is_attack(rows[at])][:attacks]
    fine = [at for at in places if not is_attack(rows[at])][:harmless]
    return sorted([*bad, *fine], key=places.index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-second"))
    parser.add_argument("--folder", type=Path, default=Path("models/supervisor"), help="the encoder's model folder")
    parser.add_argument("--rows", default="train")
    parser.add_argument("--attacks", type=int, default=10_000, help="how many attacks to score")
    parser.add_argument("--harmless", type=int, default=10_000, help="how many harmless texts to score")
    args = parser.parse_args()
    rows = read(args.data / f"{args.rows}.jsonl")
    path = args.data / f"encoder-{args.rows}.jsonl"
    known = read_scores(path, args.folder)
    scorer = load(args.folder, settings=Settings(threads=1, workers=1, remembered=0), digits=DIGITS)
    with path.open("a", encoding="utf-8") as file:
        if not known:
            file.write(json.dumps({"encoder": encoder_digest(args.folder)}) + "\n")
        for at in tqdm(chosen(rows, args.attacks, args.harmless), desc=args.rows, unit="text", mininterval=30):
            if at not in known:
                (pieces,) = scorer.judge([query(rows[at], scorer.outputs)])
                file.write(json.dumps({"row": at, "pieces": [dict(piece.scores) for piece in pieces]}) + "\n")


if __name__ == "__main__":
    main()
