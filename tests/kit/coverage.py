"""Which checks of the shipped policies look at which texts, as a table in `docs/policies/coverage.md`.

`python -m tests.kit.coverage` writes it again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from guardproxy.library import loader, shipped_folder, shipped_names
from guardproxy.policy.coverage_table import coverage
from guardproxy.policy.evaluate import PolicySet

PAGE = Path(__file__).parents[2] / "docs" / "policies" / "coverage.md"
HEAD = """# What the shipped policies look at

Which checks look at which texts, over all wire formats. `(name)`: for rules in shadow mode only, which change nothing.
`guardproxy policy lint DIR --coverage` prints the same for your policies, by wire format. This page is made by
`python -m tests.kit.coverage`.
"""


def page(load: Callable[[Path], PolicySet]) -> str:
    out = [HEAD]
    for name in shipped_names():
        cells: dict[tuple[str, str], set[str]] = {}
        for row in coverage(load(shipped_folder(name))):
            names = {str(looking).replace(f"{name}/", "") for looking in row.checks}
            cells.setdefault((row.direction, row.kind), set()).update(names)
        out += [f"## {name}", "", "| direction | kind | checks |", "|---|---|---|"]
        out += [
            f"| {direction} | {kind} | {', '.join(sorted(names)) or 'none'} |"
            for (direction, kind), names in cells.items()
        ]
        out.append("")
    return "\n".join(out)


if __name__ == "__main__":
    PAGE.write_text(page(loader()), "utf-8")
