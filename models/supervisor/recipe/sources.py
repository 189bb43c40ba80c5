"""What each data set says of the outputs: its rows as training rows with targets, span and weight.

In: the rows of one file. Out: rows `{"text", "targets", "source", "span"}`. `targets`: output -> 0 or 1; an output that is
missing is unknown and costs nothing in training. `span`: where the attack stands in a longer text, or null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

OUTPUTS = (
    "jailbreak", "embedded_instruction", "hate", "harassment", "sexual", "violence", "self_harm", "illicit",
)  # fmt: skip
"""The network's outputs, in their order."""
Row = dict[str, Any]
Targets = dict[str, int]

INJECTION = ("jailbreak", "embedded_instruction")
CONTENT = tuple(name for name in OUTPUTS if name not in INJECTION)
FINE: Targets = dict.fromkeys(OUTPUTS, 0)
NO_ATTACK: Targets = dict.fromkeys(INJECTION, 0)
"""Of a text whose content nobody has judged."""
PLANTED: Targets = {"embedded_instruction": 1}
"""An attack inside a document: whether it also counts as a jailbreak of its reader is left open."""
DIRECT: Targets = {"jailbreak": 1}


def row(text: str, targets: Mapping[str, int], source: str, span: list[int] | None = None) -> Row:
    return {"text": text, "targets": dict(targets), "source": source, "span": span}


def is_leet(text: str) -> bool:
    """Whether many words mix letters and digits: machine-made copies of other rows of the same set."""
    split = re.findall(r"\S+", text)
    mixed = sum(bool(re.search(r"[a-zA-Z][013457@$]|[013457@$][a-zA-Z]", word)) for word in split)
    return mixed > max(1, len(split) // 6)


def messages(rows: Iterable[Row]) -> list[tuple[str, Targets, list[int] | None]]:
    """Chat messages, attacks or not."""
    return [(one["text"], DIRECT if one["label"] else FINE, None) for one in rows]


def neuralchemy(rows: Iterable[Row]) -> list[tuple[str, Targets, list[int] | None]]:
    """Two of three machine-made leetspeak copies are left out."""
    kept, leet = [], 0
    for one in rows:
        if is_leet(one["text"]):
            leet += 1
            if not one["label"] or leet % 3:
                continue
        kept.append(one)
    return messages(kept)


def synthetic_documents(rows: Iterable[Row]) -> list[tuple[str, Targets, list[int] | None]]:
    """An attack that its document escaped cannot be located and is left out."""
    found: list[tuple[str, Targets, list[int] | None]] = []
    for one in rows:
        at = one["text"].find(one["attack"]) if one["label"] else -1
        if at >= 0:
            found.append((one["text"], PLANTED, [at, at + len(one["attack"])]))
        elif not one["label"]:
            found.append((one["text"], FINE, None))
    return found


def bipia(rows: Iterable[Row]) -> list[tuple[str, Targets, list[int] | None]]:
    """The attack is the one line that no clean context holds."""
    given = list(rows)
    clean = {line for one in given if not one["label"] for line in one["text"].split("\n")}
    found: list[tuple[str, Targets, list[int] | None]] = []
    for one in given:
        foreign = [line for line in one["text"].split("\n") if line and line not in clean]
        if not one["label"]:
            found.append((one["text"], FINE, None))
        elif len(foreign) == 1:
            at = one["text"].index(foreign[0])
            found.append((one["text"], PLANTED, [at, at + len(foreign[0])]))
    return found


def harmful_prompts(rows: Iterable[Row]) -> list[tuple[str, Targets, list[int] | None]]:
    """Harmful questions without an attack: no injection, and what is known of their content."""
    meaning: dict[str, Targets] = {
        "harmful_other": {"illicit": 1}, "illicit": {"illicit": 1}, "cyber": {"illicit": 1}, "fraud": {"illicit": 1},
        "economic_harm": {"illicit": 1}, "privacy": {"illicit": 1}, "child_abuse": {"illicit": 1},
        "violence": {"violence": 1}, "sexual": {"sexual": 1}, "hate": {"hate": 1}, "political": {},
        "financial_advice": {},
    }  # fmt: skip
    return [(one["text"], NO_ATTACK | meaning[one["categories"][0]], None) for one in rows]


def davidson(rows: Iterable[Row]) -> list[tuple[str, Targets, list[int] | None]]:
    """`offensive` is profanity: no hate, and whether it is aimed at somebody is unknown. Doubtful rows are left out."""
    rude: Targets = NO_ATTACK | {"hate": 0, "self_harm": 0, "illicit": 0}
    found: list[tuple[str, Targets, list[int] | None]] = []
    for one in rows:
        if one["agree"] >= 0.99 or (one["categories"] == ["hate"] and one["agree"] > 0.6):
            targets = {(): FINE, ("hate",): NO_ATTACK | {"hate": 1}, ("offensive",): rude}[tuple(one["categories"])]
            found.append((one["text"], targets, None))
    return found


def stormfront(rows: Iterable[Row]) -> list[tuple[str, Targets, list[int] | None]]:
    return [(one["text"], NO_ATTACK | {"hate": one["label"]}, None) for one in rows]


def toxic_comments(rows: Iterable[Row]) -> list[tuple[str, Targets, list[int] | None]]:
    """Comments with an insult marked in them, and comments picked for another reason, which say nothing else."""
    return [(one["text"], NO_ATTACK | {"harassment": one["label"]}, None) for one in rows]


Reader = Callable[[Iterable[Row]], list[tuple[str, Targets, list[int] | None]]]
