"""Every generated file of the repository: pages, tables of benchmarks, schemas, messages of broken policies, the dashboard.

`make pages` (`python -m tools.pages`) writes all of them again, and `python -m tools.pages docs/reference/errors.md` the named
ones. Read the difference before you commit it. A test compares each file with what is made here.

Each generator is a function of the text that the file has so far: some replace a part between markers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks import page
from guardproxy.audit import log_schema
from guardproxy.library import loader
from guardproxy.policy.file.document_schema import schema
from tools.pages import (
    blocks,
    broken_policies,
    check_options,
    coverage,
    dashboard,
    drawing,
    entities,
    errors,
    formats,
    places,
    settings,
)

ROOT = blocks.ROOT


def _json(tree: Any) -> str:
    return json.dumps(tree, indent=2) + "\n"


def _measured(text: str) -> str:
    return page.filled(text, page.parts())


FILES: dict[str, Callable[[str], str]] = {
    "README.md": _measured,
    "docs/agents/index.md": _measured,
    "docs/architecture.md": lambda text: drawing.page(text, drawing.imports()),
    **drawing.pictures(),
    "docs/benchmarks.md": _measured,
    "docs/operations/costs.md": _measured,
    "docs/policies/checks.md": check_options.with_tables,
    "docs/policies/coverage.md": lambda _: coverage.page(loader()),
    "docs/policies/entities.md": lambda _: entities.page(),
    "docs/policies/errors.md": lambda _: broken_policies.table(broken_policies.every()),
    "docs/reference/errors.md": lambda _: errors.page(),
    "docs/reference/formats.md": lambda _: formats.page(),
    "docs/reference/record.schema.json": lambda _: _json(log_schema()),
    "docs/reference/settings.md": lambda _: settings.page(),
    "docs/security/places.md": places.page,
    "examples/monitoring/dashboard.json": lambda _: dashboard.text(),
    "policies/policy.schema.json": lambda _: _json(schema()),
    "tests/policy/broken.txt": lambda _: broken_policies.listed(broken_policies.every()),
}


def paths() -> tuple[str, ...]:
    """Every file that is generated, or that may show a file of `examples/`."""
    return tuple(dict.fromkeys((*FILES, *blocks.pages())))


def unfilled(text: str) -> list[str]:
    """The words of a page and its blocks of code, without how its lines are filled: `make lint` looks at that."""
    return [part for index, block in enumerate(text.split("```")) for part in ([block] if index % 2 else block.split())]


def is_current(path: str) -> bool:
    """Whether a file is what its generator makes."""
    text, now = made(path), (ROOT / path).read_text("utf-8") if (ROOT / path).exists() else ""
    return unfilled(text) == unfilled(now) if path.endswith(".md") else text == now


def made(path: str) -> str:
    """The text that a file must have: what is generated, and each file that it shows as the file is now."""
    text = (ROOT / path).read_text("utf-8") if (ROOT / path).exists() else ""
    if path in FILES:
        text = FILES[path](text)
    return blocks.with_files(text) if path.endswith(".md") else text
