"""Writes which unit tests take long, for `make quick`: `python -m tools.slow REPORT.xml`.

In: a report of pytest in the form of JUnit. Out: `tests/slow.txt`, a line for each test function that takes long, with the name
of its file. All of its cases together take more than `SHARE` of the whole run, so the load of the machine makes no difference.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

FILE = Path(__file__).parents[1] / "tests" / "slow.txt"
SHARE = 0.0005


def slow(cases: Iterable[tuple[str, str, float]]) -> list[str]:
    """The functions that take long. In: the module, the name and the seconds of each case."""
    times_s: Counter[str] = Counter()
    for module, name, seconds in cases:
        times_s[f"{module.rpartition('.')[2]}::{name.partition('[')[0]}"] += seconds  # type: ignore[assignment]
    most_s = SHARE * sum(times_s.values())
    return sorted(name for name, seconds in times_s.items() if seconds > most_s)


def main(path: str) -> None:
    root = ET.parse(path).getroot()
    cases = [
        (case.attrib["classname"], case.attrib["name"], float(case.attrib["time"])) for case in root.iter("testcase")
    ]
    FILE.write_text("".join(f"{name}\n" for name in slow(cases)), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
