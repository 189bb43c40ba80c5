"""A run of the tests looks at the same examples as every other run, whatever was imported before."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

DEFAULT = settings.get_profile("fixed")


def examples() -> list[str]:
    """The examples of a new property."""
    seen: list[str] = []

    @settings(DEFAULT, max_examples=200)
    @given(st.text(max_size=40))
    def collect(text: str) -> None:
        seen.append(text)

    collect()
    return seen


def test_examples_do_not_depend_on_imported_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = examples()
    module = ModuleType("more_constants")
    file = tmp_path / "more_constants.py"
    file.write_text("WORDS = [" + ", ".join(f"'word {number}'" for number in range(400)) + "]")
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("hypothesis.internal.conjecture.providers.is_local_module_file", lambda path: path == str(file))
    assert examples() == before
