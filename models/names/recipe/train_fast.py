"""Train the tagger `fast`: from the data sets to `fast.pt`, in some minutes on one core.

In: the folder of the data sets (`GUARDPROXY_DATA`), own rows, and texts that the network marked (silver.py). Out:
weights, the numbers of the known words, and the lists. Rows change from epoch to epoch: names are exchanged, and a part
is damaged (noise.py). Where a set does not mark dates or nationalities, a word outside of its names may be one of those.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from guardproxy.inference.names import forms
from models.names.recipe.compose import Pool, compose
from models.names.recipe.fast import LABELS, ROW, Fast, Text, Vocabulary, batch, encode, loss_of
from models.names.recipe.lists import FIRST, LARGE_CITY, LAST, lists
from models.names.recipe.noise import UNKNOWN, damaged, exchanged, mended, pairs
from models.names.recipe.silver import MOST_CHARS, REPOSITORIES, is_code, is_for_training
from models.names.recipe.splits import read, rows
from models.names.recipe.vectors import vectors

Row = dict[str, Any]
SEED = 20_26
OWN = Path(__file__).parent / "own"
OPEN = {"synth": 0, "composed": 0, "own": 0, "silver": 0, "contextual": 2}
SHARE = {"synth": 0.5, "wikigold": 2, "wnut17": 3, "btc": 2, "contextual": 1.5, "own": 6, "silver": 1}
CODE, TOOLS = (REPOSITORIES, "benign/nl2bash.jsonl.gz"), "benign/tool_outputs.jsonl.gz"
COMPOSED = 20_000
LEAST, RARE = 2, 12
_PEOPLE = re.compile(r"[A-Z][a-z]+(?: [A-Z]\.)? [A-Z][a-z]+(?:[ -][A-Z][a-z]+)?")
_LETTERS = re.compile(r"[^\W\d_]+")


def trusted(row: Row, known: dict[int, int]) -> Row:
    """Returns a row that the network marked, without what it takes for people in texts of programs: single words that stand
    in no list of names (lists.py: `known`). In documents and commands a name also counts only when the network is sure."""
    if row["source"] not in (*CODE, TOOLS):
        return row
    spans = []
    for span in row["spans"]:
        name = row["text"][span["start"] : span["end"]]
        is_alone = span["label"] == "PERSON" and len(forms.words(name)) == 1
        is_program = is_alone and not known.get(forms.number(forms.lowered(name)), 0) & (FIRST | LAST)
        if row["source"] in CODE and span["label"] != "DATE_TIME" and (is_program or span["score"] < 0.9):
            continue
        is_unsure = is_program or (is_alone and row["source"] in CODE)
        spans.append({**span, "label": UNKNOWN} if is_unsure else span)
    return {**row, "spans": spans}


def code(data: Path, known: dict[int, int]) -> list[Row]:
    """Returns the code of repositories as rows without a name. What may be one there, an author or a city of an example,
    is `IGNORED`."""

    def lists_of(word: str) -> int:
        return known.get(forms.number(forms.lowered(word)), 0)

    found = []
    for row in read(data / REPOSITORIES):
        text = row["text"]
        if not is_for_training(row) or not is_code(text[:MOST_CHARS]):
            continue
        people = [match for match in _PEOPLE.finditer(text) if lists_of(match[0].split()[0]) & FIRST]
        cities = [match for match in _LETTERS.finditer(text) if match[0].istitle() and lists_of(match[0]) & LARGE_CITY]
        spans = [{"start": match.start(), "end": match.end(), "label": UNKNOWN} for match in (*people, *cities)]
        found.append({"text": text, "spans": spans, "source": "code"})
    return found


def gather(
    data: Path, own: Path, silver: Path | None, without: tuple[str, ...], known: dict[int, int]
) -> list[tuple[str, Row]]:
    found = [(name, row) for name, part, row in rows(data) if part == "train" and name not in without]
    found = [(name, mended(row, LABELS) if name == "contextual" else row) for name, row in found]
    for path in sorted(own.glob("*.jsonl")):
        if not path.stem.endswith("-test") and "own" not in without:
            found += [("own", json.loads(line)) for line in path.read_text("utf-8").split("\n") if line]
    found += [("code", row) for row in code(data, known)]
    if silver:
        found += [
            ("silver", trusted(json.loads(line), known)) for line in silver.read_text("utf-8").split("\n") if line
        ]
    return found


def epoch(found: list[tuple[str, Row]], pool: Pool, rng: random.Random) -> list[Text]:
    by: dict[str, list[Row]] = {}
    for name, row in found:
        share = SHARE.get(name, 1)
        for _ in range(int(share) + (rng.random() < share % 1)):
            change = 0.6 if name == "contextual" else 0.0 if name in ("synth", "silver", "code") else 0.25
            by.setdefault(name, []).append(exchanged(row, pool, rng, change) if change else row)
    by["composed"] = compose(rng, pool, COMPOSED)
    texts = []
    for name, own in by.items():
        rng.shuffle(own)
        joined = pairs(own, rng, 0.1)
        for row in joined:
            text = encode(damaged(row, rng), OPEN.get(name, 1))
            if len(text.words) > 96:  # as long as what is read at once later
                low = rng.randrange(0, min(len(text.words) - 60, 40))
                for at in range(low, len(text.words), 90):
                    cut = slice(at, at + 90)
                    if any(tag >= 0 for tag in text.tags[cut]):
                        texts.append(Text(text.words[cut], text.gaps[cut], text.tags[cut], text.open))
            elif text.words and any(tag >= 0 for tag in text.tags):
                texts.append(text)
    rng.shuffle(texts)
    return texts


def batches(texts: list[Text], size: int) -> list[list[Text]]:
    out, now, count = [], [], 0
    for text in texts:
        now.append(text)
        count += len(text.words)
        if count >= size:
            out.append(now)
            now, count = [], 0
    return out + ([now] if now else [])


def vocabulary(texts: list[Text], bits: dict[int, int], most: int) -> tuple[Vocabulary, list[str]]:
    counts: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for text in texts:
        seen.update(text.words)
    for word, count in seen.items():
        counts[forms.lowered(forms.folded(word))] += count
    chosen = [form for form, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= LEAST][
        :most
    ]
    by_number = {forms.number(form): form for form in reversed(chosen)}
    known = Vocabulary(sorted(by_number), bits)
    for number, row in known.rows.items():
        known.rare[row] = counts[by_number[number]] < RARE
    return known, [by_number[number] for number in sorted(by_number)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"))
    parser.add_argument("--out", type=Path, default=Path("build/names/fast.pt"))
    parser.add_argument(
        "--own", type=Path, default=OWN, help="folder of rows written by hand; `*-test.jsonl` is left out"
    )
    parser.add_argument("--silver", type=Path, help="texts that the network marked; see silver.py")
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--own-rate", type=float, default=0.005)
    parser.add_argument("--words", type=int, default=40_000)
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("name the folder of the data sets with --data or GUARDPROXY_DATA")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # the same weights from the same rows
    rng, numbers = random.Random(SEED), np.random.default_rng(SEED)
    listed = lists()
    found = gather(args.data, args.own, args.silver, tuple(args.without), listed)
    print(Counter(name for name, _ in found), flush=True)
    pool = Pool(rng)
    texts = epoch(found, pool, rng)
    words, known = vocabulary(texts, listed, args.words)
    steps_an_epoch = len(batches(texts, args.tokens))
    print(
        f"{len(words.rows):,} words, {sum(len(t.words) for t in texts):,} tokens, {steps_an_epoch} steps an epoch",
        flush=True,
    )
    network = Fast(len(known))
    network.own.weight.data[1:] = torch.from_numpy(vectors(known, ROW))
    own = [network.own.weight]
    others = [p for name, p in network.named_parameters() if not name.startswith("own")]
    optimizers = [
        torch.optim.Adam(others, lr=args.rate, betas=(0.9, 0.98)),
        torch.optim.Adagrad(own, lr=args.own_rate, initial_accumulator_value=1e-9),
    ]
    total = args.epochs * steps_an_epoch
    pace = lambda at: min((at + 1) / 100, max(0.01, (total - at) / total))  # noqa: E731
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, pace) for optimizer in optimizers]
    begun = time.time()
    for number in range(args.epochs):
        network.train()
        losses = []
        for chosen in batches(texts, args.tokens):
            b = batch(chosen, words, numbers)
            loss = loss_of(network(b), b.tags, b.open)
            network.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(others, 2.0)
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                schedule.step()
            losses.append(loss.item())
        print(f"epoch {number + 1}: loss {np.mean(losses):.4f}, {time.time() - begun:.0f} s", flush=True)
        torch.save({"weights": network.state_dict(), "known": list(words.rows), "lists": words.lists}, args.out)
        if number + 1 < args.epochs:
            texts = epoch(found, pool, rng)


if __name__ == "__main__":
    main()
