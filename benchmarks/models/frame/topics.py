"""Topics with examples, texts on them and texts on other things: ten topics of our own, and more by other hands.

In: for topics by others, the data folder (`GUARDPROXY_DATA`). Out: `Topic`s. A file of `texts/topics/` holds topics. There, `:`
begins the sentence that names one, `+` an example, `.` a text on the topic that nothing is fitted on, `x` a text that shares
words with the topic and is on something else.

What others put under one heading is taken for a topic here; only the sentence is ours. Such a heading may be loose: a subject
of an exam holds questions that hardly belong to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.models.frame.by_others import rows
from benchmarks.models.frame.filling import blocks

EXAMPLES = 10
LIMIT_CHARS = 600


@dataclass(frozen=True, slots=True)
class Topic:
    """`about`: the topic in a sentence; `examples`: what is fitted on; `texts`: others on the topic; `near`: texts that share
    words with it and are on something else."""

    name: str
    about: str
    examples: tuple[str, ...]
    texts: tuple[str, ...]
    near: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heading:
    """What others put under one heading: rows of a file whose `field` has a value and whose `kind` is the given one."""

    name: str
    about: str
    path: str
    field: str = ""
    value: str = ""
    kind: str = ""

    def fits(self, row: Mapping[str, Any]) -> bool:
        has_value = not self.field or row.get(self.field) == self.value
        return has_value and (not self.kind or row.get("kind") == self.kind) and len(row["text"]) <= LIMIT_CHARS


_MMLU = "benign/mmlu_sensitive_subjects.jsonl.gz"
_CAIA = "content/caia_safe_sensitive.jsonl.gz"
HEADINGS = (
    Heading("nutrition", "Food, nutrients and diets in human health.", _MMLU, "source", "MMLU nutrition"),
    Heading("virology", "Viruses, viral diseases and how they spread.", _MMLU, "source", "MMLU virology"),
    Heading(
        "prehistory",
        "Early humans and ancient cultures, as archaeology knows them.",
        _MMLU,
        "source",
        "MMLU prehistory",
    ),
    Heading("religions", "The religions of the world and their teachings.", _MMLU, "source", "MMLU world_religions"),
    Heading(
        "law of nations", "International law: treaties, states and courts.", _MMLU, "source", "MMLU international_law"
    ),
    Heading("computer security", "The security of computers and networks.", _MMLU, "source", "MMLU computer_security"),
    Heading("philosophy", "Philosophers and their arguments.", _MMLU, "source", "MMLU philosophy"),
    Heading(
        "public relations", "Public relations: media, campaigns, crises.", _MMLU, "source", "MMLU public_relations"
    ),
    Heading("old age", "Ageing, and the life and health of old people.", _MMLU, "source", "MMLU human_aging"),
    Heading("foreign policy", "The foreign policy of the United States.", _MMLU, "source", "MMLU us_foreign_policy"),
    Heading("drugs", "Medicines and drugs: effects, risks and safe use.", _CAIA, "topic", "drug-safety", "prompt"),
    Heading("workplace", "Problems at work: colleagues, bosses, rights.", _CAIA, "topic", "workplace-safety", "prompt"),
    Heading(
        "couples",
        "Trouble in relationships with a partner.",
        "content/counsel_chat.jsonl.gz",
        "category",
        "question: relationships",
        "prompt",
    ),
    Heading("shell", "Commands for the shell of Linux.", "benign/nl2bash.jsonl.gz", "", "", "instruction"),
    Heading("sums", "Word problems of school mathematics.", "benign/gsm8k.jsonl.gz", "", "", "instruction"),
)
TRAFFIC = ("benign/nq_open.jsonl.gz", "benign/wikianswers_questions.jsonl.gz", "benign/alpaca_instructions-nc.jsonl.gz")
"""Traffic on all kinds of things. Some of it is on the topics, too, so no share of it that is found is a share of errors."""


@cache
def own() -> tuple[Topic, ...]:
    """The topics that were written for this folder."""
    return tuple(
        Topic(name, _of_sign(lines, ": ")[0], _of_sign(lines, "+ "), _of_sign(lines, ". "), _of_sign(lines, "x "))
        for name, lines in blocks("topics")
    )


def _of_sign(lines: Sequence[str], sign: str) -> tuple[str, ...]:
    return tuple(line.removeprefix(sign) for line in lines if line.startswith(sign))


def by_others(data: Path, seed: int, most: int = 200) -> list[Topic]:
    """The topics of `HEADINGS`, with ten examples drawn by the seed and at most a number of other texts."""
    topics = []
    for heading in HEADINGS:
        found = list(dict.fromkeys(row["text"] for row in rows(data / heading.path) if heading.fits(row)))
        drawn = Random(f"{seed} {heading.name}").sample(found, min(len(found), EXAMPLES + most))
        topics.append(Topic(heading.name, heading.about, tuple(drawn[:EXAMPLES]), tuple(drawn[EXAMPLES:])))
    return topics


def traffic(data: Path, seed: int, each: int) -> list[str]:
    """A number of texts of each file of `TRAFFIC`."""
    found = []
    for path in TRAFFIC:
        texts = [row["text"] for row in rows(data / path) if len(row["text"]) <= LIMIT_CHARS]
        found += Random(f"{seed} {path}").sample(texts, min(len(texts), each))
    return found
