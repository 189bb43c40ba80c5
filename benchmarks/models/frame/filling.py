"""Fills the gaps of hand-written sentences with values.

In: pools of values by name, and sentences with gaps. Out: sentences. A gap names a pool: `{city}` is the value that the case
has, `{city2}` and `{city3}` are others of the same pool. Whole numbers can be reckoned with, from left to right:
`{weeks*7}`, `{100-walk-bus}`. A form follows a colon: `w` writes a number up to thirteen as a word, `W` begins with a capital
letter, `,` separates thousands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

Value = int | str
Pools = Mapping[str, tuple[Value, ...]]
TEXTS = Path(__file__).parent / "texts"
VARIANTS = " || "
# fmt: off
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen")
# fmt: on
_GAP = re.compile(r"\{([^{}:]+)(?::([wW,]))?\}")
_PART = re.compile(r"[a-z_]+[23]?|\d+|[-+*]")


class FrameError(ValueError):
    """A text of the frame that cannot be read or filled."""


def pool(line: str) -> tuple[str, tuple[Value, ...]]:
    """Reads `$name: a | b | c`, or `$name: 2..9` for whole numbers."""
    name, _, written = line.removeprefix("$").partition(":")
    low, dots, high = written.strip().partition("..")
    if dots:
        return name.strip(), tuple(range(int(low), int(high) + 1))
    values = [value.strip() for value in written.split("|")]
    if len(values) != len(set(values)):
        raise FrameError(f"a value stands twice: {line}")
    if all(value.isdecimal() for value in values):
        return name.strip(), tuple(int(value) for value in values)
    return name.strip(), tuple(values)


@dataclass(frozen=True, slots=True)
class Case:
    """The values of one case, those of `{name}`, `{name2}` and `{name3}` in order."""

    values: Pools

    @classmethod
    def drawn(cls, pools: Pools, random: Random) -> Case:
        """Draws the values of a case: up to three different ones of each pool."""
        return cls({name: tuple(random.sample(values, min(3, len(values)))) for name, values in pools.items()})

    def fill(self, text: str) -> str:
        """Fills the gaps of a text. Raises `FrameError` for a gap that no pool has a value for."""
        return _GAP.sub(lambda gap: _form(self._value(gap[1]), gap[2]), text)

    def _value(self, written: str) -> Value:
        first, *rest = _PART.findall(written)
        value = self._part(first)
        for sign, part in zip(rest[::2], rest[1::2], strict=True):
            other = self._part(part)
            if not isinstance(value, int) or not isinstance(other, int):
                raise FrameError(f"{{{written}}} reckons with words")
            value = value + other if sign == "+" else value - other if sign == "-" else value * other
        return value

    def _part(self, part: str) -> Value:
        if part.isdecimal():
            return int(part)
        name, at = (part[:-1], int(part[-1]) - 1) if part[-1] in "23" else (part, 0)
        values = self.values.get(name, ())
        if at >= len(values):
            raise FrameError(f"no value for {{{part}}}")
        return values[at]


def _form(value: Value, form: str | None) -> str:
    if form == "W":
        written = str(value)
        return written[:1].upper() + written[1:]
    if isinstance(value, int) and form:
        return f"{value:,}" if form == "," else WORDS[value]
    return str(value)


def blocks(folder: str) -> Iterable[tuple[str, Sequence[str]]]:
    """Yields the title and the lines of each block of a folder of `texts/`. A block begins with `== title`; a line that begins
    with `#` and a space is a comment."""
    for path in sorted((TEXTS / folder).glob("*.txt")):
        for block in re.split(r"^== ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            title, *lines = block.splitlines()
            yield title.strip(), [line for line in lines if line.strip() and not line.startswith("# ")]
