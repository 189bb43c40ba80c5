"""A log that is verified in parts gets the report of a verifier that reads line after line, whatever was done to the log."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from io import BytesIO
from random import Random
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guardproxy.audit.proof.lines import RootWatch
from guardproxy.audit.proof.tree import Frontier, line_hash
from guardproxy.audit.proof.verifying import ExpectedLog, LogVerification, VerifiedPart, VerifyWork
from guardproxy.audit.record.chain import LIMIT_PROBLEMS, ChainHead, Report, begin, seal, verify
from guardproxy.engine import AnyPath, Part, parts_of
from tests.kit.engines import ShakyEngine


class MemoryFile:
    """A log in memory, which can be sent to a worker."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def open(self, mode: str) -> BytesIO:
        return BytesIO(self.data)

    def __str__(self) -> str:
        return "log"


@cache
def log(records: int, origin: str = "ours") -> tuple[tuple[bytes, ChainHead], ...]:
    """The lines of a log with their heads."""
    out = [begin({"log": origin})]
    for number in range(records):
        out.append(seal({"text": "x" * (number % 7)}, out[-1][1]))
    return tuple(out)


def changed(lines: list[bytes], random: Random) -> list[bytes]:
    """The lines after one change."""
    at = random.randrange(len(lines))
    other = random.randrange(len(lines))
    foreign = log(30, "theirs")[random.randrange(31)][0]
    changes: list[Callable[[], list[bytes]]] = [
        lambda: lines[:at] + lines[at + 1 :],
        lambda: [*lines[:at], lines[other], *lines[at:]],
        lambda: [*lines[:at], foreign, *lines[at:]],
        lambda: [*lines[:at], foreign, *lines[at + 1 :]],
        lambda: [*lines[:at], lines[at].replace(b'"text":"', b'"text":"y'), *lines[at + 1 :]],
        lambda: [*lines[:at], b"junk\n", *lines[at:]],
        lambda: [*lines[:at], lines[at].rstrip(b"\n"), *lines[at + 1 :]],
        lambda: [*lines[:at], lines[at][: len(lines[at]) // 2]],
        lambda: lines[:at],
    ]
    return random.choice(changes)() or [b""]


def in_parts(data: bytes, expected: ExpectedLog, part_bytes: int, seed: int = 0) -> tuple[Report, RootWatch]:
    path = cast(AnyPath, MemoryFile(data))
    parts = list(parts_of([(path, len(data))], part_bytes))
    state = LogVerification(expected)
    found = ShakyEngine(2, seed).each(VerifyWork({"log": expected}), parts)
    for part, verified in zip(parts, found, strict=True):
        state.take(part, verified)
    return state.verifier.finish(), state.watch


def line_by_line(data: bytes, expected: ExpectedLog) -> tuple[Report, RootWatch]:
    watch = RootWatch(expected.stated)
    lines = BytesIO(data)
    return verify(watch.passed(lines) if expected.stated else lines, expected.heads), watch


def roots(records: int, sizes: list[int]) -> tuple[tuple[int, bytes], ...]:
    hashes = [line_hash(line) for line, _ in log(records)]
    return tuple((size, Frontier().extended(hashes[:size]).root) for size in sizes if 0 < size <= len(hashes))


@given(
    st.integers(0, 30),
    st.integers(0, 3),
    st.integers(60, 4000),
    st.lists(st.integers(1, 31), max_size=4),
    st.lists(st.integers(0, 30), max_size=3),
    st.integers(0, 10_000),
)
@example(30, 0, 300, [1, 7, 31], [0, 30], 0)
def test_every_log_gets_the_same_report(
    records: int, changes: int, part_bytes: int, sizes: list[int], heads: list[int], seed: int
) -> None:
    random = Random(seed)
    lines = [line for line, _ in log(records)]
    for _ in range(changes):
        lines = changed(lines, random)
    data = b"".join(lines)
    expected = ExpectedLog(
        tuple(dict.fromkeys(log(30)[number][1] for number in heads)), roots(records, sizes) if sizes else ()
    )
    report, watch = in_parts(data, expected, part_bytes, seed)
    reference, reference_watch = line_by_line(data, expected)
    assert report == reference
    assert (watch.finish(), watch.wrong, watch.missing) == (
        reference_watch.finish(),
        reference_watch.wrong,
        reference_watch.missing,
    )


@pytest.mark.parametrize("part_bytes", [500, 3000, 1 << 20])
def test_too_many_problems_stop_at_the_same_line(part_bytes: int) -> None:
    lines = [line for line, _ in log(30)]
    data = b"".join([*lines[:20], *[b"junk\n"] * (LIMIT_PROBLEMS + 5), *lines[20:]])
    expected = ExpectedLog((), roots(30, [10, 31]))
    report, watch = in_parts(data, expected, part_bytes)
    reference, reference_watch = line_by_line(data, expected)
    assert report == reference
    assert report.problems[-1].code == "stopped"
    assert watch.finish() == reference_watch.finish()


def test_a_part_without_a_problem_is_read_once() -> None:
    data = b"".join(line for line, _ in log(30))
    expected = ExpectedLog((), roots(30, [5, 31]))
    path: Any = MemoryFile(data)
    work = VerifyWork({"log": expected})
    state = LogVerification(expected)
    with work.open() as do:
        results = [(part, do(part)) for part in parts_of([(path, len(data))], 700)]
    path.data = b""  # nothing is left to be read again
    for part, verified in results:
        state.take(part, verified)
    assert state.verifier.finish() == verify(BytesIO(data))
    assert state.watch.finish().size == 31
    state.take(Part(path, 0, 0), VerifiedPart(0))


def test_a_part_after_too_many_problems_is_not_read() -> None:
    lines = [line for line, _ in log(30)]
    first, last = b"".join([*lines[:20], *[b"junk\n"] * LIMIT_PROBLEMS]), b"".join(lines[20:])
    path: Any = MemoryFile(first + last)
    state = LogVerification(ExpectedLog())
    with VerifyWork({"log": ExpectedLog()}).open() as do:
        for part in (Part(path, 0, len(first)), Part(path, len(first), len(path.data))):
            state.take(part, do(part))
    assert state.verifier.finish() == verify(BytesIO(path.data))
