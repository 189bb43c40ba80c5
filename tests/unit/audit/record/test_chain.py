"""Sealing and verifying: what a line looks like, and what each kind of change is called."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from guardproxy.audit.record.canonical import canonical
from guardproxy.audit.record.chain import (
    LIMIT_PROBLEMS,
    ChainHead,
    Problem,
    Verifier,
    begin,
    open_line,
    read_head,
    seal,
    verify,
    write_head,
)
from guardproxy.errors import AuditError


def log(count: int = 4, origin: str = "o1") -> list[bytes]:
    line, head = begin({"log": origin, "engine": "0"})
    lines = [line]
    for index in range(count):
        line, head = seal({"id": f"x{index}", "text": "ä\n"}, head)
        lines.append(line)
    return lines


def found(lines: list[bytes], expected: ChainHead | None = None, *, whole: bool = True) -> list[tuple[int, str]]:
    return [(problem.line, problem.code) for problem in verify(lines, expected, whole=whole).problems]


def head_of(line: bytes) -> ChainHead:
    entry = json.loads(line)
    return ChainHead(entry.get("seq", -1), entry["hash"])


def test_a_line_by_the_letter() -> None:
    header, head = begin({"log": "o1", "engine": "0"})
    body = b'{"engine":"0","format":1,"log":"o1"}'
    digest = hashlib.sha256(b"\x00" + body).hexdigest()
    assert header == b'{"engine":"0","format":1,"hash":"' + digest.encode() + b'","log":"o1"}\n'
    assert head == ChainHead(-1, digest)
    line, after = seal({"id": "é", "at": 1.5}, head)
    entry = json.loads(line)
    assert (entry["seq"], entry["prev"], entry["hash"]) == (0, digest, after.hash)
    body = f'{{"at":1.5,"id":"é","prev":"{digest}","seq":0}}'.encode()
    assert after == ChainHead(0, hashlib.sha256(b"\x00" + body).hexdigest())


def test_an_untouched_log_verifies() -> None:
    report = verify(log(4))
    assert (report.log, report.records, report.problems) == ("o1", 4, ())
    assert report.head == head_of(log(4)[-1])
    assert not report.torn
    assert not report.tampered
    assert verify(log(0)).head == head_of(log(0)[0])


def edited(lines: list[bytes], at: int, old: bytes, new: bytes) -> list[bytes]:
    assert old in lines[at]
    return [*lines[:at], lines[at].replace(old, new, 1), *lines[at + 1 :]]


def resealed(line: bytes, **changes: Any) -> bytes:
    """A line changed by someone who knows how lines are hashed."""
    entry = {**json.loads(line), **changes}
    del entry["hash"]
    digest = hashlib.sha256(b"\x00" + canonical(entry)).hexdigest()
    return canonical({**entry, "hash": digest}) + b"\n"


def test_what_each_change_is_called() -> None:
    lines, other = log(), log(4, "o2")
    assert found(edited(lines, 2, b"x1", b"y1")) == [(3, "altered")]
    assert found(edited(lines, 4, b"x3", b"y3")) == [(5, "altered")]
    assert found(edited(lines, 2, b'"id"', b' "id"')) == [(3, "unreadable")]
    assert found(edited(lines, 2, b"{", b"[")) == [(3, "unreadable")]
    assert found(edited(lines, 2, b'"seq":1', b'"seq":"1"')) == [(3, "unreadable")]
    assert found(edited(lines, 2, b'"seq":1', b'"seq":true')) == [(3, "unreadable")]
    assert found(edited(lines, 2, b'"hash":"', b'"hash":"0')) == [(3, "unreadable")]
    assert found(edited(lines, 0, b'"engine":"0"', b'"engine":"1"')) == [(1, "altered")]
    assert found(edited(lines, 0, b'"format":1', b'"format":2')) == [(1, "header"), (1, "altered")]
    assert found([*lines[:2], resealed(lines[2], id="y"), *lines[3:]]) == [(4, "link")]
    assert found([resealed(lines[0], engine="1"), *lines[1:]]) == [(2, "link")]
    assert found([*lines[:2], *lines[3:]]) == [(3, "missing")]
    assert found([lines[0], *lines[2:]]) == [(2, "missing")]
    assert found(lines[1:]) == [(1, "header")]
    assert found(lines[2:]) == [(1, "header"), (1, "missing")]
    assert found([b"{}\n", *lines[1:]]) == [(1, "header")]
    assert found([b"nothing\n", *lines[1:]]) == [(1, "header")]
    assert found([*lines[:3], lines[2], *lines[3:]]) == [(4, "order")]
    assert found([*lines[:2], lines[3], lines[2], lines[4]]) == [(3, "missing"), (4, "order"), (5, "missing")]
    assert found([*lines[:3], *other[3:]]) == [(4, "link")]
    assert found([*lines[:2], other[2], *lines[3:]]) == [(3, "link"), (4, "link")]
    assert found([]) == [(1, "header")]


def test_a_torn_tail_is_no_tampering() -> None:
    lines = log()
    for cut in range(1, len(lines[-1])):
        report = verify([*lines[:-1], lines[-1][:cut]])
        assert [(problem.line, problem.code) for problem in report.problems] == [(5, "torn")]
        assert report.torn
        assert not report.tampered
        assert report.head == head_of(lines[-2])
    assert found([lines[0][:9]]) == [(1, "torn")]


def test_an_unfinished_line_in_the_middle_is_tampering() -> None:
    lines = log()
    assert found([*lines[:2], lines[2][:-1], *lines[3:]]) == [(3, "unreadable"), (4, "missing")]


def test_a_known_head_shows_a_cut_tail() -> None:
    lines = log()
    last = head_of(lines[-1])
    assert found(lines, last) == []
    assert found(lines[:-1], last) == [(5, "cut")]
    assert found(lines[:1], last) == [(2, "cut")]
    assert found([], last) == [(1, "header"), (1, "cut")]
    assert found([*lines[:-1], lines[-1][:-1]], last) == [(5, "torn"), (6, "cut")]


def test_a_known_head_may_be_older_than_the_end() -> None:
    lines = log()
    for line in lines:
        assert found(lines, head_of(line)) == []


def test_a_known_head_shows_a_log_that_was_written_anew() -> None:
    assert found(log(4, "o2"), head_of(log()[-1])) == [(5, "rewritten")]
    assert found(log(4, "o2"), head_of(log()[0])) == [(5, "rewritten")]


def test_lines_from_the_middle() -> None:
    lines = log()
    assert found(lines[2:], whole=False) == []
    assert found([*lines[2:3], *lines[4:]], whole=False) == [(2, "missing")]
    assert found(edited(lines, 2, b"x1", b"y1")[2:], whole=False) == [(1, "altered")]
    assert found([b"junk\n", *lines[3:]], whole=False) == [(1, "unreadable")]
    assert found(lines[3:], head_of(lines[1]), whole=False) == []
    assert found(lines[3:], ChainHead(3, "0" * 64), whole=False) == [(2, "rewritten")]
    assert found(lines[2:4], head_of(lines[4]), whole=False) == [(3, "cut")]


def test_a_log_of_junk_is_not_read_to_its_end() -> None:
    report = verify(b"junk\n" for _ in range(10 * LIMIT_PROBLEMS))
    assert len(report.problems) == LIMIT_PROBLEMS + 1
    assert report.problems[-1].code == "stopped"


def test_messages_say_what_was_expected() -> None:
    lines = log()
    assert [problem.message for problem in verify([*lines[:2], *lines[3:]]).problems] == [
        "expected record 1, found record 2: records between were removed"
    ]
    replaced = resealed(lines[2], id="y")
    assert [problem.message for problem in verify([*lines[:2], replaced, *lines[3:]]).problems] == [
        f"expected prev {head_of(replaced).hash}, found {head_of(lines[2]).hash}: "
        "the previous line was replaced, or this line is foreign"
    ]


@pytest.mark.parametrize("key", ["seq", "prev", "hash"])
def test_records_cannot_set_what_sealing_sets(key: str) -> None:
    with pytest.raises(AuditError, match=f"`{key}`"):
        seal({key: 1}, ChainHead(0, "0" * 64))
    with pytest.raises(AuditError, match=f"`{key}`"):
        begin({"log": "o", key: 1})


@pytest.mark.parametrize("header", [{}, {"log": ""}, {"log": 3}, {"log": "o", "format": 1}])
def test_a_header_names_its_log(header: dict[str, Any]) -> None:
    with pytest.raises(AuditError):
        begin(header)


@dataclass
class Thing:
    b: int = 1
    a: int = 2


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        Thing(),
        datetime.now(UTC),
        {1, 2},
        b"x",
        {(1, 2): 3},
        float("nan") + 1j,
        [object()],
        {1: float("nan")},
        deep(9999),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(AuditError, match="not JSON"):
        seal({"value": value}, ChainHead(0, "0" * 64))


class Word(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    ["\ud800", {"\udfff": "é"}, 1 << 80, [1 << 80, 1e22], Word("w"), {2: "a", 10: "b"}, deep(300)],
    ids=lambda value: type(value).__name__,
)
def test_unusual_json_is_sealed_and_verifies(value: object) -> None:
    header, head = begin({"log": "o"})
    line, _ = seal({"value": value}, head)
    assert found([header, line]) == []
    opened = open_line(line)
    assert opened is not None
    assert opened["value"] == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"[]\n",
        b"3\n",
        b"{\n",
        b"\xff\n",
        b'{"a":1,"a":1}\n',
        b'{"b":1,"a":1}\n',
        b'{"a":1.0e0}\n',
        b'{"a": 1}\n',
        b'{"a":NaN}\n',
        b'{"a":"\\u0041"}\n',
        b'{"a":1}\r\n',
        b"[" * 99999 + b"\n",
    ],
    ids=lambda line: ascii(line[:20]),
)
def test_lines_that_are_written_in_another_way_do_not_open(line: bytes) -> None:
    assert open_line(line) is None


def test_a_head_is_written_and_read() -> None:
    head = ChainHead(7, "ab" * 32)
    assert read_head(write_head("o1", head)) == head
    assert read_head(write_head("o1", ChainHead(-1, "ab" * 32))).seq == -1


@pytest.mark.parametrize(
    "data", [b"", b"{}\n", b'{"hash":"ab","log":"o","seq":1}\n', b"junk", write_head("o", ChainHead(-2, "ab" * 32))]
)
def test_a_broken_head_is_not_read(data: bytes) -> None:
    with pytest.raises(AuditError, match="not the head of a log"):
        read_head(data)


def test_lines_that_were_verified_apart_do_not_follow_an_unfinished_line_or_too_many_problems() -> None:
    lines = log()
    apart = Verifier((), False)
    for line in lines[3:]:
        apart.take(line)
    run = apart.run()
    assert run is not None
    before = Verifier((), True)
    for line in lines[:3]:
        before.take(line)
    assert before.fits(run)
    before.take(lines[3][:-1])
    assert not before.fits(run)
    before.unfinished = False
    before.problems = [Problem(1, "altered", "")] * LIMIT_PROBLEMS
    assert not before.fits(run)
