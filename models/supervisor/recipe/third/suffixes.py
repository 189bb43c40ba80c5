"""Puts meaningless pieces of words and code behind a request, as a search for adversarial suffixes does.

In: training rows, pieces of words and a seeded generator. Out: rows of short requests with such a suffix. Harmful and
harmless requests get suffixes of the same kind and in the same number, so that a suffix by itself means nothing. A harmful
request with one is a disguised one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from models.supervisor.recipe.second.balance import is_harmful
from models.supervisor.recipe.second.outputs import JAILBREAK, Row

MOST_CHARS = 220
"""Characters of a request that gets a suffix."""
OF_EACH = 1200
"""Rows of each label."""
PIECES = (5, 28)
"""Pieces of a suffix."""
SIGNS = (
    "{", "}", "[[", "](", "\\(", ")}", "```", "==", "--", "/*", "*/", "<!--", "-->", "{%", "%}", ";;", "::", '"]', "('", "$$",
    "##", "@{", "=>", "&&", "||", "\\n", "?>", "!!", "`.", "~~",
)  # fmt: skip
CASES = (str.lower, str.lower, str.title, str.upper)
SHARE_OF_SIGNS, SHARE_JOINED = 0.25, 0.35
SOURCES = {True: "own/suffix", False: "own/suffixless"}


def suffix(words: Sequence[str], rng: random.Random) -> str:
    """Pieces of words in mixed case, some joined, with signs of code between them."""
    text = ""
    for _ in range(rng.randint(*PIECES)):
        is_sign = rng.random() < SHARE_OF_SIGNS
        piece = rng.choice(SIGNS) if is_sign else rng.choice(CASES)(rng.choice(words))
        text += piece if not text or rng.random() < SHARE_JOINED else f" {piece}"
    return text


def is_request(row: Row) -> bool:
    """Whether a row is a short message of which it is known whether it is harmful, and which is no attack otherwise."""
    told = row["targets"]
    return (
        row["channel"] == "user"
        and row["span"] is None
        and len(row["text"]) <= MOST_CHARS
        and told.get("harmful") is not None
        and not (told.get(JAILBREAK) or told.get("override") or told.get("extraction"))
        and is_harmful(row) == bool(told["harmful"])
    )


def with_suffix(row: Row, words: Sequence[str], rng: random.Random) -> Row:
    """The row with a suffix: a disguise, which makes a harmful request a jailbreak."""
    text = f"{row['text']}{rng.choice((' ', ' ', chr(10)))}{suffix(words, rng)}"
    harmful = bool(row["targets"]["harmful"])
    told = row["targets"] | {"obfuscation": 1, JAILBREAK: int(harmful)}
    return row | {"text": text, "targets": told, "source": SOURCES[harmful]}


def suffixed(rows: Sequence[Row], words: Sequence[str], rng: random.Random) -> list[Row]:
    """At most `OF_EACH` rows with a suffix for each label, as many of one as of the other."""
    by_label: dict[bool, list[Row]] = {True: [], False: []}
    for row in rows:
        if is_request(row):
            by_label[is_harmful(row)].append(row)
    count = min(OF_EACH, *map(len, by_label.values()))
    return [with_suffix(row, words, rng) for own in by_label.values() for row in rng.sample(own, count)]
