"""Hypothesis profiles. A test run judges a change by itself, so by default every run looks at the same examples:

`fixed`, the default, derives them from the test; `quick` does so with few; `long` explores: it looks at new examples each time,
as many as the promises name. `HYPOTHESIS_PROFILE` chooses one.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from typer.main import get_command

from tests.kit.browser import BROWSER
from tests.kit.plugins import Install, forget, installer
from tools.branch_coverage import FLOORS

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("fixed", max_examples=40, deadline=None, suppress_health_check=_QUIET, derandomize=True)
settings.register_profile("quick", settings.get_profile("fixed"), max_examples=10)
settings.register_profile("long", max_examples=20_000, deadline=None, suppress_health_check=_QUIET)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "fixed")
settings.load_profile(PROFILE)
if PROFILE != "long":
    # Hypothesis tries constants of all modules that are imported so far. In a parallel run these differ from run to run, so
    # the examples would differ as well. Hypothesis has no setting for it.
    providers._get_local_constants = providers.Constants  # type: ignore[attr-defined]


# Files of tests/unit that test no package. Packages are pure if they have a floor (tools/branch_coverage.py).
_OF_NO_PACKAGE = ("test_structure.py", "test_docs.py", "test_drawing.py")
_ROOT = Path(__file__).parent.parent
_UNIT = _ROOT / "tests" / "unit"
_ROOMS = {path.stem for path in (_ROOT / "guardproxy").iterdir()}


_UNTRACED = ("heavy", "timing", "export")


@cache
def _is_of_pure_package(path: Path) -> bool:
    """Whether a file tests a package with a floor, or the work of several packages."""
    if not path.is_relative_to(_UNIT):
        return False
    first = path.relative_to(_UNIT).parts[0]
    room = first.removeprefix("test_").removesuffix(".py")
    return room in FLOORS if room in _ROOMS else first not in _OF_NO_PACKAGE


def _is_pure(item: pytest.Item) -> bool:
    return _is_of_pure_package(item.path) and not any(item.get_closest_marker(name) for name in _UNTRACED)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out files of which `make` runs no test with this choice: each worker would read them for some seconds."""
    chosen = config.option.markexpr
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    if chosen == "pure":
        return None if _is_of_pure_package(collection_path) else True
    words: tuple[str, ...] = ()
    if chosen == "export":
        words = ("mark.export",)
    elif chosen.startswith("(not pure or hypothesis)") and _is_of_pure_package(collection_path):
        words = ("hypothesis", *(f"mark.{name}" for name in _UNTRACED))
    text = collection_path.read_text("utf-8") if words else ""
    return None if not words or any(word in text for word in words) else True


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the unit tests of the pure packages, less those that count work or load models, and the tests of `slow.txt`.

    `.ci/run` installs Chromium where it is missing and can be. Tests that need it are skipped elsewhere.
    """
    without = pytest.mark.skip(reason="no browser is installed")
    slow = set((Path(__file__).parent / "slow.txt").read_text("utf-8").split())
    for item in items:
        if f"{item.path.stem}::{item.name.partition('[')[0]}" in slow:
            item.add_marker("slow")
        if not BROWSER and item.get_closest_marker("browser"):
            item.add_marker(without)
        if _is_pure(item):
            item.add_marker("pure")


def pytest_collection() -> None:
    """Collecting tests makes hundreds of thousands of objects, and no garbage worth looking for."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What was made stays to the end, so no collection of garbage looks at it again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def command_line() -> Iterator[None]:
    """Builds the command line once: building it takes longer than most commands that tests give it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("typer.testing._get_command", cache(get_command))
        yield


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs plug-ins for one test."""
    yield installer(monkeypatch)
    monkeypatch.undo()
    forget()
