"""The commands that a person can start on the page Audit, and their arguments. Pure.

In: the fields of a form. Out: a command of `guardproxy`, or what is wrong with the fields. What a person typed is always the
value of an option in the same argument (`--title=...`), so it cannot become another option.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from guardproxy.console.index import Filter
from guardproxy.errors import QueryError
from guardproxy.reading import EXPORT_FORMS, read_period

LIMIT_TITLE_CHARS = 120
LIMIT_REPLAYED = 20_000
"""Exchanges of one replay. Their lines are copied beside the index for as long as the replay is kept."""
LINES = "chosen.jsonl"
_KEY = re.compile(r"[^\s+/]{1,200}\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{1,200}")


@dataclass(frozen=True, slots=True)
class RunKind:
    """A command. `verb`: what it is, for a button; `about`: what it does, in a sentence; `file`: the name of its result for a
    download, empty without one."""

    name: str
    title: str
    verb: str
    about: str
    file: str = ""


KINDS: Mapping[str, RunKind] = {
    kind.name: kind
    for kind in (
        RunKind(
            "verify",
            "Verify the log",
            "Verify",
            "Reads every line: nothing was edited, removed, inserted, moved or cut off.",
        ),
        RunKind(
            "report",
            "Report for auditors",
            "Write the report",
            "A page for a period: what was guarded, blocked, redacted and not inspected, what was in force, and whether the "
            "log verifies.",
            "report.html",
        ),
        RunKind(
            "replay",
            "Replay",
            "Replay",
            "Decides recorded exchanges again under the policies that are served now, and lists the differences.",
            "replay.html",
        ),
        RunKind(
            "export",
            "Export",
            "Export",
            "Writes the entries of a period in a form that other systems read.",
            "export",
        ),
    )
}
_SUFFIXES = {"jsonl": ".jsonl", "ocsf": ".ocsf.jsonl", "otel": ".otel.jsonl", "parquet": ".parquet.zip"}


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run. `arguments`: behind `guardproxy`; `words`: the same for people; `file`: the name of the file that it
    writes into the folder of its run; `download`: its name for a download; `lines`: the exchanges whose lines are written into
    the folder first; `results`: the exit codes of a command that did its work."""

    kind: RunKind
    arguments: tuple[str, ...]
    words: str
    file: str = ""
    download: str = ""
    lines: Filter | None = None
    results: tuple[int, ...] = (0, 1)


def command_of(fields: Mapping[str, str], folder: Path, place: Path, policies: Path, now_s: float) -> Command:
    """Returns the command that a form asks for. `folder`: of the log; `place`: of the run. Raises `QueryError`."""
    kind = KINDS.get(fields.get("kind", ""))
    if kind is None:
        raise QueryError(f"kind: expected one of {', '.join(KINDS)}")
    match kind.name:
        case "verify":
            key = fields.get("key", "").strip()
            if key and not _KEY.fullmatch(key):
                raise QueryError("key: expected the public key of the log, such as `name+0123abcd+AbCd...=`")
            signed = (f"--key={key}",) if key else ()
            return Command(
                kind, ("audit", "verify", str(folder), "--json", *signed), _words("audit verify DIR", *signed)
            )
        case "report":
            period = _period(fields)
            title = " ".join(fields.get("title", "").split())[:LIMIT_TITLE_CHARS]
            named = (f"--title={title}",) if title else ()
            out = place / kind.file
            arguments = ("audit", "report", str(folder), f"--out={out}", *period, *named)
            return Command(
                kind, arguments, _words("audit report DIR", "--out=report.html", *period, *named), kind.file, kind.file
            )
        case "replay":
            chosen = Filter.parse(fields, now_s)
            out = place / kind.file
            arguments = ("replay", str(place / LINES), f"--policies={policies}", "--json", f"--report={out}")
            words = " ".join(f"{name}={value}" for name, value in chosen.query().items()) or "every exchange"
            return Command(kind, arguments, f"replay: {words}", kind.file, kind.file, chosen)
        case _:
            form = fields.get("form", "jsonl")
            if form not in EXPORT_FORMS:
                raise QueryError(f"form: expected one of {', '.join(EXPORT_FORMS)}")
            period = _period(fields)
            out = place / kind.file
            arguments = ("audit", "export", str(folder), f"--out={out}", f"--format={form}", *period)
            words = _words("audit export DIR", "--out=PATH", f"--format={form}", *period)
            return Command(kind, arguments, words, kind.file, f"export{_SUFFIXES[form]}", results=(0,))


def _period(fields: Mapping[str, str]) -> tuple[str, ...]:
    first, last = (fields.get(name, "").strip() for name in ("from", "to"))
    read_period(first or None, last or None)
    return tuple(f"--{name}={value}" for name, value in (("from", first), ("to", last)) if value)


def _words(command: str, *options: str) -> str:
    """Returns the command that does the same on a command line."""
    return f"{command} {shlex.join(options)}".rstrip()
