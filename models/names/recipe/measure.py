"""Figures of found names: overlap F1, what leaks, and what is found where nothing is.

In: texts with marked spans and found ones. Out: figures. A finding is right when it overlaps a marked name of its label, and a
name is found when a finding of its label overlaps it: where exactly an address or a title is cut differs from set to set.
*Leaked* is the share of the characters of marked names that no finding covers, whatever its label.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
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


def of(counts: Counter[str], weight: float = 1.0) -> float:
    """Returns the F-score that weighs recall `weight` times."""
    precision = counts["right"] / max(1, counts["found"])
    recall = counts["hit"] / max(1, counts["marked"])
    return (1 + weight**2) * precision * recall / max(1e-9, weight**2 * precision + recall)


class Figures:
    """Counts over the texts of a set."""

    def __init__(self) -> None:
        self.by: dict[str, Counter[str]] = defaultdict(Counter)
        self.leaked = self.marked = self.words = 0

    def add(self, text: str, marked: list[Span], found: list[Span]) -> None:
        self.words += len(text.split())
        for start, end, label in found:
            is_right = any(low < end and high > start and kind == label for low, high, kind in marked)
            self.by[label].update(found=1, right=int(is_right))
        covered = bytearray(len(text))
        for start, end, _ in found:
            covered[start:end] = b"\1" * (end - start)
        for low, high, kind in marked:
            is_hit = any(low < end and high > start and kind == label for start, end, label in found)
            self.by[kind].update(marked=1, hit=int(is_hit))
            self.leaked += high - low - sum(covered[low:high])
            self.marked += high - low

    def total(self) -> Counter[str]:
        return sum(self.by.values(), Counter())

    def shown(self) -> dict[str, Any]:
        total = self.total()
        return {
            "f1": round(100 * of(total), 1),
            "precision": round(100 * total["right"] / max(1, total["found"]), 1),
            "recall": round(100 * total["hit"] / max(1, total["marked"]), 1),
            "leaked": round(100 * self.leaked / max(1, self.marked), 1),
            "by_label": {
                label: round(100 * of(counts), 1) for label, counts in sorted(self.by.items()) if counts["marked"] > 3
            },
            "marked": total["marked"],
        }
