"""Composes the rows of a training: pairs from every maker, anew in each epoch, and rows by others that may be trained on."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

from models.pairs.recipe.business import RELATIONS
from models.pairs.recipe.deeds import amount_pairs, deed_pairs
from models.pairs.recipe.everyday import scene_pairs, story_pairs
from models.pairs.recipe.intents import intent_pairs
from models.pairs.recipe.phrases import Passages, phrase_pairs
from models.pairs.recipe.real import Texts, passage_pairs, question_pairs, sentence_pairs
from models.pairs.recipe.relations import ENTAILS, LABELS, NEUTRAL, Pair, document, pairs_of
from models.pairs.recipe.words import WIDER, exchanged, reworded

SHARES = {
    "relations": 0.12,
    "documents": 0.11,
    "scenes": 0.11,
    "stories": 0.13,
    "real": 0.06,
    "passages": 0.07,
    "questions": 0.06,
    "intents": 0.13,
    "deeds": 0.09,
    "amounts": 0.03,
    "phrases": 0.09,
}
"""Which share of the own pairs each maker makes."""


def makers(texts: Texts, passages: Passages) -> dict[str, Callable[[random.Random], list[Pair]]]:
    """The makers of pairs by name."""
    return {
        "relations": lambda rng: pairs_of(rng.choice(RELATIONS), rng),
        "documents": lambda rng: document(RELATIONS, rng),
        "scenes": scene_pairs,
        "stories": story_pairs,
        "real": lambda rng: sentence_pairs(texts, rng),
        "passages": lambda rng: passage_pairs(texts, rng),
        "questions": lambda rng: question_pairs(texts, rng),
        "intents": intent_pairs,
        "deeds": deed_pairs,
        "amounts": amount_pairs,
        "phrases": lambda rng: phrase_pairs(passages, rng),
    }


def med(data: Path) -> list[Pair]:
    """The rows of MED, which may be trained on."""
    with gzip.open(data / "pairs/med_monotonicity.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Pair(row["a"], row["b"], LABELS.index(row["label"]), "MED") for row in rows]


def wider_pairs(sentence: str, rng: random.Random) -> list[Pair]:
    """A sentence with a wider word: it follows if nothing is denied."""
    if any(
        word in f" {sentence.lower()} "
        for word in (" no ", " not ", "n't", " never ", " all ", " every ", " nobody ", " only ")
    ):
        return []
    wide = exchanged(sentence, WIDER, rng)
    return [Pair(sentence, wide, ENTAILS, "wider word"), Pair(wide, sentence, NEUTRAL, "narrower word")] if wide else []


def compose(texts: Texts, passages: Passages, others: list[Pair], rng: random.Random, count: int) -> list[Pair]:
    """Returns about `count` pairs: own ones by their shares, then those by others."""
    rows: list[Pair] = []
    for name, make in makers(texts, passages).items():
        wanted, made = int(count * SHARES[name]), 0
        while made < wanted:
            found = make(rng)
            if name == "scenes":
                found += wider_pairs(found[0].a, rng)
            rows += found
            made += len(found)
    rows += others
    # A text follows from itself; this is rare in what the makers make, and frequent in use.
    same = [Pair(row.a, reworded(row.a, rng, 1), ENTAILS, "the same") for row in rng.sample(rows, count // 50)]
    rows += same
    rng.shuffle(rows)
    return rows
