"""The page of the formats: every format has a row, and every cell names a test that exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardproxy.wire import codecs
from guardproxy.wire.formats import NAMES
from tools.pages.formats import CAPABILITIES, SHEETS, Sheet, applicable, missing, page


def test_every_format_has_a_row() -> None:
    assert SHEETS.keys() == set(NAMES), "write the sheet of the format in tools/pages/formats.py"


@pytest.mark.parametrize("name", NAMES)
def test_a_row_has_a_cell_for_each_capability_of_the_contract(name: str) -> None:
    (codec,) = [codec for codec in codecs() if codec.name == name]
    assert SHEETS[name].tests.keys() == applicable(codec)
    assert SHEETS[name].clients


@pytest.mark.parametrize("sheet", SHEETS.values(), ids=SHEETS)
def test_every_cell_names_tests_that_exist(sheet: Sheet) -> None:
    assert all(sheet.tests.values())
    assert [wrong for tests in sheet.tests.values() for test in tests if (wrong := missing(test))] == []


def test_the_page_has_a_cell_for_each_capability() -> None:
    assert page().count("[yes](") == sum(len(sheet.tests) for sheet in SHEETS.values())


def test_what_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("def test_b() -> None:\n    assert 'a case'\n", "utf-8")
    assert missing("test_a.py::test_b", tmp_path) == missing("test_a.py::test_b[a case]", tmp_path) == ""
    assert missing("test_c.py::test_b", tmp_path) == "no file test_c.py"
    assert missing("test_a.py::test_c", tmp_path) == "no test test_c in test_a.py"
    assert missing("test_a.py::test_b[other]", tmp_path) == "no case other in test_a.py"
    assert set(CAPABILITIES) > {"request", "plain", "stream"}
