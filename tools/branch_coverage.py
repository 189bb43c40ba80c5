"""Compares the coverage that `make coverage` has measured with the floor of each pure package.

    python -m tools.branch_coverage .coverage.json

In: the JSON report of coverage.py, with branches. Out: a table of the packages, in percent of lines and branches together.
Exits with 1 if a package is below its floor. A package whose floor is 100 is finished: each of its lines and branches has a
test. The other floors only rise.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLOORS: dict[str, float] = {  # the one list of the pure packages: tests/conftest.py and pyproject.toml follow it
    "adapters": 100,
    "audit": 100,
    "checks": 98,
    "concurrency": 100,
    "conditions": 100,
    "config": 100,
    "decisions": 100,
    "errors": 100,
    "events": 100,
    "exchange": 99,
    "findings": 100,
    "importing": 100,
    "gateway": 100,
    "library": 100,
    "plugins": 100,
    "policy": 100,
    "policydiff": 100,
    "policytest": 100,
    "printable": 100,
    "reading": 100,
    "redaction": 100,
    "replay": 100,
    "schemas": 100,
    "telemetry": 100,
    "tool_pins": 100,
    "urls": 100,
    "webpage": 100,
    "wire": 96,
}


@dataclass
class Figure:
    """Lines and branches of one package."""

    known: int = 0
    covered: int = 0

    def add(self, summary: dict[str, Any]) -> None:
        self.known += summary["num_statements"] + summary["num_branches"]
        self.covered += summary["covered_lines"] + summary["covered_branches"]

    @property
    def percent(self) -> float:
        return 100 * self.covered / self.known if self.known else 100.0


def figures(report: dict[str, Any]) -> dict[str, Figure]:
    """Package, or file at the top of guardproxy -> its figure."""
    found: defaultdict[str, Figure] = defaultdict(Figure)
    for path, file in report["files"].items():
        parts = Path(path).parts
        name = parts[parts.index("guardproxy") + 1].removesuffix(".py")
        found[name].add(file["summary"])
    return dict(sorted(found.items()))


def problems(found: dict[str, Figure]) -> list[str]:
    """Why the coverage is refused, a line each."""
    missing = [f"{name}: was not measured" for name in FLOORS.keys() - found.keys()]
    below = [
        f"{name}: {found[name].percent:.2f} % is below {floor} %"
        for name, floor in FLOORS.items()
        if name in found and found[name].percent < floor
    ]
    return sorted(missing + below)


def main(path: str) -> int:
    found = figures(json.loads(Path(path).read_text()))
    for name, figure in found.items():
        floor = f"at least {FLOORS[name]:g} %" if name in FLOORS else ""
        print(f"{name:14} {figure.percent:6.2f} %  {figure.known - figure.covered:5} of {figure.known:6} open  {floor}")
    refused = problems(found)
    print(*refused, sep="\n", file=sys.stderr)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
