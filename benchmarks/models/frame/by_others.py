"""Pairs of texts by others that nothing is trained on: SICK, MSRP and MCTest.

In: the data folder (`GUARDPROXY_DATA`). Out: their rows. All three may be measured on only: their terms forbid more.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.models.frame.statements import Statement


class JudgedPair(NamedTuple):
    """Two texts and what people say of them: `entails`, `contradicts` or `neutral`, or `same` or `different`."""

    first: str
    second: str
    label: str


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the rows of a file of JSON lines, gzipped or not."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        yield from map(json.loads, lines)


def pairs(data: Path, name: str) -> list[JudgedPair]:
    """The pairs of `sick` or `msrp`."""
    return [JudgedPair(row["a"], row["b"], row["label"]) for row in rows(data / "pairs" / f"{name}-nc.jsonl.gz")]


def mctest(data: Path) -> list[Statement]:
    """The statements of MCTest on their stories."""
    return [
        Statement("stories", (row["a"],), row["b"], "supported", "true: MCTest")
        if row["label"] == "supported"
        else Statement("stories", (row["a"],), row["b"], "absent", "not supported: MCTest")
        for row in rows(data / "pairs" / "mctest_statements-nc.jsonl.gz")
    ]
