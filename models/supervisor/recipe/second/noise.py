"""Disturbs texts as people and evaders do: typos, case, spacing, missing punctuation, look-alike signs.

In: a text and a seeded generator. Out: the text with one kind of noise. Harmful and harmless texts get the same noise, so
that noise by itself means nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

LEET = str.maketrans("aeiostAEIOST", "431057431057")
LOOKALIKES = str.maketrans("aeopcxyAEOPCX", "аеорсхуАЕОРСХ")
SHORTHAND = {"you": "u", "are": "r", "please": "pls", "for": "4", "to": "2", "your": "ur", "because": "bc", "and": "n"}


def _typos(text: str, rng: random.Random, share: float) -> str:
    """Swaps, drops or doubles a letter in about `share` of the longer words."""
    words = re.split(r"(\s+)", text)
    for at, word in enumerate(words):
        if len(word) < 4 or not word.isalpha() or rng.random() > share:
            continue
        place = rng.randrange(1, len(word) - 1)
        head, tail = word[:place], word[place:]
        words[at] = rng.choice((head + tail[1] + tail[0] + tail[2:], head + tail[1:], head + tail[0] + tail))
    return "".join(words)


def few_typos(text: str, rng: random.Random) -> str:
    return _typos(text, rng, 0.25)


def many_typos(text: str, rng: random.Random) -> str:
    return _typos(text, rng, 0.7)


def lower(text: str, _: random.Random) -> str:
    return text.lower()


def shout(text: str, _: random.Random) -> str:
    return text.upper()


def bare(text: str, _: random.Random) -> str:
    """Without punctuation."""
    return re.sub(r"[.,;:!?\"'()]", "", text)


def spacing(text: str, rng: random.Random) -> str:
    """With double spaces and line breaks."""
    return re.sub(" ", lambda _: rng.choice((" ", " ", "  ", "   ", " \n")), text)


def joined(text: str, rng: random.Random) -> str:
    """With some spaces missing."""
    return re.sub(" ", lambda _: "" if rng.random() < 0.2 else " ", text)


def shorthand(text: str, _: random.Random) -> str:
    return re.sub(r"\b\w+\b", lambda match: SHORTHAND.get(match[0].lower(), match[0]), text)


def leet(text: str, _: random.Random) -> str:
    return text.translate(LEET)


def lookalikes(text: str, rng: random.Random) -> str:
    """With some letters of another alphabet."""
    return "".join(letter.translate(LOOKALIKES) if rng.random() < 0.5 else letter for letter in text)


def zero_width(text: str, rng: random.Random) -> str:
    return "".join(letter + ("\u200b" if rng.random() < 0.3 else "") for letter in text)


Noise = Callable[[str, random.Random], str]
SLIPS: tuple[Noise, ...] = (few_typos, few_typos, many_typos, lower, lower, shout, bare, spacing, joined, shorthand)
"""What happens to honest writers too."""
DISGUISES: tuple[Noise, ...] = (leet, lookalikes, zero_width)
"""What is done on purpose: such a text is obfuscated."""


def disturb(text: str, rng: random.Random, disguise_share: float = 0.15) -> tuple[str, bool]:
    """The text with noise, and whether the noise is a disguise."""
    is_disguise = rng.random() < disguise_share
    return rng.choice(DISGUISES if is_disguise else SLIPS)(text, rng), is_disguise
