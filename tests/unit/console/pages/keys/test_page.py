"""The page Keys and budgets as a person uses it: what is shown, made, rotated and revoked, and who may."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from guardproxy.console.access.people import Role
from guardproxy.gateway.clients import Clients, KeyFolder, StoredClient, new_key
from tests.kit.console import FakeProxy, PageAnswer, console_site

NOW = datetime.now(UTC)
KEY = re.compile(r"gp-[0-9a-f]{12}-[A-Za-z0-9_-]{43}")


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    folder = KeyFolder(tmp_path / "keys")
    for number, (name, tenant) in enumerate((("bot", "acme"), ("app", "beta"))):
        folder.create(StoredClient(name, tenant), new_key(f"{number:012x}", "s" * 43), NOW, None)
    return folder


def proxy(path: str = "/all/limits?client=app&client=bot", **limits: Any) -> FakeProxy:
    rows = [
        {
            "limit": "calls",
            "unit": "requests",
            "left": 3,
            "most": 60,
            "client": "bot",
            "tenant": "acme",
            "reset_s": 30.0,
        },
        {"limit": "spend", "unit": "cost", "left": 4_000_000, "most": 5_000_000, "tenant": "acme"},
    ]
    status = {"url": "http://127.0.0.1:8123", "guards": [{"policy": "strict"}, {"policy": "plain"}]}
    answer = {"ok": True, "limits": [{"limit": "calls", "words": "calls: 60 requests"}], "left": rows, **limits}
    paths = (path, "/all/limits?client=bot", "/all/limits?client=new", "/all/limits?")
    answers = {path: json.dumps({"worker 0": answer}) for path in paths}
    return FakeProxy({"/all/status": json.dumps({"worker 0": status}), **answers})


def accepted(keys: KeyFolder, key: str) -> str:
    """Returns the name of the client that a key lets in."""
    client = Clients(keys.read()).client(key, datetime.now(UTC).timestamp())
    return client.name if client else ""


def shown_key(page: PageAnswer) -> str:
    found = {str(key) for key in KEY.findall(page.text)}
    assert len(found) == 1
    return found.pop()


async def test_without_a_file_of_keys_the_page_says_why_they_matter() -> None:
    async with console_site(None, proxy=proxy()) as site:
        page = await site.get("operator", "/console/keys")
        assert "guardproxy keys create ./keys my-app" in page.text
        assert (await site.get("operator", "/console/keys/new")).status == 404
        assert (await site.get("operator", "/console/keys/client/bot")).status == 404
        for path in ("/new", "/client/bot/rotate", "/client/bot/revoke"):
            assert (await site.post("operator", f"/console/keys{path}", {"sure": "yes"})).status == 404


async def test_without_a_client_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    folder.create(StoredClient("bot", "acme"), new_key("0" * 12, "s" * 43), NOW, None)
    folder.path.write_text('{"version": 1, "clients": []}')
    async with console_site(None, proxy=proxy(), client_keys=folder.folder) as site:
        page = await site.get("operator", "/console/keys")
        assert f"guardproxy keys create {folder.folder} my-app" in page.text
        assert "Make the first client" in page.text
        assert "Make the first client" not in (await site.get("auditor", "/console/keys")).text


async def test_clients_are_listed_with_what_is_left(keys: KeyFolder) -> None:
    async with console_site(None, proxy=proxy(), client_keys=keys.folder) as site:
        page = await site.get("auditor", "/console/keys")
        found = await site.get("auditor", "/console/keys?q=acme&page=0")
        nobody = await site.get("auditor", "/console/keys?q=nobody&page=x")
    assert 'href="/console/keys/client/bot"' in page.text
    assert "of 60 requests, calls" in page.text
    assert "sha256" not in page.text
    assert "New client" not in page.text, "an auditor makes no keys"
    assert "/client/bot" in found.text
    assert "/client/app" not in found.text
    assert "No client or tenant has these words" in nobody.text


async def test_a_file_that_cannot_be_read_is_said(keys: KeyFolder) -> None:
    keys.path.write_text("{")
    async with console_site(None, proxy=proxy(), client_keys=keys.folder) as site:
        page = await site.get("operator", "/console/keys")
        assert "The file of keys cannot be read" in page.text
        assert (await site.get("operator", "/console/keys/budgets")).status == 200
        assert (await site.get("operator", "/console/keys/client/bot")).status == 404


async def test_a_proxy_that_does_not_answer_is_said(keys: KeyFolder) -> None:
    async with console_site(None, client_keys=keys.folder) as site:
        assert "What is left is not known" in (await site.get("operator", "/console/keys")).text
        assert "What is left is not known" in (await site.get("operator", "/console/keys/budgets")).text
        assert "What is left is not known" in (await site.get("operator", "/console/keys/client/bot")).text


async def test_a_client_is_made_and_its_key_shown_once(keys: KeyFolder) -> None:
    async with console_site(None, proxy=proxy(), client_keys=keys.folder) as site:
        form = await site.get("operator", "/console/keys/new")
        assert "In force: strict, plain" in form.text
        fields = {"name": "new", "tenant": "acme", "models": "gpt-*, claude-*", "policies": "strict", "expires": "90d"}
        page = await site.post("operator", "/console/keys/new", fields)
        key = shown_key(page)
        again = await site.get("operator", "/console/keys/client/new")
    assert page.status == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert accepted(keys, key) == "new"
    stored = keys.read().client("new")
    assert (stored.tenant, stored.models, stored.policies) == ("acme", ("gpt-*", "claude-*"), ("strict",))
    assert stored.keys[0].expires is not None
    assert key not in again.text
    assert key[:15] in again.text, "its public beginning"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "bot"}, "exists already"),
        ({"name": ""}, "is not a name"),
        ({"name": "<script>alert(1)</script>"}, "is not a name"),
        ({"name": "\u202eevil"}, "is not a name"),
        ({"name": "x" * 100_000}, "is not a name"),
        ({"name": "ok", "tenant": "a b"}, "is not a name"),
        ({"name": "ok", "expires": "never"}, "is neither a period"),
        ({"name": "ok", "expires": "2001-01-01T00:00:00Z"}, "has passed"),
        ({"name": "ok", "policies": "strict invented"}, "no policy in force is called"),
    ],
)
async def test_a_wrong_client_is_not_made(keys: KeyFolder, fields: dict[str, str], problem: str) -> None:
    before = keys.path.read_bytes()
    async with console_site(None, proxy=proxy(), client_keys=keys.folder) as site:
        page = await site.post("operator", "/console/keys/new", fields)
    assert page.status == 422
    assert problem in page.text
    assert "Nothing was made" in page.text
    assert "<script>alert" not in page.text
    assert not KEY.search(page.text)
    assert keys.path.read_bytes() == before


async def test_a_key_is_rotated_and_the_present_one_is_accepted_for_a_while(keys: KeyFolder) -> None:
    old = new_key(f"{0:012x}", "s" * 43)
    async with console_site(None, proxy=proxy(), client_keys=keys.folder) as site:
        page = await site.post("operator", "/console/keys/client/bot/rotate", {"grace": "7d", "expires": "90d"})
        third = await site.post("operator", "/console/keys/client/bot/rotate", {})
        wrong = await site.post("operator", "/console/keys/client/app/rotate", {"grace": "soon"})
    assert accepted(keys, shown_key(page)) == accepted(keys, old) == "bot"
    assert (third.status, "has 2 active keys" in third.text.replace("<code>", "")) == (422, True)
    assert (wrong.status, len(keys.read().client("app").keys)) == (422, 1)


async def test_a_key_is_revoked_when_the_person_is_sure(keys: KeyFolder) -> None:
    old = new_key(f"{0:012x}", "s" * 43)
    async with console_site(None, proxy=proxy(), client_keys=keys.folder) as site:
        page = await site.post("operator", "/console/keys/client/bot/revoke", {"key": old[:15]})
        assert (page.status, accepted(keys, old)) == (422, "bot")
        page = await site.post("operator", "/console/keys/client/bot/revoke", {"key": old[:15], "sure": "yes"})
        assert (page.status, accepted(keys, old)) == (200, "")
        assert "is revoked" in page.text
        again = await site.post("operator", "/console/keys/client/bot/revoke", {"key": old[:15], "sure": "yes"})
        assert again.status == 422
        whole = await site.post("operator", "/console/keys/client/app/revoke", {"sure": "yes"})
        assert "All keys are revoked" in whole.text
        assert (await site.post("operator", "/console/keys/client/gone/revoke", {"sure": "yes"})).status == 404


@pytest.mark.parametrize("path", ["/new", "/client/bot/rotate", "/client/bot/revoke"])
async def test_only_an_operator_of_a_console_that_writes_changes_keys(keys: KeyFolder, path: str) -> None:
    before = keys.path.read_bytes()
    fields = {"name": "new", "sure": "yes"}
    async with console_site(None, proxy=proxy(), client_keys=keys.folder) as site:
        for role in get_args(Role):
            if role != "operator":
                assert (await site.post(role, f"/console/keys{path}", fields)).status == 403
        assert (await site.send("POST", "operator", f"/console/keys{path}", fields)).status == 403, "no token"
        assert (await site.get("viewer", "/console/keys")).status == 403
    async with console_site(None, "read", proxy=proxy(), client_keys=keys.folder) as site:
        assert (await site.post("operator", f"/console/keys{path}", fields)).status == 403
        page = await site.get("operator", "/console/keys/client/bot")
        assert "only reads" in page.text
        assert "Revoke" not in page.text
    assert keys.path.read_bytes() == before


async def test_limits_and_budgets_have_a_list(keys: KeyFolder) -> None:
    whole = "/all/limits?client=app&client=bot&tenant=acme"
    tenants = ("acme=sha256:" + "0" * 64,)
    async with console_site(None, proxy=proxy(whole), client_keys=keys.folder, tenants=tenants) as site:
        page = await site.get("reviewer", "/console/keys/budgets")
    assert page.text.index("calls") < page.text.index("spend")
    assert "in 30 s" in page.text


async def test_without_a_limit_the_page_says_how_to_set_one() -> None:
    async with console_site(None, proxy=proxy(limits=[], left=[])) as site:
        page = await site.get("operator", "/console/keys/budgets")
    assert "No limit is in force" in page.text
    assert "guardproxy limits lint" in page.text


async def test_a_store_that_is_away_is_said(keys: KeyFolder) -> None:
    away = proxy(ok=False, error="<b>the store cannot be reached", left=[])
    async with console_site(None, proxy=away, client_keys=keys.folder) as site:
        for path in ("", "/client/bot"):
            page = await site.get("operator", f"/console/keys{path}")
            assert "&lt;b&gt;the store cannot be reached" in page.text


async def test_hostile_limits_are_shown_and_never_run(keys: KeyFolder) -> None:
    hostile = "<script>alert(1)</script><i hx-get=/evil>\u202e" + "x" * 5000
    row = {
        "limit": hostile,
        "unit": "requests",
        "left": 1,
        "most": 2,
        "client": "bot",
        "tenant": hostile,
        "model": hostile,
    }
    limits = [{"limit": hostile, "words": f"{hostile}: {hostile}"}]
    bad = proxy(left=[row, {**row, "client": ""}], limits=limits)
    async with console_site(None, proxy=bad, client_keys=keys.folder) as site:
        for path in ("", "/client/bot", "/budgets"):
            page = await site.get("operator", f"/console/keys{path}")
            assert page.status == 200
            assert "<script>alert" not in page.text
            assert "<i hx-get" not in page.text
            assert "\u202e" not in page.text
