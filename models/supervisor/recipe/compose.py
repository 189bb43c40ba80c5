"""Own texts for training, joined from `phrases.txt`: harmless requests and attacks in fifteen languages.

In: the phrases and a seeded random generator. Out: rows `{"text", "label"}`. They exist because other sets hold attacks
in many languages but harmless text in one, which teaches that a foreign language is an attack.
"""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

PHRASES = Path(__file__).with_name("phrases.txt")


def phrases() -> dict[str, dict[str, list[str]]]:
    """Language -> kind -> phrases."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for line in PHRASES.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            language, kind, texts = line.split("|", 2)
            found[language][kind] += texts.split(";") if language != "fr" else texts.replace(" ; ", "\0").split(";")
    return found


def compose(rng: random.Random, fine: int, attacks: int, english_share: float = 0.6) -> list[dict[str, Any]]:
    """`fine` harmless rows and `attacks` attacks; half of the attacks follow a harmless request in their language."""
    known = phrases()
    foreign = sorted(set(known) - {"en"})

    def fill(text: str, kinds: dict[str, list[str]]) -> str:
        for mark, kind in (("{p}", "pair"), ("{x}", "input"), ("{t}", "topic"), ("{s}", "said"), ("{d}", "task")):
            text = text.replace(mark, rng.choice(kinds[kind])) if mark in text else text
        return text.replace("\0", " ; ").replace("\\n", "\n")

    def harmless(kinds: dict[str, list[str]]) -> str:
        if "answer" in kinds and rng.random() < 0.12:
            return fill(rng.choice(kinds["answer"]), kinds)
        count = rng.choice((1, 1, 1, 2, 3))
        return " ".join(fill(rng.choice(kinds[rng.choice(("ask", "ask", "say"))]), kinds) for _ in range(count))

    def language(share: float) -> dict[str, list[str]]:
        return known["en" if rng.random() < share else rng.choice(foreign)]

    rows = [{"text": harmless(language(english_share)), "label": 0} for _ in range(fine)]
    for _ in range(attacks):
        kinds = language(0.6)
        text = fill(rng.choice(kinds["attack"]), kinds)
        if rng.random() < 0.5:
            text = f"{harmless(kinds)} {text}"
        rows.append({"text": text.upper() if rng.random() < 0.04 else text, "label": 1})
    unique = {row["text"]: row for row in rows}
    return list(unique.values())


MARK = "{{here}}"
Made = tuple[str, list[int] | None]


def documents(
    rng: random.Random, carriers: list[str], injected: list[str], addressed: list[str], attacks: int, fine: int
) -> list[Made]:
    """Documents with one planted attack and its span, and documents without: at the same places stand sentences to people.

    `carriers` hold `MARK` where a sentence may stand. Every carrier, attack and sentence is used about equally often.
    """
    made = []
    for at in range(attacks + fine):
        poisoned = at < attacks
        pieces = carriers[at % len(carriers)].split(MARK)
        chosen = rng.randrange(1, len(pieces)) if len(pieces) > 1 else 0
        text, span = pieces[0], None
        for number, piece in enumerate(pieces[1:], 1):
            if number == chosen and poisoned:
                attack = rng.choice(injected)
                span = [len(text), len(text) + len(attack)]
                text += attack
            elif rng.random() < (0.15 if poisoned else 0.45):
                text += rng.choice(addressed)
            text += piece
        if poisoned and span is None:
            continue
        made.append((text, span))
    return made
