"""Files of texts: plain and packed, traffic without labels, and what an audit log kept."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit.record.chain import begin, seal
from guardproxy.errors import ConfigError
from guardproxy.findings import Kind
from guardproxy.lab.rows import RowKeys
from guardproxy.lab.texts import labelled_rows, logged_rows
from tests.kit.records import plain_answer, plain_record, plain_text

LINES = b'{"text": "one", "label": 1}\n{"text": "two", "label": 0, "source": "mail"}\n'


def test_plain_and_packed_files_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_bytes(LINES)
    (tmp_path / "mine.jsonl.gz").write_bytes(gzip.compress(LINES))
    found = labelled_rows([tmp_path / "mine.jsonl", tmp_path / "mine.jsonl.gz"], RowKeys())
    assert [(row.text, row.attack, row.source) for row in found] == [("one", True, "mine"), ("two", False, "mail")] * 2
    assert found[3].place == f"{tmp_path / 'mine.jsonl.gz'}:2"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "none.jsonl cannot be read: No such file"),
        ("bad.jsonl.gz", b"no gzip", "bad.jsonl.gz cannot be read: Not a gzipped file"),
        ("cut.jsonl.gz", gzip.compress(LINES, mtime=0)[:30], "cut.jsonl.gz cannot be read"),
        ("wrong.jsonl.gz", gzip.compress(LINES, mtime=0)[:12] + b"\xff\xff\xff", "wrong.jsonl.gz cannot be read"),
        ("empty.jsonl", b"\n\n", "empty.jsonl: no rows"),
        ("line.jsonl", LINES + b"{", "line.jsonl:3: not a line of JSON"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        labelled_rows([tmp_path / name], RowKeys())


def record(texts: list[tuple[str, str | None]], answers: list[tuple[str, str | None]]) -> dict[str, Any]:
    request, response = ([plain_text("p", text, kind=kind) for kind, text in part] for part in (texts, answers))
    return plain_record(plain_answer(*response), *request).document()


def log(folder: Path, records: list[dict[str, Any]]) -> Path:
    line, head = begin({"log": "mine"})
    lines = [line]
    for one in records:
        line, head = seal(one, head)
        lines.append(line)
    (folder / "log.jsonl").write_bytes(b"".join(lines))
    return folder


@pytest.mark.parametrize(
    ("kind", "wanted"), [("user", ["hello", "again"]), ("tool_result", ["found"]), ("assistant", ["hi"])]
)
def test_a_log_gives_the_texts_of_a_kind_each_once(tmp_path: Path, kind: Kind, wanted: list[str]) -> None:
    first = record([("user", "hello"), ("tool_result", "found"), ("user", None)], [("assistant", "hi")])
    second = record([("user", "hello"), ("user", "again"), ("user", "")], [("reasoning", "hm"), ("assistant", "hi")])
    rows = logged_rows(log(tmp_path, [first, {"event": "opened"}, second]), kind)
    assert [row.text for row in rows] == wanted
    assert not any(row.attack for row in rows)
    assert rows[-1].place.endswith("log.jsonl:4" if kind == "user" else "log.jsonl:2")


def test_a_log_without_texts_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \*.jsonl logs here"):
        logged_rows(tmp_path, "user")
    with pytest.raises(ConfigError, match="the logs keep no text of the kind `user`"):
        logged_rows(log(tmp_path, [record([("user", None)], [])]), "user")
    (tmp_path / "other.jsonl").mkdir()
    with pytest.raises(ConfigError, match=r"other.jsonl cannot be read"):
        logged_rows(tmp_path, "user")
