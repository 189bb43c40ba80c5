"""The page as people use it: queues, verdicts, undo, tests, exports, and what is refused."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit import Reviewed
from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.record.entries import Unsealed
from guardproxy.audit.record.versions import entries_of
from guardproxy.audit.sealing import STORE, operator_log
from guardproxy.console.access.people import ROLES, Role
from guardproxy.console.pages.review import handlers
from tests.kit.console import ConsoleSite, PageAnswer, console_site
from tests.kit.console_log import OPERATOR, write_console_log
from tests.kit.review_log import write_review_log

REVIEWERS: tuple[Role, ...] = ("reviewer", "operator", "auditor")
RULE = "/console/review/next?queue=rule&rule=no-mail"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ConsoleSite]:
    audit, policies, _ = write_review_log(tmp_path)
    async with console_site(audit=audit, policies=policies) as opened:
        yield opened


def entries(site: ConsoleSite) -> list[Reviewed]:
    assert site.console.audit
    assert not any(report.report.problems for report in verify_folder(site.console.audit))
    log = site.console.audit / "operator.jsonl"
    return [entry for entry in entries_of(log) if isinstance(entry, Reviewed)] if log.exists() else []


def place(answer: PageAnswer) -> str:
    assert answer.status == 303, answer.text
    return answer.headers["Location"]


def item(address: str) -> str:
    return re.search(r"/item/(\w+)", address)[1]  # type: ignore[index]


async def test_the_page_opens_for_its_roles_without_a_log() -> None:
    async with console_site() as site:
        for role in ROLES:
            answer = await site.get(role, "/console/review")
            assert answer.status == (200 if role in REVIEWERS else 403)
        assert "guardproxy serve" in (await site.get("reviewer", "/console/review")).text


async def test_an_empty_log_teaches(tmp_path: Path) -> None:
    audit, policies, _ = write_review_log(tmp_path, 0)
    async with console_site(audit=audit, policies=policies) as site:
        assert "curl" in (await site.get("reviewer", "/console/review")).text
        assert "This queue is empty" in (await site.get("reviewer", "/console/review/next?queue=near")).text


async def test_a_verdict_is_in_the_log_and_the_next_item_comes(site: ConsoleSite) -> None:
    first = place(await site.get("reviewer", RULE))
    page = await site.get("reviewer", first)
    assert "[EMAIL_ADDRESS_" in page.text
    assert 'data-key="1"' in page.text
    fields = {"of": "no-mail", "verdict": "false_alarm", "note": "it is <b>ours</b>"}
    after = place(await site.post("reviewer", first, fields))
    assert after.startswith("/console/review/next?queue=rule&rule=no-mail&last=x0")
    (entry,) = entries(site)
    assert (entry.id, entry.policy, entry.rule, entry.verdict, entry.by) == (
        "x0",
        "desk",
        "no-mail",
        "false_alarm",
        "reviewer",
    )
    assert "ours" not in (site.console.audit / "operator.jsonl").read_text()  # type: ignore[operator]
    second = place(await site.get("reviewer", after))
    assert item(second) == "x3"
    assert "Take it back" in (await site.get("reviewer", second)).text
    again = (await site.get("reviewer", first)).text
    assert "You said <strong>false alarm</strong>" in again
    assert "it is &lt;b&gt;ours&lt;/b&gt;" in again


async def test_a_later_verdict_replaces_the_earlier_one_and_undo_takes_it_back(site: ConsoleSite) -> None:
    first = place(await site.get("reviewer", RULE))
    for verdict in ("right", "missed"):
        await site.post("reviewer", first, {"of": "no-mail", "verdict": verdict, "text": "0"})
    page = await site.get("reviewer", "/console/review")
    assert re.search(r"desk: no-mail.*?>0<.*?>0<.*?>1<", page.text, re.S)
    back = await site.post(
        "reviewer", "/console/review/undo?queue=rule&rule=no-mail", {"last": "x0", "last_rule": "no-mail"}
    )
    assert item(place(back)) == "x0"
    assert [entry.verdict for entry in entries(site)] == ["right", "missed", "withdrawn"]
    assert [entry.text for entry in entries(site)] == [None, 0, None]
    assert item(place(await site.get("reviewer", RULE))) == "x0", "it is open again"
    nothing = await site.post("reviewer", "/console/review/undo", {"last": "x0", "last_rule": "no-mail"})
    assert nothing.status == 409


async def test_two_people_get_different_items_unless_two_readers_are_asked_for(site: ConsoleSite) -> None:
    got = [item(place(await site.get(role, RULE))) for role in REVIEWERS]
    assert got[:2] == ["x0", "x3"]
    assert len(set(got)) == 3
    both = [item(place(await site.get(role, RULE + "&double=1"))) for role in REVIEWERS[:2]]
    assert both == ["x0", "x0"], "two people read each item"


async def test_two_readers_judge_the_same_items_and_agree(site: ConsoleSite) -> None:
    verdicts: dict[Role, list[str]] = {"reviewer": ["right", "right"], "operator": ["right", "false_alarm"]}
    for role, words in verdicts.items():
        for verdict in words:
            address = place(await site.get(role, RULE + "&double=1"))
            page = await site.get(role, address)
            assert "said <strong>" not in page.text, "what the other person said is not shown before"
            await site.post(role, address, {"of": "no-mail", "verdict": verdict})
    page = await site.get("reviewer", "/console/review")
    assert "operator and reviewer" in page.text
    assert "50 %" in page.text
    disputed = place(await site.get("auditor", "/console/review/next?queue=disagreed"))
    assert item(disputed) == "x3"
    seen = await site.get("operator", disputed)
    assert "reviewer said <strong>right</strong>" in seen.text


async def test_next_passes_over_an_item_until_nothing_else_is_left(site: ConsoleSite) -> None:
    seen = []
    for _ in range(5):
        address = place(await site.get("reviewer", RULE))
        seen.append(item(address))
        path, _, query = address.partition("?")
        await site.post("reviewer", f"{path}/skip?{query}", {"of": "no-mail"})
    assert seen == ["x0", "x3", "x4", "x7", "x0"]
    assert entries(site) == []


async def test_a_queue_ends(site: ConsoleSite) -> None:
    for _ in range(4):
        address = place(await site.get("reviewer", RULE))
        await site.post("reviewer", address, {"of": "no-mail", "verdict": "right"})
    done = await site.get("reviewer", RULE + "&last=x7&last_rule=no-mail&said=right")
    assert done.status == 200
    assert "Nothing is left" in done.text
    assert "Take the last verdict back" in done.text


async def test_a_sample_has_every_rule_and_exchanges_without_one(site: ConsoleSite) -> None:
    rules = set()
    for _ in range(12):
        answer = await site.get("operator", "/console/review/next")
        if answer.status != 303:
            break
        address = place(answer)
        rule = re.search(r"[?&]of=([\w-]*)", address)
        rules.add(rule[1] if rule else "")
        await site.post("operator", address, {"of": rule[1] if rule else "", "verdict": "right"})
    assert rules == {"no-mail", "no-rivals", ""}


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"of": "no-mail", "verdict": "fine"}, 400, "Choose right"),
        ({"of": "no-such", "verdict": "right"}, 400, "did not hold"),
        ({"of": "no-mail", "verdict": "missed", "text": "99"}, 400, "no such text"),
        ({"of": "no-mail", "verdict": "missed", "missed_rule": "desk: gone"}, 400, "no such rule"),
        ({"of": "no-mail", "verdict": "right", "note": "n" * 5000}, 400, "at most 4,000"),
    ],
)
async def test_what_cannot_be_said(site: ConsoleSite, fields: dict[str, str], status: int, words: str) -> None:
    answer = await site.post("reviewer", "/console/review/item/x0", fields)
    assert (answer.status, words in answer.text) == (status, True)
    assert entries(site) == []


async def test_a_missed_rule_can_be_named(site: ConsoleSite) -> None:
    fields = {"of": "", "verdict": "missed", "missed_rule": "desk: no-rivals", "text": "0"}
    place(await site.post("reviewer", "/console/review/item/x2", fields))
    (entry,) = entries(site)
    assert (entry.id, entry.policy, entry.rule, entry.verdict, entry.text) == ("x2", "desk", "no-rivals", "missed", 0)


@pytest.mark.parametrize("path", ["/item/x0", "/undo", "/item/x0/skip", "/export", "/item/x0/allow"])
async def test_a_viewer_cannot_post(site: ConsoleSite, path: str) -> None:
    fields = {"of": "no-mail", "verdict": "right", "last": "x0", "last_rule": "no-mail"}
    assert (await site.post("viewer", f"/console/review{path}", fields)).status == 403
    forged = await site.send("POST", "reviewer", f"/console/review{path}", fields)
    assert forged.status == 403
    assert entries(site) == []


async def test_a_console_that_only_reads_takes_no_verdict(tmp_path: Path) -> None:
    audit, policies, _ = write_review_log(tmp_path)
    async with console_site(audit=audit, policies=policies, mode="read") as site:
        assert (
            await site.post("reviewer", "/console/review/item/x0", {"of": "no-mail", "verdict": "right"})
        ).status == 403
        page = await site.get("reviewer", "/console/review/item/x0?of=no-mail")
        assert "This console only reads" in page.text
        assert 'name="verdict"' not in page.text


@pytest.mark.parametrize("query", ["queue=all", "queue=rule", "seed=x", "since=never", "near=-1"])
async def test_a_wrong_queue_says_what_is_right(site: ConsoleSite, query: str) -> None:
    assert (await site.get("reviewer", f"/console/review/next?{query}")).status == 400


async def test_an_exchange_that_is_not_there(site: ConsoleSite) -> None:
    for path in ("/item/nope", "/item/nope/test?of=r", "/item/nope/allow?of=r"):
        assert (await site.get("reviewer", f"/console/review{path}")).status == 404
    assert (await site.post("reviewer", "/console/review/item/nope", {"verdict": "right"})).status == 404


async def test_a_line_that_was_changed_is_not_judged(site: ConsoleSite) -> None:
    log = next(site.console.audit.glob("audit-0.jsonl"))  # type: ignore[union-attr]
    log.write_bytes(log.read_bytes().replace(b"Write to", b"Wrote to"))
    page = await site.get("reviewer", "/console/review/item/x0?of=no-mail")
    assert "Nothing to judge" in page.text
    assert (await site.post("reviewer", "/console/review/item/x0", {"of": "no-mail", "verdict": "right"})).status == 409
    assert (await site.get("reviewer", "/console/review/item/x0/test?of=no-mail")).status == 404
    log.unlink()
    assert "Nothing to judge" in (await site.get("reviewer", "/console/review/item/x0?of=no-mail")).text


async def test_a_right_verdict_becomes_a_test_that_passes(site: ConsoleSite) -> None:
    page = await site.get("reviewer", "/console/review/item/x0/test?of=no-mail&verdict=right")
    assert "It passes now" in page.text
    assert "+tests:" in page.text
    assert "jane.roe" not in page.text
    alarm = await site.get("reviewer", "/console/review/item/x0/test?of=no-mail&verdict=false_alarm")
    assert "It fails until the policy is corrected" in alarm.text
    assert (await site.get("reviewer", "/console/review/item/x0/test?of=no-mail&verdict=fine")).status == 400
    gone = await site.get("reviewer", "/console/review/item/x0/test?of=no-mail&policy=other")
    assert "renamed or removed" in gone.text


async def test_a_value_is_allowed_by_a_line(site: ConsoleSite) -> None:
    path = "/console/review/item/x0/allow?of=no-mail"
    assert "As it stands in the text" in (await site.get("reviewer", path)).text
    page = await site.post("reviewer", path, {"check": "pii", "value": "press@example.com"})
    assert "allow: [&#34;press@example.com&#34;]" in page.text
    assert "# the usual" in page.text, "comments stay"
    unknown = await site.post("reviewer", path, {"check": "other", "value": "x"})
    assert "no longer in the policies" in unknown.text


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("pii", "PHONE_NUMBER"), ("mail", "EMAIL_ADDRESS, CREDIT_CARD"), ("pii", "EMAIL_ADDRESS, CREDIT_CARD")],
    ids=["one name for two checks", "two names for one check", "one check"],
)
async def test_a_value_is_allowed_in_the_policy_of_its_rule_if_two_share_a_check(
    name: str, kinds: str, tmp_path: Path
) -> None:
    other = f"policy: other\nchecks: {{{name}: {{use: pii, entities: [{kinds}]}}}}\n"
    other += f"rules: [{{id: others, on: response, when: {name}, action: redact}}]\n"
    audit, policies, _ = write_review_log(tmp_path, beside=[other])
    async with console_site(audit=audit, policies=policies) as site:
        path = "/console/review/item/x0/allow?of=no-mail"
        assert re.findall(r"<option[^>]*>(\w+)", (await site.get("reviewer", path)).text) == ["pii"]
        page = await site.post("reviewer", path, {"check": "pii", "value": "press@example.com"})
        assert "The change, in desk.yaml" in page.text
        assert "+  pii: {use: pii, entities: [EMAIL_ADDRESS, CREDIT_CARD], allow: [" in page.text


async def test_a_rule_in_shadow_mode_says_what_it_would_do(site: ConsoleSite) -> None:
    page = await site.get("reviewer", "/console/review/shadow/no-rivals")
    assert "Would be blocked" in page.text
    assert "acme" in page.text
    assert "-  - {id: no-rivals, on: request, when: rivals, action: block, mode: shadow}" in page.text
    assert "+  - {id: no-rivals, on: request, when: rivals, action: block}" in page.text
    enforced = await site.get("reviewer", "/console/review/shadow/no-mail")
    assert "This rule is enforced by now" in enforced.text
    gone = await site.get("reviewer", "/console/review/shadow/gone")
    assert gone.status == 200
    assert "renamed or removed" in gone.text


async def test_an_export_has_the_rows_of_the_verdicts(site: ConsoleSite) -> None:
    await site.post("reviewer", "/console/review/item/x0", {"of": "no-mail", "verdict": "false_alarm"})
    await site.post("reviewer", "/console/review/item/x3", {"of": "no-mail", "verdict": "right"})
    await site.post("reviewer", "/console/review/item/x2", {"of": "", "verdict": "right"})
    answer = await site.post("operator", "/console/review/export", {"channel": "user"})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="reviewed-user.jsonl"'
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [(row["id"], row["label"], row["source"]) for row in rows] == [
        ("x0", 0, "desk: no-mail"),
        ("x2", 0, "no rule"),
        ("x3", 1, "desk: no-mail"),
    ]
    assert "jane.roe" not in answer.text
    few = await site.post("operator", "/console/review/export", {"rule": "no-mail", "check": "rivals"})
    assert "No rows to export" not in few.text
    none = await site.post("operator", "/console/review/export", {"rule": "gone"})
    assert "No rows to export" in none.text
    assert (await site.post("operator", "/console/review/export", {"channel": "x"})).status == 400
    assert (await site.post("operator", "/console/review/export", {"from": "x"})).status == 400
    assert (await site.post("operator", "/console/review/export", {"sealed": "yes"})).status == 403
    assert (await site.post("auditor", "/console/review/export", {"sealed": "yes"})).status == 403


async def test_a_log_that_another_program_holds_is_waited_for(
    site: ConsoleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guardproxy.audit.writing.operator_log.TURNS", 1)
    with operator_log(site.console.audit, "e"):  # type: ignore[arg-type]
        answer = await site.post("reviewer", "/console/review/item/x0", {"of": "no-mail", "verdict": "right"})
        assert answer.status == 503
        assert "could not be written" in answer.text
    place(await site.post("reviewer", "/console/review/item/x0", {"of": "no-mail", "verdict": "right"}))
    assert len(entries(site)) == 1


HOSTILE = "<script>alert(1)</script>' hx-get=/x \u202e \x07 {{ 7 * 7 }} [EMAIL_ADDRESS_"


async def test_hostile_notes_and_queries_are_shown_as_they_are(site: ConsoleSite) -> None:
    await site.post("reviewer", "/console/review/item/x0", {"of": "no-mail", "verdict": "right", "note": HOSTILE})
    page = await site.get("operator", "/console/review/item/x0?of=no-mail&tenant=%3Cb%3E")
    assert HOSTILE not in page.text, "a note of another person comes after the own verdict"
    await site.post("operator", "/console/review/item/x0", {"of": "no-mail", "verdict": "right"})
    page = await site.get("operator", "/console/review/item/x0?of=no-mail&tenant=%3Cb%3E")
    assert "&lt;script&gt;" in page.text
    assert "<script>alert" not in page.text
    assert "U+202E" in page.text
    assert "{{ 7 * 7 }}" in page.text
    for path in ("/item/%3Cscript%3E", "/shadow/%3Cscript%3Ealert(1)", "/next?queue=rule&rule=%3Cscript%3Ealert(1)"):
        assert "<script>alert" not in (await site.get("reviewer", f"/console/review{path}")).text


@pytest.mark.parametrize("is_beside", [True, False], ids=["keys beside the log", "keys elsewhere"])
async def test_an_auditor_with_the_key_exports_sealed_texts_and_the_log_says_so(
    tmp_path: Path, is_beside: bool
) -> None:
    written = write_console_log(tmp_path / "audit", 60, keep=("sealed",))
    name = next(name for name, kind in written.kinds.items() if kind == "attack")
    settings: dict[str, Any] = (
        {} if is_beside else {"seal_store": (written.folder / STORE).rename(tmp_path / "elsewhere.keys")}
    )
    async with console_site(audit=written.folder, **settings) as site:
        place(await site.post("auditor", f"/console/review/item/{name}", {"of": "no-attacks", "verdict": "right"}))
        fields = {"rule": "no-attacks", "sealed": "yes"}
        page = await site.post("auditor", "/console/review/export", {"rule": "no-attacks"})
        assert "the texts of the exchange are sealed or not kept" in page.text
        for role in ("auditor", "operator"):
            assert (await site.post(role, "/console/review/export", fields)).status == 403
            session = site.entrance.sessions.find(site.people[role][0])
            assert session
            session.hold_key(OPERATOR, "ticket 7")
        assert (await site.post("operator", "/console/review/export", fields)).status == 403
        rows = [
            json.loads(line)
            for line in (await site.post("auditor", "/console/review/export", fields)).text.splitlines()
        ]
        assert [(row["id"], row["label"]) for row in rows] == [(name, 1)]
        assert rows[0]["text"]
    opened = [entry for entry in entries_of(written.folder / "operator.jsonl") if isinstance(entry, Unsealed)]
    assert [(entry.id, entry.by, entry.why) for entry in opened] == [
        (name, "auditor", "export of reviewed texts: ticket 7")
    ]


async def test_an_export_leaves_no_text_on_a_disk(site: ConsoleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr(tempfile, "_mkstemp_inner", lambda *arguments: opened.append(arguments))
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda *arguments, **named: opened.append(arguments))
    await site.post("reviewer", "/console/review/item/x3", {"of": "no-mail", "verdict": "right"})
    assert (await site.post("operator", "/console/review/export", {"channel": "user"})).status == 200
    assert opened == []
    monkeypatch.setattr(handlers, "LIMIT_EXPORT_BYTES", 1)
    large = await site.post("operator", "/console/review/export", {"channel": "user"})
    assert large.status == 400
    assert "choose a shorter period" in large.text
