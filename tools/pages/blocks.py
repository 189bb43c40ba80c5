"""The pages of the documentation and their code blocks, in the order in which a reader meets them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_RUN = "# not run in tests: "
_BLOCK = re.compile(r"^(?P<indent> *)```(?P<kind>\w+)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_NEEDS = re.compile(r"(?:#|//) (?:pip|npm) install (?P<packages>.+)\n")
_FILE = re.compile(r"(?:#|//) (?P<path>[\w./-]+\.\w+)\n")
_PRINTS = re.compile(r"\s*(?:It )?prints `(?P<said>[^`]+)`", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A code block. `page` is relative to the repository, `line` is that of its first line of code."""

    page: str
    line: int
    kind: str
    text: str
    prints: str = ""
    """What the sentence after the block says that it prints."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        """False if the block says that tests cannot run it."""
        return not self.text.startswith(NOT_RUN)

    @property
    def needs(self) -> str:
        """The packages that the comment of the first line installs; empty if the tests' environment has all."""
        match = _NEEDS.match(self.text)
        return match["packages"] if match else ""

    @property
    def file(self) -> str:
        """The path in the comment of the first line; empty if the block is not a file."""
        match = _FILE.match(self.text)
        return match["path"] if match else ""

    @property
    def is_shown_file(self) -> bool:
        """True if the block shows a file of the repository."""
        return bool(self.file) and (ROOT / self.file).is_file()


@cache
def pages() -> tuple[str, ...]:
    """The README, then the pages of the site in the order of its navigation, then all other pages of `docs/`."""
    navigation = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8"))
    listed = [f"docs/{path}" for path in navigation if (ROOT / "docs" / path).exists()]
    every = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return tuple(dict.fromkeys(["README.md", *listed, *every, "CONTRIBUTING.md"]))


@cache
def blocks(kind: str = "") -> tuple[Block, ...]:
    """The blocks of all pages; with `kind`, those of this language."""
    found = []
    for page in pages():
        text = (ROOT / page).read_text("utf-8")
        for match in _BLOCK.finditer(text):
            prints = _PRINTS.match(text, match.end())
            line = text.count("\n", 0, match.start("text")) + 1
            found.append(Block(page, line, match["kind"], match["text"], prints["said"] if prints else ""))
    return tuple(block for block in found if kind in ("", block.kind))


def with_files(text: str) -> str:
    """The page with each file that it shows as the file is now."""

    def shown(match: re.Match[str]) -> str:
        found = _FILE.match(match["text"])
        file = ROOT / found["path"] if found else ROOT
        if not found or not file.is_file():
            return match[0]
        return f"```{match['kind']}\n{found[0]}{file.read_text('utf-8').strip()}\n```"

    return _BLOCK.sub(shown, text)
