"""Draw the rows of a training that goes on: all of new own files, and others up to a common cap for each source.

In: `train.jsonl` of data.py. Out: a file of rows beside it, in random order, for `train.py --rows`. A training that goes on
from good weights needs the other rows only so as not to forget what they taught. The same seed gives the same file.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from models.supervisor.recipe.data import write
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.outputs import Row
from models.supervisor.recipe.third.data import OWN

SEED = 20_34


def source_of(row: Row) -> str:
    """The source of a row without the kind that stands behind a colon."""
    source: str = row["source"]
    return source.partition(":")[0]


def common_cap(sizes: Collection[int], total: int) -> int:
    """The highest cap for each of `sizes` with which they have at most `total` together."""
    rest = total
    for place, size in enumerate(sorted(sizes)):
        share = rest // (len(sizes) - place)
        if size > share:
            return share
        rest -= size
    return max(sizes, default=0)


def excerpt(rows: Sequence[Row], whole: Collection[str], others: int, rng: random.Random) -> list[Row]:
    """All rows of the own files `whole` (names without an ending), and at most `others` of the rest, in random order."""
    sources = {f"own/third/{name}" for name in whole}
    drawn, rest = [], defaultdict(list)
    for row in rows:
        if (source := source_of(row)) in sources:
            drawn.append(row)
        else:
            rest[source].append(row)
    cap = common_cap([len(of_source) for of_source in rest.values()], others)
    for of_source in rest.values():
        drawn += rng.sample(of_source, min(len(of_source), cap))
    rng.shuffle(drawn)
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted(path.stem for path in OWN.glob("*.jsonl"))
    parser.add_argument("--whole", nargs="+", required=True, choices=names, metavar="NAME", help="own files")
    parser.add_argument("--others", type=int, default=30_000, help="rows of all other sources")
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-third"), help="the folder of data.py")
    parser.add_argument("--out", default="excerpt", help="name of the file in that folder, without its ending")
    args = parser.parse_args()
    drawn = excerpt(read(args.data / "train.jsonl"), args.whole, args.others, random.Random(SEED))
    write(args.data / f"{args.out}.jsonl", drawn)


if __name__ == "__main__":
    main()
