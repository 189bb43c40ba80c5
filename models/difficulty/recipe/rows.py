"""Own labelled requests by kind, for the head that tells hard requests from easy ones.

In: a random generator, and long texts that a request may quote. Out: requests with whether they are hard. A request is hard if
an answer needs several steps of reasoning, special knowledge that must be applied, or a design; it is easy if it asks for a
fact, a phrase, or work on a text that is at hand. Length tells nothing: both kinds come short and long.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml


class LabelledRequest(NamedTuple):
    """A request to a model, the kind of task, and whether it is hard."""

    text: str
    kind: str
    hard: bool


_FILE: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("requests.yaml").read_text("utf-8"))
_SLOTS: Mapping[str, Sequence[str]] = _FILE["slots"]
EASY: Mapping[str, Sequence[str]] = _FILE["easy"]
HARD: Mapping[str, Sequence[str]] = _FILE["hard"]
_ABOUT_TEXT: Mapping[str, Mapping[str, Sequence[str]]] = _FILE["about_text"]
_CONTEXTS: Sequence[str] = _FILE["contexts"]
_OPENINGS = (
    "",
    "",
    "",
    "",
    "Hi! ",
    "Please help: ",
    "hey, ",
    "I have a question. ",
    "Hello, ",
    "For my class: ",
    "At work somebody asked me this. ",
)
_ENDINGS = (
    "",
    "",
    "",
    "",
    "",
    " Thanks!",
    " Thank you.",
    " please",
    " Keep it short.",
    " I am in a hurry.",
    " Explain briefly.",
)


def filled(template: str, rng: random.Random) -> str:
    """Returns a template with its slots filled, each with a draw of its own."""
    while "{" in template:
        name = template[template.index("{") + 1 : template.index("}")]
        template = template.replace(f"{{{name}}}", rng.choice(_SLOTS[name]), 1)
    return template


def requests(rng: random.Random, number: int, long_texts: Sequence[str]) -> list[LabelledRequest]:
    """Returns requests: half of them hard, of both some short, some with a preface, some about a long text."""
    found: list[LabelledRequest] = []
    for at in range(number):
        hard, form = at % 2 == 1, rng.random()
        if form < 0.3 and long_texts:
            found.append(_about_text(rng, rng.choice(long_texts), hard=hard))
            continue
        kinds = HARD if hard else EASY
        kind = rng.choice(list(kinds))
        text = filled(rng.choice(kinds[kind]), rng)
        if form < 0.4:
            text = "".join(rng.sample(_CONTEXTS, rng.randint(1, 3))) + text
        text = rng.choice(_OPENINGS) + text + rng.choice(_ENDINGS)
        found.append(LabelledRequest(text.lower() if rng.random() < 0.15 else text, kind, hard))
    return found


def _about_text(rng: random.Random, long_text: str, *, hard: bool) -> LabelledRequest:
    kinds = _ABOUT_TEXT["hard" if hard else "easy"]
    kind = rng.choice(list(kinds))
    asked = filled(rng.choice(kinds[kind]), rng)
    words = long_text.split(" ")
    start = rng.randrange(max(1, len(words) - 60))
    part = " ".join(words[start : start + rng.randint(30, 400)])
    text = f"{asked}\n\n{part}" if rng.random() < 0.7 else f"{part}\n\n{asked}"
    return LabelledRequest(text, kind, hard)
