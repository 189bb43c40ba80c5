"""The tables say what the records say, and a query can do nothing but read them."""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guardproxy.audit.record import RecordedCache
from guardproxy.audit.record.chain import begin, seal
from guardproxy.audit.record.document import (
    Gap,
    RecordedAttempt,
    RecordedError,
    RecordedFinding,
    RecordedText,
)
from guardproxy.audit.record.entries import Reviewed
from guardproxy.audit.shipping.intents import closing
from guardproxy.errors import QueryError
from guardproxy.reading import sql
from guardproxy.reading.period import Period, read_period
from guardproxy.reading.sql import LEAST_LINE_BYTES, VIEWS, LogDatabase
from guardproxy.telemetry import measures_of
from guardproxy.wire import codecs
from tests.kit.logs import write_log
from tests.kit.records import plain_answer, plain_attempt, plain_decision, plain_intent, plain_record, plain_text
from tools.pages.blocks import Block, blocks

OLD = Path(__file__).parents[1] / "audit" / "data"
FOUND = RecordedFinding(check="pii", label="NAME", start=1, end=4, score=0.5)
HELD = plain_decision()


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with LogDatabase(folder) as database:
        return list(database.query(sql)[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("we[ir]d*'s")
    first = plain_answer(plain_text("a", "first", kind="assistant", findings=(FOUND,)))
    last = plain_answer(plain_text("a", "last", kind="assistant"), uninspected=("image",))
    attempts: tuple[RecordedAttempt, ...] = (plain_attempt(first), plain_attempt())
    write_log(
        folder,
        "audit-0",
        plain_intent("x0"),
        plain_record(
            last,
            plain_text("m", "a name", findings=(FOUND,), checks=("pii",)),
            **{"rules": ("r",), "decisions": (HELD,), "attempts": attempts, "checks": {"pii": "sha256:1"}},
            **{"usage": {"n": 7}, "error": RecordedError(code="late"), "sizes": {"request": 9}},
        ),
        plain_record(id="x1", tenant_name="team"),
        closing(plain_intent("x2"), 3.0, "e", "the process ended before"),
        Gap(v=3, at=4.0, since=3.5, why="disk full"),
    )
    return folder


def test_exchanges(folder: Path) -> None:
    wanted = (
        "id, time, model, outcome, rules, checks, uninspected, attempts, error, bytes['request'], total_ms, log, seq"
    )
    assert rows(folder, f"SELECT {wanted} FROM exchanges ORDER BY seq") == [
        (
            *("x0", datetime.fromtimestamp(1_750_000_000.25, UTC).replace(tzinfo=None), "small", "answered", ["r"]),
            *({"pii": "sha256:1"}, ["image"], 2, "late", 9, 20.04, "audit-0.jsonl", 1),
        ),
        (
            *("x1", datetime.fromtimestamp(1_750_000_000.25, UTC).replace(tzinfo=None), "small", "answered", []),
            *({}, [], 0, None, None, 20.04, "audit-0.jsonl", 2),
        ),
    ]
    assert rows(folder, "SELECT usage->'n' FROM exchanges WHERE tenant_name IS NULL") == [("7",)]


def test_texts_findings_and_decisions(folder: Path) -> None:
    assert rows(folder, "SELECT id, direction, attempt, path, text, findings FROM texts ORDER BY ALL") == [
        ("x0", "request", 0, "m", "a name", 1),
        ("x0", "response", 0, "a", "first", 1),
        ("x0", "response", 1, "a", "last", 0),
    ]
    columns = "id, direction, attempt, path, kind, check_name, label, start_char, end_char, score"
    assert rows(folder, f"SELECT {columns} FROM findings ORDER BY ALL") == [
        ("x0", "request", 0, "m", "user", "pii", "NAME", 1, 4, 0.5),
        ("x0", "response", 0, "a", "assistant", "pii", "NAME", 1, 4, 0.5),
    ]
    held = "SELECT id, policy, rule, action, mode, direction, attempt, path, label FROM decisions"
    assert rows(folder, held) == [("x0", "p", "r", "redact", "enforce", "request", 0, "m", "NAME")]


def test_events_are_what_is_no_exchange(folder: Path) -> None:
    assert rows(folder, "SELECT kind, id, why FROM events ORDER BY seq") == [
        ("intent", "x0", None),
        ("closing", "x2", "the process ended before"),
        ("gap", None, "disk full"),
    ]
    assert rows(folder, "SELECT epoch(time - since) FROM events WHERE kind = 'gap'") == [(0.5,)]


def test_verdicts_of_reviewers_are_a_table(tmp_path: Path) -> None:
    entry = Reviewed(v=3, at=1.0, engine="e", by="eve", id="x1", policy="p", rule="r", verdict="missed")
    write_log(tmp_path, "operator", entry)
    assert rows(tmp_path, "SELECT id, policy, rule, verdict, reviewer FROM reviews") == [
        ("x1", "p", "r", "missed", "eve")
    ]
    assert rows(tmp_path, "SELECT count(*) FROM events") == [(0,)]


def test_no_column_has_to_be_quoted(folder: Path) -> None:
    with LogDatabase(folder) as database:
        for name in VIEWS:
            columns, _ = database.query(f"SELECT * FROM {name}")
            assert database.query(f"SELECT {', '.join(columns)} FROM {name}")[0] == columns


def test_records_of_version_1_are_exchanges() -> None:
    assert rows(OLD, "SELECT count(*) FROM exchanges") == [(13,)]
    assert rows(OLD, "SELECT count(*) FROM events") == [(14,)]


def test_a_database_that_cannot_be_set_up_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sql, "_survey", fail)
    with pytest.raises(OSError, match="No space"):
        LogDatabase(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO 'out'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'out'",
        "ATTACH 'out.db'",
        "SET threads = 1",
        "CREATE TABLE t AS SELECT 1",
        "INSTALL httpfs",
        "SELECT 1; SELECT 2",
        "",
    ],
)
def test_a_query_is_one_select(folder: Path, sql: str) -> None:
    with pytest.raises(QueryError, match="a query is one SELECT"):
        rows(folder, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
        "FROM '/etc/hostname'",
        "SELECT getenv('HOME')",
        "SELECT no_such_column FROM exchanges",
        "SELEC 1",
    ],
)
def test_nothing_but_the_logs_can_be_read(folder: Path, sql: str) -> None:
    with pytest.raises(QueryError):
        rows(folder, sql)


def test_an_error_may_come_late(folder: Path) -> None:
    sql = "SELECT CASE WHEN i < 200000 THEN i ELSE error('late') END FROM range(300000) r(i)"
    with LogDatabase(folder) as database, pytest.raises(QueryError, match="late"):
        list(database.query(sql)[1])


def test_half_surrogate_pairs_hide_no_record(tmp_path: Path) -> None:
    """DuckDB refuses such a line; an attacker could hide an exchange from queries with it."""
    hostile = "a\ud800\udc00x", "\ud800\ud801", "\\\ud800", "\\ud800", "\\\\udfff\udfff"
    write_log(
        tmp_path, "a", *(plain_record(None, plain_text(text=text), id=f"x{at}") for at, text in enumerate(hostile))
    )
    with LogDatabase(tmp_path) as database:
        shown = [text for (text,) in database.query("SELECT text FROM texts ORDER BY id")[1]]
        assert database.unreadable() == 0
    assert shown == ["a\U00010000x", "\ufffd\ufffd", "\\\ufffd", "\\ud800", "\\\\udfff\ufffd"]


def test_lines_longer_than_the_least_and_deep_values_are_read(tmp_path: Path) -> None:
    deep: Any = 0
    for _ in range(100):
        deep = {"a": deep}
    long = plain_text(text="x" * (LEAST_LINE_BYTES + 1))
    write_log(tmp_path, "a", plain_record(None, long), plain_record(id="x1", usage=deep))
    assert rows(tmp_path, "SELECT id, len(text) FROM texts") == [("x0", LEAST_LINE_BYTES + 1)]
    assert rows(tmp_path, "SELECT count(*) FROM exchanges WHERE len(usage) > 500") == [(1,)]


def test_lines_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    write_log(tmp_path, "a", plain_record())
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b'{"no json \\ud800}\n{"v":2,"ha')
    with LogDatabase(tmp_path) as database:
        assert database.unreadable() == 2
        assert list(database.query("SELECT id FROM exchanges")[1]) == [("x0",)]


def test_what_was_never_confirmed_is_left_out(tmp_path: Path) -> None:
    seq, digest = write_log(tmp_path, "a", plain_record(id="kept"))
    write_log(tmp_path, "a", plain_record(id="again"))
    follows = {"file": "a.jsonl", "log": "log-of-a", "seq": seq, "hash": digest, "why": "a sync failed"}
    header, head = begin({"log": "second", "follows": follows})
    (tmp_path / "a.1.jsonl").write_bytes(header + seal(plain_record(id="again").document(), head)[0])
    assert rows(tmp_path, "SELECT id, log FROM exchanges ORDER BY id") == [
        ("again", "a.1.jsonl"),
        ("kept", "a.jsonl"),
    ]


def test_parquet_files_hold_the_tables(folder: Path, tmp_path: Path) -> None:
    period = read_period("2025-06-15", "2025-06-15")
    with LogDatabase(folder, writes_to=tmp_path) as database:
        counts = database.write_parquet(tmp_path, period)
        with pytest.raises(QueryError):
            database.write_parquet(tmp_path / "no", period)
    assert counts == {
        "exchanges": 2,
        "texts": 3,
        "findings": 2,
        "decisions": 1,
        "feedback": 0,
        "scores": 0,
        "reviews": 0,
        "events": 0,
    }
    assert {path.stem for path in tmp_path.iterdir()} == set(VIEWS)
    read = duckdb.execute(f"SELECT id, rules, total_ms FROM '{tmp_path}/exchanges.parquet' ORDER BY id").fetchall()
    assert read == [("x0", ["r"], 20.04), ("x1", [], 20.04)]


def test_a_folder_without_logs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"no \*\.jsonl logs here"):
        LogDatabase(tmp_path)


def test_without_duckdb_the_message_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(QueryError, match=r'pip install "guardproxy\[analysis\]"'):
        LogDatabase(folder)


TEXTS = st.text(st.sampled_from(list("a\\\"'/u\ud800\udfff\U0001f600\x00\n{}[],:d8")), max_size=12)


@settings(max_examples=5)
@given(st.lists(st.tuples(TEXTS, st.integers(0, 3)), max_size=12))
def test_every_text_of_every_record_is_in_its_table(texts: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = [
            plain_record(None, *(_text(text, at) for at in range(count)), id=f"x{number:02}")
            for number, (text, count) in enumerate(texts)
        ]
        write_log(folder, "a", *records)
        found = rows(folder, "SELECT id, path, text FROM texts ORDER BY id, path")
    wanted = [(record.id, text.path, _shown(text.text or "")) for record in records for text in record.request.texts]
    assert found == wanted


def _text(text: str, at: int) -> RecordedText:
    return plain_text(f"m[{at}]", text)


def _shown(text: str) -> str:
    """The text as its JSON reads, with U+FFFD for each half of a pair."""
    joined = json.loads(json.dumps(text))
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in joined)


def test_a_period_without_an_end_can_be_written(folder: Path, tmp_path: Path) -> None:
    with LogDatabase(folder, writes_to=tmp_path) as database:
        assert database.write_parquet(tmp_path, Period())["events"] == 3


@pytest.mark.parametrize("block", blocks("sql"), ids=str)
def test_the_queries_of_the_documentation_run(folder: Path, block: Block) -> None:
    with LogDatabase(folder) as database:
        for sql in filter(str.strip, block.text.split(";")):
            _, found = database.query(sql)
            list(found)


def test_every_format_counts_tokens_in_sql_as_everywhere_else(tmp_path: Path) -> None:
    """The expressions come from the formats, so a further format needs no line here."""
    records = []
    for number, codec in enumerate(codecs()):
        usage: dict[str, Any] = {}
        fields = codec.contract.usage
        for count, name in enumerate(
            (*fields.prompt[:1], *fields.answer[:1], *fields.more_prompt, *fields.more_answer), 3
        ):
            within, _, last = name.rpartition(".")
            (usage.setdefault(within, {}) if within else usage)[last] = count
        records.append(
            plain_record(
                id=f"x{number}", codec=codec.name, route=codec.routes[0], usage=usage, cost=2_500_000, client="web"
            )
        )
    write_log(tmp_path, "a", *records)
    found = rows(tmp_path, "SELECT id, client, cost, input_tokens, output_tokens FROM exchanges ORDER BY seq")
    measured = [measures_of(record) for record in records]
    assert found == [
        (record.id, "web", 2.5, seen.input_tokens, seen.output_tokens)
        for record, seen in zip(records, measured, strict=True)
    ]
    assert any(seen.input_tokens for seen in measured)


def test_tokens_of_all_attempts_count_and_none_for_an_answer_from_the_cache(tmp_path: Path) -> None:
    usage = {"input_tokens": 5, "output_tokens": 2}
    tries = (replace(plain_attempt(plain_answer()), usage=usage), plain_attempt())
    hit = RecordedCache(result="hit", match="exact", mode="enforce", policies=("p",))
    records = (
        plain_record(usage=usage, attempts=tries),
        plain_record(id="x1", usage=usage, cache=hit),
        plain_record(id="x2"),
    )
    write_log(tmp_path, "a", *records)
    found = rows(tmp_path, "SELECT input_tokens, output_tokens FROM exchanges ORDER BY seq")
    assert found == [(10, 4), (None, None), (None, None)]
    assert found == [(seen.input_tokens, seen.output_tokens) for seen in map(measures_of, records)]
