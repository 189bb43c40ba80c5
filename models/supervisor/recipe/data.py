"""Reads the data folder and the own texts of the first generation, which second/data.py makes training rows of.

In: the folder named by GUARDPROXY_DATA (its README says what each file holds); the own texts in `own/`. Out: rows
`{"text", "targets", "source", "span"}`, see sources.py. Whole sources are held out: thresholds are chosen on `validation`, the
figures of the card come from `report`, no training on either. Sets under terms that forbid shipping (`-nc`) and sets whose
repository states no licence are only measured on. The same seed gives the same rows.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from models.supervisor.recipe.compose import compose, documents
from models.supervisor.recipe.sources import CONTENT, DIRECT, FINE, NO_ATTACK, PLANTED, Row, Targets, row

SEED = 20_26
OWN = Path(__file__).with_name("own")
REPEATS = {"direct": 5, "whole": 6, "chat": 4, "content": 4, "hand": 4}
"""How often each own text is taken: they are few and better than the rest."""
PLANTINGS = {"attacks": 5200, "fine": 5200}
"""Own documents with a planted attack, and the same with a sentence to people in its place."""
BLOCKS, HELD_OF = {"carriers": 1, "content": 1, "chat": 10}, 8
"""Of each eight blocks of own rows one is kept for validation. A block has twenty rows: twins stand side by side."""


def read(folder: Path, name: str) -> list[Row]:
    """The rows of one data set, plain or gzipped. Exits with a clear message when it is missing."""
    for path, opener in ((folder / f"{name}.jsonl", open), (folder / f"{name}.jsonl.gz", gzip.open)):
        if path.exists():
            with opener(path, "rt", encoding="utf-8") as lines:
                return [json.loads(line) for line in lines]
    sys.exit(f"data set `{name}` is not in {folder}")


def data_folder() -> Path:
    """The folder that GUARDPROXY_DATA names. Exits with a clear message when it is unset or missing."""
    named = os.environ.get("GUARDPROXY_DATA")
    if not named:
        sys.exit("set GUARDPROXY_DATA to the folder that holds `injection/`, `content/`, `benign/` and `pii/`")
    folder = Path(named)
    if missing := [part for part in ("injection", "content", "benign", "pii") if not (folder / part).is_dir()]:
        sys.exit(f"GUARDPROXY_DATA is {folder}, which holds no {' and no '.join(missing)}")
    return folder


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def grams(text: str, size: int = 8) -> Iterator[tuple[str, ...]]:
    split = words(text)
    return zip(*(split[at:] for at in range(size)), strict=False)


def overlap_filter(held_out: list[Row]) -> Callable[[str], bool]:
    """A test for "this text is (nearly) a held-out text": equal words, or a fifth of its 8-grams are held out."""
    whole = {" ".join(words(one["text"])) for one in held_out}
    known = {gram for one in held_out for gram in grams(one["text"])}

    def overlaps(text: str) -> bool:
        if " ".join(words(text)) in whole:
            return True
        own = list(grams(text))
        return bool(own) and sum(map(known.__contains__, own)) / len(own) >= 0.2

    return overlaps


def take(rows: list[Any], most: int, rng: random.Random) -> list[Any]:
    return rows if len(rows) <= most else rng.sample(rows, most)


def own(kind: str) -> tuple[list[Row], list[Row]]:
    """The own rows of a kind: those to train on, and those kept for validation."""
    with (OWN / f"{kind}.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    held = [at // BLOCKS.get(kind, 20) % HELD_OF == HELD_OF - 1 for at in range(len(rows))]
    return [one for one, out in zip(rows, held, strict=True) if not out], [
        one for one, out in zip(rows, held, strict=True) if out
    ]


def domains(text: str, rng: random.Random) -> str:
    """The text with its made-up `.example` domains under common ones, three times of four: that ending must mean nothing."""
    return (
        text
        if rng.random() < 0.25
        else text.replace(".example", rng.choice((".com", ".net", ".org", ".io", ".de", ".co")))
    )


def own_targets(one: Row) -> Targets:
    """What an own row says: `jailbreak` or `label` of a message, `embedded` of a document, `labels` of content."""
    if "labels" in one:
        return NO_ATTACK | {name: int(name in one["labels"]) for name in CONTENT}
    if "embedded" in one:
        return PLANTED if one["embedded"] else FINE
    return DIRECT if one.get("jailbreak", one.get("label")) else FINE


def framed_targets(one: Row) -> Targets:
    """What a harmful row of `own/test/framed.jsonl` says: "how to" is the form of a plain request and no wrapper."""
    return (NO_ATTACK if one["style"] == "how-to" else DIRECT) | {"harmful": 1}


def stance_targets(one: Row) -> Targets:
    """What a harmful row of `own/test/stance.jsonl` says: its kinds of harm, with the others left open."""
    return NO_ATTACK | dict.fromkeys((*one["labels"], "harmful"), 1)


def own_test(kind: str, harmful: Callable[[Row], Targets]) -> list[Row]:
    """The own test texts of a kind. `harmful`: what a row with label 1 says; a row with label 0 is harmless in every output."""
    rows = [json.loads(line) for line in (OWN / "test" / f"{kind}.jsonl").read_text("utf-8").splitlines()]
    return [row(one["text"], harmful(one) if one["label"] else FINE, f"own/test/{kind}{_style(one)}") for one in rows]


def _style(one: Row) -> str:
    return f":{one['style']}" if "style" in one else ""


def held_out(folder: Path) -> tuple[list[Row], list[Row]]:
    """Validation and report rows of the data folder."""
    rng = random.Random(SEED)

    def of(name: str, targets: Callable[[Row], Mapping[str, int]], most: int = 10**6, part: str = "") -> list[Row]:
        rows = take(read(folder, name), most, rng)
        return [row(one["text"], targets(one), f"{name}{part}") for one in rows]

    def fine(_: Row) -> Targets:
        return FINE

    def attack(one: Row) -> Targets:
        return DIRECT if one["label"] else FINE

    def harmful(one: Row) -> Mapping[str, int]:
        known = {"illicit": "illicit", "cyber": "illicit", "hate": "hate", "self_harm_or_overreliance": "self_harm"}
        named = {known[name]: 1 for name in one["categories"] if name in known}
        return named or {"harmful": one["label"]}

    tasks = read(folder, "benign/self_instruct_mtbench")
    trust = read(folder, "injection/tensor_trust_attacks")
    validation = [
        *of("benign/alpaca_eval_answers-nc", fine, 1000),
        *(
            row(one["text"], FINE, "benign/self_instruct:seed")
            for one in tasks
            if one["source"] == "self-instruct seed"
        ),
        *(row(one["text"], DIRECT, "injection/tensor_trust:extract") for one in trust if "extraction" in one["source"]),
    ]
    report = [
        *(row(one["text"], DIRECT, "injection/tensor_trust:hijack") for one in trust if "hijacking" in one["source"]),
        *of("injection/pypi_corpora", attack),
        *of("injection/seval_attack_en-nc", attack),
        *of("injection/tensor_trust_system_prompts", fine),
        *of("injection/mitre_frr_benign_cyber", fine),
        *(
            row(one["text"], FINE, "benign/self_instruct:rest")
            for one in tasks
            if one["source"] != "self-instruct seed"
        ),
        *of("benign/alpaca_instructions-nc", fine, 3000),
        *own_test("attacks", lambda _: DIRECT),
        *own_test("documents", lambda _: PLANTED),
        *own_test("triggers", fine),
        *of("content/surge_toxicity", lambda one: {"harassment": one["label"]}),
        *of("content/do_not_answer-nc", harmful),
        *of("content/seval_base_en-nc", harmful, 2000),
        *of("content/safety_tuned_llamas-nc", harmful, 2500),
        *own_test("framed", framed_targets),
        *own_test("stance", stance_targets),
    ]
    return validation, report


def own_rows(rng: random.Random) -> tuple[list[Row], list[Row]]:
    """Own texts, alone and planted in own documents: to train on, and to validate with."""
    train: list[Row] = []
    held: list[Row] = []
    for kind, repeats in REPEATS.items():
        mine, apart = own(kind)
        train += [row(one["text"], own_targets(one), f"own/{kind}") for one in mine] * repeats
        held += [row(one["text"], own_targets(one), f"own/{kind}:held") for one in apart]
    parts = [own(kind) for kind in ("carriers", "injected", "addressed")]
    for at, (into, scale) in enumerate(((train, 1.0), (held, 0.06))):
        carriers, injected, addressed = ([one["text"] for one in part[at]] for part in parts)
        carriers, injected, addressed = (
            [domains(text, rng) for text in part for _ in range(3)] for part in (carriers, injected, addressed)
        )
        made = documents(
            rng, carriers, injected, addressed, int(PLANTINGS["attacks"] * scale), int(PLANTINGS["fine"] * scale)
        )
        name = "own/documents" if into is train else "own/documents:held"
        into += [row(text, PLANTED if span else FINE, name, span) for text, span in made]
    train += [row(text, FINE, "own/addressed") for text in (one["text"] for one in parts[2][0])]
    train += [
        row(one["text"], DIRECT if one["label"] else FINE, "own/phrases")
        for one in compose(rng, fine=4000, attacks=1500)
    ]
    return [one if one["span"] else one | {"text": domains(one["text"], rng)} for one in train], held


def write(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8") as out:
        for one in rows:
            out.write(json.dumps(one, ensure_ascii=False) + "\n")
    print(f"{path.name}: {len(rows)} rows")
    table: Counter[tuple[str, str]] = Counter()
    for one in rows:
        positive = [name for name, value in one["targets"].items() if value]
        table.update((one["source"], name) for name in positive or ["-"])
    for (source, name), count in sorted(table.items()):
        print(f"  {source:44} {name:22} {count:6}")
