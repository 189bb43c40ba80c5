"""Makes documents with sentences of answers: true ones, altered ones and ones that the document does not hold.

In: a seed, a number of documents. Out: `Statement`s with their kind and their truth. A document has 40 to 2,000 words in
passages: the facts of one scene, remarks on the same entities, and passages on other subjects.

A file of `texts/statements/` holds scenes. The signs at the start of a line:

| sign | what follows |
|---|---|
| `$` | a pool of values |
| `-` | a fact as the document tells it, in wordings between two bars |
| `=` and a letter | a true sentence |
| `!` and a sign | an altered one |
| `+` and a sign | one that is not in the document |
| `~` | a remark on the same entities that decides nothing |

`KINDS` says what each sign means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Literal

from benchmarks.models.frame.filling import VARIANTS, Case, FrameError, Pools, blocks, pool

Truth = Literal["supported", "contradicted", "absent"]
VERBATIM = "true: verbatim"
JOINED: dict[Truth, str] = {
    "supported": "true: two sentences as one",
    "contradicted": "altered: one half of two",
    "absent": "added: beside a true half",
}
KINDS: dict[str, tuple[Truth, str]] = {
    "=r": ("supported", "true: reworded"),
    "=s": ("supported", "true: other syntax"),
    "=u": ("supported", "true: units and reckoning"),
    "=m": ("supported", "true: two facts"),
    "=w": ("supported", "true: weaker"),
    "!n": ("contradicted", "altered: negation"),
    "!a": ("contradicted", "altered: opposite"),
    "!#": ("contradicted", "altered: number"),
    "!u": ("contradicted", "altered: unit"),
    "!d": ("contradicted", "altered: date or span"),
    "!x": ("contradicted", "altered: names exchanged"),
    "!r": ("contradicted", "altered: roles exchanged"),
    "!q": ("contradicted", "altered: quantifier"),
    "!o": ("contradicted", "altered: order in time"),
    "!c": ("contradicted", "altered: condition"),
    "+n": ("absent", "added: with a name"),
    "+#": ("absent", "added: with a number"),
    "+d": ("absent", "added: detail"),
    "+k": ("absent", "added: known to everyone"),
}
GOALS = {
    "negations and exchanges": (
        *("altered: negation", "altered: opposite", "altered: names exchanged", "altered: roles exchanged"),
    ),
    "other alterations": (
        *("altered: number", "altered: unit", "altered: date or span", "altered: quantifier", "altered: order in time"),
        *("altered: condition", "altered: one half of two"),
    ),
    "additions": (
        *("added: with a name", "added: with a number", "added: detail", "added: known to everyone"),
        *("added: beside a true half",),
    ),
}
"""Kinds of sentences that a document does not support, in groups."""
SIZES_WORDS = (40, 120, 250, 500, 1000, 2000)
"""The least words of a document; the smallest holds one or two facts, the others a whole scene."""
LONGEST_WORDS = 2000
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_PROPER = ("Europe", "Millbrook")
"""First words of sentences that keep their capital letter inside a sentence."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of an answer. `truth`: what the passages say about it; `words`: the length of the document."""

    domain: str
    passages: tuple[str, ...]
    sentence: str
    truth: Truth
    kind: str

    @property
    def document(self) -> str:
        return "\n\n".join(self.passages)

    @property
    def words(self) -> int:
        return len(self.document.split())


@dataclass(slots=True)
class Fact:
    """`told`: its wordings in a document; `sentences`: what is said about it, by sign."""

    told: Sequence[str]
    sentences: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Scene:
    domain: str
    pools: dict[str, tuple[int | str, ...]] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    whole: list[tuple[str, str]] = field(default_factory=list)  # sentences that need the whole scene
    remarks: list[str] = field(default_factory=list)


@cache
def scenes() -> tuple[Scene, ...]:
    """Reads all scenes. Raises `FrameError` for a line with an unknown sign."""
    return tuple(_scene(title, lines) for title, lines in blocks("statements"))


def _scene(domain: str, lines: Sequence[str]) -> Scene:
    scene = Scene(domain)
    for line in lines:
        sign, _, text = line.partition(" ")
        if line.startswith("$"):
            name, values = pool(line)
            scene.pools[name] = values
        elif sign == "-":
            scene.facts.append(Fact(text.split(VARIANTS)))
        elif sign == "~":
            scene.remarks.append(text)
        elif sign not in KINDS:
            raise FrameError(f"unknown sign in {domain}: {line}")
        elif sign == "=m" or sign.startswith("+"):
            scene.whole.append((sign, text))
        else:
            scene.facts[-1].sentences.append((sign, text))
    return scene


def statements(seed: int, documents: int, each: int = 12) -> list[Statement]:
    """Makes `each` statements for each of a number of documents, a third of them true. Scenes and sizes take turns."""
    made: list[Statement] = []
    for number in range(documents):
        random = Random(f"{seed} {number}")
        scene = scenes()[number % len(scenes())]
        size = SIZES_WORDS[(number // len(scenes()) + number) % len(SIZES_WORDS)]
        made += _of_document(scene, size, each, random)
    return made


def _of_document(scene: Scene, size: int, each: int, random: Random) -> Iterator[Statement]:
    case = Case.drawn(scene.pools, random)
    facts = scene.facts if size > SIZES_WORDS[0] else [scene.facts[0], random.choice(scene.facts[1:])]
    told = [case.fill(random.choice(fact.told)) for fact in facts]
    passages = _passages(scene, case, told, size, random)
    whole = scene.whole if len(facts) == len(scene.facts) else [row for row in scene.whole if row[0] != "=m"]
    rows = [(number, *KINDS[sign], text) for number, fact in enumerate(facts) for sign, text in fact.sentences]
    rows += [(WHOLE, *KINDS[sign], text) for sign, text in whole]
    rows += [(WHOLE, truth, kind, text) for truth, kind, text in _joined(rows, random)]
    verbatim = [sentence for text in told for sentence in _SENTENCE.split(text) if "?" not in sentence]
    rows += [(WHOLE, "supported", VERBATIM, sentence) for sentence in verbatim]
    for truth, kind, text in _chosen([row[1:] for row in rows], each, random):
        yield Statement(scene.domain, passages, case.fill(text), truth, kind)


WHOLE = -1
"""Stands for the number of a fact where a sentence is on no fact alone."""
Row = tuple[Truth, str, str]


def _joined(rows: Sequence[tuple[int, Truth, str, str]], random: Random) -> Iterator[Row]:
    """Yields a true sentence together with another true one, with an altered one and with an added one, in either order. They
    are on different facts."""
    simple = [row for row in rows if ", and " not in row[3]]
    for truth, kind in JOINED.items():
        fact, _, _, first = random.choice([row for row in simple if row[1] == "supported" and row[0] != WHOLE])
        second = random.choice([text for other, at, _, text in simple if at == truth and other != fact])
        yield truth, kind, joined(*random.sample((first, second), 2))


def joined(first: str, second: str) -> str:
    """Two sentences with gaps as one."""
    if not second.startswith(("{", *_PROPER)):
        second = second[:1].lower() + second[1:]
    elif ":W}" in second.partition(" ")[0]:
        second = second.replace(":W}", "}", 1)
    return f"{first.removesuffix('.')}, and {second}"


def _chosen(rows: Sequence[Row], each: int, random: Random) -> list[Row]:
    """As many rows of each truth, of different kinds as long as there are some."""
    chosen: list[Row] = []
    for truth in ("supported", "contradicted", "absent"):
        kinds: dict[str, list[Row]] = {}
        for row in random.sample(rows, len(rows)):
            if row[0] == truth:
                kinds.setdefault(row[1], []).append(row)
        queue = [
            row for turn in range(max(map(len, kinds.values()))) for at in kinds.values() for row in at[turn : turn + 1]
        ]
        chosen += queue[: each // 3]
    return chosen


def _passages(scene: Scene, case: Case, told: Sequence[str], size: int, random: Random) -> tuple[str, ...]:
    """The facts in order, in one to three passages with remarks on the same entities, among passages on other subjects."""
    lines = list(told)
    for remark in random.sample(scene.remarks, random.randint(0 if size == SIZES_WORDS[0] else 1, len(scene.remarks))):
        lines.insert(random.randint(1, len(lines)), case.fill(remark))
    cuts = sorted(random.sample(range(1, len(lines)), min(len(lines) - 1, random.randint(0, 2))))
    own = [" ".join(lines[low:high]) for low, high in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    own = [passage for passage in own if passage]
    others: list[str] = []
    pool_of_scenes = [other for other in scenes() if other.domain != scene.domain]
    random.shuffle(pool_of_scenes)
    count = sum(len(passage.split()) for passage in own)
    for other in pool_of_scenes * 2:
        passage = _other(other, other.pools, random)
        count += len(passage.split())
        if count - len(passage.split()) >= size or count > LONGEST_WORDS:
            break
        others.append(passage)
    at = random.randint(0, len(others))
    return (*others[:at], *own, *others[at:])


def _other(scene: Scene, pools: Pools, random: Random) -> str:
    """A passage on another subject."""
    case = Case.drawn(pools, random)
    lines = [random.choice(fact.told) for fact in scene.facts]
    lines += random.sample(scene.remarks, 1)
    return case.fill(" ".join(lines))
