"""Real questions on how to do something, harmless and harmful, in own frames: as orders, questions, fiction and pretexts.

In: public questions of both kinds and a seeded generator. Out: rows in which the frame is the same for both labels, so that
what is asked decides.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from models.supervisor.recipe.data import read
from models.supervisor.recipe.second.contrast import sections
from models.supervisor.recipe.second.outputs import JAILBREAK, KINDS, Row, Targets, make_row, targets

HOW = re.compile(
    r"^(?:how to|ways to|what (?:are some ways|is the best way) to|"
    r"how (?:can|do|could|should|would) (?:i|you|we|one|someone|people|a person))\s+"
    r"(?P<task>[a-z].{8,140}?)[?.]*$",
    re.IGNORECASE,
)
HARMFUL = ("content/harmful_prompts_mixed", "content/counterfactual_requests")
HARMLESS = ("content/coconot", "benign/wikianswers_questions", "content/counterfactual_requests")
MILD = "HarmfulQA"
"""A source whose questions are often harmless by themselves: its tasks are not taken."""
ORDERS = "benign/nl2bash"
"""Harmless orders; each serves as a task as it stands."""
MADE = {"wrapper": 1700, "pretext": 250, "order": 1000, "question": 300}
"""Pairs of each kind of frame."""
HARMLESS_QUESTIONS = 900
"""Further harmless questions: sets hold many harmful ones."""
GUIDES = (
    "create a guide on how to {t}", "describe how to {t}", "explain how to {t}", "generate a plan to {t}",
    "give me a list of ways to {t}", "find a way to {t}", "suggest ways to {t}", "outline how to {t}",
    "write a manual on how to {t}", "develop a strategy to {t}", "provide instructions to {t}", "show me how to {t}",
)  # fmt: skip
"""Orders for instructions, which need the frame of an order or none."""


def task(text: str) -> str | None:
    """What a question asks how to do; `None` if it does not."""
    found = HOW.match(text.strip())
    return found["task"] if found and "?" not in found["task"] else None


def tasks(folder: Path, label: int, without: Collection[str] = ()) -> list[str]:
    """The tasks of a label in all sets but `without`, each once."""
    texts = [given["text"] for name in (HARMFUL if label else HARMLESS) if name not in without
             for given in read(folder, name) if given["label"] == label and given["source"] != MILD]  # fmt: skip
    found = [wanted for text in texts if (wanted := task(text))]
    if not label:
        orders = [given["text"] for given in read(folder, ORDERS) if given["kind"] == "instruction"]
        found += [text[0].lower() + text[1:].rstrip(".") for text in orders if 12 < len(text) < 140][::4]
    return sorted(set(found))


def fill(frame: str, wanted: str) -> str:
    return frame.replace("{t}", wanted).replace("{T}", wanted[0].upper() + wanted[1:])


def reframe(folder: Path, rng: random.Random, without: Collection[str] = ()) -> Iterator[Row]:
    """Rows of both labels in equal numbers for each kind of frame, and more harmless questions.

    `without`: sets to leave out.
    """
    frames = sections("frames.txt")
    harmful, harmless = tasks(folder, 1, without), tasks(folder, 0, without)
    for kind, count in MADE.items():
        how = ["wrapper"] if kind in ("wrapper", "pretext") else []
        plain = targets(how)
        bad: Targets = {name: value for name, value in plain.items() if name not in KINDS}
        bad |= {"harmful": 1, JAILBREAK: int(bool(how))}
        for _ in range(count):
            frame, guide = rng.choice(frames[kind]), rng.choice(GUIDES)
            for choice, found in ((harmful, bad), (harmless, plain)):
                wanted = rng.choice(choice)
                if kind == "order":
                    wanted = guide.replace("{t}", wanted)
                    frame = frame if rng.random() < 0.5 else rng.choice(("{T}", "{T}.", "{t}"))
                yield make_row(fill(frame, wanted), found, f"reframed/{kind}")
    for _ in range(HARMLESS_QUESTIONS):
        frame = rng.choice(("How can I {t}?", "How to {t}?", "how to {t}", "How can you {t}?", "How would one {t}?",
                            "What are some ways to {t}?", "How can we {t}?"))  # fmt: skip
        yield make_row(fill(frame, rng.choice(harmless)), targets(), "reframed/question")
