"""Passages that people wrote and statements about them: sentences and clauses of it, some with a phrase of another sentence.

In: passages of Wikipedia and word problems of school mathematics (`benign/gsm8k`, stories of a few sentences). A statement is
true if it is a sentence or clause of the passage, shortened, or with the name that its pronoun stands for. It is wrong, or not
found, if a noun phrase, a name or a number of it is one that another sentence of the passage has.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from models.pairs.recipe import slots as s
from models.pairs.recipe.denying import negated
from models.pairs.recipe.real import Texts, noisy, rows_of, shorter
from models.pairs.recipe.relations import CONTRADICTS, ENTAILS, NEUTRAL, NOT_ENTAILED, Pair
from models.pairs.recipe.words import reworded

_STORIES = "benign/gsm8k.jsonl.gz"
_SENTENCE = re.compile(r"(?<=[a-z0-9)][.!?])\s+(?=[A-Z])")
_PHRASE = re.compile(
    r"(?<![$\w.,])(?:an?|the|his|her|their|its|some|two|three|four|five|six|seven|eight|nine|ten|\d{1,3})"
    r" (?:(?!is |was |are |were |and |of |in |on |more |less |as |for |to )[a-z]+"
    r" )?(?!more\b|less\b|other\b|same\b|now\b)[a-z]{3,}"
    r"(?=[.,;]| (?:in|on|at|for|to|from|with|by|and|is|was|were|are|has|had|of|that|which|who|when|after|before|because)\b)"
)
_CLAUSE = re.compile(
    r",? (?:and then|and so|but|because|so that|while|after|before|when|where|which|who|, and|, so)\b.*$"
)
_PRONOUN = re.compile(r"^(She|He)\b")
_NUMBER = re.compile(r"(?<![\w.,$])\d{1,4}(?![\w%]|[.,]\d)")
_NAMES = re.compile(rf"\b(?:{'|'.join(sorted([*s.FIRST, *s.MORE_NAMES], key=len, reverse=True))})\b")
_CLOSED = re.compile(
    r"\b(?:not|no|never|only|without|few|nor|n't|unless|if|every|all|most|how|what)\b|n't\b", re.IGNORECASE
)


class Passages:
    """Passages as lists of sentences."""

    def __init__(self, data: Path, texts: Texts) -> None:
        stories = [str(row["text"]) for row in rows_of(data / _STORIES) if row["kind"] == "instruction"]
        split = [[part for part in _SENTENCE.split(text) if not part.endswith("?")] for text in stories]
        self.stories = [parts for parts in split if len(parts) > 1 and all(len(part) > 15 for part in parts)]
        self.sentences = [text for text, _ in texts.sentences]

    def draw(self, rng: random.Random) -> list[str]:
        """Returns the sentences of a passage. Some are two stories in a row: what is said of one is not said of the other."""
        if rng.random() < 0.6:
            parts = list(rng.choice(self.stories))
            return parts + list(rng.choice(self.stories)) if rng.random() < 0.4 else parts
        at = rng.randrange(len(self.sentences) - 8)
        return self.sentences[at : at + rng.randint(2, 6)]


def _true(at: int, parts: Sequence[str], rng: random.Random) -> str:
    """Returns a sentence of a passage with less in it, or with the name that its pronoun stands for."""
    text = parts[at]
    if (match := _PRONOUN.match(text)) and len(known := set(_NAMES.findall(" ".join(parts[:at])))) == 1:
        text = text.replace(match[0], known.pop(), 1)
    if not _CLOSED.search(text):
        if rng.random() < 0.5 and (found := _CLAUSE.search(text)) and found.start() > 20:
            text = text[: found.start()] + "."
        if rng.random() < 0.4:
            text = shorter(text) or text
    return text


def _exchanged(text: str, others: Sequence[str], pattern: re.Pattern[str], rng: random.Random) -> str | None:
    """Returns the text with one of its matches replaced by a match of another text, which the text lacks."""
    own = list(pattern.finditer(text))
    theirs = [found[0] for other in others for found in pattern.finditer(other) if found[0].lower() not in text.lower()]
    if not own or not theirs:
        return None
    match = rng.choice(own)
    new = rng.choice(theirs)
    return text[: match.start()] + new + text[match.end() :]


def phrase_pairs(passages: Passages, rng: random.Random) -> list[Pair]:
    """Returns pairs of a passage and statements."""
    parts = passages.draw(rng)
    passage = " ".join(parts)
    at = rng.randrange(len(parts))
    true = _true(at, parts, rng)
    rest = [*parts[:at], *parts[at + 1 :]]

    def say(text: str) -> str:
        return noisy(reworded(text, rng, 2), rng)

    found = [Pair(passage, say(true), ENTAILS, "phrases: true")]
    for pattern, label, why in (
        (_PHRASE, NOT_ENTAILED, "phrases: a thing from beside"),
        (_NAMES, NOT_ENTAILED, "phrases: a name from beside"),
        (_NUMBER, NOT_ENTAILED, "phrases: a number from beside"),
    ):
        if (new := _exchanged(true, rest, pattern, rng)) and new not in passage:
            found.append(Pair(passage, say(new), label, why))
    if rng.random() < 0.3 and (new := _exchanged(true, [rng.choice(passages.stories)[0]], _PHRASE, rng)):
        found.append(Pair(passage, say(new), NOT_ENTAILED, "phrases: a thing from elsewhere"))
    if rng.random() < 0.4 and (new := negated(true, rng)):
        found.append(Pair(passage, say(new), CONTRADICTS, "phrases: denied"))
    if rng.random() < 0.4:
        found.append(Pair(passage, say(rng.choice(rng.choice(passages.stories))), NEUTRAL, "phrases: another story"))
    if rng.random() < 0.3 and len(rest) > 1:  # the sentence itself is gone
        found.append(Pair(" ".join(rest), say(true), NOT_ENTAILED, "phrases: without the sentence"))
    return found
