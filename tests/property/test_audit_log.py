"""Verification reports every change of a log: of a byte, of a line, of its end."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit.record.chain import ChainHead, begin, open_line, seal, verify

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    # texts of clients may hold halves of surrogate pairs
    | st.text(st.characters(categories=["Cs", "Ll"]), max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
RESERVED = {"seq", "prev", "hash"}
records = st.dictionaries(st.text(max_size=6).filter(lambda key: key not in RESERVED), values, max_size=4)
logs = st.lists(records, min_size=1, max_size=6)


def sealed(entries: list[dict[str, Any]], origin: str = "o") -> tuple[list[bytes], ChainHead]:
    line, head = begin({"log": origin})
    lines = [line]
    for record in entries:
        line, head = seal(record, head)
        lines.append(line)
    return lines, head


def lines_of(data: bytes) -> list[bytes]:
    """The lines of a file, split as a binary file splits them."""
    return [part + b"\n" for part in data.split(b"\n")[:-1]] + ([data.split(b"\n")[-1]] if data[-1:] != b"\n" else [])


@given(logs)
def test_what_was_sealed_is_read_back_and_verifies(entries: list[dict[str, Any]]) -> None:
    lines, head = sealed(entries)
    report = verify(lines, head)
    assert report.problems == ()
    assert (report.head, report.records) == (head, len(entries))
    for record, line in zip(entries, lines[1:], strict=True):
        opened = open_line(line)
        assert opened is not None
        assert {key: value for key, value in opened.items() if key not in RESERVED} == json.loads(json.dumps(record))


@given(logs, st.data())
def test_any_single_byte_edit_is_found(entries: list[dict[str, Any]], data: st.DataObject) -> None:
    whole = b"".join(sealed(entries)[0])
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    changed = whole[:at] + bytes([byte]) + whole[at + 1 :]
    assert verify(lines_of(changed)).problems


@given(logs, st.data())
def test_any_byte_put_in_or_taken_out_is_found(entries: list[dict[str, Any]], data: st.DataObject) -> None:
    whole = b"".join(sealed(entries)[0])
    at = data.draw(st.integers(0, len(whole) - 1))
    extra = data.draw(st.binary(max_size=1))
    changed = whole[:at] + extra + whole[at + (not extra) :]
    assert verify(lines_of(changed)).problems


@given(logs, st.data())
def test_any_cut_is_found_with_the_head_and_torn_lines_without(
    entries: list[dict[str, Any]], data: st.DataObject
) -> None:
    lines, head = sealed(entries)
    whole = b"".join(lines)
    kept = whole[: data.draw(st.integers(0, len(whole) - 1))]
    report = verify(lines_of(kept) if kept else [], head)
    assert any(problem.code == "cut" for problem in report.problems)
    assert report.torn is (kept != b"" and not kept.endswith(b"\n"))


@given(st.lists(records, min_size=2, max_size=7), st.data())
def test_any_other_order_of_the_lines_is_found(entries: list[dict[str, Any]], data: st.DataObject) -> None:
    lines, head = sealed(entries)
    order = data.draw(st.permutations(range(len(lines))))
    problems = verify([lines[index] for index in order], head).problems
    assert bool(problems) is (order != list(range(len(lines))))


@given(st.lists(records, min_size=2, max_size=7), st.data())
def test_any_lines_taken_out_or_repeated_are_found(entries: list[dict[str, Any]], data: st.DataObject) -> None:
    lines, head = sealed(entries)
    counts = data.draw(st.lists(st.integers(0, 2), min_size=len(lines), max_size=len(lines)))
    problems = verify([line for line, count in zip(lines, counts, strict=True) for _ in range(count)], head).problems
    assert bool(problems) is (set(counts) != {1})


@given(logs, logs, st.data())
def test_any_splice_of_two_logs_is_found(
    first: list[dict[str, Any]], second: list[dict[str, Any]], data: st.DataObject
) -> None:
    ours, theirs = sealed(first, "o1")[0], sealed(second, "o2")[0]
    at = data.draw(st.integers(1, len(ours)))
    start = data.draw(st.integers(0, len(theirs) - 1))
    assert verify([*ours[:at], *theirs[start:]]).problems
