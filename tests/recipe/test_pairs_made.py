"""Pairs that are made for the training: the same for a seed, with labels that hold for what was exchanged."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from models.pairs.recipe import slots, words
from models.pairs.recipe.business import RELATIONS
from models.pairs.recipe.compose import SHARES, compose, makers, med
from models.pairs.recipe.deeds import amount_pairs, deed_pairs
from models.pairs.recipe.everyday import scene_pairs, story_pairs
from models.pairs.recipe.intents import ASKS, intent, intent_pairs, near
from models.pairs.recipe.phrases import Passages, phrase_pairs
from models.pairs.recipe.real import Texts, passage_pairs, question_pairs, sentence_pairs
from models.pairs.recipe.relations import ENTAILS, LABELS, NOT_ENTAILED, Pair, document, other, pairs_of

Make = Callable[[random.Random], list[Pair]]
OWN: dict[str, Make] = {
    "relations": lambda rng: pairs_of(rng.choice(RELATIONS), rng),
    "documents": lambda rng: document(RELATIONS, rng),
    "scenes": scene_pairs,
    "stories": story_pairs,
    "intents": intent_pairs,
    "deeds": deed_pairs,
    "amounts": amount_pairs,
}
SENTENCES = [
    f"In {1950 + at}, {first} was a member of the council of {city} and won {at + 2} prizes for the new bridge."
    for at, (first, city) in enumerate(zip(slots.FIRST[:12], slots.CITIES[:12], strict=True))
]
STORIES = [
    "Anna has 12 red apples in a basket. She gives three apples to the old man. How many are left?",
    "Ben bought a blue kite at the market. Tom lost the kite in the park on Monday. Was he sad?",
    "A shop sells 30 chairs in a day. The owner orders 40 lamps for the window. Who buys them?",
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of data sets with a few made rows."""

    def write(name: str, rows: list[dict[str, object]]) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)

    rows: list[dict[str, object]] = []
    for at, text in enumerate(SENTENCES):
        names = ((slots.FIRST[at], "PERSON"), (slots.CITIES[at], "LOCATION"))
        spans = [
            {"start": text.index(name), "end": text.index(name) + len(name), "label": label} for name, label in names
        ]
        rows.append({"text": text, "spans": spans})
    write("pii/wikigold.jsonl", rows)
    write("pii/crossner.jsonl.gz", [])
    asked = ["How do you open a locked door", "who wrote the long letter?", "What is the height of the old tower?"]
    write("benign/wikianswers_questions.jsonl.gz", [{"text": text} for text in asked])
    write("benign/nq_open.jsonl.gz", [{"text": "when did the first train leave the station"}])
    write("benign/gsm8k.jsonl.gz", [{"text": text, "kind": "instruction"} for text in STORIES])
    write("pairs/med_monotonicity.jsonl.gz", [{"a": "All dogs ran.", "b": "Some dogs ran.", "label": "entails"}])
    return tmp_path


def by_others(data: Path) -> dict[str, Make]:
    texts = Texts(data)
    passages = Passages(data, texts)
    return {
        "real": lambda rng: sentence_pairs(texts, rng),
        "passages": lambda rng: passage_pairs(texts, rng),
        "questions": lambda rng: question_pairs(texts, rng),
        "phrases": lambda rng: phrase_pairs(passages, rng),
    }


def check(make: Make, count: int = 150) -> None:
    """Sound pairs: filled slots, a known label, nothing that does not follow from itself; and the same for a seed."""
    for seed in range(count):
        pairs = make(random.Random(seed))
        assert pairs == make(random.Random(seed))
        for pair in pairs:
            assert all((pair.a, pair.b, pair.why)), pair
            assert 0 <= pair.label <= NOT_ENTAILED, pair
            assert not set("{}") & set(pair.a + pair.b), pair
            assert pair.label == ENTAILS or pair.a != pair.b, pair


@pytest.mark.parametrize("name", OWN)
def test_own_pairs_are_sound(name: str) -> None:
    check(OWN[name])


@pytest.mark.parametrize("name", ["real", "passages", "questions", "phrases"])
def test_pairs_of_texts_by_others_are_sound(name: str, data: Path) -> None:
    check(by_others(data)[name], 60)


def test_a_training_has_pairs_of_every_maker_and_every_label(data: Path) -> None:
    texts = Texts(data)
    passages = Passages(data, texts)
    rows = compose(texts, passages, med(data), random.Random(5), 600)
    assert {row.label for row in rows} == {*range(len(LABELS)), NOT_ENTAILED}
    assert Pair("All dogs ran.", "Some dogs ran.", ENTAILS, "MED") in rows
    assert makers(texts, passages).keys() == SHARES.keys()
    assert sum(SHARES.values()) == pytest.approx(1)


def test_another_value_is_not_the_same_amount() -> None:
    relation = next(relation for relation in RELATIONS if relation.single == ["time"])
    values = {**relation.values(random.Random(1)), "time": "12 months"}
    found = [other(relation, values, "time", random.Random(seed)) for seed in range(50)]
    assert all(new and new["time"] not in ("12 months", "one year") for new in found)


def test_a_near_intent_is_another_one() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        one = intent(rng)
        another, why = near(one, rng)
        assert another != one, why
    assert all(len(ways) > 1 and all("{d}" in way for way in ways) for ways in ASKS.values())


def test_words_that_mean_the_same_are_not_contrary() -> None:
    both = {frozenset(pair) for pair in words.SAME} & {frozenset(pair) for pair in words.CONTRARY}
    assert both == set()
    assert words.exchanged("the shop is open", words.CONTRARY, random.Random(1)) == "the shop is closed"
    assert words.exchanged("qwerty", words.CONTRARY, random.Random(1)) is None
