"""The routes of the page Audit.

In: visits. Out: the page, the state of runs, downloads. Everything that reads the log is done in a thread, or in a process of a
command.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from guardproxy.audit import OperatorEntry, entry_of, open_line, reason
from guardproxy.audit.proof import logs_of, prove_record
from guardproxy.console.index import OUTCOMES, Filter
from guardproxy.console.pages.audit.commands import KINDS, LIMIT_REPLAYED, command_of
from guardproxy.console.pages.audit.erasing import OWNERS, Erasure, erase_keys, scope_of
from guardproxy.console.pages.audit.results import VERDICTS
from guardproxy.console.pages.audit.runs import RUNS, CommandRun
from guardproxy.errors import AuditError, QueryError, RecordError
from guardproxy.reading import EXPORT_FORMS

if TYPE_CHECKING:
    from guardproxy.console.contract import Visit

DEEDS = 20
"""The newest entries of the log of what people do that the page shows."""
TAIL_BYTES = 1 << 18
TAIL_FILES = 4
VERIFIED_ALONE_BYTES = 1 << 30
"""A log up to this size is verified when the page is opened for the first time."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What a person did, as the log says. `exchange`: its id, if it is about one."""

    at: float
    by: str
    done: str
    why: str
    exchange: str


async def show(visit: Visit) -> web.StreamResponse:
    """Shows the page, and begins to verify a small log that was not verified yet."""
    return await _page(visit, {})


async def _page(visit: Visit, fields: dict[str, str], error: str = "", status: int = 200) -> web.StreamResponse:
    console, folder = visit.console, visit.console.audit
    if folder is None:
        return visit.render("audit/page.html", has_log=False)
    facts = await console.run(_facts, folder)
    is_empty = not facts["files"]
    if not is_empty and not error and not RUNS.of(folder) and facts["bytes"] <= VERIFIED_ALONE_BYTES:
        with suppress(QueryError, OSError):  # it can be started later
            await _begin(visit, folder, {"kind": "verify"})
    return visit.render(
        "audit/page.html",
        status=status,
        has_log=not is_empty,
        facts=facts,
        has_keys=console.key_store(folder).exists(),
        may_erase=visit.login.role == "auditor" and console.mode == "write",
        is_auditor=visit.login.role == "auditor",
        kinds=KINDS,
        forms=list(EXPORT_FORMS.items()),
        owners=list(OWNERS.items()),
        outcomes=[("", "any"), *((name, name) for name in OUTCOMES)],
        replayed_most=LIMIT_REPLAYED,
        fields=fields,
        error=error,
        erased=visit.query.get("erased", "") if visit.query.get("erased", "").isdecimal() else "",
        **_status(visit, folder),
    )


def _status(visit: Visit, folder: Path) -> dict[str, Any]:
    """Returns what changes while commands run; the page asks for itself again then, and takes that part."""
    runs = RUNS.of(folder)
    return {
        "runs": runs,
        "verified": RUNS.last_verified(folder),
        "verifying": next((run for run in runs if run.kind.name == "verify" and run.state == "running"), None),
        "is_busy": any(run.state == "running" for run in runs),
        "progress": visit.console.index.progress,
        "now_s": time.time(),
    }


async def start(visit: Visit) -> web.StreamResponse:
    """Starts a command, and shows its run."""
    fields = dict(await visit.form())
    folder = _folder(visit)
    try:
        run = await _begin(visit, folder, fields)
    except (QueryError, OSError) as error:
        return await _page(visit, fields, reason(error) if isinstance(error, OSError) else str(error), 400)
    return visit.see_other("audit", f"/runs/{run.id}")


async def _begin(visit: Visit, folder: Path, fields: dict[str, str]) -> CommandRun:
    console, now_s = visit.console, time.time()
    # What is wrong with the fields is said before a place is made.
    planned = command_of(fields, folder, folder, console.policies[0], now_s)
    written = await console.run(_bytes_of, folder) if planned.kind.name == "export" else 0
    newest = await console.run(console.index.rows, Filter(), 1)
    # From here to the start nothing waits: `place_for` counts what runs, and another visit would be counted too late.
    name, place = RUNS.place_for(folder, written)
    command = command_of(fields, folder, place, console.policies[0], now_s)
    run = CommandRun(
        id=name,
        command=command,
        folder=folder,
        place=place,
        by=visit.login.name,
        began_s=now_s,
        newest_s=newest.rows[0].at if newest.rows else None,
    )
    chosen = command.lines

    def lines() -> Iterable[bytes]:
        return console.index.lines(chosen or Filter(), LIMIT_REPLAYED)

    await RUNS.start(run, lines if chosen is not None else None)
    return run


async def show_run(visit: Visit) -> web.StreamResponse:
    """Shows how far a run is, or what it found."""
    run = _run(visit)
    return visit.render("audit/run.html", run=run, verdicts=VERDICTS, now_s=time.time())


async def cancel(visit: Visit) -> web.StreamResponse:
    """Ends a run."""
    run = _run(visit)
    await RUNS.cancel(run)
    return visit.see_other("audit", f"/runs/{run.id}")


async def download(visit: Visit) -> web.StreamResponse:
    """Returns the file that a run wrote."""
    run = _run(visit)
    if (path := run.file) is None:
        raise web.HTTPNotFound(text="The run has no file, or none yet.")
    name = run.command.download
    # A page of texts that others wrote is never shown in the console itself.
    headers = {"Content-Disposition": f'attachment; filename="guardproxy-{name}"', "Cache-Control": "no-store"}
    response = web.FileResponse(path, headers=headers)
    response.content_type = "text/html" if name.endswith(".html") else "application/octet-stream"
    return response


async def prove(visit: Visit) -> web.StreamResponse:
    """Returns the proof that the log holds an exchange, as a file."""
    name = visit.query.get("id", "").strip()
    folder = _folder(visit)
    try:
        if not name or len(name) > 200 or '"' in name:
            raise AuditError("id: give the id of an exchange, as its answer had it in `x-guardproxy-id`")
        proof = await visit.console.run(prove_record, folder, name)
    except (AuditError, OSError) as error:
        text = reason(error) if isinstance(error, OSError) else str(error).replace(str(folder), "the log")
        return await _page(visit, {"id": name, "kind": "proof"}, text, 400)
    body = json.dumps(msgspec.to_builtins(proof), indent=1) + "\n"
    headers = {"Content-Disposition": 'attachment; filename="guardproxy-proof.json"'}
    return web.Response(text=body, content_type="application/json", headers=headers)


async def ask_erasure(visit: Visit) -> web.StreamResponse:
    """Says what an erasure would reach, and asks for the name again."""
    return await _ask(visit, dict(await visit.form()), "")


async def _ask(visit: Visit, fields: dict[str, str], error: str) -> web.StreamResponse:
    console, folder = visit.console, _folder(visit)
    try:
        erasure = Erasure.parse(fields)
        scope = await console.run(scope_of, console.key_store(folder), console.index, erasure)
    except AuditError as fault:
        return await _page(visit, {**fields, "kind": "erase"}, str(fault), 400)
    return visit.render(
        "audit/erase.html",
        status=400 if error else 200,
        erasure=erasure,
        scope=scope,
        error=error,
    )


async def erase(visit: Visit) -> web.StreamResponse:
    """Erases, if the name was typed again."""
    fields = dict(await visit.form())
    console, folder = visit.console, _folder(visit)
    try:
        erasure = Erasure.parse(fields)
    except QueryError as error:
        return await _page(visit, {**fields, "kind": "erase"}, str(error), 400)
    if fields.get("again", "").strip() != erasure.name:
        return await _ask(visit, fields, "This is not the same name. Nothing was erased.")
    try:
        count = await console.run(erase_keys, folder, console.key_store(folder), erasure, visit.login.name)
    except AuditError as error:
        return await _ask(visit, fields, f"It was not completed: {error}")
    await console.run(console.index.follow)
    return visit.see_other("audit", erased=str(count))


def _folder(visit: Visit) -> Path:
    if visit.console.audit is None:
        raise web.HTTPNotFound(text="The proxy keeps no log.")
    return visit.console.audit


def _run(visit: Visit) -> CommandRun:
    run = RUNS.find(_folder(visit), visit.part("id"))
    if run is None:
        raise web.HTTPNotFound(text="There is no such run any more. Results are kept until the console ends.")
    return run


def _facts(folder: Path) -> dict[str, Any]:
    """Returns what the folder of the log holds."""
    size_bytes = _bytes_of(folder)
    return {
        "files": len(logs_of(folder)),
        "bytes": size_bytes,
        "size": f"{size_bytes / 1e6:,.1f} MB",
        "deeds": sorted(_deeds(folder), key=lambda deed: deed.at, reverse=True)[:DEEDS],
    }


def _bytes_of(folder: Path) -> int:
    total = 0
    for path in logs_of(folder):
        with suppress(OSError):  # the proxy removed it meanwhile
            total += path.stat().st_size
    return total


def _deeds(folder: Path) -> Iterator[Deed]:
    """Yields what people did, from the ends of the files of the log of commands. Lines that cannot be read are left out."""
    files = sorted(folder.glob("operator*.jsonl"), key=_changed_ns, reverse=True)
    for path in files[:TAIL_FILES]:
        try:
            with path.open("rb") as lines:
                lines.seek(max(0, path.stat().st_size - TAIL_BYTES))
                for line in lines:
                    members = open_line(line) or {}
                    if "seq" in members and isinstance(entry := entry_of(members), OperatorEntry):
                        why, about = getattr(entry, "why", ""), getattr(entry, "id", "")
                        yield Deed(entry.at, entry.by, entry.done, str(why), str(about))
        except (OSError, RecordError):
            continue


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
