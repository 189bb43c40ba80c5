"""The card of a model as parts of a page: headings, paragraphs, lists, tables and code. Pure.

In: Markdown. Out: blocks with plain texts, which a template escapes. What this does not know stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

LIMIT_CHARS = 60_000
LIMIT_BLOCKS = 400
_ITEM = re.compile(r"\s*(?:[-*]|\d{1,3}\.)\s+(.*)")
_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_RULE = re.compile(r"\|?[\s:|-]+\|?")
_LEFT_OUT = re.compile(r"<!--.{0,2000}?-->|!\[[^\[\]]{0,300}\]\([^()\s]{1,300}\)", re.DOTALL)  # comments and pictures
_LINK = re.compile(r"\[([^\[\]]{1,200})\]\([^()\s]{1,300}\)")

Kind = Literal["heading", "text", "list", "table", "code"]


@dataclass(frozen=True, slots=True)
class CardBlock:
    """A part of a card. `level`: of a heading, from 1. `lines`: a text, the items of a list, or the lines of code. `rows`: of a
    table, the first with its titles."""

    kind: Kind
    lines: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    level: int = 0


def blocks_of(markdown: str) -> tuple[CardBlock, ...]:
    """Returns the blocks of a card."""
    lines = _LEFT_OUT.sub("", markdown[:LIMIT_CHARS]).splitlines()
    found: list[CardBlock] = []
    for block in _blocks(lines):
        if len(found) == LIMIT_BLOCKS:
            break
        found.append(block)
    return tuple(found)


def _blocks(lines: Sequence[str]) -> Iterator[CardBlock]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        if line.startswith("```"):
            end = next((end for end in range(at + 1, len(lines)) if lines[end].startswith("```")), len(lines))
            yield CardBlock("code", tuple(lines[at + 1 : end]))
            at = end + 1
        elif heading := _HEADING.fullmatch(line):
            yield CardBlock("heading", (_plain(heading[2]),), level=len(heading[1]))
            at += 1
        else:
            end = _end(lines, at)
            yield _paragraph(lines[at:end])
            at = end


def _end(lines: Sequence[str], at: int) -> int:
    """Returns where a paragraph, a list or a table ends."""
    end, form = at + 1, _form(lines[at])
    while (
        end < len(lines) and lines[end].strip() and not lines[end].startswith("```") and not _HEADING.match(lines[end])
    ):
        found = _form(lines[end])
        if found != form and (found or form == "table"):  # a line without a form goes on with a list or a text
            break
        end += 1
    return end


def _form(line: str) -> str:
    """Returns whether a line is one of a table, or begins an item of a list."""
    return "table" if line.lstrip().startswith("|") else "list" if _ITEM.fullmatch(line) else ""


def _paragraph(lines: Sequence[str]) -> CardBlock:
    if _form(lines[0]) == "table":
        rows = [_cells(line) for line in lines if not _RULE.fullmatch(line.strip())]
        return CardBlock("table", rows=tuple(rows))
    if _form(lines[0]) == "list":
        items: list[str] = []
        for line in lines:
            item = _ITEM.fullmatch(line)
            if item:
                items.append(item[1])
            else:
                items[-1] = f"{items[-1]} {line.strip()}"
        return CardBlock("list", tuple(map(_plain, items)))
    return CardBlock("text", (_plain(" ".join(line.strip() for line in lines)),))


def _cells(line: str) -> tuple[str, ...]:
    return tuple(_plain(cell.strip()) for cell in line.strip().strip("|").split("|"))


def _plain(text: str) -> str:
    """Returns a text without the marks of links and of bold words; the marks of code stay."""
    return _LINK.sub(r"\1", text).replace("**", "")
