"""Texts in which values are marked: `⟦` before a value and `⟧` behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_CORPUS = Path(__file__).parent.parent / "corpus"


def marked(name: str) -> Iterator[tuple[str, list[str]]]:
    """Yields each text of a file without its marks, and the values in it. A line with `#` and a space is a comment."""
    for line in (_CORPUS / f"{name}.txt").read_text("utf-8").splitlines():
        if line and not line.startswith(("# ", "## ")):
            text = line.replace("\\n", "\n").replace("\\t", "\t")
            yield re.sub("[⟦⟧]", "", text), re.findall("⟦([^⟧]*)⟧", text)
