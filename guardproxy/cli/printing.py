"""Prints results: with colours on a terminal, as plain text elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from guardproxy.policytest import Fragment


def console() -> Console:
    """Returns standard output. Long lines are not wrapped, and no text is treated as markup."""
    from rich.console import Console  # noqa: PLC0415

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def plain(text: str) -> str:
    """Returns a text that is safe to print: control and direction characters are escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yields the rows of a table, of which there is at least one, as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def styled(*parts: tuple[str, str] | str | Text) -> Text:
    """Returns a line of parts, each with or without a style."""
    from rich.text import Text  # noqa: PLC0415

    return Text.assemble(*parts)


def contrast_lines(sign: str, parts: Iterable[Fragment], style: str) -> Iterable[Text]:
    """Yields a text with its differences marked: by colour, and by carets below it for output without colours."""
    plain_parts = [(plain(part.text), part.differs) for part in parts]
    yield styled((f"{sign} ", style), *((text, f"bold {style}" if differs else "") for text, differs in plain_parts))
    if any(differs for _, differs in plain_parts):
        marks = "".join(("^" if differs else " ") * len(text) for text, differs in plain_parts)
        yield styled(("  " + marks).rstrip())
