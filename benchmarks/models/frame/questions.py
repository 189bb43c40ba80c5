"""Makes pairs of questions: rewordings, which one answer serves, and others that look alike and ask something else.

In: a seed and a number. Out: `QuestionPair`s, no pair twice. A file of `texts/questions/` holds groups. The signs at the start
of a line:

| sign | what follows |
|---|---|
| `$name:` or `$name kind:` | a pool of values; with a kind, another value makes another question |
| `?` | the question |
| `=` | questions that the same answer serves, between two bars |
| `! kind:` | questions that it does not serve |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random

from benchmarks.models.frame.filling import VARIANTS, Case, FrameError, Value, blocks, pool

REWORDING = "rewording"
TURNS_MOST = 500
"""How often each group is asked for a pair."""


@dataclass(frozen=True, slots=True)
class QuestionPair:
    """Two questions. `is_same`: whether one answer serves both; `kind`: what differs."""

    group: str
    first: str
    second: str
    kind: str
    is_same: bool


@dataclass(slots=True)
class Group:
    """`forms`: one question in several wordings; `others`: kind and another question; `kinds`: what a pool's value changes."""

    title: str
    pools: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    forms: list[str] = field(default_factory=list)
    others: list[tuple[str, str]] = field(default_factory=list)


@cache
def groups() -> tuple[Group, ...]:
    """Reads all groups. Raises `FrameError` for a line with an unknown sign."""
    return tuple(_group(title, lines) for title, lines in blocks("questions"))


def _group(title: str, lines: Sequence[str]) -> Group:
    group = Group(title)
    for line in lines:
        sign, _, text = line.partition(" ")
        if line.startswith("$"):
            named, values = pool(line)
            name, _, kind = named.partition(" ")
            group.pools[name] = values
            if kind:
                group.kinds[name] = f"other {kind}"
        elif sign in ("?", "="):
            group.forms += text.split(VARIANTS)
        elif sign == "!":
            kind, _, written = text.partition(": ")
            group.others += [(kind, other) for other in written.split(VARIANTS)]
        else:
            raise FrameError(f"unknown sign in {title}: {line}")
    return group


def rewordings(seed: int, number: int) -> list[QuestionPair]:
    """Makes a number of pairs that one answer serves, from all groups in turn; fewer if there are no more."""
    return _distinct(lambda group, turn: _same(group, Random(f"{seed} same {turn} {group.title}")), number)


def others(seed: int, number: int) -> list[QuestionPair]:
    """Makes a number of pairs that one answer does not serve, from all groups and kinds in turn; fewer if there are no more."""
    return _distinct(lambda group, turn: _other(group, turn, Random(f"{seed} other {turn} {group.title}")), number)


def _distinct(make: Callable[[Group, int], QuestionPair | None], number: int) -> list[QuestionPair]:
    found: dict[tuple[str, str], QuestionPair] = {}
    for turn in range(TURNS_MOST):
        for group in groups():
            pair = make(group, turn)
            if pair is not None:
                found.setdefault((pair.first, pair.second), pair)
            if len(found) == number:
                return list(found.values())
    return list(found.values())


def _same(group: Group, random: Random) -> QuestionPair:
    case = Case.drawn(group.pools, random)
    first, second = random.sample(group.forms, 2)
    return QuestionPair(group.title, case.fill(first), case.fill(second), REWORDING, is_same=True)


def _other(group: Group, turn: int, random: Random) -> QuestionPair | None:
    """The kinds of a group take turns. Half of the first questions are in the wording that the other one was made from."""
    case = Case.drawn(group.pools, random)
    first = group.forms[0] if random.random() < 0.5 else random.choice(group.forms)
    at = turn % (len(group.others) + len(group.kinds))
    if at < len(group.others):
        kind, second = group.others[at]
        return QuestionPair(group.title, case.fill(first), case.fill(second), kind, is_same=False)
    name = list(group.kinds)[at - len(group.others)]
    second = first if random.random() < 0.5 else random.choice(group.forms)
    turned = (*case.values[name][1:], case.values[name][0])
    changed = Case({**case.values, name: turned})
    if changed.fill(second) == case.fill(second):
        return None  # this wording does not name the value
    return QuestionPair(group.title, case.fill(first), changed.fill(second), group.kinds[name], is_same=False)
