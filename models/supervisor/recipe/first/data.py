"""Gather what the first network learns from: rows no longer than about a piece, most of them harmless.

In: the folder that second/data.py wrote, the data folder, the files of this Python environment. Out: `first.jsonl`, rows of
outputs.py: the training rows, more harmless texts of their sources, code and documents of the environment, and harmless texts
with a planted order. The same seed, data and environment give the same file.
"""

from __future__ import annotations

import argparse
import random
import sysconfig
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path

from models.supervisor.recipe import data, groups
from models.supervisor.recipe.rows import read
from models.supervisor.recipe.second.ordinary import APART, is_apart
from models.supervisor.recipe.second.outputs import JAILBREAK, KINDS, Row, make_row
from models.supervisor.recipe.second.sources import FINE, ORDER

SEED = 20_29
ATTACKS = (JAILBREAK, "embedded_instruction", "order", *KINDS, "harmful")
LEAST_CHARS, MOST_CHARS = 120, 1200
ATTACK_CHARS = 1100
"""Characters of a part of a harmless text, and of an attack: hardly more than the tokens of a piece."""
PLANTED = 6000
MORE = {
    "benign/agent_user_requests": ("user", 4), "benign/flowgpt_prompts": ("user", 3), "benign/p3_prompts": ("user", 1),
    "benign/gpts_system_prompts": ("system", 4), "benign/fabric_patterns": ("system", 4),
    "benign/repo_docs_code": ("tool_result", 4), "benign/tool_outputs": ("tool_result", 5),
    "benign/writingbench_queries": ("user", 3), "benign/nl2bash": ("user", 1), "benign/nq_open": ("user", 1),
    "benign/wikianswers_questions": ("user", 1), "benign/gsm8k": ("user", 1), "pii/contextual_anonymizer": ("user", 1),
    "pii/synth_pii": ("tool_result", 1), "injection/synth_indirect": ("tool_result", 2),
    "injection/bipia_train_in_context": ("tool_result", 2), "injection/injecagent": ("tool_result", 2),
    "injection/counterfactual_tool_outputs": ("tool_result", 2),
}  # fmt: skip
"""File -> the channel of its harmless texts and how many parts of a text are taken at most."""
SUFFIXES = {
    ".py": 4000, ".pyi": 400, ".h": 500, ".md": 900, ".rst": 900, ".txt": 900, ".json": 900, ".yaml": 900, ".yml": 900,
    ".toml": 900, ".js": 900, ".css": 900, ".html": 900, ".cfg": 900, ".sh": 900, ".csv": 900, ".xml": 900, "": 900,
}  # fmt: skip
"""Suffix of a file of the environment -> most files. Licences and the like have none."""


def is_attack(row: Row) -> bool:
    """Whether a row is an attack, or harmful, in the words of either generation of the recipe."""
    return any(row["targets"].get(name) == 1 for name in ATTACKS)


def part(text: str, rng: random.Random) -> str:
    """A random part of a text, often its beginning; it begins with a word."""
    size = min(len(text), rng.randint(LEAST_CHARS, MOST_CHARS))
    first = 0 if rng.random() < 0.35 else rng.randint(0, len(text) - size)
    cut = text[first : first + size]
    return cut if not first else cut[cut.find(" ", 0, 40) + 1 :]


def parts(text: str, channel: str, source: str, most: int, rng: random.Random, chars: int = 700) -> Iterator[Row]:
    """Harmless rows of a text, one for each `chars` characters, at most `most`."""
    for _ in range(max(1, min(most, len(text) // chars))):
        yield make_row(part(text, rng), FINE, source, channel)


def around(text: str, start: int, end: int, rng: random.Random) -> str:
    """At most `ATTACK_CHARS` of a text, with all of the attack from `start` to `end`, or its beginning."""
    lowest = max(0, min(start, end - ATTACK_CHARS))
    first = rng.randint(lowest, max(lowest, min(start, len(text) - ATTACK_CHARS)))
    return text[first : first + ATTACK_CHARS]


def known(row: Row, rng: random.Random) -> Row:
    """A training row, cut to a part that holds the attack."""
    text = row["text"]
    if len(text) <= ATTACK_CHARS:
        return row
    if row["span"]:
        start, end = row["span"]
        return row | {"text": around(text, start, end, rng), "span": None}
    return row | {"text": text[:ATTACK_CHARS] if is_attack(row) else part(text, rng)}


def more(folder: Path, held: list[Row], rng: random.Random, without: Collection[str] = ()) -> Iterator[Row]:
    """Harmless texts of the training sources but `without`, without those that are held out."""
    overlaps = data.overlap_filter(held)
    apart = {name for name, *_ in APART.values()}
    for name, (channel, most) in MORE.items():
        if name in without:
            continue
        for place, given in enumerate(data.read(folder, name)):
            if given.get("label", 0) or (name in apart and is_apart(name, given, place)) or overlaps(given["text"]):
                continue
            yield from parts(given["text"], channel, f"more/{name}", most, rng)


def environment(rng: random.Random) -> Iterator[Row]:
    """Code and documents of this Python environment, as tools' results and sometimes as a user's."""
    paths = sysconfig.get_paths()
    found = sorted(path for name in ("stdlib", "purelib") for path in Path(paths[name]).rglob("*"))
    rng.shuffle(found)
    left = dict(SUFFIXES)
    for path in found:
        if left.get(path.suffix, 0) and path.is_file():
            try:
                text = path.read_text("utf-8")[:200_000]
            except UnicodeDecodeError:
                continue
            left[path.suffix] -= 1
            source = f"environment:{path.suffix.lstrip('.') or 'other'}"
            yield from parts(text, rng.choice(("tool_result",) * 3 + ("user",)), source, 3, rng, 3000)


def planted(train: list[Row], harmless: list[Row], count: int, rng: random.Random) -> Iterator[Row]:
    """Harmless parts with an order of the training rows somewhere in them."""
    orders = [(row["text"][slice(*row["span"])], row["source"]) for row in train if row["span"] and is_attack(row)]
    for order, name in data.take(orders, count, rng):
        text = rng.choice(harmless)["text"]
        at = rng.choice((0, len(text), *[rng.randint(0, len(text))] * 3))
        whole = around(f"{text[:at]} {order} {text[at:]}", at + 1, at + 1 + len(order), rng)
        yield make_row(whole, ORDER, f"planted/{name}", rng.choice(("tool_result",) * 3 + ("user",)))


def prepare(folder: Path, train: list[Row], held: list[Row], without_choice: bool = False) -> list[Row]:
    """All rows, each text once, in random order. `held`: rows that nothing may resemble. `without_choice`: nothing is taken of
    the choice sources, and no text that resembles theirs."""
    rng = random.Random(SEED)
    own = [known(row, rng) for row in train]
    if without_choice:
        strangers = {source.name for source in groups.STRANGERS}
        harmless = groups.without_twins([*more(folder, held, rng, strangers), *environment(rng)], folder)
    else:
        harmless = [*more(folder, held, rng), *environment(rng)]
    orders = planted(train, harmless, PLANTED, rng)
    rows = list({row["text"]: row for row in chain(own, harmless, orders) if row["text"].strip()}.values())
    rng.shuffle(rows)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor-second"))
    parser.add_argument("--without-choice", action="store_true", help="leave out the choice sources and their twins")
    args = parser.parse_args()
    folder = data.data_folder()
    held = read(args.data / "validation.jsonl") + data.held_out(folder)[1]
    rows = prepare(folder, read(args.data / "train.jsonl"), held, args.without_choice)
    data.write(args.data / "first.jsonl", rows)
    print(f"{len(rows):,} rows, {sum(map(is_attack, rows)):,} of them attacks or harmful")


if __name__ == "__main__":
    main()
