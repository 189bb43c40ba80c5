"""Draws the packages of guardproxy and the wings of the large ones, with their imports, lists them, and draws the states of an
exchange, in `docs/architecture.md`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path

from guardproxy.exchange.phases.states import TRANSITIONS, State
from tools.pages.pictures import Message, arcs_picture, floors_picture, messages_picture

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "guardproxy"
DRAWN_MOST = 15
"""The most parts that a drawing of wings shows. A package with more is a table of equals, such as commands."""
_PART = r"(<!-- generated: {} -->\n).*?(<!-- end -->)"


def imports(package: Path = PACKAGE, name: str = "") -> dict[str, set[str]]:
    """The parts of the package and the other parts that each of them imports. A part is a folder or a file at the top.
    `name`: the package as imports spell it, if that is not the name of its folder."""
    found: dict[str, set[str]] = {}
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package)
        if inside.parts[0] in ("__init__.py", "__main__.py", "_data"):
            continue
        part = inside.parts[0].removesuffix(".py")
        found.setdefault(part, set()).update(_imported(file, name or package.name) - {part})
    return {part: others & found.keys() for part, others in found.items()}


def _imported(file: Path, package: str) -> set[str]:
    """The parts that a file imports, at its top or inside of functions."""
    parts: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        inside = f"{package}."
        parts |= {name.removeprefix(inside).split(".")[0] for name in names if name.startswith(inside)}
    return parts


def floors(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The parts by floor, the highest first: each part is one floor above the highest part that it imports.

    Raises `graphlib.CycleError` if parts import each other in a circle.
    """
    heights: dict[str, int] = {}
    for part in TopologicalSorter(graph).static_order():
        heights[part] = max((heights[other] for other in graph[part]), default=-1) + 1
    top = max(heights.values(), default=-1)
    return [sorted(part for part in heights if heights[part] == floor) for floor in range(top, -1, -1)]


def reduced(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that no longer way implies: without an arrow to a part that another imported part reaches."""

    def reached(part: str, seen: set[str]) -> set[str]:
        for other in graph[part] - seen:
            seen.add(other)
            reached(other, seen)
        return seen

    return {
        part: {other for other in others if not any(other in reached(third, set()) for third in others - {other})}
        for part, others in graph.items()
    }


def drawing(title: str, graph: Mapping[str, set[str]]) -> str:
    """The graph as SVG: a box for each part, a row for each floor, an arrow to each part below."""
    return floors_picture(title, floors(graph), reduced(graph))


def summary(package: Path, part: str) -> str:
    """The first sentence of the docstring of a part."""
    file = package / part / "__init__.py" if (package / part).is_dir() else package / f"{part}.py"
    text = " ".join((ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=\.) (?=[A-Z])", text)[0].removesuffix(".").replace("|", "\\|")


def table(graph: Mapping[str, set[str]], package: Path = PACKAGE) -> str:
    """A row for each part, from the highest floor to the lowest."""
    rows = ["| part | what it is |", "|---|---|"]
    rows += [f"| `{part}` | {summary(package, part)} |" for floor in floors(graph) for part in floor]
    return "\n".join([*rows, ""])


def rooms(package: Path = PACKAGE) -> list[str]:
    """The packages that have wings: at least two packages inside."""
    return sorted(folder.name for folder in package.iterdir() if len(list(folder.glob("*/__init__.py"))) > 1)


def wings(package: Path = PACKAGE) -> str:
    """For each package with wings: a drawing of its wings and files, and a row for each of them, from the highest floor
    to the lowest. A package that is a table of equals has rows for its wings alone."""
    parts = []
    for room in rooms(package):
        graph = imports(package / room, f"{package.name}.{room}")
        parts.append(f"### {room}\n\n{summary(package, room)}.\n")
        if len(graph) <= DRAWN_MOST:
            parts.append(f"![{_wings_title(room)}](pictures/{room}.svg)\n")
        else:
            graph = {part: set() for part in graph if (package / room / part).is_dir()}
        rows = ["| part | what it is for |", "|---|---|"]
        for part in (part for floor in floors(graph) for part in floor):
            path = f"{room}/{part}/" if (package / room / part).is_dir() else f"{room}/{part}.py"
            rows.append(f"| `{path}` | {summary(package / room, part)} |")
        parts.append("\n".join([*rows, ""]))
    return "\n".join(parts)


def states() -> str:
    """A row for each state of an exchange, and one for each transition, with an example of its cause."""
    lines = ["| state | meaning |", "|---|---|"]
    lines += [f"| `{state}` | {state.meaning[0].upper()}{state.meaning[1:]} |" for state in State]
    lines += ["", "| from | to | for example |", "|---|---|---|"]
    lines += [
        f"| `{state}` | `{after}` | {cause} |"
        for state, causes in TRANSITIONS.items()
        for after, cause in causes.items()
    ]
    return "\n".join([*lines, ""])


_STREAMING = (
    Message("client", "driver", "POST"),
    Message("driver", "exchange", "RequestReceived"),
    Message("exchange", "checks", "RunScans: all texts"),
    Message("checks", "exchange", "Scanned: findings, settled", is_answer=True),
    Message("exchange", "exchange", "the policy edits: placeholders", is_note=True),
    Message("exchange", "driver", "SendUpstream"),
    Message("driver", "upstream", "the edited request"),
    Message("upstream", "driver", "bytes", is_answer=True),
    Message("driver", "exchange", "DataReceived"),
    Message("exchange", "checks", "RunScans: what the gate holds"),
    Message("checks", "exchange", "Scanned", is_answer=True),
    Message("exchange", "driver", "SendData: what is settled"),
    Message("driver", "client", "bytes", is_answer=True),
    Message("upstream", "driver", "end", is_answer=True),
    Message("driver", "exchange", "ResponseEnded"),
    Message("exchange", "driver", "Finish: outcome, record"),
    Message("driver", "driver", "the record is synced to the disk", is_note=True),
    Message("driver", "client", "the end of the answer", is_answer=True),
)


def _wings_title(room: str) -> str:
    return f"The wings of {room} and what they import"


def pictures() -> dict[str, Callable[[str], str]]:
    """Every picture of the page by its path, with what draws it."""
    transitions = {str(state): {str(after) for after in causes} for state, causes in TRANSITIONS.items()}
    drawn: dict[str, Callable[[], str]] = {
        "streaming": lambda: messages_picture(
            "A streaming request",
            ("client", "driver", "exchange", "checks", "upstream"),
            _STREAMING,
            (7, 12, "for each part of the answer"),
        ),
        "states": lambda: arcs_picture("The states of an exchange", [str(state) for state in State], transitions),
        "packages": lambda: drawing("The packages of guardproxy and what they import", imports()),
    }
    for room in rooms():
        graph = imports(PACKAGE / room, f"{PACKAGE.name}.{room}")
        if len(graph) <= DRAWN_MOST:
            drawn[room] = partial(drawing, _wings_title(room), graph)
    return {f"docs/pictures/{name}.svg": partial(_made, draw) for name, draw in drawn.items()}


def _made(draw: Callable[[], str], _: str) -> str:
    return draw()


def page(text: str, graph: Mapping[str, set[str]]) -> str:
    """The page with new tables between their markers."""
    for name, part in (
        ("states", states()),
        ("packages", table(graph)),
        ("wings", wings()),
    ):
        text = re.sub(_PART.format(name), rf"\g<1>{_plain(part)}\g<2>", text, flags=re.DOTALL)
    return text


def _plain(text: str) -> str:
    """The text as the replacement of a pattern."""
    return text.replace("\\", r"\\")
