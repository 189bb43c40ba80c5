"""Relations: facts with slots, said in several ways, from which pairs with a known answer are made.

A relation knows its ways of saying one fact, ways of saying its contrary, weaker statements that follow from it, statements
that stay open, and the slots that have one value only. So the answer of every pair follows from what was exchanged, not from
how the texts look: the same words with exchanged roles contradict or stay open, other words may say the same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from models.pairs.recipe.denying import negated
from models.pairs.recipe.words import reworded

ENTAILS, CONTRADICTS, NEUTRAL, NOT_ENTAILED = 0, 1, 2, 3
"""`NOT_ENTAILED`: it contradicts or stays open; which of them is a matter of taste."""
LABELS = ("entails", "contradicts", "neutral")
Maker = Callable[[random.Random], str]
Values = dict[str, str]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts, and whether `b` follows from `a`, contradicts it, or neither. `why`: what was done, for lists of errors."""

    a: str
    b: str
    label: int
    why: str


@dataclass(frozen=True, slots=True)
class Relation:
    """One kind of fact.

    slots: a maker of values for each slot. says: ways of saying the fact. denies: ways of saying that it is not so. weaker:
    statements with fewer slots that follow. open_: statements about the same things that neither follow nor contradict.
    single: slots that have one value for the others, so another value contradicts. swapped: two slots whose exchange
    contradicts (`True`) or stays open (`False`). asks: questions that the fact answers;
    the same question in several ways.
    """

    slots: Mapping[str, Maker]
    says: Sequence[str]
    denies: Sequence[str] = ()
    weaker: Sequence[str] = ()
    open_: Sequence[str] = ()
    single: Sequence[str] = ()
    swapped: tuple[str, str, bool] | None = None
    asks: Sequence[str] = ()
    topic: str = ""
    _names: frozenset[str] = field(default=frozenset())

    def values(self, rng: random.Random) -> Values:
        return {name: make(rng) for name, make in self.slots.items()}


def filled(template: str, values: Mapping[str, str]) -> str:
    """Returns a sentence: slots filled, the first letter a capital."""
    text = re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)
    return text[:1].upper() + text[1:]


def other(relation: Relation, values: Values, slot: str, rng: random.Random) -> Values | None:
    """Returns the values with another one in a slot; `None` if none is found."""
    for _ in range(12):
        new = relation.slots[slot](rng)
        if new.lower() != values[slot].lower() and not _same_amount(new, values[slot]):
            return {**values, slot: new}
    return None


_AMOUNTS = {
    "12 months": "one year",
    "24 months": "two years",
    "36 months": "three years",
    "14 days": "two weeks",
    "7 days": "one week",
    "60 days": "two months",
    "30 days": "a month",
}


def _same_amount(one: str, another: str) -> bool:
    return _AMOUNTS.get(one) == another or _AMOUNTS.get(another) == one


def said(relation: Relation, values: Values, rng: random.Random, ways: Sequence[str]) -> str:
    return reworded(filled(rng.choice(ways), values), rng)


def pairs_of(relation: Relation, rng: random.Random) -> list[Pair]:
    """Returns one pair of each kind that the relation allows."""
    values = relation.values(rng)
    a = said(relation, values, rng, relation.says)
    found = [Pair(a, said(relation, values, rng, relation.says), ENTAILS, "reworded")]
    if relation.weaker:
        weak = said(relation, values, rng, relation.weaker)
        found += [Pair(a, weak, ENTAILS, "weaker"), Pair(weak, a, NEUTRAL, "more than was said")]
    if relation.denies:
        denial = said(relation, values, rng, relation.denies)
        found += [Pair(a, denial, CONTRADICTS, "denied"), Pair(denial, a, CONTRADICTS, "denied")]
    found += _denied(a, said(relation, values, rng, relation.says), rng)
    told = [slot for slot in relation.slots if all(f"{{{slot}}}" in way for way in relation.says)]
    for slot in rng.sample(told, min(2, len(told))):
        if new := other(relation, values, slot, rng):
            label = CONTRADICTS if slot in relation.single else NEUTRAL
            found.append(Pair(a, said(relation, new, rng, relation.says), label, f"another {slot}"))
            denials = [way for way in relation.denies if f"{{{slot}}}" in way]
            if denials and slot not in relation.single:  # what is denied of another thing stays open
                found.append(Pair(a, said(relation, new, rng, denials), NEUTRAL, f"denied of another {slot}"))
    if relation.swapped:
        one, two, contradicts = relation.swapped
        turned = {**values, one: values[two], two: values[one]}
        if turned != values:
            label = CONTRADICTS if contradicts else NEUTRAL
            found.append(Pair(a, said(relation, turned, rng, relation.says), label, "roles exchanged"))
    if relation.open_:
        found.append(Pair(a, said(relation, values, rng, relation.open_), NEUTRAL, "not said"))
    if len(relation.asks) > 1:
        one, two = (filled(way, values) for way in rng.sample(list(relation.asks), 2))
        found += [Pair(reworded(one, rng), reworded(two, rng), ENTAILS, "question reworded")]
        slot = rng.choice(list(relation.slots))
        if f"{{{slot}}}" in one + two and (new := other(relation, values, slot, rng)):
            asked = filled(rng.choice(list(relation.asks)), new)
            if asked != filled(rng.choice(list(relation.asks)), values) and new[slot].lower() in asked.lower():
                found.append(Pair(one, reworded(asked, rng), NEUTRAL, "question about another thing"))
    return found


def _denied(a: str, other: str, rng: random.Random) -> list[Pair]:
    """Returns pairs of a fact, said in two ways, and its denials by rule: who denies the same says the same."""
    no, neither = negated(a, rng), negated(other, rng)
    found = [Pair(other, no, CONTRADICTS, "denied by rule"), Pair(no, a, CONTRADICTS, "denied by rule")] if no else []
    if no and neither and no != neither:
        found.append(Pair(no, neither, ENTAILS, "both denied by rule"))
    return found


def document(relations: Sequence[Relation], rng: random.Random, most: int = 6) -> list[Pair]:
    """Returns pairs of a passage of several facts and one sentence: supported, contradicted or not found."""
    chosen = rng.sample(list(relations), rng.randint(2, most))
    facts = [(relation, relation.values(rng)) for relation in chosen]
    passage = " ".join(_ended(said(relation, values, rng, relation.says), rng) for relation, values in facts)
    relation, values = rng.choice(facts)
    found = [Pair(passage, _ended(said(relation, values, rng, relation.says), rng), ENTAILS, "passage: true")]
    if relation.weaker:
        found.append(
            Pair(passage, _ended(said(relation, values, rng, relation.weaker), rng), ENTAILS, "passage: weaker")
        )
    if relation.denies:
        found.append(
            Pair(passage, _ended(said(relation, values, rng, relation.denies), rng), CONTRADICTS, "passage: denied")
        )
    found += [
        Pair(passage, denied, CONTRADICTS, "passage: denied by rule")
        for denied in [negated(_ended(said(relation, values, rng, relation.says), rng), rng)]
        if denied
    ]
    if relation.single:
        slot = rng.choice(list(relation.single))
        if new := other(relation, values, slot, rng):
            found.append(
                Pair(
                    passage,
                    _ended(said(relation, new, rng, relation.says), rng),
                    CONTRADICTS,
                    f"passage: another {slot}",
                )
            )
    if relation.swapped:
        one, two, contradicts = relation.swapped
        turned = {**values, one: values[two], two: values[one]}
        found.append(
            Pair(
                passage,
                _ended(said(relation, turned, rng, relation.says), rng),
                CONTRADICTS if contradicts else NEUTRAL,
                "passage: roles exchanged",
            )
        )
    if relation.open_:
        found.append(
            Pair(passage, _ended(said(relation, values, rng, relation.open_), rng), NEUTRAL, "passage: not said")
        )
    absent = rng.choice([one for one in relations if one not in chosen])
    found.append(
        Pair(
            passage, _ended(said(absent, absent.values(rng), rng, absent.says), rng), NEUTRAL, "passage: another matter"
        )
    )
    return found


def _ended(text: str, rng: random.Random) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."
