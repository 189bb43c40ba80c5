"""The shape of the code base: few doors to a folder, few names at a door, tests for each, and a command line that starts at
once."""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from guardproxy.wire import codecs
from tools.branch_coverage import FLOORS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "guardproxy"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)
FOLDERS = sorted({path.parent for path in FILES})
PUBLIC = [folder for folder in FOLDERS if not any(part.startswith("_") for part in folder.relative_to(PACKAGE).parts)]
DOORS_MOST = 15
NAMES_MOST = 40
FILE_LINES = 600
LONG = "Longer than 600 lines because "
TOP_FILES = 13
CLASS_FIELDS = 12
# Folders whose files are a table of equals: the rooms, commands, checks, wire formats.
EQUALS = (".", "cli", "checks", "wire/formats")
# Folders that offered more names when the rule began. A ceiling only falls.
# A format that is named like its protocol: the setting, the command and the door of its servers have the name too.
PROTOCOL = "mcp"
OF_PROTOCOL = ("__main__.py", "cli/__init__.py", "config/loading.py")
NAMES_CEILINGS = {
    "exchange": 42,
    "wire/json": 56,
}
START_LIMIT_S = 0.3


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def label(folder: Path) -> str:
    return "guardproxy" if folder == PACKAGE else name(folder)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def doors(folder: Path) -> list[str]:
    """What can be imported from a folder: its files and its packages."""
    found = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")]
    return found + [path.parent.name for path in folder.glob("*/__init__.py")]


def offered(folder: Path) -> set[str]:
    """The names that the `__init__` of a folder offers: those of `__all__`, or what it imports."""
    declared: set[str] = set()
    imported: set[str] = set()
    for node in parsed(folder / "__init__.py").body:
        if isinstance(node, ast.Assign | ast.AugAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) == "__all__":
                declared |= set(ast.literal_eval(node.value))
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            imported |= {alias.asname or alias.name for alias in node.names}
    return declared or {name for name in imported if not name.startswith("_")}


@pytest.mark.parametrize("folder", FOLDERS, ids=label)
def test_a_folder_has_few_doors_and_offers_few_names(folder: Path) -> None:
    key = folder.relative_to(PACKAGE).as_posix()
    if key not in EQUALS:
        assert len(doors(folder)) <= DOORS_MOST, "gather files in a folder, or fold one into its user"
    assert len(offered(folder)) <= NAMES_CEILINGS.get(key, NAMES_MOST), "offer what others need, and no more"


def test_a_ceiling_that_is_no_longer_needed_goes() -> None:
    assert [key for key in NAMES_CEILINGS if len(offered(PACKAGE / key)) <= NAMES_MOST] == []


FORMATS = PACKAGE / "wire" / "formats"
NAMES = {codec.name for codec in codecs()} | {path.parent.name for path in FORMATS.glob("*/codec.py")}
APIS = {codec.provider for codec in codecs()}
WORDS = {name for name in NAMES if "_" not in name}  # such a word has other meanings in the APIs of others
LISTS_OF_WORDS = PACKAGE / "wire" / "contract" / "request_facts.py"  # of the fields of every API
OF_OTHERS = PACKAGE / "importing"  # the words in the files of another gateway


def uses_of_formats(tree: ast.AST, own: str = "", words: frozenset[str] | set[str] = frozenset()) -> list[str]:
    """Lists what in a module knows a wire format by its name: an import of its folder, and a text that holds its name or is the
    name of its API. `own`: the format that the module belongs to; `words`: names that are words of an API in this module. A
    class that declares its `name` or `provider` is no use."""
    declared = {
        id(line.value)
        for block in ast.walk(tree)
        if isinstance(block, ast.ClassDef)
        for line in block.body
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) in ("name", "provider")
    }
    docs = {
        id(line.value)
        for block in ast.walk(tree)
        if isinstance(block, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for line in block.body
        if isinstance(line, ast.Expr)
    }
    uses = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("guardproxy.wire.formats."):
            if (node.module or "").split(".")[3] != own:
                uses.append(ast.unparse(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in declared | docs:
            found = set(re.findall(r"[a-z]+(?:_[a-z]+)*", node.value))
            is_api = not own and node.value.strip("_-./:*^$ ") in APIS - words
            if not found.isdisjoint(NAMES - {own} - words) or is_api:
                uses.append(node.value)
    return uses


# Another gateway decides in which format its bodies are.
SPOKEN = (OF_OTHERS, PACKAGE / "adapters")


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path != FORMATS / "__init__.py" and not set(SPOKEN) & set(path.parents)],
    ids=name,
)
def test_no_file_knows_a_wire_format_by_its_name(path: Path) -> None:
    """What depends on the format is a member of its contract. A table or a comparison by name leaves another format out."""
    own = path.parent.name if path.parent.parent == FORMATS else ""
    if not own and (PROTOCOL in path.parts or path.stem.startswith(PROTOCOL) or name(path) in OF_PROTOCOL):
        own = PROTOCOL
    words = WORDS if own or path == LISTS_OF_WORDS else frozenset[str]()
    assert uses_of_formats(ast.parse(path.read_text("utf-8")), own, words) == []


@pytest.mark.parametrize(
    "code",
    [
        'if codec.name == "openai_responses": pass',
        'codec.name in ("openai_chat", other)',
        'if provider != "anthropic": pass',
        'TABLE = {"ollama": 1}',
        'seals = TABLE.get("gemini_generate", False)',
        'codec.name.startswith("openai_")',
        'match codec.name:\n    case "ollama_chat":\n        pass',
        'NAMES = "openai_chat openai_inputs".split()',
        're.fullmatch(r"(?:openai_chat|x)", codec.name)',
        "from guardproxy.wire.formats.openai_chat.codec import OpenAIChat",
        'class C:\n    other = "openai_chat"',
    ],
)
def test_a_use_of_a_name_of_a_format_is_found(code: str) -> None:
    assert len(uses_of_formats(ast.parse(code))) >= 1
    assert uses_of_formats(ast.parse('"""About openai_chat."""\nclass C:\n    name = "openai_chat"')) == []


def test_a_long_file_says_why() -> None:
    long = [
        path for path in FILES if len((text := path.read_text("utf-8")).splitlines()) > FILE_LINES and LONG not in text
    ]
    assert long == [], f"say so in the docstring: {LONG}..."


def test_every_file_says_what_it_is() -> None:
    assert [name(path) for path in FILES if path.stat().st_size and not ast.get_docstring(parsed(path))] == []


@pytest.mark.parametrize("folder", PUBLIC, ids=label)
def test_every_public_folder_has_tests(folder: Path) -> None:
    """In a folder of its name, or a file. Which lines and branches the tests reach, `make coverage` asks."""
    tests = ROOT / "tests" / "unit" / folder.relative_to(PACKAGE)
    assert list(tests.rglob("test_*.py")) or tests.with_name(f"test_{tests.name}.py").exists()


def test_what_has_a_command_is_no_part_of_the_kit_of_tests() -> None:
    kit = (ROOT / "tests" / "kit").glob("*.py")
    assert [path.name for path in kit if "\nif __name__ ==" in path.read_text("utf-8")] == [], "move it to tools/"


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """Every class of the package, with the file that it stands in."""
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                yield name(path), node


def test_a_class_name_means_one_thing() -> None:
    files: dict[str, list[str]] = {}
    for file, node in classes():
        files.setdefault(node.name, []).append(file)
    assert {name: where for name, where in files.items() if len(where) > 1} == {}


def test_no_part_of_an_exchange_has_more_fields_than_a_person_keeps_in_mind() -> None:
    assert [
        (file, node.name)
        for file, node in classes()
        if file.startswith("exchange/") and sum(isinstance(line, ast.AnnAssign) for line in node.body) > CLASS_FIELDS
    ] == []


def test_a_loop_names_what_it_goes_through() -> None:
    loops = (ast.For, ast.AsyncFor, ast.comprehension)
    found = [
        f"{name(path)}:{target.lineno}"
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, loops)
        for target in ast.walk(node.target)
        if isinstance(target, ast.Name) and target.id == "one"
    ]
    assert found == []


OF_ANY_NUMBER = ("Progress", "product", "labels")  # functions whose arguments have no names


def hidden_arguments(tree: ast.AST) -> list[str]:
    """Lists the calls that pass a tuple of the same function by `*`, so that neither a reader nor a type checker sees which
    argument is which."""
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        fixed = {
            target.id
            for line in ast.walk(function)
            if isinstance(line, ast.Assign) and is_fixed(line.value)
            for target in line.targets
            if isinstance(target, ast.Name)
        }
        calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
        found += [
            ast.unparse(call)
            for call in calls
            for argument in call.args
            if isinstance(argument, ast.Starred) and not ast.unparse(call.func).endswith(OF_ANY_NUMBER)
            if is_fixed(argument.value) or (isinstance(argument.value, ast.Name) and argument.value.id in fixed)
        ]
    return found


def is_fixed(value: ast.expr) -> bool:
    return isinstance(value, ast.Tuple) and not any(isinstance(part, ast.Starred) for part in value.elts)


@pytest.mark.parametrize("path", [path for path in FILES if OF_OTHERS not in path.parents], ids=name)
def test_a_call_names_what_it_passes(path: Path) -> None:
    assert hidden_arguments(parsed(path)) == [], "pass the values themselves, or one value with a type"


@pytest.mark.parametrize("code", ["f(*(1, 2), 3)", "about = 1, 2\n    f(*about)"])
def test_a_call_that_hides_its_arguments_is_found(code: str) -> None:
    assert len(hidden_arguments(ast.parse(f"def g():\n    {code}"))) == 1


def contracts() -> list[dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    found: list[dict[str, Any]] = settings["contracts"]
    return found


def contract(title: str) -> dict[str, list[str]]:
    return next(part for part in contracts() if part["name"] == title)


def test_the_page_lists_the_wings_that_offer_names() -> None:
    """Those that other packages import, and those that only formats of plug-ins import."""
    text = " ".join((ROOT / "docs" / "architecture.md").read_text("utf-8").split())
    listed = text.partition("offer names of their own: ")[2].partition(". ")[0].split("; ")
    shown = {room + wing for part in listed for room in part.split("`")[-2:-1] for wing in part.split("`")[1:-2:2]}
    doors = [line.split(" -> ")[1].split(".")[1:] for part in contracts() for line in part.get("ignore_imports", ())]
    used = {"/".join(door) for door in doors if PACKAGE.joinpath(*door, "__init__.py").exists() and len(door) == 2}
    assert used | {"wire/framing"} == shown


def test_each_package_with_a_floor_is_held_to_be_pure() -> None:
    """One list of the pure packages. The contract names pure parts of other packages too."""
    modules = contract("No I/O, loop, clock or randomness in the pure rooms")["source_modules"]
    assert sorted(module.split(".")[1] for module in modules if module.count(".") == 1) == sorted(FLOORS)


def test_no_check_knows_another() -> None:
    modules = contract("Plug-ins do not know each other")["modules"]
    listed = [module.removeprefix("guardproxy.checks.") for module in modules if ".checks." in module]
    assert listed == sorted(door for door in doors(PACKAGE / "checks") if not door.startswith("_"))


def test_the_top_of_the_package_is_short() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= TOP_FILES


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=True, cwd=ROOT
    )


def test_the_command_line_loads_nothing_that_it_does_not_need() -> None:
    heavy = (
        "aiohttp",
        "jsonschema",
        "referencing",
        "json_repair",
        "presidio_analyzer",
        "onnxruntime",
        "spacy",
        "numpy",
        "tokenizers",
        "uvloop",
        "re2",
        "cel_expr_python",
        "rich",
        "importlib.metadata",
        "guardproxy.audit",
        "guardproxy.exchange",
        "guardproxy.policy",
        "guardproxy.reading",
        "guardproxy.server",
        "guardproxy.wire",
    )
    code = f"import sys, guardproxy.cli; print(*[name for name in {heavy!r} if name in sys.modules])"
    assert run("-c", code).stdout.split() == []


def test_the_log_is_read_and_written_without_the_code_for_processes() -> None:
    """The proxy starts without it, and a small log is verified without it."""
    heavy = ("multiprocessing", "pickle", "obstore", "ray")
    doors = "guardproxy.audit, guardproxy.audit.proof, guardproxy.audit.record, guardproxy.audit.shipping"
    code = f"import sys, {doors}; print(*[name for name in {heavy!r} if name in sys.modules])"
    assert run("-c", code).stdout.split() == []


def test_the_package_alone_loads_nothing() -> None:
    code = "import __future__, sys; before = set(sys.modules); import guardproxy; print(*set(sys.modules) - before)"
    assert run("-c", code).stdout.split() == ["guardproxy"]


@pytest.mark.timing
def test_help_comes_at_once() -> None:
    """Measured in the time of the processor, which other work on the machine does not change."""
    times = []
    for _ in range(5):
        before = os.times()
        shown = run("-m", "guardproxy", "--help").stdout
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert "serve" in shown
    assert statistics.median(times) < START_LIMIT_S


def test_the_lock_file_pins_a_release_within_every_range() -> None:
    """`make lock` writes it; CI installs from it, so it names no place to install from."""
    lines = (ROOT / "requirements-ci.txt").read_text().splitlines()
    assert not [line for line in lines if "://" in line]
    pinned = [Requirement(line) for line in lines if line and not line.lstrip().startswith("#")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: part for name, part in project["optional-dependencies"].items() if name not in ("gpu", "models")}
    wanted = [*project["dependencies"], *(line for part in extras.values() for line in part)]
    for requirement in map(Requirement, wanted):
        pins = [pin for pin in pinned if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
        assert pins, f"{requirement.name}: run make lock"
        for pin in pins:
            (version,) = pin.specifier
            assert version.operator == "=="
            assert requirement.specifier.contains(version.version), f"{pin}: run make lock"
