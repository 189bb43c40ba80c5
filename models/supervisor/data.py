"""Prepare the supervisor's data: from the data folder to `train.jsonl`, `validation.jsonl` and `report.jsonl`.

In: the folder named by GUARDPROXY_DATA with `injection/` and `benign/`; `hand.jsonl` and `phrases.txt` beside this
file. Out: rows `{"text", "label", "source", "span"}`; `span` is where the attack stands in a longer text, or null.
Whole sources are held out: the threshold is chosen on `validation`, the figures of the card come from `report`, no
training on either. A training row that shares text with a held-out row is dropped. The same seed gives the same files.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from models.supervisor.compose import compose

SEED = 20_26
HERE = Path(__file__).parent
Row = dict[str, Any]

VALIDATION = ("injection/deepset_train", "benign/writingbench_queries", "benign/self_instruct_mtbench:seed")
REPORT = (
    "injection/verazuo_jailbreaks",
    "injection/pypi_corpora",
    "injection/mitre_frr_benign_cyber",
    "benign/self_instruct_mtbench:others",
)
SEED_TASKS = (
    "self-instruct seed"  # a source of its own within self_instruct_mtbench: to validation; the others to report
)

# Most rows taken of each file: (attacks, fine texts). Templated families are capped low, real text is taken whole.
CAPS = {
    "injection/synth_indirect": (3000, 3000),
    "injection/synth_direct": (1900, 1338),
    "injection/jailbreak_templates_filled": (931, 0),
    "injection/neuralchemy": (2600, 400),
    "injection/bipia_train_in_context": (500, 300),
    "injection/plain_harmful_negatives": (0, 900),
    "injection/templated_benign_security": (0, 250),
    "injection/chatgpt_role_prompts": (0, 150),
    "benign/p3_prompts": (0, 4200),
    "benign/gsm8k": (0, 400),
}
SECOND_PASS_FINE = {"pii/synth_pii": 2400, "pii/contextual_anonymizer": 600}
SECOND_PASS_AGAIN = 5200
LONE_ATTACKS = 1300  # attacks of synth_indirect taken out of their documents, as a chat message
REPEATS = {"injection/chatgpt_role_prompts": 3, "injection/jailbreak_templates_filled": 2, "hand": 5}

# Attacks of BIPIA that are attacks wherever they stand; "What is the capital of Brazil?" is not one of these.
BIPIA_CATEGORIES = {
    "Malware Distribution", "Clickbait", "Persuasion", "Misspelling Intentionally", "Alphanumeric Substitution",
    "Homophonic Substitution", "Space Removal & Grouping", "Anagramming", "Social Interaction",
}  # fmt: skip


def read(folder: Path, name: str) -> list[Row]:
    """The rows of one data set, plain or gzipped. Exits with a clear message when it is missing."""
    for path, opener in ((folder / f"{name}.jsonl", open), (folder / f"{name}.jsonl.gz", gzip.open)):
        if path.exists():
            with opener(path, "rt", encoding="utf-8") as lines:
                return [json.loads(line) for line in lines]
    sys.exit(f"data set `{name}` is not in {folder}")


def held_out(folder: Path, names: tuple[str, ...]) -> list[Row]:
    """The rows of the sources named, `file` or `file:part`."""
    found = []
    for name in names:
        file, _, part = name.partition(":")
        rows = read(folder, file)
        if part:
            rows = [row for row in rows if (row["source"] == SEED_TASKS) == (part == "seed")]
        found += [slim(row, name) for row in rows]
    return found


def data_folder() -> Path:
    """The folder that GUARDPROXY_DATA names. Exits with a clear message when it is unset or missing."""
    named = os.environ.get("GUARDPROXY_DATA")
    if not named:
        sys.exit("set GUARDPROXY_DATA to the folder that holds `injection/` and `benign/`")
    folder = Path(named)
    if not (folder / "injection").is_dir() or not (folder / "benign").is_dir():
        sys.exit(f"GUARDPROXY_DATA is {folder}, which holds no `injection/` and `benign/`")
    return folder


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def grams(text: str, size: int = 8) -> Iterator[tuple[str, ...]]:
    split = words(text)
    for at in range(len(split) - size + 1):
        yield tuple(split[at : at + size])


def overlap_filter(held_out: list[Row]) -> Callable[[str], bool]:
    """A test for "this text is (nearly) a held-out text": equal words, or a fifth of its 8-grams are held out."""
    whole = {" ".join(words(row["text"])) for row in held_out}
    known = {gram for row in held_out for gram in grams(row["text"])}

    def overlaps(text: str) -> bool:
        if " ".join(words(text)) in whole:
            return True
        own = list(grams(text))
        return bool(own) and sum(gram in known for gram in own) / len(own) >= 0.2

    return overlaps


def is_leet(text: str) -> bool:
    """Whether many words mix letters and digits: machine-made copies of other rows of the same set."""
    split = re.findall(r"\S+", text)
    mixed = sum(bool(re.search(r"[a-zA-Z][013457@$]|[013457@$][a-zA-Z]", word)) for word in split)
    return mixed > max(1, len(split) // 6)


def bipia_spans(rows: list[Row]) -> list[Row]:
    """BIPIA rows with the span of their attack: the lines that no clean context holds. Others are dropped."""
    clean = {line for row in rows if not row["label"] for line in row["text"].split("\n")}
    kept = []
    for row in rows:
        if not row["label"]:
            kept.append(row)
            continue
        foreign = [line for line in row["text"].split("\n") if line and line not in clean]
        if len(foreign) == 1 and row["category"] in BIPIA_CATEGORIES and row["position"] != "start":
            at = row["text"].index(foreign[0])
            kept.append(row | {"span": [at, at + len(foreign[0])]})
    return kept


def take(rows: list[Row], most: int, rng: random.Random) -> list[Row]:
    return rows if len(rows) <= most else rng.sample(rows, most)


def balanced(rows: list[Row], most: int, rng: random.Random) -> list[Row]:
    """At most `most` rows, spread evenly over the templates (`source`) that they were made from."""
    rng.shuffle(rows)
    seen: Counter[str] = Counter()
    ranked = []
    for row in rows:
        seen[row["source"]] += 1
        ranked.append((seen[row["source"]], len(ranked), row))
    return [row for _, _, row in sorted(ranked, key=lambda item: item[:2])[:most]]


def training_rows(folder: Path, overlaps: Callable[[str], bool], rng: random.Random) -> list[Row]:
    """All rows to train on, capped and without held-out text."""
    chosen: list[Row] = []
    lone: list[Row] = []
    for name, (attacks, fine) in tqdm(CAPS.items(), desc="sources", unit="file"):
        rows = read(folder, name)
        if name.endswith("bipia_train_in_context"):
            rows = bipia_spans(rows)
        if name.endswith("neuralchemy"):
            plain = [row for row in rows if not is_leet(row["text"])]
            leet = [row for row in rows if row["label"] and is_leet(row["text"])]
            rows = plain + take(leet, 250, rng)
        rows = [row for row in rows if not overlaps(row["text"])]
        bad = take([row for row in rows if row["label"]], attacks, rng)
        good = balanced([row for row in rows if not row["label"]], fine, rng)
        if name.endswith("synth_indirect"):
            used = {row["attack"] for row in bad}
            spare = sorted({row["attack"] for row in rows if row["label"]} - used)
            lone = [{"text": text, "label": 1} for text in take(spare, LONE_ATTACKS, rng)]
            for row in bad:
                at = row["text"].find(row["attack"])
                row["span"] = [at, at + len(row["attack"])] if at >= 0 else None
            bad = [row for row in bad if row["span"]]  # an attack that its document escaped cannot be located
        kept = (bad + good) * REPEATS.get(name, 1)
        chosen += [slim(row, name) for row in kept]
    chosen += [slim(row, "injection/synth_indirect:attack") for row in lone]
    with (HERE / "hand.jsonl").open(encoding="utf-8") as lines:
        hand = [json.loads(line) for line in lines]
    own = compose(rng, fine=4600, attacks=1500)
    chosen += [slim(row, "composed") for row in own if not overlaps(row["text"])]
    chosen += [slim(row, "hand") for row in hand if not overlaps(row["text"])] * REPEATS["hand"]
    rng.shuffle(chosen)
    return chosen


def second_rows(folder: Path, train: list[Row], rng: random.Random) -> list[Row]:
    """Rows of the short second pass: ordinary texts full of names, numbers and addresses, among rows of the first."""
    chosen = rng.sample(train, SECOND_PASS_AGAIN)
    for name, most in SECOND_PASS_FINE.items():
        rows = [{"text": row["text"], "label": 0} for row in read(folder, name)]
        chosen += [slim(row, name) for row in take(rows, most, rng)]
    rng.shuffle(chosen)
    return chosen


def slim(row: Row, source: str) -> Row:
    return {"text": row["text"], "label": row["label"], "source": source, "span": row.get("span")}


def write(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{path.name}: {len(rows)} rows, {sum(row['label'] for row in rows)} attacks")
    table = Counter((row["source"], row["label"]) for row in rows)
    for (source, label), count in sorted(table.items()):
        print(f"  {source:44} {'attack' if label else 'fine':6} {count:6}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/supervisor"), help="folder for the three files")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    folder = data_folder()
    rng = random.Random(SEED)
    validation, report = held_out(folder, VALIDATION), held_out(folder, REPORT)
    train = training_rows(folder, overlap_filter(validation + report), rng)
    second = second_rows(folder, train, rng)
    for name, rows in (("train", train), ("second", second), ("validation", validation), ("report", report)):
        write(out / f"{name}.jsonl", rows)


if __name__ == "__main__":
    main()
