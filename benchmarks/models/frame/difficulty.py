"""Questions whose length says nothing of their difficulty: short hard ones, long easy ones, and the two plain cases.

In: nothing. Out: `Question`s. `texts/difficulty/short.txt` holds short questions by kind, `long.txt` everyday texts with easy
(`.`) and hard (`x`) requests about them. So in a long question the request alone decides.

"Hard" means that a small model is likely to give a worse answer than a large one. It is a judgement, not a measured score.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from benchmarks.models.frame.filling import blocks


@dataclass(frozen=True, slots=True)
class Question:
    """`kind`: what is asked for, such as a proof or a fact."""

    text: str
    is_hard: bool
    is_long: bool
    kind: str


@cache
def questions() -> tuple[Question, ...]:
    """All questions, the long ones first."""
    return tuple(_read())


def _read() -> Iterator[Question]:
    number = 0  # of the long question
    for title, lines in blocks("difficulty"):
        about = [line.removeprefix("> ") for line in lines if line.startswith("> ")]
        level, _, group = title.partition(": ")
        for line in lines:
            sign, _, text = line.partition(" ")
            if sign == ">":
                continue
            if not about:
                yield Question(text, level == "hard", False, group)
                continue
            kind, _, request = text.partition(": ")
            number += 1
            parts = (request, *about) if number % 3 == 0 else (*about, request)  # the request stands first in a third
            yield Question("\n\n".join(parts), sign == "x", True, kind)
