"""Prints figures of the structure of a package: folders, imports, functions, comments, lines.

`python -m tools.figures [CHECKOUT]` reads the checkout in a folder, without importing it; the default is this one. Two
checkouts compare two commits.

In: the syntax trees of the files in git, and git's count of objects. Out: a Markdown table.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from statistics import mean

from tools.pages.drawing import ROOT, floors, imports

LONG_LINES = 50
CHAIN_HOPS = 3
SHOWN = 6
"""How many of the largest folders, functions and packages a row lists."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module:
    """A file of the package. `path`: relative to the package. `name`: as imports spell it."""

    def __init__(self, root: Path, file: Path) -> None:
        self.path = file.relative_to(root).as_posix()
        self.name = ".".join([root.name, *file.relative_to(root).with_suffix("").parts]).removesuffix(".__init__")
        self.text = file.read_text("utf-8")
        self.tree = ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    def imported(self) -> Iterator[tuple[str, ...]]:
        """What each import names, at the top or inside of functions: the modules that it can mean, the likeliest first."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((alias.name,) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from ((f"{node.module}.{alias.name}", node.module) for alias in node.names)

    def functions(self) -> list[Function]:
        return [node for node in self.nodes if isinstance(node, Function)]

    def docstring_lines(self) -> int:
        """How many lines the docstrings take."""
        owners = [node for node in self.nodes if isinstance(node, ast.Module | ast.ClassDef | Function)]
        found = [node.body[0] for node in owners if node.body and ast.get_docstring(node) is not None]
        return sum(lines(node) for node in found)

    def import_lines(self) -> int:
        return sum(lines(node) for node in self.nodes if isinstance(node, ast.Import | ast.ImportFrom))

    def late_imports(self) -> int:
        """How many imports stand in functions."""
        every = [node for function in self.functions() for node in ast.walk(function)]
        return len({id(node) for node in every if isinstance(node, ast.Import | ast.ImportFrom)})

    def chains(self) -> int:
        """How many accesses go through three attributes or more, such as `self.answer.side.gate`. A module is not an object."""
        names = [
            alias.asname or alias.name for node in self.nodes if isinstance(node, ast.Import) for alias in node.names
        ]
        modules = {name.partition(".")[0] for name in names}
        inner = {id(node.value) for node in self.nodes if isinstance(node, ast.Attribute)}
        outer = [node for node in self.nodes if isinstance(node, ast.Attribute) and id(node) not in inner]
        return sum(hops(node) >= CHAIN_HOPS and ast.unparse(node).partition(".")[0] not in modules for node in outer)

    def writes_through(self) -> int:
        """How many assignments change an attribute of what another object holds, such as `self.ledger.status = 200`."""
        stores = [node for node in self.nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)]
        return sum(isinstance(node.value, ast.Attribute) for node in stores)

    def declared(self) -> Iterator[tuple[str, bool]]:
        """The functions and classes of the module, and whether each takes any number of arguments."""
        for node in self.nodes:
            if isinstance(node, ast.ClassDef):
                yield node.name, False
            elif isinstance(node, Function):
                yield node.name, node.args.vararg is not None

    def star_calls(self) -> list[str]:
        """The names of what is called with a tuple that fills arguments: `f(*about)`."""
        calls = [node for node in self.nodes if isinstance(node, ast.Call)]
        stars = [node for node in calls if any(isinstance(part, ast.Starred) for part in node.args)]
        return [ast.unparse(node.func).rpartition(".")[2] for node in stars]

    def offered(self) -> int:
        """How many names an `__init__` offers: those of `__all__`, or what it imports from the package."""
        listed = [
            len(ast.literal_eval(node.value))
            for node in self.tree.body
            if isinstance(node, ast.Assign | ast.AugAssign)
            and ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target) == "__all__"
        ]
        package = self.name.partition(".")[0]
        taken = [
            alias.asname or alias.name
            for node in self.tree.body
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package)
            for alias in node.names
        ]
        return sum(listed) if listed else len({name for name in taken if not name.startswith("_")})


def lines(node: ast.stmt) -> int:
    """The lines that a statement takes."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def hops(node: ast.expr) -> int:
    """How many attributes follow each other up to here; a call ends the chain."""
    return 1 + hops(node.value) if isinstance(node, ast.Attribute) else 0


def circles(graph: Mapping[str, Collection[str]]) -> list[list[str]]:
    """The groups of modules that import each other in circles, at their top or in functions."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        left = list(graph[start])
        while left:
            if (node := left.pop()) not in seen:
                seen.add(node)
                left += graph[node]
        return seen

    ahead = {node: reached(node) for node in graph}
    groups = {tuple(sorted(other for other in ahead[node] if node in ahead[other])) for node in graph}
    return sorted(list(group) for group in groups if group)


def arrows(modules: Mapping[str, Module]) -> dict[str, set[str]]:
    """The modules that each module imports."""
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, module in modules.items():
        for meant in module.imported():
            graph[name] |= set([other for other in meant if other in modules][:1]) - {name}
    return graph


def largest(counts: Mapping[str, int], shown: int = SHOWN) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(counts).most_common(shown) if count)


def of_areas(checkout: Path, files: Collection[str]) -> dict[str, int]:
    """The lines of Python and Markdown in each folder of a checkout."""
    counts: Counter[str] = Counter()
    for file in files:
        path = checkout / file
        if path.suffix in (".py", ".md") and path.is_file():
            counts[f"{file.split('/')[0] if '/' in file else '.'} {path.suffix}"] += path.read_text("utf-8").count("\n")
    return dict(counts)


def doors(package: Path) -> dict[str, int]:
    """How many files and packages can be imported from each folder."""
    return {
        folder.relative_to(package).as_posix(): sum(not path.stem.startswith("__") for path in folder.glob("*.py"))
        + len(list(folder.glob("*/__init__.py")))
        for folder in {path.parent for path in package.rglob("*.py")}
    }


def figures(checkout: Path, package: str, files: Collection[str]) -> dict[str, str]:
    """The figures of a package in a checkout, by their names. `files`: those in git, relative to the checkout."""
    root = checkout / package
    every = [
        Module(root, checkout / file)
        for file in sorted(files)
        if file.startswith(f"{package}/") and file.endswith(".py")
    ]
    modules = {module.name: module for module in every}
    graph, rooms = arrows(modules), imports(root)
    found = circles(graph)
    inits = [module for module in every if module.path.endswith("__init__.py")]
    importers = Counter(other for others in graph.values() for other in others)
    one = [module for module in every if module not in inits and importers[module.name] == 1]
    sizes = {f"{module.path}:{f.lineno} {f.name}": lines(f) for module in every for f in module.functions()}
    texts = [line.strip() for module in every for line in module.text.splitlines()]
    comments, blank = sum(line.startswith("#") for line in texts), texts.count("")
    docs = sum(module.docstring_lines() for module in every)
    code = len(texts) - docs - blank - comments
    chains = {module.path: module.chains() for module in every}
    through = {module.path: module.writes_through() for module in every}
    room_circles = circles(rooms)
    declared = dict(sorted((pair for module in every for pair in module.declared()), key=lambda pair: pair[1]))
    stars = [name for module in every for name in module.star_calls() if declared.get(name) is False]
    return {
        "files, lines": f"{len(every)}, {len(texts)}",
        "code, docstrings, blank, imports": f"{code}, {docs}, {blank}, {sum(module.import_lines() for module in every)}",
        "own-line comments": f"{comments} ({comments / max(code, 1):.1%} of the code)",
        "rooms": str(len(rooms)),
        "floors of rooms": "none, for a circle" if room_circles else str(len(floors(rooms))),
        "arrows between rooms": str(sum(map(len, rooms.values()))),
        "arrows between files": str(sum(map(len, graph.values()))),
        "circles of rooms": str(len(room_circles)),
        "circles of files": "; ".join([str(len(found)), *(" ".join(group[:SHOWN]) for group in found)]),
        "doors of folders": largest(doors(root)),
        "names of `__init__`": largest(
            {module.path.removesuffix("/__init__.py"): module.offered() for module in inits}
        ),
        "modules with one importer": str(len(one)),
        "imports inside functions": str(sum(module.late_imports() for module in every)),
        "functions": f"{len(sizes)}, mean {mean(sizes.values() or [0]):.1f} lines",
        f"functions over {LONG_LINES} lines": str(sum(size > LONG_LINES for size in sizes.values())),
        "longest functions": largest(sizes),
        f"chains of {CHAIN_HOPS} attributes": f"{sum(chains.values())}: {largest(chains)}",
        "assignments through another object": f"{sum(through.values())}: {largest(through)}",
        "calls that hide arguments in a tuple": str(len(stars)),
        "lines by area": largest(of_areas(checkout, files), 12),
    }


def git(checkout: Path, *arguments: str) -> str:
    """What git prints about a checkout."""
    return subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=True).stdout


def main(checkout: Path) -> None:
    files = git(checkout, "ls-files").splitlines()
    pack = dict(line.split(": ") for line in git(checkout, "count-objects", "-v").splitlines())
    rows = {**figures(checkout, "guardproxy", files), "git pack": f"{int(pack['size-pack']) / 1024:.0f} MiB"}
    print("| figure | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items()), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT)
