"""The page Audit: what it starts, what it says, and who may."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import re
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import get_args

import pytest

from guardproxy.audit import entry_of, open_line
from guardproxy.audit.proof import CheckpointStore, PrivateKey, check, found_states, private_key, read_proof, write_key
from guardproxy.audit.record.entries import Erased
from guardproxy.audit.writing.log_file import FileSink
from guardproxy.console.access.people import Role
from guardproxy.console.index import Filter, ReviewNote
from guardproxy.console.pages.audit import runs as runs_module
from guardproxy.console.pages.audit.runs import RUNS, CommandRun, CommandRuns
from tests.kit.console import ConsoleSite, console_site
from tests.kit.console_log import ConsoleLog, write_console_log

PAGE = "/console/audit"
SMALL = """
policy: small
checks: {mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z.]+"]}}
rules: [{id: mail, on: request, when: mail, action: redact}]
"""
Scene = Callable[[ConsoleSite], Awaitable[None]]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> ConsoleLog:
    return write_console_log(tmp_path_factory.mktemp("log"), 120, segment_lines=60)


def visit(folder: Path | None, scene: Scene, mode: str = "write", policies: Path = Path("pii-only")) -> None:
    """CommandRuns a scene in a console over a log."""

    async def run() -> None:
        async with console_site(audit=folder, mode=mode, policies=policies) as site:  # type: ignore[arg-type]
            await scene(site)
            for left in RUNS.of(folder) if folder else ():
                await RUNS.cancel(left)

    asyncio.run(run())


async def ended(site: ConsoleSite, fields: dict[str, str]) -> CommandRun:
    """Starts a run as an auditor, and waits until it has ended."""
    answer = await site.post("auditor", f"{PAGE}/runs", fields)
    assert answer.status == 303, answer.text
    run = RUNS.find(site.console.audit or Path(), answer.headers["Location"].rpartition("/")[2])
    assert run is not None
    assert run.task is not None
    await run.task
    return run


def test_the_page_opens_without_a_log(tmp_path: Path) -> None:
    async def scene(site: ConsoleSite) -> None:
        for role in get_args(Role):
            answer = await site.get(role, PAGE)
            assert answer.status == (200 if role in ("operator", "auditor") else 403)
        assert "No log to verify yet" in (await site.get("auditor", PAGE)).text
        assert (await site.get("auditor", f"{PAGE}/proof?id=x")).status in (400, 404)

    visit(None, scene)
    (tmp_path / "empty").mkdir()
    visit(tmp_path / "empty", scene)


def test_a_log_is_verified_when_the_page_is_opened(log: ConsoleLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        page = await site.get("operator", PAGE)
        assert "being verified" in page.text
        (run,) = RUNS.of(log.folder)
        assert run.task is not None
        await run.task
        assert run.state == "done"
        assert run.verified is not None
        assert run.verified.is_intact
        assert run.progress is not None
        assert run.progress.verb == "verifying"
        page = await site.part("operator", PAGE)
        assert "intact" in page.text
        assert "hx-trigger" not in page.text
        shown = await site.get("operator", f"{PAGE}/runs/{run.id}")
        assert "The log is intact" in shown.text
        assert "The log is not signed" in shown.text
        assert (await site.get("operator", f"{PAGE}/runs/{run.id}/file")).status == 404
        assert (await site.get("operator", f"{PAGE}/runs/nobody")).status == 404

    visit(log.folder, scene)


def test_a_changed_line_is_named(tmp_path: Path) -> None:
    write_console_log(tmp_path, 40, workers=1, segment_lines=1000)
    path = tmp_path / "audit-0.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b'"status":', b'"status": ')
    path.write_bytes(b"".join(lines))

    async def scene(site: ConsoleSite) -> None:
        run = await ended(site, {"kind": "verify"})
        assert run.verified is not None
        assert not run.verified.is_intact
        shown = await site.get("auditor", f"{PAGE}/runs/{run.id}")
        assert "1 file was changed" in shown.text
        assert "audit-0.jsonl, line 6" in shown.text
        assert "not intact" in (await site.get("auditor", PAGE)).text

    visit(tmp_path, scene)


def test_a_report_is_a_file_and_never_a_page_of_the_console(log: ConsoleLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        run = await ended(
            site, {"kind": "report", "from": "2026-09-01", "to": "2026-12-31", "title": "--out=/tmp/x <b>"}
        )
        assert run.state == "done", run.said
        answer = await site.get("auditor", f"{PAGE}/runs/{run.id}/file")
        assert answer.status == 200
        assert answer.headers["Content-Disposition"] == 'attachment; filename="guardproxy-report.html"'
        assert "&lt;b&gt;" in answer.text
        assert run.place.stat().st_mode & 0o777 == 0o700

    visit(log.folder, scene)


def test_a_replay_lists_the_exchanges_that_differ(log: ConsoleLog, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)

    async def scene(site: ConsoleSite) -> None:
        run = await ended(site, {"kind": "replay", "outcome": "blocked"})
        assert run.state == "done", run.said
        assert run.replayed is not None
        blocked = site.console.index.count(Filter(outcome="blocked"))
        assert run.chosen == run.replayed.total == blocked
        shown = await site.get("auditor", f"{PAGE}/runs/{run.id}")
        assert str(blocked) in shown.text
        assert not (run.place / "chosen.jsonl").exists()
        nothing = await ended(site, {"kind": "replay", "rule": "no-such-rule"})
        assert nothing.state == "failed"
        assert "no exchange fits the filter" in (await site.get("auditor", f"{PAGE}/runs/{nothing.id}")).text

    visit(log.folder, scene, policies=tmp_path)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_an_export_has_the_form_that_was_asked_for(log: ConsoleLog, form: str) -> None:
    async def scene(site: ConsoleSite) -> None:
        run = await ended(site, {"kind": "export", "form": form})
        assert run.state == "done", run.said
        assert run.file is not None
        data = run.file.read_bytes()
        if form == "parquet":
            assert "exchanges.parquet" in zipfile.ZipFile(io.BytesIO(data)).namelist()
        else:
            assert all(json.loads(line) for line in data.splitlines())
        answer = await site.get("operator", f"{PAGE}/runs/{run.id}") if form != "parquet" else None
        assert answer is None or "Download" in answer.text

    visit(log.folder, scene)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "rm"}, "kind: expected one of verify, report, replay, export"),
        ({"kind": "verify", "key": "/etc/passwd"}, "key: expected the public key"),
        ({"kind": "verify", "key": "--copy=/etc"}, "key: expected the public key"),
        ({"kind": "report", "from": "soon"}, "--from: expected a day"),
        ({"kind": "report", "from": "2026-02-01", "to": "2026-01-01"}, "the period ends before it begins"),
        ({"kind": "export", "form": "xml"}, "form: expected one of jsonl, ocsf, otel, parquet"),
        ({"kind": "replay", "since": "soon"}, "since: expected a day"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_runs(log: ConsoleLog, fields: dict[str, str], words: str) -> None:
    async def scene(site: ConsoleSite) -> None:
        before = len(RUNS.of(log.folder))
        answer = await site.post("auditor", f"{PAGE}/runs", fields)
        assert answer.status == 400
        assert words in answer.text
        assert len(RUNS.of(log.folder)) == before

    visit(log.folder, scene)


def test_a_run_can_be_cancelled(log: ConsoleLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        answer = await site.post("operator", f"{PAGE}/runs", {"kind": "verify"})
        address = answer.headers["Location"]
        run = RUNS.find(log.folder, address.rpartition("/")[2])
        assert run is not None
        while run.process is None:  # it starts in a few turns of the loop
            await site.get("operator", address)
        assert "Cancel" in (await site.get("operator", address)).text
        process = run.process
        assert (await site.post("operator", f"{address}/cancel")).status == 303
        assert run.state == "cancelled"
        assert process.returncode is not None
        assert (await site.get("operator", f"{address}/file")).status == 404

    visit(log.folder, scene)


def test_a_run_leaves_the_log_its_room(log: ConsoleLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "Too little space is left on the disk; it is left to the log")

    async def scene(site: ConsoleSite) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(runs_module, "require_room", full)
            refused = await site.post("auditor", f"{PAGE}/runs", {"kind": "export"})
            assert refused.status == 400
            assert "it is left to the log" in refused.text
        answer = await site.post("auditor", f"{PAGE}/runs", {"kind": "export"})
        run = RUNS.find(log.folder, answer.headers["Location"].rpartition("/")[2])
        assert run is not None
        with monkeypatch.context() as patch:
            patch.setattr(runs_module, "require_room", full)
            patch.setattr(runs_module, "WATCH_S", 0.0)
            assert run.task is not None
            await run.task
        assert run.state == "failed"
        assert run.file is None
        assert "it is left to the log" in (await site.get("auditor", f"{PAGE}/runs/{run.id}")).text

    visit(log.folder, scene)


def test_few_commands_run_at_the_same_time_and_old_runs_go(log: ConsoleLog, tmp_path: Path) -> None:
    async def scene(site: ConsoleSite) -> None:
        for _ in range(2):
            assert (await site.post("auditor", f"{PAGE}/runs", {"kind": "verify"})).status == 303
        third = await site.post("auditor", f"{PAGE}/runs", {"kind": "verify"})
        assert third.status == 400
        assert "2 commands are under way" in third.text

    visit(log.folder, scene)
    stale = tmp_path / ".console" / "runs-999999999" / "left"
    stale.mkdir(parents=True)
    runs = CommandRuns()
    _, place = runs.place_for(tmp_path)
    assert place.exists()
    assert not stale.parent.exists()
    runs._end_all()


def test_a_proof_needs_a_signed_log(log: ConsoleLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        answer = await site.get("auditor", f"{PAGE}/proof?id={log.ids[0]}")
        assert answer.status == 400
        assert "the log is not signed" in answer.text
        assert str(log.folder) not in answer.text
        assert "id: give the id of an exchange" in (await site.get("auditor", f"{PAGE}/proof?id=")).text

    visit(log.folder, scene)


def test_a_signed_log_is_proven_and_its_signature_checked(tmp_path: Path) -> None:
    log = write_console_log(tmp_path / "log", 30)
    key = PrivateKey.new("proxy")
    write_key(tmp_path / "key", key)
    store = CheckpointStore(log.folder, private_key(str(tmp_path / "key"), log.folder))
    store.write(found_states(log.folder, "*.jsonl", store.states), 1.0)

    async def scene(site: ConsoleSite) -> None:
        answer = await site.get("operator", f"{PAGE}/proof?id={log.ids[7]}")
        assert answer.status == 200
        assert answer.headers["Content-Disposition"] == 'attachment; filename="guardproxy-proof.json"'
        proven = check(read_proof(answer.text.encode()), [key.public])
        assert proven.members["id"] == log.ids[7]
        run = await ended(site, {"kind": "verify", "key": str(key.public)})
        assert run.verified is not None, run.said
        assert run.verified.is_intact
        assert run.verified.checkpoint == (1, 1.0)
        shown = await site.get("operator", f"{PAGE}/runs/{run.id}")
        assert "The log is not signed" not in shown.text
        assert "signed by" in (await site.get("operator", PAGE)).text

    visit(log.folder, scene)


def test_hostile_words_in_the_log_are_words(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s <b>a</b> "log" {{ 7 * 7 }}'
    write_console_log(folder, 12, workers=1)
    hostile = "\u202e<script>alert(1)</script> {{ 7 * 7 }} <img src=x onerror=alert(1)> hx-get=/evil"
    entry = Erased(v=3, at=1.0, engine="e", keys=("k",), by=hostile, why=hostile)
    sink = FileSink(folder, "operator", {"log": "operator"})
    sink.append(entry).result(30)
    sink.close()
    (folder / 'a"><script>alert(2).jsonl').write_bytes(b"not a log\n")

    async def scene(site: ConsoleSite) -> None:
        run = await ended(site, {"kind": "verify"})
        replay = await ended(site, {"kind": "replay", "model": hostile[:190]})
        assert replay.state == "failed"
        for path in ("", f"/runs/{run.id}", f"/runs/{replay.id}"):
            page = (await site.get("auditor", f"{PAGE}{path}")).text
            assert "<script>alert" not in page
            assert "<img" not in page
            assert "\u202e" not in page
        assert "&lt;script&gt;" in (await site.get("auditor", PAGE)).text
        refused = await site.get("auditor", f"{PAGE}/proof?id=%22%3E%3Cscript%3E")
        assert refused.status == 400
        assert "<script>" not in refused.text.replace("<script nonce=", "")

    visit(folder, scene)


def hidden(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(owner|name|tenant|reason)" value="([^"]*)">', page))


def test_an_erasure_asks_twice_and_is_recorded(tmp_path: Path) -> None:
    log = write_console_log(tmp_path, 80, keep=("sealed",))
    form = {"owner": "subject", "name": "user-1", "tenant": "", "reason": "a request, ticket 17"}

    async def scene(site: ConsoleSite) -> None:
        index = site.console.index
        for name in log.ids:
            index.notes.put(ReviewNote(name, "ada", 1.0, "seen"))
        for role in ("viewer", "reviewer", "operator"):
            assert (await site.post(role, f"{PAGE}/erase", form)).status == 403
            assert (await site.post(role, f"{PAGE}/erase/confirm", {**form, "again": "user-1"})).status == 403
        asked = await site.post("auditor", f"{PAGE}/erase", form)
        assert asked.status == 200
        assert "Type the name again" in asked.text
        assert hidden(asked.text) == form
        assert {row.keep for row in index.rows(Filter(), 200).rows} == {"sealed"}
        wrong = await site.post("auditor", f"{PAGE}/erase/confirm", {**form, "again": "user-2"})
        assert wrong.status == 400
        assert "Nothing was erased" in wrong.text
        done = await site.post("auditor", f"{PAGE}/erase/confirm", {**form, "again": "user-1"})
        assert done.status == 303
        erased = [row.id for row in index.rows(Filter(), 200).rows if row.keep == "erased"]
        assert erased
        assert set(index.notes.exchanges()) == set(log.ids) - set(erased)
        page = await site.get("auditor", done.headers["Location"].replace("http://x", ""))
        assert "data keys were destroyed" in page.text
        assert "a request, ticket 17" in page.text
        assert "There is nothing to erase" in (await site.post("auditor", f"{PAGE}/erase", form)).text

    visit(tmp_path, scene)
    lines = (tmp_path / "operator.jsonl").read_bytes().splitlines()[1:]
    (entry,) = [entry_of(open_line(line) or {}) for line in lines]
    assert isinstance(entry, Erased)
    assert (entry.by, entry.why) == ("auditor", "a request, ticket 17")
    assert b"user-1" not in b"".join(lines)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"owner": "everybody"}, "owner: expected one of subject, conversation, tenant"),
        ({"name": " "}, "name: say whose texts"),
        ({"reason": ""}, "reason: give a reason"),
        ({"reason": "USER-1 asked for it"}, "do not name the subject"),
    ],
)
def test_an_erasure_without_a_name_or_a_reason_is_refused(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    write_console_log(tmp_path, 6, keep=("sealed",))
    form = {"owner": "subject", "name": "user-1", "tenant": "", "reason": "a request", **changes}

    async def scene(site: ConsoleSite) -> None:
        for path in ("/erase", "/erase/confirm"):
            answer = await site.post("auditor", f"{PAGE}{path}", {**form, "again": form["name"]})
            assert answer.status == 400
            assert words in answer.text
        assert not (tmp_path / "operator.jsonl").exists()

    visit(tmp_path, scene)


def test_a_console_that_reads_erases_nothing(tmp_path: Path) -> None:
    write_console_log(tmp_path, 6, keep=("sealed",))
    form = {"owner": "tenant", "name": "t-acme", "reason": "a request", "again": "t-acme"}

    async def scene(site: ConsoleSite) -> None:
        for path in ("/erase", "/erase/confirm"):
            assert (await site.post("auditor", f"{PAGE}{path}", form)).status == 403
        assert "This console only reads" in (await site.get("auditor", PAGE)).text
        assert "Only an auditor may erase" in (await site.get("operator", PAGE)).text

    visit(tmp_path, scene, "read")


def test_a_tenant_can_be_erased_as_a_whole(tmp_path: Path) -> None:
    write_console_log(tmp_path, 60, keep=("sealed",))
    form = {"owner": "tenant", "name": "t-acme", "reason": "the contract ended"}

    async def scene(site: ConsoleSite) -> None:
        await site.post("auditor", f"{PAGE}/erase/confirm", {**form, "again": "t-acme"})
        rows = site.console.index.rows(Filter(), 200).rows
        assert {row.tenant for row in rows if row.keep == "erased"} == {"t-acme"}
        assert {row.keep for row in rows if row.tenant == "t-acme"} == {"erased"}

    visit(tmp_path, scene)


def test_many_who_start_a_command_at_once_start_no_more(log: ConsoleLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        starts = (site.post("auditor", f"{PAGE}/runs", {"kind": "verify"}) for _ in range(6))
        answers = await asyncio.gather(*starts)
        assert sorted(answer.status for answer in answers) == [303, 303, 400, 400, 400, 400]

    visit(log.folder, scene)
