"""`guardproxy scan`: applies policies to texts from files or standard input, without a server or a model's API."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from guardproxy.cli.engine_arguments import EngineName, Workers, engine_of
from guardproxy.cli.policy.arguments import AllowCode
from guardproxy.cli.printing import aligned, fail, say, say_encoded
from guardproxy.errors import ConfigError, GuardproxyError

if TYPE_CHECKING:
    from guardproxy.batch import ScannedPart, ScanWork
    from guardproxy.engine import AnyPath, Part
    from guardproxy.findings import Direction, Kind

START_BYTES = 1 << 16
COLUMNS = ("id", "decision", "rules", "check", "label", "start", "end", "score")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
PART_BYTES = 1 << 18  # scanning with models is slow, so parts are small


class ScanSummary:
    """Counts results. `table`: where a row of CSV for each finding goes, and one for each text without a finding."""

    def __init__(self, table: TextIO | None = None) -> None:
        self._writer = csv.writer(table, lineterminator="\n") if table else None
        if self._writer:
            self._writer.writerow(COLUMNS)
        self._texts = 0
        self._decisions: Counter[str] = Counter()
        self._rules: Counter[str] = Counter()
        self._findings: Counter[tuple[str, str]] = Counter()
        self._found_in: Counter[tuple[str, str]] = Counter()

    def add(self, out: str) -> None:
        """Counts lines of results."""
        for line in filter(None, out.split("\n")):  # a text may hold other ends of lines, such as U+2028
            result = json.loads(line)
            labels = [(finding["check"], finding["label"]) for finding in result["findings"]]
            self._texts += 1
            self._decisions[result["decision"]] += 1
            self._rules.update(result["rules"])
            self._findings.update(labels)
            self._found_in.update(set(labels))
            if self._writer:
                self._writer.writerows(_rows(result))

    def lines(self) -> Iterator[str]:
        """Yields the summary."""
        decisions = ", ".join(f"{count} {decision}" for decision, count in self._decisions.most_common())
        yield f"{self._texts} {'text' if self._texts == 1 else 'texts'}: {decisions or 'nothing scanned'}"
        if self._findings:
            rows = [("check", "label", "findings", "texts")]
            for key, count in self._findings.most_common():
                rows.append((key[0], key[1], str(count), str(self._found_in[key])))
            yield from aligned(rows)
        if self._rules:
            yield f"rules that held: {', '.join(f'{rule} ({count})' for rule, count in self._rules.most_common())}"


def _rows(result: dict[str, Any]) -> Iterator[list[str]]:
    """Yields the rows of a text. A cell that a spreadsheet would take for a formula begins with `'`."""
    about = [result["id"], result["decision"], " ".join(result["rules"])]
    for finding in result["findings"] or [{}]:
        yield [_cell(value) for value in (*about, *(finding.get(column, "") for column in COLUMNS[3:]))]


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    # A spreadsheet runs what begins so, and texts and their ids come from strangers (CSV injection).
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


@dataclass(frozen=True, slots=True)
class Line:
    """A line of standard input."""

    text: bytes | str

    def lines(self) -> tuple[bytes | str]:
        """Returns the line."""
        return (self.text,)


def scan(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Files of text or of JSON lines, folders with *.jsonl files, or URLs of an object store. Default: JSON lines "
            "from standard input.",
            show_default=False,
        ),
    ] = None,
    policies: Annotated[
        Path | None, typer.Option(help="A folder of policies, or the name of a shipped policy such as `strict`.")
    ] = None,
    on: Annotated[str, typer.Option(help="request: as a text to the model; response: as a text from it.")] = "request",
    kind: Annotated[
        str,
        typer.Option(help="user, system, tool_result, document, ... Default: a user's message, or a model's answer."),
    ] = "",
    is_text: Annotated[
        bool, typer.Option("--text", help="Take each file, or standard input, as one plain text, whatever is in it.")
    ] = False,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Also write the findings to a file, as CSV.")
    ] = None,
    summary: Annotated[
        bool | None,
        typer.Option(help="Print a summary on standard error. Default: if files are named.", show_default=False),
    ] = None,
    allow_code: AllowCode = False,
    engine: EngineName = "local",
    workers: Workers = 0,
) -> None:
    """Check texts, and print a line {"id", "decision", "rules", "findings", "text"} for each, in the same order.

    A file is one plain text, with its path as the id, unless it has {"id", "text"} lines: its name ends in .jsonl, or its first
    line is a JSON object. Files are scanned on all cores, or on a Ray cluster. Standard input is scanned in one process, line
    by line.

    Exit code 0: no findings; 1: findings; 2: wrong use.
    """
    from guardproxy.batch import ScanWork, SharedPolicies  # noqa: PLC0415

    if on not in ("request", "response"):
        fail("--on is request or response")
    if not files and (engine != "local" or workers > 1):
        fail("standard input is scanned in one process: name files to use --engine or --workers")
    direction: Direction = "request" if on == "request" else "response"
    has_findings, is_summed = False, bool(files) if summary is None else summary
    lines: Counter[str] = Counter()
    try:
        shared = SharedPolicies(policies, allow_code)
        shared.load()
        work = ScanWork(shared, direction, _kind(kind, direction))
        found_parts = _of_files(work, files, engine, workers, is_text) if files else _of_input(work, is_text)
        with (
            table.open("w", encoding="utf-8", errors="backslashreplace", newline="") if table else nullcontext() as out
        ):
            counts = ScanSummary(out)
            for name, found in found_parts:
                lines[name] += found.lines
                has_findings = has_findings or found.has_findings
                say_encoded(found.out)
                if is_summed or table:
                    counts.add(found.out)
                if found.is_faulty:
                    hint = "; --text takes the file as one plain text" if files else ""
                    fail(f'{name}line {lines[name]} is not a JSON object with a string "text"{hint}')
    except GuardproxyError as error:
        fail(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    if is_summed:
        say(*counts.lines(), err=True)
    raise typer.Exit(1 if has_findings else 0)


def _kind(kind: str, direction: Direction) -> Kind | None:
    """Returns the kind that the command line names."""
    from guardproxy.policytest import kinds_of  # noqa: PLC0415
    from guardproxy.wire import codecs  # noqa: PLC0415

    kinds = kinds_of(codecs()[0], direction)
    if kind and kind not in kinds:
        fail(f"--kind is one of {', '.join(kinds)} on a {direction}")
    return next((known for known in kinds if known == kind), None)


def _of_files(
    work: ScanWork, places: Sequence[str], engine: str, workers: int, is_text: bool
) -> Iterator[tuple[str, ScannedPart]]:
    """Yields the results of parts, with the name of the file for messages. Raises `GuardproxyError` and `OSError`."""
    from guardproxy.batch import TextFile  # noqa: PLC0415
    from guardproxy.engine import files_at, parts_of, path_at  # noqa: PLC0415

    parts: list[Part | TextFile] = []
    for place in places:
        found = files_at(path_at(place), "*" if is_text else "*.jsonl")
        if not found:
            raise ConfigError(f"{place}: no file here")
        for path in found:
            if is_text or not _has_lines(path):
                parts.append(TextFile(path))
            else:
                parts += parts_of([(path, path.stat().st_size)], PART_BYTES)
    for part, scanned in zip(parts, engine_of(engine, workers, "scanning").each(work, parts), strict=True):
        yield f"{part.path}: ", scanned


def _has_lines(path: AnyPath) -> bool:
    """Whether a file has JSON lines: its name says so, or its first line that is not blank is an object."""
    if path.name.endswith((".jsonl", ".ndjson")):
        return True
    with path.open("rb") as file:
        start = file.read(START_BYTES).lstrip()
    try:
        return isinstance(json.loads(start.partition(b"\n")[0]), dict)
    except (ValueError, RecursionError):  # no JSON, or longer than the start of the file
        return start.startswith((b'{"id"', b'{"text"'))


def _of_input(work: ScanWork, is_text: bool) -> Iterator[tuple[str, ScannedPart]]:
    """Yields the result of each line of standard input, or of all of it as one text."""
    from guardproxy.batch import text_line  # noqa: PLC0415

    source = sys.stdin.buffer
    with work.open() as do:
        for line in [text_line(source.read(), "standard input")] if is_text else source:
            yield "", do(Line(line))
