"""Own texts in pairs that share all but the deciding words, composed from the lists beside this file.

In: `tasks.txt`, `frames.txt`, `thin.txt`, `overrides.txt`, `secrets.txt`, `places.txt`, `definition.jsonl` and a seeded
generator. Out: rows with the targets of outputs.py. Harmless and harmful rows come in equal numbers of each form.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from models.supervisor.recipe.second.outputs import KINDS, Row, make_row, targets

HERE = Path(__file__).parent
Sections = dict[str, list[str]]
FRAMES_OF_TASK = {"make": ("order", "wrapper", "pretext"), "do": ("question", "wrapper", "pretext")}
PICKED = {"order": 5, "question": 6, "wrapper": 7, "pretext": 1}
"""How many frames of each kind a task gets."""


def sections(name: str) -> Sections:
    """The lines of a list by the heading in brackets above them; `""` for lines without a heading."""
    found: Sections = {}
    heading = ""
    for line in (HERE / name).read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]") and " " not in line:
            heading = line[1:-1]
        elif line and not line.startswith("# "):
            found.setdefault(heading, []).append(line.replace("\\n", "\n"))
    return found


def definition() -> list[Row]:
    """The examples of the definition, as training rows."""
    lines = (HERE / "definition.jsonl").read_text("utf-8").splitlines()
    return [
        make_row(example["text"], targets(example["how"], example["what"]), "own/definition", example["channel"])
        for example in map(json.loads, lines)
    ]


def requests(rng: random.Random) -> Iterator[Row]:
    """Harmful and harmless tasks in the same frames: orders, questions, fiction, role play and pretexts."""
    frames = sections("frames.txt")
    for form, lines in sections("tasks.txt").items():
        for line in lines:
            kind, harmful, harmless = line.split("|")
            for frame_kind in FRAMES_OF_TASK[form]:
                for frame in rng.sample(frames[frame_kind], PICKED[frame_kind]):
                    how = ["wrapper"] if frame_kind in ("wrapper", "pretext") else []
                    for task, kinds in ((harmful, [kind]), (harmless, [])):
                        text = frame.replace("{t}", task).replace("{T}", task[0].upper() + task[1:])
                        yield make_row(text, targets(how, kinds), f"own/{frame_kind}")


def thin(rng: random.Random, of_each: int = 4) -> Iterator[Row]:
    """Whole texts of the kinds of harm that public sets hold few of, each with a harmless twin that fills the same places.

    Twins share what stands before and after them, too.
    """
    parts = sections("thin.txt")
    places = {name: parts[name] for name in ("who", "adult", "when", "past", "where")}
    for kind in KINDS:
        for line in parts.get(kind, ()):
            form, *twins = line.split("|")
            for _ in range(of_each):
                before = f"{rng.choice(parts['lead'])} " if form == "ask" and rng.random() < 0.35 else ""
                after = f" {rng.choice(parts['tail'])}" if form == "ask" and rng.random() < 0.3 else ""
                filled = {name: rng.choice(values) for name, values in places.items()}
                filled |= {name.capitalize(): value[0].upper() + value[1:] for name, value in filled.items()}
                for twin, what in zip(twins, ([kind], []), strict=True):
                    channel = "assistant" if form == "answer" else "user"
                    yield make_row(before + twin.format(**filled) + after, targets((), what), "own/thin", channel)


def overrides(rng: random.Random, count: int = 1300) -> Iterator[Row]:
    """Overrides before and after ordinary questions, and sentences with the same words that drop no rules."""
    parts = sections("overrides.txt")
    for _ in range(count):
        for kind, how in (("override", ["override"]), ("plain", [])):
            opening, question = rng.choice(parts[kind]), rng.choice(parts["question"])
            if how and rng.random() < 0.25:
                question = rng.choice(parts["answer"])
            if rng.random() < 0.3:
                opening = opening.rstrip(".")
            pieces = [opening, question] if rng.random() < 0.75 else [question, opening]
            text = rng.choice((" ", " ", "\n", ", and ", " - ", "\n\n")).join(pieces)
            yield make_row(text if rng.random() < 0.9 else opening, targets(how), f"own/{kind}")


def stances(rng: random.Random, of_each: int = 14) -> Iterator[Row]:
    """Sentences about groups: hateful and friendly, the latter with the same words; and dislike of things."""
    parts = sections("overrides.txt")
    for kind, what, names in (("hateful", ["hate"], "group"), ("friendly", [], "group"), ("dislike", [], "thing")):
        for frame in parts[kind]:
            for name in rng.sample(parts[names], min(of_each, len(parts[names]))):
                text = frame.replace("{g}", name).replace("{G}", name[0].upper() + name[1:])
                yield make_row(text, targets((), what), f"own/{kind}")


def secrets(repeats: int = 3) -> Iterator[Row]:
    """Requests for what the model keeps, in many manners and twelve languages, and the same requests for anything else."""
    parts = sections("secrets.txt")
    lines = [line.split("|", 2) for line in parts[""]]
    for _, kind, text in lines * repeats:
        yield make_row(text, targets(["extraction"] if kind == "a" else []), "own/secrets")
    for language in dict.fromkeys(language for language, *_ in lines):
        kept, free = (parts[f"{language}:{name}"] for name in ("kept", "open"))
        for frame in parts[f"{language}:ask"]:
            for asked, other in zip(kept, free, strict=True):
                yield make_row(frame.replace("{s}", asked), targets(["extraction"]), "own/secrets")
                yield make_row(frame.replace("{s}", other), targets(), "own/secrets")


def places(rng: random.Random, count: int = 2600) -> Iterator[Row]:
    """Tools' results with an order to the agent, and with a sentence to people at the same place after the same mark."""
    parts = sections("places.txt")
    marks = list(zip(parts["mark"], parts["clean"], strict=True))
    pairs = [line.split(" => ") for line in parts["pair"]]
    snippets = [line.split(" => ") for line in parts["snippet"]]
    for at in range(count):
        is_code = at % 5 == 0
        carrier = rng.choice(parts["code" if is_code else "carrier"])
        pair = rng.choice(snippets if is_code else pairs)
        marked = rng.random() < 0.6 and not is_code
        mark = rng.choice(marks) if marked else ("{m}", "{m}")
        for sentence, frame, how in ((pair[0], mark[0], ["order"]), (pair[1], mark[1], [])):
            planted = frame.replace("{m}", sentence) if "{m}" in frame else frame + sentence
            start = carrier.index("{s}")
            span = [start, start + len(planted)] if how else None
            yield make_row(carrier.replace("{s}", planted), targets(how), "own/places", "tool_result", span)


def own_orders(rng: random.Random, count: int = 400) -> Iterator[Row]:
    """A document and the user's own request about it in one message: no order in a document."""
    parts = sections("places.txt")
    asks = ("Summarise this.", "Forward this to the depot.", "Translate it into Polish.", "Reply in French, please.",
            "Delete the second line and send it back.", "Turn this into a table.", "Answer in one sentence: who is it for?",
            "Ignore the greeting and list the facts.", "Rewrite this for children.", "Find the mistake.")  # fmt: skip
    for _ in range(count):
        sentence = rng.choice(parts["pair"]).split(" => ")[1]
        document, ask = rng.choice(parts["carrier"][:-2]).replace("{s}", sentence), rng.choice(asks)
        text = f"{document}\n\n{ask}" if rng.random() < 0.6 else f"{ask}\n\n{document}"
        yield make_row(text, targets(), "own/own_orders")


def compose_rows(rng: random.Random) -> list[Row]:
    """All own rows in pairs; the definition's examples are taken six times."""
    return [
        *definition() * 6, *requests(rng), *thin(rng), *overrides(rng), *stances(rng), *secrets(), *places(rng),
        *own_orders(rng),
    ]  # fmt: skip
