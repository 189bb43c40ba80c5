"""The page Policies from the first look to a saved change: what people see, and what two of them may do."""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from guardproxy.audit import PolicyChanged
from guardproxy.audit.record.versions import entries_of
from guardproxy.console.access.people import Login
from guardproxy.console.pages.policies import desk
from guardproxy.console.pages.policies.desk import desk_of
from guardproxy.console.pages.policies.files import digest_of
from guardproxy.console.pages.policies.tasks import (
    BenchReply,
    BenchTask,
    CancelledTask,
    FailedTask,
    LintReply,
    TaskProgress,
)
from guardproxy.console.pages.policies.work import PolicyWork
from guardproxy.console.pages.policies.workshop import TaskBench, Workshop
from tests.kit.console import ConsoleSite, FakeProxy, PageAnswer, console_site
from tests.kit.shop_policy import POLICY, recorded

RELOADED = {"/all/reload": json.dumps({"ok": True, "0": {"ok": True, "policies": "sha256:new", "errors": []}})}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does tasks in this process: `test_workshop.py` tries those of their own."""
    work = PolicyWork()

    async def ask(
        bench: TaskBench, task: BenchTask, timeout_s: float, progress: Callable[[TaskProgress], object] | None = None
    ) -> BenchReply:
        await asyncio.sleep(0)
        return work.do(task, lambda done, total: progress(TaskProgress(done, total)) if progress else None)

    monkeypatch.setattr(TaskBench, "ask", ask)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "policies"
    made.mkdir()
    (made / "shop.yaml").write_text(POLICY)
    (made / "shop.yaml").chmod(0o640)
    return made


@pytest.fixture
async def site(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConsoleSite]:
    monkeypatch.setattr(desk, "PATIENCE_S", 300.0)
    (tmp_path / "audit").mkdir()
    proxy = FakeProxy(answers=dict(RELOADED))
    async with console_site(audit=tmp_path / "audit", policies=folder, proxy=proxy) as made:
        yield made


def signed_in(site: ConsoleSite, name: str, role: str) -> str:
    """Signs a further person in. Returns the key for the site's methods."""
    cookie, session = site.entrance.sessions.begin(Login(name, role))  # type: ignore[arg-type]
    site.people[name] = cookie, session.csrf
    return name


async def post(site: ConsoleSite, who: str, path: str, **fields: str) -> PageAnswer:
    token = site.people[who][1]
    headers = {"Sec-Fetch-Site": "same-origin", "HX-Request": "true", "HX-Request-Type": "partial"}
    return await site.send("POST", who, f"/console/policies{path}", {"csrf": token, **fields}, headers)  # type: ignore[arg-type]


async def form(site: ConsoleSite, who: str, path: str, **fields: str) -> PageAnswer:
    return await site.post(who, f"/console/policies{path}", fields)  # type: ignore[arg-type]


def value(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found, name
    return html.unescape(found[1])


async def test_files_are_shown_with_words_remarks_and_coverage(site: ConsoleSite) -> None:
    page = await site.get("viewer", "/console/policies")
    assert "shop.yaml" in page.text
    assert "No mail leaves." in page.text
    file = await site.get("viewer", "/console/policies/file?name=shop.yaml")
    assert "redact when mail, on request, response" in file.text
    assert "/edit" not in file.text
    assert "/edit?file=shop.yaml" in (await site.get("reviewer", "/console/policies/file?name=shop.yaml")).text
    assert 'id="line-9"' in file.text
    coverage = await site.get("viewer", "/console/policies/coverage")
    assert "shop/mail" in coverage.text
    assert "Checks that read it" in coverage.text
    for name in ("../x.yaml", "none.yaml", "", ".hidden.yaml", "a/b.yaml", "\0.yaml"):
        assert (await site.get("viewer", f"/console/policies/file?name={name}")).status == 404, name


async def test_a_text_is_played_and_streamed(site: ConsoleSite) -> None:
    answer = await post(
        site, "viewer", "/play", request="write to jo@ab.io", answer="al@ab.io says <b>hi</b>", size="3"
    )
    assert answer.status == 200
    assert "[MAIL_1]" in answer.text
    assert "no-mail" in answer.text
    assert "&lt;b&gt;" in answer.text
    assert "<b>" not in answer.text
    assert "what comes next may change what `mail` says of" in html.unescape(answer.text)
    assert "The result is that of the whole answer, whatever the pieces." in answer.text
    assert "Not run here, since they ask services or models elsewhere: far." in answer.text
    blocked = await post(site, "viewer", "/play", request="forbidden", answer="x", size="1")
    assert "block" in blocked.text
    assert "Nothing: the request does not leave." in blocked.text
    assert "write a text" in (await post(site, "viewer", "/play")).text
    assert "no wire format reads" in (await post(site, "viewer", "/play", request="x", route="POST /nope")).text
    whole = await form(site, "viewer", "/playground", request="write to jo@ab.io")
    assert "<!doctype html>" in whole.text
    assert "[MAIL_1]" in whole.text
    stream = 'data: {"choices":[{"index":0,"delta":{"content":"al@ab.io"}}]}\n\ndata: [DONE]\n\n'
    recorded = await post(site, "viewer", "/play", request="hi", answer=stream, size="5")
    assert "the recorded stream, cut every 5 bytes" in recorded.text


async def test_viewers_play_no_exchange_of_the_log(site: ConsoleSite) -> None:
    assert "viewers see no texts" in (await post(site, "viewer", "/play", id="x")).text
    assert "no exchange with this id" in (await post(site, "reviewer", "/play", id="x")).text


async def test_two_people_change_a_policy(site: ConsoleSite, folder: Path, tmp_path: Path) -> None:
    edited = POLICY.replace("[forbidden]", "[forbidden, secret]")
    page = await site.get("reviewer", "/console/policies/edit?file=shop.yaml")
    base = value(page.text, "base")
    assert base == digest_of(POLICY.encode())
    linted = await post(site, "reviewer", "/drafts", file="shop.yaml", base=base, content=edited.replace("\n", "\r\n"))
    assert "secret" in linted.text
    assert 'class="added"' in linted.text
    assert desk_of(site.console).drafts.of("reviewer")["shop.yaml"].content == edited.encode()
    assert not desk_of(site.console).drafts.of("operator")  # nobody else has it
    played = await post(site, "reviewer", "/play", request="a secret", drafts="yes")
    assert "no-bad" in played.text
    assert "block" in played.text
    assert (await form(site, "reviewer", "/changes", why="")).status == 400
    proposed = await form(site, "reviewer", "/changes", why="ticket 7")
    id = proposed.headers["Location"].partition("id=")[2]
    seen = await site.get("operator", f"/console/policies/change?id={id}")
    digest = value(seen.text, "digest")
    for who, given, words in (
        ("reviewer", digest, "another person approves"),
        (signed_in(site, "REVIEWER ", "operator"), digest, "another person approves"),
        ("operator", "sha256:0", "not the one that was shown"),
    ):
        refused = await form(site, who, "/change/approve", id=id, digest=given)
        assert refused.status == 409
        assert words in refused.text
    assert (await form(site, "viewer", "/change/approve", id=id, digest=digest)).status == 403
    assert (await form(site, "operator", "/change/save", id=id, digest=digest)).status == 409  # not approved yet
    assert (await form(site, "operator", "/change/approve", id=id, digest=digest)).status == 303
    assert (folder / "shop.yaml").read_text() == POLICY
    for who, status in (("reviewer", 403), ("auditor", 403), (signed_in(site, "other", "operator"), 409)):
        assert (await form(site, who, "/change/save", id=id, digest=digest)).status == status
    saved = await form(site, "operator", "/change/save", id=id, digest=digest)
    assert saved.status == 303, saved.text
    assert (folder / "shop.yaml").read_text() == edited
    assert (folder / "shop.yaml").stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(folder)) == ["shop.yaml"]
    (entry,) = entries_of(tmp_path / "audit" / "operator.jsonl")
    assert isinstance(entry, PolicyChanged)
    assert (entry.by, entry.approved_by, entry.why) == ("reviewer", "operator", "ticket 7")
    assert entry.files == PolicyChanged.changed({"shop.yaml": (base, digest_of(edited.encode()))})
    assert "Saved and in force: sha256:new." in (await site.get("operator", f"/console/policies/change?id={id}")).text
    assert (await form(site, "operator", "/change/save", id=id, digest=digest)).status == 409
    assert not desk_of(site.console).drafts.of("reviewer")


async def proposal(site: ConsoleSite, content: str, who: str = "operator", file: str = "shop.yaml") -> tuple[str, str]:
    await form(site, who, "/drafts", file=file, content=content)
    answer = await form(site, who, "/changes", why="ticket")
    id = answer.headers["Location"].partition("id=")[2]
    return id, desk_of(site.console).drafts.proposal(id).digest


async def test_what_is_edited_after_the_approval_is_not_saved(site: ConsoleSite, folder: Path) -> None:
    id, digest = await proposal(site, POLICY + "# one\n")
    assert (await form(site, "auditor", "/change/approve", id=id, digest=digest)).status == 303
    handed_over = await form(site, "operator", "/drafts", file="shop.yaml", content=POLICY + "# two\n")
    assert handed_over.status == 409
    assert "a draft of shop.yaml already" in handed_over.text
    base = digest_of(POLICY.encode())
    await form(site, "operator", "/drafts", file="shop.yaml", base=base, content=POLICY + "# two\n")
    refused = await form(site, "operator", "/change/save", id=id, digest=digest)
    assert refused.status == 409
    assert "void" in refused.text
    assert (folder / "shop.yaml").read_text() == POLICY


async def test_two_editors_of_a_file_and_a_file_that_changes_on_disk(site: ConsoleSite, folder: Path) -> None:
    first = await proposal(site, POLICY + "# one\n", "reviewer")
    second = await proposal(site, POLICY + "# two\n")
    for (id, digest), who in ((first, "operator"), (second, "auditor")):
        assert (await form(site, who, "/change/approve", id=id, digest=digest)).status == 303
    assert (await form(site, "operator", "/change/save", id=first[0], digest=first[1])).status == 303
    late = await form(site, "operator", "/change/save", id=second[0], digest=second[1])
    assert late.status == 409
    assert "has changed since the edit began" in html.unescape(late.text)
    assert (folder / "shop.yaml").read_text() == POLICY + "# one\n"
    page = await site.get("operator", "/console/policies/edit?file=shop.yaml")
    assert "Two edits meet" in page.text
    await form(site, "operator", "/drafts", file="shop.yaml", content=POLICY + "# two\n", mine="yes")
    assert "Two edits meet" not in (await site.get("operator", "/console/policies/edit?file=shop.yaml")).text
    await form(site, "operator", "/drafts", file="shop.yaml", theirs="yes")
    assert not desk_of(site.console).drafts.of("operator")


async def test_policies_with_errors_are_not_saved(site: ConsoleSite, folder: Path) -> None:
    id, digest = await proposal(site, POLICY.replace("action: block", "action: blok"))
    assert (await form(site, "auditor", "/change/approve", id=id, digest=digest)).status == 303
    refused = await form(site, "operator", "/change/save", id=id, digest=digest)
    assert refused.status == 409
    assert "Policies with errors are not saved" in refused.text
    assert (folder / "shop.yaml").read_text() == POLICY
    assert desk_of(site.console).drafts.proposal(id).state == "approved"


@pytest.mark.parametrize(
    "name", ["../evil.yaml", "/etc/x.yaml", "a/b.yaml", ".x.yaml", "x.sh", "", "x.yaml\n", "a" * 200 + ".yaml"]
)
async def test_a_draft_has_a_plain_name(site: ConsoleSite, name: str) -> None:
    assert (await form(site, "reviewer", "/drafts", file=name, content="x")).status == 400


async def test_a_proposal_is_refused_or_taken_back(site: ConsoleSite) -> None:
    id, _ = await proposal(site, POLICY + "# one\n")
    await form(site, "auditor", "/change/refuse", id=id, told="too wide")
    assert "auditor refused it: too wide" in (await site.get("reviewer", f"/console/policies/change?id={id}")).text
    assert (await form(site, "auditor", "/change/refuse", id=id)).status == 409
    assert (await site.get("reviewer", "/console/policies/change?id=nope")).status == 404


async def test_a_console_that_reads_saves_nothing(tmp_path: Path, folder: Path) -> None:
    async with console_site(policies=folder, mode="read") as site:
        id, digest = await proposal(site, POLICY + "# one\n")
        assert (await form(site, "auditor", "/change/approve", id=id, digest=digest)).status == 403
        assert "console only reads" in (await site.get("auditor", f"/console/policies/change?id={id}")).text


async def test_nothing_is_saved_without_a_log(tmp_path: Path, folder: Path) -> None:
    async with console_site(policies=folder) as site:
        id, digest = await proposal(site, POLICY + "# one\n")
        await form(site, "auditor", "/change/approve", id=id, digest=digest)
        refused = await form(site, "operator", "/change/save", id=id, digest=digest)
        assert refused.status == 409
        assert "keeps no log" in refused.text


async def test_tests_run_and_say_what_differs(site: ConsoleSite) -> None:
    await form(
        site, "reviewer", "/drafts", file="shop.yaml", content=POLICY.replace("{rule: no-mail}", "{rule: no-bad}")
    )
    await post(site, "reviewer", "/tests", name="shop.yaml", drafts="yes")
    job = desk_of(site.console).workshop.job("reviewer", "tests")
    assert job is not None
    assert job.runner is not None
    await job.runner
    tested = await site.part("reviewer", "/console/policies/tests")
    assert "1 test, 1 failed" in tested.text
    assert "expected the rule `no-bad` to hold" in html.unescape(tested.text)
    assert "shop: no-bad" in tested.text  # holds in no test


async def test_drafts_are_listed_downloaded_compared_and_dropped(site: ConsoleSite, folder: Path) -> None:
    new = await site.get("reviewer", "/console/policies/edit?file=other.yaml")
    assert "policy: other" in new.text
    edited = POLICY.replace("[forbidden]", "[forbidden, secret]")
    await form(site, "reviewer", "/drafts", file="shop.yaml", content=edited)
    await form(site, "reviewer", "/drafts", file="other.yaml", content="policy: other\n")
    listed = await site.get("reviewer", "/console/policies/changes")
    assert "other.yaml" in listed.text
    assert "new file" in listed.text
    assert "your draft" in (await site.get("reviewer", "/console/policies")).text
    got = await site.get("reviewer", "/console/policies/drafts/download?file=shop.yaml")
    assert (got.text, got.headers["Content-Disposition"]) == (edited, 'attachment; filename="shop.yaml"')
    begun = await site.get("reviewer", "/console/policies/drafts/download?file=none.yaml")
    assert "policy: none" in begun.text, "what a draft begins with"
    assert (await site.get("reviewer", "/console/policies/download?name=shop.yaml")).text == POLICY
    await form(site, "reviewer", "/drafts/drop", file="other.yaml")
    await post(site, "reviewer", "/compare", days="1", most="200")
    job = desk_of(site.console).workshop.job("reviewer", "diff")
    assert job is not None
    assert job.runner is not None
    await job.runner
    compared = await site.get("reviewer", "/console/policies/compare")
    assert "tightens" in compared.text
    assert "no exchange of the log is in this period" in compared.text
    await form(site, "reviewer", "/compare", days="x", most="y")
    again = desk_of(site.console).workshop.job("reviewer", "diff")
    assert again is not None
    again.state, again.reply = "running", None
    running = await site.part("reviewer", "/console/policies/compare")
    assert "Cancel" in running.text
    assert "Replaying: 0 of" in running.text
    await form(site, "reviewer", "/compare", cancel="yes")
    assert "was cancelled" in (await site.part("reviewer", "/console/policies/compare")).text
    assert "other.yaml" not in (await site.get("operator", "/console/policies/changes")).text


async def test_a_proposal_that_is_no_longer_of_the_file_on_disk_is_marked(site: ConsoleSite, folder: Path) -> None:
    id, _ = await proposal(site, POLICY + "# one\n")
    (folder / "shop.yaml").write_text(POLICY + "# from elsewhere\n")
    page = await site.get("auditor", f"/console/policies/change?id={id}")
    assert "this proposal cannot be saved" in page.text
    got = await site.get("auditor", f"/console/policies/change/download?id={id}&file=shop.yaml")
    assert got.text == POLICY + "# one\n"
    assert (await site.get("auditor", f"/console/policies/change/download?id={id}&file=x")).status == 404
    (folder / "shop.yaml").unlink()
    (folder / "shop.yaml").symlink_to("/etc/passwd")
    assert "root:" not in (await site.get("auditor", f"/console/policies/change?id={id}")).text


async def test_a_proxy_that_does_not_answer_is_said(site: ConsoleSite, folder: Path) -> None:
    del site.console.proxy.answers["/all/reload"]  # type: ignore[attr-defined]
    id, digest = await proposal(site, POLICY + "# one\n")
    await form(site, "auditor", "/change/approve", id=id, digest=digest)
    assert (await form(site, "operator", "/change/save", id=id, digest=digest)).status == 303
    assert "The files are saved, but" in (await site.get("auditor", f"/console/policies/change?id={id}")).text


async def test_a_file_that_a_form_would_change_is_not_edited(site: ConsoleSite, folder: Path) -> None:
    (folder / "odd.yaml").write_bytes(b"a: 1\r\nb: 2\n")
    assert (await site.get("reviewer", "/console/policies/edit?file=odd.yaml")).status == 400
    assert "cannot be edited here" in (await site.get("reviewer", "/console/policies/file?name=odd.yaml")).text


async def test_hostile_texts_in_files_and_names_are_shown_as_texts(site: ConsoleSite, folder: Path) -> None:
    evil = '"><script>alert(1)</script>\u202e<div hx-get=/x>'
    (folder / "evil.yaml").write_text(f"# {evil}\npolicy: x\ndescription: '{evil}'\n")
    for path in ("", "/file?name=evil.yaml", "/edit?file=evil.yaml", "/coverage"):
        page = await site.get("reviewer", f"/console/policies{path}")
        assert page.status == 200
        assert "<script>alert" not in page.text
        assert "<div hx-get=/x" not in page.text
    played = await post(site, "reviewer", "/play", request=evil, answer=evil, size="1")
    assert "<script>alert" not in played.text
    await form(site, "reviewer", "/drafts", file="shop.yaml", content=POLICY + f"# {evil}\n")
    proposed = await form(site, "reviewer", "/changes", why=evil)
    shown = await site.get("operator", proposed.headers["Location"])
    assert "<script>alert" not in shown.text
    assert 'title="RIGHT-TO-LEFT OVERRIDE"' in shown.text


async def test_the_playground_opens_with_an_example_or_an_exchange(
    site: ConsoleSite, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = await site.get("viewer", "/console/policies/playground?example=1")
    assert "4111 1111 1111 1111" in example.text
    assert 'hx-trigger="load"' in example.text
    assert 'name="id"' not in example.text
    opened = await site.get("reviewer", "/console/policies/playground?id=x1")
    assert 'value="x1"' in opened.text
    (record,) = recorded(folder, ["I am al@ab.io"])
    monkeypatch.setattr(site.console.index, "record", lambda id: record)
    played = await post(site, "reviewer", "/play", id="x0")
    assert "the recorded exchange" in played.text
    assert "no-mail" in played.text
    assert "al@ab.io" not in played.text


async def test_an_older_question_is_not_answered(site: ConsoleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    async def older(*_: object) -> CancelledTask:
        return CancelledTask()

    monkeypatch.setattr(Workshop, "ask", older)
    assert (await post(site, "reviewer", "/play", request="x")).status == 204
    assert (await post(site, "reviewer", "/drafts", file="shop.yaml", content="x")).status == 204
    assert (await form(site, "reviewer", "/playground", request="x")).status == 200


async def test_a_process_that_fails_is_said_on_every_page(site: ConsoleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    id, digest = await proposal(site, POLICY + "# one\n")
    await form(site, "auditor", "/change/approve", id=id, digest=digest)

    async def fails(*_: object) -> FailedTask:
        return FailedTask("it takes more than 10 s")

    monkeypatch.setattr(Workshop, "ask", fails)
    for path in ("", "/file?name=shop.yaml", "/coverage", "/edit?file=shop.yaml", f"/change?id={id}"):
        desk_of(site.console).linted = None
        assert "it takes more than 10 s" in (await site.get("operator", f"/console/policies{path}")).text, path
    assert "it takes more than 10 s" in (await post(site, "operator", "/play", request="x")).text
    refused = await form(site, "operator", "/change/save", id=id, digest=digest)
    assert refused.status == 409
    assert "it takes more than 10 s" in refused.text


async def test_shipped_policies_are_shown_and_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    async def quick(*_: object) -> LintReply:
        return LintReply()

    monkeypatch.setattr(Workshop, "ask", quick)
    async with console_site() as site:
        assert "come with guardproxy" in (await site.get("operator", "/console/policies")).text
        assert (
            "nothing can be saved here"
            in (await site.get("operator", "/console/policies/edit?file=default.yaml")).text.lower()
        )
