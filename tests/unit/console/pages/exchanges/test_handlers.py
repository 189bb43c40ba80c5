"""The routes of the page Exchanges, with a log of exchanges that were really played."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guardproxy.audit import Judged, entry_of, open_line
from guardproxy.audit.proof import check, read_proof
from guardproxy.audit.record import PrivateRecord
from guardproxy.audit.record.document import ENTRY_VERSION
from guardproxy.audit.record.entries import Erased, Unsealed
from guardproxy.audit.record.private import PrivateJudged
from guardproxy.audit.sealing import KeyAccess, KeyStore, Sealer
from guardproxy.console.pages.exchanges import handlers
from guardproxy.errors import QueryError
from tests.kit.console import ConsoleSite, console_site
from tests.kit.console_exchanges import OPERATOR, SEAL_KEY, PlayedLog, played, write_lines, write_played_log
from tests.kit.proof import SignedFolder

Scene = Callable[[ConsoleSite], Awaitable[None]]
LIST = "/console/exchanges"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> PlayedLog:
    return write_played_log(tmp_path_factory.mktemp("played"))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> PlayedLog:
    return write_played_log(tmp_path_factory.mktemp("sealed"), seals=True)


def visit(log: PlayedLog, scene: Scene) -> None:
    """Runs a scene in a console over a log."""

    async def run() -> None:
        async with console_site(audit=log.folder, policies=log.policies_at) as site:
            await scene(site)

    asyncio.run(run())


def test_the_list_shows_exchanges_and_a_filter_is_an_address(log: PlayedLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        page = await site.get("viewer", LIST)
        assert page.status == 200
        assert all(record.id in page.text for record in log.records.values())
        blocked = await site.get("viewer", f"{LIST}?outcome=blocked&rule=no-attacks")
        assert log.id_of("blocked") in blocked.text
        assert log.id_of("plain") not in blocked.text
        assert "1 exchanges fit the filter" in blocked.text
        form = await site.get("viewer", f"{LIST}?rule=no-attacks&model=&since=&label=%26x")
        assert (form.status, form.headers["Location"]) == (303, f"{LIST}?rule=no-attacks&label=%26x")
        wrong = await site.get("viewer", f"{LIST}?cost_above=much&model=")
        assert wrong.status == 200
        assert "expected a number" in wrong.text
        nothing = await site.get("viewer", f"{LIST}?rule=no-such-rule")
        assert "No exchange fits" in nothing.text
        assert (await site.get("viewer", f"{LIST}?before=nonsense")).status == 200

    visit(log, scene)


def test_groups_are_counted_on_demand(log: PlayedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(site: ConsoleSite) -> None:
        assert "/console/exchanges/groups?rule=no-attacks" in (await site.get("viewer", f"{LIST}?rule=no-attacks")).text
        part = await site.part("viewer", f"{LIST}/groups?rule=no-attacks")
        assert "<html" not in part.text
        assert 'href="/console/exchanges"' in part.text, "a click on the chosen value takes it out of the filter"
        assert f"{LIST}?rule=no-secrets" in part.text, "another value can be chosen"
        inline = await site.get("viewer", f"{LIST}?groups=yes&rule=no-attacks")
        assert f"{LIST}?rule=no-secrets" in inline.text

        def fail(*_: object, **__: object) -> None:
            raise QueryError("the index cannot be read: gone")

        monkeypatch.setattr(site.console.index, "groups", fail)
        assert (await site.get("viewer", f"{LIST}/groups")).status == 503

    visit(log, scene)


def test_an_exchange_says_which_rule_decided_and_why_others_did_not(log: PlayedLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        address = f"{LIST}/{log.id_of('redacted')}?policies=load"
        page = await site.get("reviewer", address)
        assert page.status == 200
        for words in (
            "no-values-out",
            "did not hold",
            "<code>attack</code> found nothing",
            "of 0.30",
            "As written".lower(),
        ):
            assert words in page.text
        assert "&lt;hidden&gt;" in page.text, "what the operator put is told from the rule"
        assert "anna.smith" not in page.text
        assert f"/console/review/item/{log.id_of('redacted')}?of=no-values-out" in page.text
        assert f"/console/policies/playground?id={log.id_of('redacted')}" in page.text
        assert "/console/review" not in (await site.get("viewer", address)).text, "that page is not open to viewers"

    visit(log, scene)


def test_previous_and_next_stay_in_the_filter(log: PlayedLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        first = log.id_of("blocked")
        page = await site.get("reviewer", f"{LIST}/{first}?outcome=blocked")
        assert f"{LIST}/{log.id_of('stopped')}?outcome=blocked" in page.text
        assert log.id_of("plain") not in page.text

    visit(log, scene)


def test_parts_and_downloads(log: PlayedLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        name = log.id_of("redacted")
        text = await site.get("viewer", f"{LIST}/{name}/text?side=response&number=0")
        assert text.status == 200
        assert "I wrote to" in text.text
        assert (await site.get("viewer", f"{LIST}/{name}/text?side=response&number=99")).status == 404
        findings = await site.get("viewer", f"{LIST}/{name}/findings?first=1")
        assert "PHONE_NUMBER" in findings.text
        line = await site.get("reviewer", f"{LIST}/{name}/record.json")
        members = open_line(line.text.encode())
        assert members is not None
        assert entry_of(members) == log.records["redacted"]
        proof = await site.get("reviewer", f"{LIST}/{name}/proof")
        assert "No proof yet" in proof.text
        assert (await site.get("reviewer", f"{LIST}/{name}/proof.json")).status == 409
        assert (await site.get("viewer", f"{LIST}/{name}/proof.json")).status == 403
        receipt = f'id="{name}", policies="{log.policies.digest}", outcome=answered'
        agrees = await site.get("viewer", f"{LIST}/{name}/proof?receipt={receipt.replace(' ', '%20')}")
        assert "agrees with the record" in agrees.text
        differs = await site.get("viewer", f"{LIST}/{name}/proof?receipt=id=%22other%22")
        assert "differ" in differs.text

    visit(log, scene)


def test_a_stream_is_played_again(log: PlayedLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        page = await site.get("reviewer", f"{LIST}/{log.id_of('redacted')}/replay")
        assert "decide the same" in page.text
        assert "had arrived" in page.text
        assert "then pii found EMAIL_ADDRESS" in page.text
        viewer = await site.get("viewer", f"{LIST}/{log.id_of('redacted')}/replay")
        assert "had arrived" in viewer.text
        whole = await site.get("viewer", f"{LIST}/{log.id_of('whole')}/replay")
        assert "came whole" in whole.text

    visit(log, scene)


def test_two_exchanges_side_by_side(log: PlayedLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        page = await site.get("viewer", f"{LIST}/compare?a={log.id_of('redacted')}&b={log.id_of('plain')}")
        assert page.status == 200
        assert "differs" in page.text
        assert "Paris" in page.text
        assert (await site.get("viewer", f"{LIST}/compare?a=x&b={log.id_of('plain')}")).status == 404
        assert "Two ids are needed" in (await site.get("viewer", f"{LIST}/compare")).text

    visit(log, scene)


def test_an_id_that_does_not_exist(log: PlayedLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        for path in ("", "/text", "/findings", "/replay", "/record.json", "/proof"):
            page = await site.get("auditor", f"{LIST}/no-such-id{path}")
            assert page.status == 404, path
        assert (await site.post("auditor", f"{LIST}/no-such-id/unsealed", {"reason": "x"})).status == 404
        assert (await site.post("auditor", f"{LIST}/no-such-id/unlock", {"reason": "x"})).status == 404

    visit(log, scene)


def test_a_line_that_was_changed_says_so(tmp_path: Path) -> None:
    log = write_played_log(tmp_path)
    file = log.folder / "audit.jsonl"
    file.write_bytes(file.read_bytes().replace(b"Paris is the capital", b"Paria is the capital"))

    async def scene(site: ConsoleSite) -> None:
        page = await site.get("viewer", f"{LIST}/{log.id_of('plain')}")
        assert page.status == 200
        assert "changed after it was written" in page.text
        assert "as written" in (await site.get("viewer", f"{LIST}/{log.id_of('redacted')}")).text

    visit(log, scene)


def test_a_line_that_is_gone_says_so(tmp_path: Path) -> None:
    log = write_played_log(tmp_path)

    async def scene(site: ConsoleSite) -> None:
        (log.folder / "audit.jsonl").unlink()
        for path in ("", "/proof"):
            page = await site.get("viewer", f"{LIST}/{log.id_of('plain')}{path}")
            assert page.status == 200
            assert "gone" in page.text
        for path in ("/text", "/findings", "/replay", "/record.json"):
            assert (await site.get("viewer", f"{LIST}/{log.id_of('plain')}{path}")).status == 404
        assert (await site.get("viewer", f"{LIST}/compare?a={log.id_of('plain')}&b={log.id_of('plain')}")).status == 404

    visit(log, scene)


def test_a_record_of_a_newer_release_is_not_misread(tmp_path: Path) -> None:
    log = write_played_log(tmp_path)
    members = {**log.records["plain"].document(), "v": 99, "id": "gx_newer"}
    write_lines(log.folder, "later", [members])

    async def scene(site: ConsoleSite) -> None:
        page = await site.get("viewer", f"{LIST}/gx_newer")
        assert page.status in (200, 404)
        assert "Paris" not in page.text
        assert (await site.get("viewer", f"{LIST}/gx_newer/record.json")).status == 404

    visit(log, scene)


def test_without_a_log_the_page_says_how_to_get_one() -> None:
    async def run() -> None:
        async with console_site() as site:
            page = await site.get("viewer", LIST)
            assert "keeps no log" in page.text

    asyncio.run(run())


def test_a_signed_log_gives_a_proof(tmp_path: Path) -> None:
    log = write_played_log(tmp_path)
    name = "gx_signed"
    signed = SignedFolder(log.folder)
    signed.write("signed", [])
    signed.sinks["signed"].append(played(log.policies, name, "Is it signed?", "It is.")).result(30)
    signed.sign()
    signed.close()

    async def scene(site: ConsoleSite) -> None:
        page = await site.get("reviewer", f"{LIST}/{name}/proof")
        assert "covers" in page.text
        assert "Proof as a file" in page.text
        assert "Proof as a file" not in (await site.get("viewer", f"{LIST}/{name}/proof")).text
        found = await site.get("auditor", f"{LIST}/{name}/proof.json")
        assert found.status == 200
        assert check(read_proof(found.text.encode()), [signed.key.public]).members["id"] == name

    visit(log, scene)


def test_policies_that_cannot_be_loaded_or_are_others_say_so(tmp_path: Path) -> None:
    log = write_played_log(tmp_path)
    name = log.id_of("redacted")
    file = log.policies_at / "support.yaml"
    file.write_text(file.read_text("utf-8").replace("severity: high", "severity: low"), "utf-8")

    async def other(site: ConsoleSite) -> None:
        page = await site.get("reviewer", f"{LIST}/{name}?policies=load")
        assert "not the policies that are served now" in page.text
        again = await site.get("reviewer", f"{LIST}/{name}/replay")
        assert "The exchange had other policies" in again.text
        assert "do not tell what it held back" in again.text
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(handlers, "LIMIT_RESCANNED_CHARS", 10)
            assert "guardproxy replay plays" in (await site.get("reviewer", f"{LIST}/{name}/replay")).text

    visit(log, other)
    file.write_text("policy: support\nrules: 3\n")

    async def broken(site: ConsoleSite) -> None:
        for path in ("?policies=load", "/replay"):
            page = await site.get("reviewer", f"{LIST}/{name}{path}")
            assert "cannot be loaded" in page.text

    visit(log, broken)


def test_a_very_long_stream_is_not_played_again(log: PlayedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "LIMIT_CHARS", 10)

    async def scene(site: ConsoleSite) -> None:
        page = await site.get("reviewer", f"{LIST}/{log.id_of('redacted')}/replay")
        assert "Only streams of up to 10" in page.text
        blocked = await site.get("reviewer", f"{LIST}/{log.id_of('blocked')}/replay")
        assert "came whole" in blocked.text

    visit(log, scene)


def test_the_index_that_cannot_be_read_says_so(log: PlayedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(site: ConsoleSite) -> None:
        def fail(*_: object, **__: object) -> None:
            raise QueryError("the index cannot be read: gone")

        monkeypatch.setattr(site.console.index, "rows", fail)
        page = await site.get("viewer", LIST)
        assert page.status == 503
        assert "cannot be read: gone" in page.text

    visit(log, scene)


# Sealed texts.


def unsealed_entries(folder: Path) -> Iterator[Unsealed]:
    """The entries about views of sealed texts."""
    path = folder / "operator.jsonl"
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        members = open_line(line)
        if members and members.get("kind") == "unsealed":
            entry = entry_of(members)
            assert isinstance(entry, Unsealed)
            yield entry


def test_sealed_texts_stay_sealed_without_key_role_and_reason(sealed: PlayedLog) -> None:
    name = sealed.id_of("plain")

    async def scene(site: ConsoleSite) -> None:
        for role in ("viewer", "reviewer", "operator", "auditor"):
            for path in ("", "/text?number=1", "/findings", "/replay", "/record.json", "/proof"):
                page = await site.get(role, f"{LIST}/{name}{path}")
                assert "capital" not in page.text, (role, path)
        assert (await site.post("operator", f"{LIST}/{name}/unsealed", {"reason": "x"})).status == 403
        assert (await site.post("operator", f"{LIST}/{name}/unlock", {"reason": "x", "key": SEAL_KEY})).status == 403
        without_key = await site.post("auditor", f"{LIST}/{name}/unsealed", {"reason": "a case"})
        assert without_key.status == 422
        assert "not held" in without_key.text
        for fields, words in (
            ({"key": SEAL_KEY}, "Give a reason"),
            ({"key": "nonsense", "reason": "a case"}, "holds no key"),
            ({"key": SEAL_KEY.replace("cXFx", "cXFy"), "reason": "a case"}, "not the key of this key store"),
        ):
            refused = await site.post("auditor", f"{LIST}/{name}/unlock", fields)
            assert refused.status == 422
            assert words in refused.text
            assert SEAL_KEY not in refused.text
        assert "capital" not in without_key.text

    visit(sealed, scene)
    assert list(unsealed_entries(sealed.folder)) == []


def test_an_auditor_sees_the_texts_after_the_log_says_so(tmp_path: Path) -> None:
    sealed = write_played_log(tmp_path, seals=True)
    name = sealed.id_of("redacted")

    async def scene(site: ConsoleSite) -> None:
        held = await site.post("auditor", f"{LIST}/{name}/unlock", {"key": SEAL_KEY, "reason": "a complaint"})
        assert held.status == 303
        await site.get("auditor", f"{LIST}/{name}?policies=load")
        assert "anna.smith" not in (await site.get("auditor", f"{LIST}/{name}")).text
        no_reason = await site.post("auditor", f"{LIST}/{name}/unsealed", {"reason": "  "})
        assert no_reason.status == 422
        assert "anna.smith" not in no_reason.text
        assert list(unsealed_entries(sealed.folder)) == []
        page = await site.post("auditor", f"{LIST}/{name}/unsealed", {"reason": "a complaint"})
        assert page.status == 200
        assert "anna.smith@example.com" in page.text
        assert page.headers["Cache-Control"] == "no-store"
        assert "a complaint" in page.text
        again = await site.post("auditor", f"{LIST}/{name}/unsealed", {"reason": "once more"})
        assert again.status == 200
        assert "anna.smith" not in (await site.get("auditor", f"{LIST}/{name}")).text, "each view needs its reason"

    visit(sealed, scene)
    assert [(entry.id, entry.by, entry.why) for entry in unsealed_entries(sealed.folder)] == [
        (name, "auditor", "a complaint"),
        (name, "auditor", "once more"),
    ]


def test_long_unsealed_texts_and_streams(tmp_path: Path) -> None:
    sealed = write_played_log(tmp_path, seals=True)
    long = played(sealed.policies, "gx_long", "Mail anna@example.com: " + "word " * 9000, "fine", user="user-1")
    sealer = Sealer(KeyStore(sealed.folder / "seal.keys", (OPERATOR,)))
    write_lines(sealed.folder, "more", [long], sealer)
    name = sealed.id_of("redacted")

    async def scene(site: ConsoleSite) -> None:
        await site.post("auditor", f"{LIST}/{name}/unlock", {"key": SEAL_KEY, "reason": "a complaint"})
        page = await site.post("auditor", f"{LIST}/gx_long/unsealed", {"reason": "a complaint"})
        assert "part 1 of 3" in page.text
        place = {"side": "request", "attempt": "0", "number": "1", "part": "2"}
        part = await site.post("auditor", f"{LIST}/gx_long/unsealed", {"reason": "the end", **place})
        assert part.status == 200
        assert "part 3 of 3" in part.text
        assert (
            await site.post("auditor", f"{LIST}/gx_long/unsealed", {"reason": "x", **place, "number": "9"})
        ).status == 404
        stream = await site.post("auditor", f"{LIST}/{name}/unsealed", {"reason": "a stream", "replay": "yes"})
        assert "could leave" in stream.text
        (sealed.policies_at / "support.yaml").write_text("policy: support\nrules: 3\n")
        broken = await site.post("auditor", f"{LIST}/{name}/unsealed", {"reason": "a stream", "replay": "yes"})
        assert "What the stream held back is not shown" in broken.text

    visit(sealed, scene)
    assert [entry.why for entry in unsealed_entries(sealed.folder)][:2] == ["a complaint", "the end"]


def test_a_reason_is_not_a_novel(sealed: PlayedLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        fields = {"key": SEAL_KEY, "reason": "x" * 501}
        refused = await site.post("auditor", f"{LIST}/{sealed.id_of('plain')}/unlock", fields)
        assert "at most 500 characters" in refused.text

    visit(sealed, scene)


def test_what_a_judge_said_is_shown_with_the_texts(tmp_path: Path) -> None:
    sealed = write_played_log(tmp_path, seals=True)
    record = sealed.records["plain"]
    assert isinstance(record, PrivateRecord)
    sealer = Sealer(KeyStore(sealed.folder / "seal.keys", (OPERATOR,)))
    members: dict[str, Any] = {
        "v": ENTRY_VERSION,
        "at": record.at + 1,
        "id": record.id,
        "engine": "test",
        "policy": "support",
        "upstream": "u",
    }
    score = Judged(**members, model="m", rubric="d", scale=(1, 5), ms=1.0, score=4)
    private = record.with_reason(score, "It names the capital.")
    assert isinstance(private, PrivateJudged)
    (written,) = sealer.seal([private])
    assert not isinstance(written, Exception)
    other = msgspec.structs.replace(entry_of({**written.document}), policy="other")
    assert isinstance(other, Judged)
    assert other.sealed is not None
    strange = msgspec.structs.replace(other, sealed=msgspec.structs.replace(other.sealed, key="gone"))
    write_lines(sealed.folder, "judged", [written.document])

    async def scene(site: ConsoleSite) -> None:
        await site.post("auditor", f"{LIST}/{record.id}/unlock", {"key": SEAL_KEY, "reason": "a complaint"})
        page = await site.post("auditor", f"{LIST}/{record.id}/unsealed", {"reason": "a complaint"})
        assert "It names the capital." in page.text
        assert "It names the capital." not in (await site.get("auditor", f"{LIST}/{record.id}")).text

    visit(sealed, scene)
    write_lines(sealed.folder, "judged2", [strange])

    async def without(site: ConsoleSite) -> None:
        await site.post("auditor", f"{LIST}/{record.id}/unlock", {"key": SEAL_KEY, "reason": "a complaint"})
        page = await site.post("auditor", f"{LIST}/{record.id}/unsealed", {"reason": "a complaint"})
        assert "capital of France" in page.text
        assert "It names the capital." not in page.text

    visit(sealed, without)


def test_erased_texts_say_so(tmp_path: Path) -> None:
    sealed = write_played_log(tmp_path, seals=True)
    name = sealed.id_of("redacted")
    store = KeyStore(sealed.folder / "seal.keys", (OPERATOR,))
    KeyAccess(sealed.folder, store, "test", "dpo", "a request").erase(tenant="t-1")
    store.close()

    async def scene(site: ConsoleSite) -> None:
        page = await site.get("auditor", f"{LIST}/{name}")
        assert "was erased" in page.text
        await site.post("auditor", f"{LIST}/{name}/unlock", {"key": SEAL_KEY, "reason": "x"})
        refused = await site.post("auditor", f"{LIST}/{name}/unsealed", {"reason": "x"})
        assert refused.status == 422
        assert "the texts were erased" in refused.text

    visit(sealed, scene)
    assert any(b'"kind":"erased"' in line for line in (sealed.folder / "operator.jsonl").read_bytes().splitlines())
    assert Erased.__struct_config__.tag == "erased"


def test_an_exchange_whose_texts_are_not_sealed_is_not_unsealed(log: PlayedLog) -> None:
    async def scene(site: ConsoleSite) -> None:
        refused = await site.post("auditor", f"{LIST}/{log.id_of('plain')}/unsealed", {"reason": "x"})
        assert refused.status == 422

    visit(log, scene)


def test_a_viewer_downloads_no_value(tmp_path: Path) -> None:
    log = write_played_log(tmp_path)

    async def scene(site: ConsoleSite) -> None:
        found = await site.get("viewer", f"{LIST}/{log.id_of('redacted')}/record.json")
        members = json.loads(found.text)
        assert members["request"]["body"] is None
        assert members["id"] == log.id_of("redacted")

    visit(log, scene)
