"""The documentation is complete: it has every setting, metric, policy key and option, and every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import PurePosixPath

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from guardproxy import checks
from guardproxy.audit import Record
from guardproxy.checks import secrets
from guardproxy.config import SETTINGS
from guardproxy.inference.running.meters import Registry
from guardproxy.policy.file import keys
from guardproxy.server.observing.metrics import Metrics
from tools.pages.blocks import ROOT, pages

DOCS = ROOT / "docs"
# Pages that GitHub shows; the site has its own check of links (`make docs`).
LINKED = (*pages(), "CHANGELOG.md", "SECURITY.md", "examples/plugin-check/README.md")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def rows(page: str) -> dict[str, str]:
    """The rows of all tables of a page, by each name in code that the first cell has."""
    found = {}
    for line in (DOCS / page).read_text("utf-8").splitlines():
        if line.startswith("| "):
            found.update(dict.fromkeys(re.findall(r"`([^`]+)`", line.split(" | ")[0]), line))
    return found


def test_every_setting_is_on_its_page() -> None:
    assert SETTINGS.keys() == rows("reference/settings.md").keys()


def test_every_metric_is_on_its_page() -> None:
    registry = CollectorRegistry()
    Registry(registry)
    made = [*Metrics().registry.collect(), *registry.collect()]
    shown = rows("operations/metrics.md")
    assert {family.name for family in made} == shown.keys()
    for family in made:
        assert f"| {family.type} |" in shown[family.name]
    for row in (declared.metadata for declared in fields(Metrics) if declared.metadata):
        labels = ", ".join(f"`{label}`" for label in row["labels"])
        assert f" | {labels} | ".replace("  ", " ") in shown[row["name"]]


@pytest.mark.parametrize("table", [keys.POLICY, keys.MATCH, keys.RULE, keys.TENANT, keys.AUDIT])
def test_every_key_of_a_policy_is_on_its_page(table: keys.Table) -> None:
    assert table.keys() <= rows("policies/language.md").keys()


def test_every_key_of_a_record_is_on_its_page() -> None:
    keys = {field.encode_name for field in msgspec.structs.fields(Record)}
    assert keys <= rows("audit/index.md").keys()


def test_every_option_of_a_check_is_on_its_page() -> None:
    text = (DOCS / "policies" / "checks.md").read_text("utf-8")
    for use in checks.own_names():
        part = re.search(rf"<!-- generated: options-{use} -->\n(.*?)<!-- end -->", text, re.DOTALL)
        assert part, use
        assert set(re.findall(r"^\| `(\w+)`", part[1], re.MULTILINE)) == checks.options(use).keys(), use


def test_every_rule_for_secrets_is_on_its_page() -> None:
    text = (DOCS / "policies" / "checks.md").read_text("utf-8")
    (part,) = re.findall(r"<!-- generated: secrets-rules -->\n(.*?)<!-- end -->", text, re.DOTALL)
    assert re.findall(r"`([\w-]+)`\s\(", part) == list(secrets.rule_ids())
    assert f"{len(secrets.rule_ids())} rules for keys" in text


@pytest.mark.parametrize("page", LINKED)
def test_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    targets = [link for link in LINK.findall((ROOT / page).read_text("utf-8")) if "://" not in link]
    assert [link for link in targets if not (folder / link).exists()] == []


def test_every_decision_is_listed() -> None:
    names = sorted(path.name for path in (DOCS / "decisions").glob("0*.md"))
    assert re.findall(r"\((\d{4}-[\w-]+\.md)\)", (DOCS / "decisions" / "index.md").read_text("utf-8")) == names
    numbers = [int(name[:4]) for name in names]
    assert len(set(numbers)) == len(numbers)
    for number, name in zip(numbers, names, strict=True):
        text = (DOCS / "decisions" / name).read_text("utf-8")
        assert all(part in text for part in (f"# {number}. ", "**Context.**", "**Decision.**", "**Cost.**")), name


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_placeholders_are_marked_as_different_for_each_reader() -> None:
    with_placeholders = [
        page for page in pages() if re.search(r"\[[A-Z_]+_[a-z]{12}\]", (ROOT / page).read_text("utf-8"))
    ]
    assert len(with_placeholders) > 2
    for page in with_placeholders:
        assert "different for each reader" in (ROOT / page).read_text("utf-8").replace("\n", " "), page


def test_generated_parts_have_an_end() -> None:
    for path in DOCS.rglob("*.md"):
        marks = re.findall(r"<!-- (generated|end)\b", path.read_text("utf-8"))
        assert marks == ["generated", "end"] * (len(marks) // 2), path


def test_the_code_names_every_decision_where_it_applies() -> None:
    named = {
        decision
        for path in (ROOT / "guardproxy").rglob("*.py")
        for decision in re.findall(r"docs/decisions/(\d{4}-[a-z0-9-]+\.md)", path.read_text("utf-8"))
    }
    assert named == {path.name for path in (ROOT / "docs" / "decisions").glob("0*.md")}


PYTHON_FILE = re.compile(r"`([\w./-]+\.py)`")


def every_file() -> list[str]:
    """The Python files of the repository, relative to it."""
    folders = ("guardproxy", "tests", "tools", "benchmarks", "models", "examples")
    found = [path.relative_to(ROOT).as_posix() for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return [path for path in found if ".venv" not in path]


def missing_files(texts: Mapping[str, str], files: Collection[str]) -> list[tuple[str, str]]:
    """The names of Python files, in backticks, that no file has: the end of a path, or within the package a path from the
    folder of the text or from a folder around it. Returns them with the texts that say them."""
    ends = {path[at:] for path in files for at in (0, *(dash.end() for dash in re.finditer("/", path)))}
    missing = []
    for text, content in texts.items():
        around = [folder.as_posix() for folder in PurePosixPath(text).parents]
        for said in dict.fromkeys(PYTHON_FILE.findall(content)):
            near = any(f"{folder}/{said}".removeprefix("./") in files for folder in around)
            exists = near or f"guardproxy/{said}" in files if text.startswith("guardproxy/") else said in ends
            if not exists:
                missing.append((text, said))
    return missing


def test_every_python_file_that_a_text_names_exists() -> None:
    files = every_file()
    listed = [*pages(), *(path.relative_to(ROOT).as_posix() for path in (ROOT / "models").rglob("*.md")), *files]
    assert missing_files({path: (ROOT / path).read_text("utf-8") for path in listed}, set(files)) == []


def test_a_name_of_a_file_that_is_gone_is_found() -> None:
    files = {"guardproxy/wire/json/walk.py", "guardproxy/policy/file/keys.py", "tools/cost.py"}
    said = {
        "guardproxy/wire/json/walk.py": "walk.py json/walk.py wire/json/walk.py tools/cost.py",
        "guardproxy/policy/values/document.py": "keys.py file/keys.py",
        "docs/page.md": "keys.py file/keys.py values/keys.py cost.py",
    }
    texts = {path: " ".join(f"`{name}`" for name in names.split()) for path, names in said.items()}
    assert missing_files(texts, files) == [
        ("guardproxy/policy/values/document.py", "keys.py"),
        ("docs/page.md", "values/keys.py"),
    ]


def test_every_folder_that_the_page_of_the_architecture_names_exists() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    folders = set(re.findall(r"`((?:guardproxy|docs|tests|tools)/[\w/]*/?)`", text))
    assert len(folders) > 10
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []
