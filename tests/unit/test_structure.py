"""The shape of the code base: short files, a test file for each, and a command line that starts at once."""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from guardproxy.wire import codecs

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "guardproxy"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)

PURE = (
    "audit",
    "checks",
    "exchange",
    "policy",
    "policydiff",
    "policytest",
    "reading",
    "redaction",
    "replay",
    "schemas",
    "telemetry",
    "urls",
    "wire",
)
PURE_FILES = ("decisions", "errors", "events", "findings", "library", "printable", "webpage")
TOP_FILES = 13
FILE_LINES = 600
CLASS_LINES = 400
CLASS_FIELDS = 12
# Without a test file of the same name, and why.
EXCEPTIONS = {
    "audit/tasks.py": "values only; tested with the record in audit/test_document.py",
    "audit/sinks/http.py": "a target of `audit ship`; tested in audit/sinks/test_targets.py",
    "audit/sinks/kafka.py": "a target of `audit ship`; tested in audit/sinks/test_targets.py",
    "audit/sinks/objects.py": "a target of `audit ship`; tested in audit/sinks/test_targets.py",
    "audit/sinks/stdout.py": "a target of `audit ship`; tested in audit/sinks/test_targets.py",
    "reading/ocsf.py": "events of records; tested in reading/test_exports.py",
    "reading/otel.py": "the same for OpenTelemetry; tested in reading/test_exports.py",
    "reading/plot.py": "a part of the report; tested in reading/test_report.py",
    "reading/questions.py": "words of the report; tested in reading/test_report.py",
    "replay/results.py": "values only; tested in replay/test_replays.py",
    "replay/recorded.py": "the upstream of a replay; tested in test_replays.py",
    "urls/markup.py": "tags in a growing text; tested in test_reading.py",
    "events.py": "values only; every test of the wire formats and the gate is one of them",
    "wire/words.py": "words only; tested in wire/json/test_walk.py",
    "wire/framing/stream.py": "protocols only; tested in wire/framing/test_sse.py and test_ndjson.py",
    "wire/formats/__init__.py": "the list of folders; tested in wire/test_registry.py",
    "wire/codec.py": "protocols only; tested in wire/test_registry.py",
    "checks/_contract.py": "the contract and the builder; tested by every check and by policy/test_load.py",
    "policy/document.py": "values only; tested in policy/test_reader.py",
    "policy/keys.py": "the table of all keys; tested in policy/test_schema.py",
    "policy/reading.py": "the readers of a policy's nodes; tested by every mistake in tests/policy/broken",
    "policy/rules.py": "the reader of rules; tested in policy/test_reader.py and by every mistake in tests/policy/broken",
    "exchange/notes.py": "values that an exchange notes; tested in exchange/test_recording.py and exchange/test_answer.py",
    "schemas/node.py": "what the walk of a schema sees; tested in schemas/test_prefix.py",
    "schemas/wording.py": "the words of a fault; tested in schemas/test_prefix.py",
    "checks/_patterns/shape.py": "shared code of checks, tested in checks/test_pattern.py",
    "checks/_patterns/reach.py": "shared code of checks, tested in checks/test_pattern.py",
}
START_LIMIT_S = 0.3


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def has_code(path: Path) -> bool:
    """Whether a module holds more than a docstring, imports and the list of its public names."""
    return any(
        not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        for node in ast.parse(path.read_text("utf-8")).body
    )


def is_pure(path: Path) -> bool:
    if path.name == "__init__.py" and not has_code(path):
        return False  # a door
    return name(path).split("/")[0] in PURE or name(path).removesuffix(".py") in PURE_FILES


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_file_is_longer_than_a_person_reads(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= FILE_LINES


@pytest.mark.parametrize("path", [path for path in FILES if path.stat().st_size], ids=name)
def test_every_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def is_of_a_format(path: Path) -> bool:
    """Whether a file is a part of a wire format; the conformance suite and the test of its codec hold the format as a whole."""
    return name(path).startswith("wire/formats/") and path.parent.name != "formats" and path.name != "codec.py"


@pytest.mark.parametrize(
    "path", [path for path in FILES if is_pure(path) and path.stat().st_size and not is_of_a_format(path)], ids=name
)
def test_every_file_of_a_pure_room_has_its_tests(path: Path) -> None:
    tests = ROOT / "tests" / "unit" / Path(name(path)).parent / f"test_{path.name}"
    assert tests.exists() != (name(path) in EXCEPTIONS), "an exception that has its file by now is none"


FORMATS = PACKAGE / "wire" / "formats"
NAMES = {codec.name for codec in codecs()} | {path.parent.name for path in FORMATS.glob("*/codec.py")}
APIS = {codec.provider for codec in codecs()}
OF_OTHERS = PACKAGE / "importing"  # the words in the files of another gateway


def uses_of_formats(tree: ast.AST, own: str = "") -> list[str]:
    """Lists what in a module knows a wire format by its name: an import of its folder, and a text that holds its name or is the
    name of its API. `own`: the format that the module belongs to. A class that declares its `name` or `provider` is no use."""
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
            words = set(re.findall(r"[a-z]+(?:_[a-z]+)*", node.value))
            if not words.isdisjoint(NAMES - {own}) or (not own and node.value.strip("_-./:*^$ ") in APIS):
                uses.append(node.value)
    return uses


@pytest.mark.parametrize(
    "path", [path for path in FILES if path != FORMATS / "__init__.py" and OF_OTHERS not in path.parents], ids=name
)
def test_no_file_knows_a_wire_format_by_its_name(path: Path) -> None:
    """What depends on the format is a member of its contract. A table or a comparison by name leaves another format out."""
    own = path.parent.name if path.parent.parent == FORMATS else ""
    assert uses_of_formats(ast.parse(path.read_text("utf-8")), own) == []


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


def test_every_exception_is_a_file() -> None:
    assert not [file for file in EXCEPTIONS if not (PACKAGE / file).exists()]


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """Every class of the package, with the file that it stands in."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield name(path), node


def test_a_class_name_means_one_thing() -> None:
    files: dict[str, list[str]] = {}
    for file, node in classes():
        files.setdefault(node.name, []).append(file)
    assert {name: where for name, where in files.items() if len(where) > 1} == {}


def test_no_class_is_longer_than_a_person_reads() -> None:
    assert [(file, node.name) for file, node in classes() if (node.end_lineno or 0) - node.lineno > CLASS_LINES] == []


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
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, loops)
        for target in ast.walk(node.target)
        if isinstance(target, ast.Name) and target.id == "one"
    ]
    assert found == []


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
    code = f"import sys, guardproxy.audit; print(*[name for name in {heavy!r} if name in sys.modules])"
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
