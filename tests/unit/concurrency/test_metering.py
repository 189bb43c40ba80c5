"""Calls into libraries: counted in one thread, stopped with their scan, bounded, and each library declared."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import guardproxy
from guardproxy.concurrency import LIBRARIES, ScanStopped, WorkLimitError, metered, stoppable
from guardproxy.concurrency.metering import counter
from tools.branch_coverage import FLOORS

ROOT = Path(guardproxy.__file__).parent
# Of the standard library: what takes more than linear time for some text, or holds the interpreter for a whole text.
WATCHED = frozenset(("unicodedata", "zlib", "html", "binascii", "base64", "difflib", "fnmatch"))
# Not for texts of exchanges: commands, keys, time zones, reports.
BESIDE = {
    "cryptography": "keys, signatures and seals, in bytes of a record",
    "duckdb": "queries of the log, by a command",
    "opentelemetry": "spans, after the exchange",
    "obstore": "object stores, by a command or a shipper",
    "yaml": "policy files",
    "confluent_kafka": "shipped lines",
    "genai_prices": "the prices of a model, by its name",
    "jwt": "bearer tokens, at most as long as a header",
    "multidict": "headers, whose number and length are limited",
    "pythonjsonlogger": "log lines, which hold no text of an exchange",
    "redis": "the shared store",
}


def imported() -> Iterator[tuple[str, str]]:
    """The top-level names that the pure packages import from elsewhere, with the file."""
    for part in FLOORS:
        folder = ROOT / part
        for file in folder.rglob("*.py") if folder.is_dir() else [ROOT / f"{part}.py"]:
            yield from ((name, str(file.relative_to(ROOT))) for name in imported_by(file))


def imported_by(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            if top != "guardproxy" and (top not in sys.stdlib_module_names or top in WATCHED):
                yield top


def test_every_library_that_reads_texts_says_how_it_is_bounded() -> None:
    found: dict[str, set[str]] = {}
    for name, file in imported():
        found.setdefault(name, set()).add(file)
    undeclared = {name: sorted(files) for name, files in found.items() if name not in LIBRARIES and name not in BESIDE}
    assert undeclared == {}
    assert {*LIBRARIES, *BESIDE} - set(found) == set(), "a library that is not used any more"
    assert all(call.why for call in LIBRARIES.values())


def many(times: int) -> int:
    return sum(len("abc") for _ in range(times))


def test_few_calls_are_nothing_and_many_are_an_error() -> None:
    with metered(100_000):
        assert many(1000) == 3000
    with pytest.raises(WorkLimitError), metered(10_000):
        many(1_000_000)


def test_a_handler_of_errors_in_the_library_does_not_go_on() -> None:
    tries: list[int] = []

    def careless() -> None:
        while len(tries) < 3:
            tries.append(1)
            with suppress(Exception):
                many(1_000_000)

    with pytest.raises(WorkLimitError), metered(10_000):
        careless()
    assert len(tries) == 1


def test_it_stops_with_its_scan() -> None:
    stops = 0

    def pause() -> None:
        nonlocal stops
        stops += 1
        if stops > 3:
            raise ScanStopped

    with pytest.raises(ScanStopped), stoppable(pause), metered(10**9):
        many(10**9)
    assert stops == 4


def test_who_looked_at_calls_before_still_does() -> None:
    seen: list[str] = []

    def look(frame: FrameType, event: str, argument: Any) -> None:
        seen.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        with metered(1000):
            many(1)
        assert sys.getprofile() is look
    finally:
        sys.setprofile(before)
    assert "many" in seen


def test_the_function_itself_counts_both_ends_of_a_call() -> None:
    """The interpreter calls it where nothing can see which lines run."""
    frame, seen, stops = sys._getframe(), [], 0

    def pause() -> None:
        nonlocal stops
        stops += 1

    count = counter(4000, lambda *event: seen.append(event))
    with stoppable(pause):
        for _ in range(11_999):
            count(frame, "call", None)
        assert stops == 2
        with pytest.raises(BaseException, match=r"^$") as raised:
            count(frame, "return", None)
    assert not isinstance(raised.value, Exception)
    assert len(seen) == 12_000
    alone = counter(0)
    for _ in range(3999):
        alone(frame, "call", None)
    with pytest.raises(type(raised.value)):
        alone(frame, "call", None)
