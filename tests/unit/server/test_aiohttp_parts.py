"""One file alone uses private parts of aiohttp, so that another release of it is checked in one place."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from functools import cache
from pathlib import Path

import aiohttp
import pytest

import guardproxy

PACKAGE = Path(guardproxy.__file__).parent
ADAPTER = PACKAGE / "server" / "aiohttp_parts.py"
IMPORT = re.compile(r"^\s*(?:from|import) aiohttp\b", re.MULTILINE)
PRIVATE = re.compile(r"\bself\.(_[a-z]\w*)")
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if IMPORT.search(path.read_text("utf-8")) and path != ADAPTER]


@cache
def private_names() -> frozenset[str]:
    """The private attributes that classes of aiohttp set or read."""
    sources = (path.read_text("utf-8") for path in Path(aiohttp.__file__).parent.glob("*.py"))
    return frozenset(name for source in sources for name in PRIVATE.findall(source))


def names_from_aiohttp(kind: type) -> set[str]:
    parents = [parent for parent in kind.__mro__ if parent.__module__.startswith("aiohttp")]
    return {name for parent in parents for name in PRIVATE.findall(inspect.getsource(parent))}


def uses(tree: ast.AST, inherited: dict[str, set[str]]) -> list[str]:
    """Lists the private parts of aiohttp that a module uses: of objects that are not its own, and, in a class that derives from
    one of aiohttp's, of itself. `inherited`: by the name of such a class, the private names that it inherits. What is imported
    from a private module or by a private name counts too."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            names = inherited.get(node.name, set())
            found += [
                f"self.{part.attr}"
                for part in ast.walk(node)
                if isinstance(part, ast.Attribute) and ast.unparse(part.value) == "self" and part.attr in names
            ]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
            if node.attr in private_names():
                found.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aiohttp"):
            words = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            found += [word for word in words if word.startswith("_")]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_other_file_uses_private_parts_of_aiohttp(path: Path) -> None:
    module = importlib.import_module(
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    )
    inherited = {
        name: names_from_aiohttp(value)
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    assert uses(ast.parse(path.read_text("utf-8")), inherited) == [], f"move it to {ADAPTER.name}"


@pytest.mark.parametrize(
    "code",
    [
        "content._buffer[0]",
        "self._connector._factory = new",
        "class Listener(web.Server):\n    def f(self):\n        return self._kwargs",
        "from aiohttp.web_protocol import _Hidden",
    ],
)
def test_a_use_of_a_private_part_is_found(code: str) -> None:
    assert len(uses(ast.parse(code), {"Listener": {"_kwargs"}})) == 1


def test_the_adapter_holds_such_uses() -> None:
    """Otherwise the search finds nothing any more."""
    assert uses(ast.parse(ADAPTER.read_text("utf-8")), {}) != []
