"""Figures of found names: overlap F1, what leaks, and what is found where nothing is.

In: texts with marked spans and found ones. Out: figures. A finding is right when it overlaps a marked name of its label, and a
name is found when a finding of its label overlaps it: where exactly an address or a title is cut differs from set to set.
*Leaked* is the share of the characters of marked names that no finding covers, whatever its label.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Span = tuple[int, int, str]
NAMES = ("PERSON", "LOCATION", "ORGANIZATION")
ALL = (*NAMES, "DATE_TIME", "NRP")


def joined(spans: Iterable[Span], text: str) -> list[Span]:
    """Returns the spans with places that touch as one: `Elm Street, Springfield, IL 62704`."""
    out: list[Span] = []
    for start, end, label in sorted(spans):
        if (
            out
            and label == "LOCATION" == out[-1][2]
            and not text[out[-1][1] : start].strip(" ,\n")
            and start - out[-1][1] <= 3
        ):
            out[-1] = (out[-1][0], end, label)
        else:
            out.append((start, end, label))
    return out


def leaked(gold: list[Span], found: list[Span]) -> tuple[int, int]:
    """Characters of marked entities that nothing covers, and all of them."""
    covered = {at for start, end, _ in found for at in range(start, end)}
    marked = {at for start, end, _ in gold for at in range(start, end)}
    return len(marked - covered), len(marked)


def overlapping(some: list[Span], others: list[Span]) -> list[Span]:
    """Those of `some` that overlap one of `others` with their label."""
    return [
        (start, end, label)
        for start, end, label in some
        if any(label == other and low < end and start < high for low, high, other in others)
    ]


@dataclass(frozen=True, slots=True)
class Tally:
    """Numbers of one row or of many. `right`: findings that are right; `covered`: places of the set that were found."""

    right: int = 0
    found: int = 0
    covered: int = 0
    marked: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.right + other.right,
            self.found + other.found,
            self.covered + other.covered,
            self.marked + other.marked,
        )

    @property
    def precision(self) -> float:
        return self.right / max(1, self.found)

    @property
    def recall(self) -> float:
        return self.covered / max(1, self.marked)

    def f(self, weight: float = 1.0) -> float:
        """Returns the F-score that weighs recall `weight` times."""
        weight **= 2
        return (1 + weight) * self.precision * self.recall / max(1e-9, weight * self.precision + self.recall)

    @property
    def f1(self) -> float:
        return self.f()

    def figures(self) -> dict[str, float]:
        return {name: round(getattr(self, name), 4) for name in ("f1", "precision", "recall")}


def tally(gold: list[Span], found: list[Span], *, is_exact: bool) -> Tally:
    if is_exact:
        right = len(set(gold) & set(found))
        return Tally(right, len(found), right, len(gold))
    return Tally(len(overlapping(found, gold)), len(found), len(overlapping(gold, found)), len(gold))


class Figures:
    """Counts over the texts of a set."""

    def __init__(self) -> None:
        self.by: dict[str, Tally] = {}
        self.leaked = self.marked = self.words = 0

    def add(self, text: str, marked: list[Span], found: list[Span]) -> None:
        self.words += len(text.split())
        for label in {label for _, _, label in (*marked, *found)}:
            places, findings = ([span for span in spans if span[2] == label] for spans in (marked, found))
            self.by[label] = self.by.get(label, Tally()) + tally(places, findings, is_exact=False)
        gone, chars = leaked(marked, found)
        self.leaked += gone
        self.marked += chars

    def shown(self) -> dict[str, Any]:
        total = sum(self.by.values(), Tally())
        return {
            **{name: round(100 * getattr(total, name), 1) for name in ("f1", "precision", "recall")},
            "leaked": round(100 * self.leaked / max(1, self.marked), 1),
            "by_label": {
                label: round(100 * counts.f1, 1) for label, counts in sorted(self.by.items()) if counts.marked > 3
            },
            "marked": total.marked,
        }
