"""`guardproxy audit verify`: verifies the audit logs of a folder.

In: a folder with `*.jsonl` logs, their heads and checkpoints in the same folder, copies of heads and checkpoints in others,
public keys. Out: text or JSON on stdout; exit code 0: no problem, 1: a problem in a log, 2: wrong use. Reads only, so it works
while the proxy writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import typer

from guardproxy.cli.audit.arguments import AsJson, Copies, FolderOrUrl, Heads, Keys, clock, wrong_use
from guardproxy.cli.engine_arguments import EngineName, Workers, engine_of
from guardproxy.cli.printing import say, say_json
from guardproxy.errors import AuditError, ConfigError, EngineError

if TYPE_CHECKING:
    from guardproxy.audit.proof import CheckpointReport, LogReport


def verify(
    place: FolderOrUrl,
    heads: Heads = None,
    key: Keys = [],  # noqa: B006 - typer copies it
    copy: Copies = [],  # noqa: B006
    as_json: AsJson = False,
    engine: EngineName = "local",
    workers: Workers = 0,
) -> None:
    """Check that nothing was edited, deleted, inserted, moved or cut off, and that no log was removed, renamed or
    replaced.

    With --key, the checkpoints of the folder must be signed with this key, and the logs must be what they state. Whoever
    can write the folder can still put back an older state of the whole folder. Only copies of checkpoints that are
    stored elsewhere (--copy) reveal that.
    """
    from guardproxy.audit.proof import NO_KEY, public_key, read_copies, verify_signed_folder  # noqa: PLC0415
    from guardproxy.audit.shipping import open_intents_of  # noqa: PLC0415
    from guardproxy.engine import matching, path_at  # noqa: PLC0415

    try:
        folder = path_at(place)
        if not folder.is_dir():
            wrong_use(f"{folder}: no such folder")
        runs_on = engine_of(engine, workers, "verifying")
    except ConfigError as error:
        wrong_use(f"guardproxy: {error}")
    except OSError as error:
        wrong_use(f"{error.filename or place}: {error.strerror}")
    if heads is not None and not heads.is_dir():
        wrong_use(f"{heads}: no such folder")
    if heads is not None and not any(heads.glob("*.head")):
        wrong_use(f"{heads}: no *.head files here")
    try:
        keys = list(map(public_key, key))
        copies = [found for path in copy for found in read_copies(path)]
        checkpoints, findings = verify_signed_folder(folder, keys, copies, heads, runs_on)
        logs = matching(folder, "*.jsonl")
        open_intents = len(open_intents_of(logs, logs, runs_on)) if findings else 0
    except (AuditError, EngineError) as error:
        wrong_use(str(error))
    except OSError as error:
        wrong_use(f"{error.filename or folder}: {error.strerror}")
    if not findings and not (checkpoints and checkpoints.problems):
        wrong_use(f"{folder}: no *.jsonl logs here")
    ok = not any(finding.report.problems for finding in findings) and not (checkpoints and checkpoints.problems)
    if as_json:
        reports = [
            {
                "file": finding.file,
                "ok": not finding.report.problems,
                "torn": finding.report.torn,
                "tampered": finding.report.tampered,
                **msgspec.to_builtins(finding.report),
                "notes": list(finding.notes),
            }
            for finding in findings
        ]
        signed: dict[str, object] = {"signed": bool(checkpoints and checkpoints.signed_by)}
        if checkpoints:
            signed |= {"checkpoints": _summary(checkpoints)}
        say_json({"ok": ok, **signed, "open_intents": open_intents, "logs": reports}, 2)
    else:
        say(*(_lines_of_checkpoints(checkpoints) if checkpoints else ()))
        for finding in findings:
            say(*_lines_of(finding))
        if open_intents:
            say(f"{open_intents} exchanges have no end yet: in progress, or cut off until the next start closes them")
        if not checkpoints:
            say(NO_KEY, err=True)
    raise typer.Exit(0 if ok else 1)


def _summary(report: CheckpointReport) -> dict[str, object]:
    names = ("origin", "number", "signed_by", "at", "witnessed", "copies", "notes")
    problems = msgspec.to_builtins(report.problems)
    return {"ok": not report.problems, **{name: getattr(report, name) for name in names}, "problems": problems}


def _lines_of_checkpoints(report: CheckpointReport) -> Iterator[str]:
    state = "changed" if report.problems else "intact"
    signed = f"signed by {report.signed_by}" if report.signed_by else "the signature was not checked (give --key)"
    end = f", newest {report.number} of {clock(report.at)}, {signed}" if report.number and not report.problems else ""
    yield f"checkpoints: {state}, {report.copies} {'copy' if report.copies == 1 else 'copies'}{end}"
    if report.witnessed:
        yield f"  cosigned by a witness up to checkpoint {report.witnessed}"
    for problem in report.problems:
        yield f"  {problem.message} ({problem.code})"
    for note in report.notes:
        yield f"  note: {note}"


def _lines_of(finding: LogReport) -> Iterator[str]:
    report = finding.report
    state = "changed" if report.tampered else "torn" if report.torn else "intact"
    end = f", head {report.head.seq} {report.head.hash}" if report.head else ""
    yield f"{finding.file}: {state}, {report.records} records{end}"
    for problem in report.problems:
        where = f"line {problem.line}: " if problem.line else ""
        yield f"  {where}{problem.message} ({problem.code})"
    for note in finding.notes:
        yield f"  note: {note}"
