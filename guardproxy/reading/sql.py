"""Queries the logs of a folder with SQL. DuckDB reads the files where they are; nothing is imported first.

In: the folder and a query. Out: rows. Kept: a database in memory, and a temporary folder for lines with broken texts.

The database can read the logs and nothing else, and a query is a single SELECT: a query from a colleague or a program
cannot write, and cannot read other files. `VIEWS` lists the tables and their columns.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from guardproxy.audit.proof import logs_of
from guardproxy.audit.shipping import last_confirmed
from guardproxy.errors import QueryError
from guardproxy.reading.period import Period
from guardproxy.wire import codecs

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LEAST_LINE_BYTES = 1 << 24
INSTALL = 'queries need DuckDB: pip install "guardproxy[analysis]"'
_FINDING = '"check" VARCHAR, label VARCHAR, "start" BIGINT, "end" BIGINT, score DOUBLE'
_TEXT = (
    f'path VARCHAR, kind VARCHAR, chars BIGINT, "text" VARCHAR, "checks" VARCHAR[], findings STRUCT({_FINDING})[], '
    'released BIGINT, "open" BOOLEAN, unmapped BOOLEAN'
)
_SIDE = f"texts STRUCT({_TEXT})[], uninspected VARCHAR[], unmapped VARCHAR[]"
_ANSWER = f"{_SIDE}, status INTEGER, streamed BOOLEAN, model VARCHAR, finish VARCHAR[], withheld VARCHAR[]"
_DECISION = (
    'policy VARCHAR, "rule" VARCHAR, "action" VARCHAR, mode VARCHAR, direction VARCHAR, path VARCHAR, '
    '"check" VARCHAR, label VARCHAR, "start" BIGINT, "end" BIGINT, attempt INTEGER'
)
_COLUMNS: Mapping[str, str] = {
    "v": "INTEGER",
    "kind": "VARCHAR",
    "log": "VARCHAR",
    "seq": "BIGINT",
    "hash": "VARCHAR",
    "id": "VARCHAR",
    "at": "DOUBLE",
    "engine": "VARCHAR",
    "tenant": "VARCHAR",
    "tenant_name": "VARCHAR",
    "client": "VARCHAR",
    "cost": "BIGINT",
    "conversation": "VARCHAR",
    "route": "VARCHAR",
    "codec": "VARCHAR",
    "model": "VARCHAR",
    "stream": "BOOLEAN",
    "language": "VARCHAR",
    "policies": "VARCHAR",
    "checks": "MAP(VARCHAR, VARCHAR)",
    "outcome": "VARCHAR",
    "status": "INTEGER",
    "error": "STRUCT(code VARCHAR, message VARCHAR, field VARCHAR)",
    "no_capacity": 'STRUCT("check" VARCHAR, reason VARCHAR)',
    "cache": "STRUCT(result VARCHAR, source VARCHAR, mode VARCHAR)",
    "rules": "VARCHAR[]",
    "shadow": "VARCHAR[]",
    "decisions": f"STRUCT({_DECISION})[]",
    "request": f"STRUCT({_SIDE})",
    "response": f"STRUCT({_ANSWER})",
    "attempts": f'STRUCT(decision VARCHAR, "rule" VARCHAR, tokens BIGINT, usage JSON, response STRUCT({_ANSWER}))[]',
    "feedback": "STRUCT(exchange VARCHAR, thumbs VARCHAR, score DOUBLE)",
    "policy": "VARCHAR",
    "rule": "VARCHAR",
    "verdict": "VARCHAR",
    "by": "VARCHAR",
    "upstream": "VARCHAR",
    "rubric": "VARCHAR",
    "scale": "INTEGER[]",
    "score": "INTEGER",
    "failure": "VARCHAR",
    "ms": "DOUBLE",
    "usage": "JSON",
    "bytes": "MAP(VARCHAR, BIGINT)",
    "timings": "MAP(VARCHAR, DOUBLE)",
    "scans": "BIGINT",
    "began": "DOUBLE",
    "since": "DOUBLE",
    "why": "VARCHAR",
}

# Records of version 1 have no kind, and these are records of exchanges.
_IS_EXCHANGE = "coalesce(kind, CASE WHEN outcome IS NOT NULL THEN 'exchange' END) = 'exchange'"
# The texts of the request, of earlier answers and of the last answer. The number of an answer counts from 0.
_SIDES = """
  SELECT id, "at", 'request' AS direction, 0 AS attempt, unnest(request.texts) AS part FROM _exchanges
  UNION ALL SELECT id, "at", 'response', number, unnest(attempts[number + 1].response.texts) FROM (
    SELECT id, "at", attempts, unnest(generate_series(0, len(attempts) - 2)) AS number FROM _exchanges)
  UNION ALL SELECT id, "at", 'response', greatest(len(coalesce(attempts, [])) - 1, 0), unnest(response.texts)
    FROM _exchanges
"""
VIEWS: Mapping[str, str] = {
    "exchanges": """
  SELECT id, _time("at") AS time, tenant, tenant_name, client, conversation, route, codec, model, stream, language, outcome,
    status, cost / 1000000 AS cost, _tokens(codec, usage, attempts, cache, 'prompt') AS input_tokens,
    _tokens(codec, usage, attempts, cache, 'answer') AS output_tokens,
    error.code AS error, no_capacity."check" AS no_capacity, cache.result AS cache, rules, shadow, policies, checks,
    list_distinct(list_concat(request.uninspected, response.uninspected)) AS uninspected,
    len(coalesce(attempts, [])) AS attempts, usage, bytes, timings, timings['finished'] AS total_ms, scans, engine,
    parse_filename(file) AS log, seq, hash FROM _exchanges""",
    "texts": """
  SELECT id, _time("at") AS time, direction, attempt, part.path AS path, part.kind AS kind, part.chars AS chars,
    part."text" AS text, part."checks" AS checks, len(part.findings) AS findings, part.released AS released,
    coalesce(part."open", false) AS open, coalesce(part.unmapped, false) AS unmapped FROM _sides""",
    "findings": """
  SELECT id, _time("at") AS time, direction, attempt, path, kind, finding."check" AS check_name, finding.label AS label,
    finding."start" AS start_char, finding."end" AS end_char, finding.score AS score
  FROM (SELECT id, "at", direction, attempt, part.path AS path, part.kind AS kind, unnest(part.findings) AS finding
    FROM _sides)""",
    "decisions": """
  SELECT id, _time("at") AS time, decision.policy AS policy, decision."rule" AS rule, decision."action" AS action,
    decision.mode AS mode, decision.direction AS direction, coalesce(decision.attempt, 0) AS attempt,
    decision.path AS path, decision."check" AS check_name, decision.label AS label, decision."start" AS start_char,
    decision."end" AS end_char FROM (SELECT id, "at", unnest(decisions) AS decision FROM _exchanges)""",
    "feedback": """
  SELECT id, _time("at") AS time, feedback.exchange AS exchange, tenant, tenant_name, feedback.thumbs AS thumbs,
    feedback.score AS score, [part."text" FOR part IN request.texts IF part.path = 'comment'][1] AS comment,
    parse_filename(file) AS log, seq, hash FROM _lines WHERE feedback IS NOT NULL AND outcome = 'answered'""",
    "scores": """
  SELECT id, _time("at") AS time, policy, upstream, model, rubric, scale[1] AS low, scale[2] AS high, score, failure, ms,
    parse_filename(file) AS log, seq, hash FROM _lines WHERE kind = 'judged'""",
    "reviews": """
  SELECT id, _time("at") AS time, policy, "rule" AS rule, verdict, "by" AS reviewer, parse_filename(file) AS log, seq, hash
    FROM _lines WHERE kind = 'reviewed'""",
    "events": """
  SELECT kind, id, _time("at") AS time, tenant, route, policies, _time(began) AS began, _time(since) AS since, why,
    parse_filename(file) AS log, seq, hash FROM _lines WHERE kind NOT IN ('exchange', 'judged', 'reviewed')""",
}
"""The tables of a query and how they are made from the lines. No column has the name of a word of SQL."""


class LogDatabase:
    """The logs of a folder as tables, for use as a context manager. `writes_to`: the folder for `write_parquet`. Raises
    `QueryError`, and `OSError` if a log cannot be read."""

    def __init__(self, folder: Path, writes_to: Path | None = None) -> None:
        paths = logs_of(folder)
        if not paths:
            raise QueryError(f"{folder}: no *.jsonl logs here")
        self._database = _connect()
        self._extra = tempfile.TemporaryDirectory(prefix="guardproxy-query-")
        try:
            self._database.execute(f"SET temp_directory = {_quoted(self._extra.name)}")
            survey = _survey(paths, Path(self._extra.name))
            self._line_count = survey.lines
            self._define([*paths, *survey.mended], last_confirmed(paths), survey.longest, writes_to)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._database.close()
        self._extra.cleanup()

    def query(self, sql: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Returns the names of the columns and the rows of a SELECT. Raises `QueryError`, also while rows are read."""
        import duckdb  # noqa: PLC0415

        try:
            statements = self._database.extract_statements(sql)
        except duckdb.Error as error:
            raise QueryError(str(error)) from None
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise QueryError("a query is one SELECT")
        try:
            result = self._database.execute(statements[0])
        except duckdb.Error as error:
            raise QueryError(str(error)) from None
        return [column[0] for column in result.description or ()], self._rows(result)

    def _rows(self, result: DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
        import duckdb  # noqa: PLC0415

        try:
            while rows := result.fetchmany(1000):
                yield from rows
        except duckdb.Error as error:
            raise QueryError(str(error)) from None

    def unreadable(self) -> int:
        """Returns the number of lines that are no lines of a log, such as an unfinished last line."""
        _, rows = self.query("SELECT count(*) FROM _all WHERE seq IS NOT NULL OR log IS NOT NULL")
        return max(0, self._line_count - int(next(rows)[0]))

    def write_parquet(self, folder: Path, period: Period) -> dict[str, int]:
        """Writes each table as `NAME.parquet` in `folder`. Returns the number of rows of each table. Raises
        `QueryError`."""
        import duckdb  # noqa: PLC0415

        counts = {}
        within = f"time >= _time({period.start_s}::DOUBLE) AND time < _time({period.end_s}::DOUBLE)"
        for name in VIEWS:
            rows = f"SELECT * FROM {name} WHERE {within}"
            target = _quoted(str(folder / f"{name}.parquet"))
            try:
                (count,) = self._database.execute(f"COPY ({rows}) TO {target} (FORMAT parquet)").fetchall()[0]
            except duckdb.Error as error:
                raise QueryError(str(error)) from None
            counts[name] = int(count)
        return counts

    def _define(self, paths: Sequence[Path], ends: Mapping[str, int], longest: int, writes_to: Path | None) -> None:
        files = ", ".join(_quoted(str(path)) for path in paths)
        columns = ", ".join(f'"{name}": {_quoted(kind)}' for name, kind in _COLUMNS.items())
        unconfirmed = " OR ".join(
            f"(parse_filename(file) = {_quoted(name)} AND seq > {seq})" for name, seq in ends.items()
        )
        run = self._database.execute
        run(f"CREATE MACRO _counted(codec, counts, side) AS CASE {' '.join(_counts())} END")
        # A model counts the tokens of each attempt, and none for an answer from the cache.
        run(
            "CREATE MACRO _tokens(codec, counts, tries, stored, side) AS list_sum(list_concat("
            "[CASE WHEN stored.result = 'hit' AND stored.mode = 'enforce' AND len(coalesce(tries, [])) = 0 THEN NULL "
            "ELSE _counted(codec, counts, side) END], "
            "[_counted(codec, try.usage, side) FOR try IN coalesce(tries, [])]))"
        )
        run("CREATE MACRO _time(seconds) AS make_timestamp(round(seconds * 1000000)::BIGINT)")
        run(
            f"CREATE VIEW _all AS SELECT * FROM read_json([{files}], format = 'newline_delimited', filename = 'file', "
            f"ignore_errors = true, maximum_object_size = {longest}, columns = {{{columns}}})"
        )
        run(
            "CREATE VIEW _lines AS SELECT * FROM _all WHERE seq IS NOT NULL "
            f"AND NOT coalesce({unconfirmed or 'false'}, false)"
        )
        run(f"CREATE VIEW _exchanges AS SELECT * FROM _lines WHERE {_IS_EXCHANGE} AND feedback IS NULL")
        run(f"CREATE VIEW _sides AS {_SIDES}")
        for name, body in VIEWS.items():
            run(f"CREATE VIEW {name} AS {body}")
        run(f"SET allowed_paths = [{files}]")
        run(f"SET allowed_directories = [{_quoted(str(writes_to)) if writes_to else ''}]")
        run("SET enable_external_access = false")
        run("SET lock_configuration = true")


def _counts() -> Iterator[str]:
    """Yields the cases of an expression for the tokens of a `usage` object, for each format and side, as the formats count."""
    for codec in codecs():
        fields = codec.contract.usage
        for side, first, more in (
            ("prompt", fields.prompt, fields.more_prompt),
            ("answer", fields.answer, fields.more_answer),
        ):
            if first:
                total = f"coalesce({', '.join(map(_count, first))})"
                total += "".join(f" + coalesce({_count(name)}, 0)" for name in more)
                yield f"WHEN codec = {_quoted(codec.name)} AND side = {_quoted(side)} THEN {total}"


def _count(name: str) -> str:
    """Returns the expression for a field of a `usage` object; a name with a dot leads through an object."""
    path = "$." + ".".join(f'"{word}"' for word in name.split("."))
    return f"TRY_CAST(json_extract_string(counts, {_quoted(path)}) AS BIGINT)"


def _connect() -> DuckDBPyConnection:
    try:
        import duckdb  # noqa: PLC0415
    except ImportError:
        raise QueryError(INSTALL) from None
    database = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    database.execute("SET TimeZone = 'UTC'")
    return database


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class _Survey(NamedTuple):
    """What is known of the lines before they are read: their number, and the length of the longest. `mended`: files
    with copies of lines that DuckDB cannot read."""

    lines: int
    longest: int
    mended: tuple[Path, ...]


def _survey(paths: Sequence[Path], extra: Path) -> _Survey:
    """Reads the lines once. A line with half surrogate pairs, which DuckDB cannot read, gets a copy in `extra`, in which
    `\ufffd` stands for each half."""
    count, longest, mended = 0, LEAST_LINE_BYTES, []
    for path in paths:
        found = []
        with path.open("rb") as lines:
            for line in lines:
                count += 1
                longest = max(longest, len(line) + 1)
                if b"\\ud" in line and (whole := _mended(line)):
                    found.append(whole)
        if found:
            copy = extra / path.name
            copy.write_bytes(b"".join(found))
            mended.append(copy)
    return _Survey(count, longest, tuple(mended))


def _mended(line: bytes) -> bytes:
    """Returns a line with `\ufffd` for each half surrogate pair; empty if it has none."""
    try:
        text = json.dumps(json.loads(line), ensure_ascii=False)
    except (ValueError, RecursionError):
        return b""
    if text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text):
        return b""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode() + b"\n"
