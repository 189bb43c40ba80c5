"""Who reaches a page, and what every answer says to the browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from guardproxy.console import LoginFile, new_token
from guardproxy.console.access.attempts import WRONG_OF_ADDRESS
from guardproxy.console.access.people import ROLES, Login, Role
from guardproxy.console.access.sessions import IDLE_S, PersonSessions
from guardproxy.console.application import BODY_BYTES, STRANGER_BYTES, console_app
from guardproxy.console.contract import EVERYBODY, Page, PageRoute, Visit, roles
from guardproxy.console.pages import PAGES
from tests.kit.console import ConsoleSite, console_site

TOKEN = new_token()
LOGINS = LoginFile().having(Login("ann", "reviewer"), TOKEN, "2030-01-31T00:00:00Z")
SAME = {"Sec-Fetch-Site": "same-origin"}
PART = re.compile(r"\{(\w+)(?::[^{}]*(?:\{[^{}]*\}[^{}]*)*)?\}")


def ways() -> Iterator[tuple[Page, PageRoute]]:
    for page in PAGES:
        for route in page.routes:
            yield page, route


def address(page: Page, route: PageRoute) -> str:
    return f"/console/{page.name}{PART.sub('0', route.path)}"


def name_of(value: object) -> str:
    return f"{value.method} {value.path}" if isinstance(value, PageRoute) else getattr(value, "name", "")


def assert_is_closed(headers: dict[str, str]) -> None:
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


async def test_no_route_is_open_to_strangers() -> None:
    async with console_site() as site:
        for page, route in ways():
            answer = await site.send(route.method, None, address(page, route), {}, SAME)
            where = f"{page.name}{route.path}"
            if route.method == "GET":
                assert answer.status == 303, where
                assert answer.headers["Location"].startswith("/console/login?next="), where
            else:
                assert answer.status == 401, where
            assert_is_closed(dict(answer.headers))


async def test_no_route_is_open_to_another_role() -> None:
    async with console_site() as site:
        for page, route in ways():
            for role in sorted(set(ROLES) - route.roles):
                answer = await site.send(route.method, role, address(page, route), {}, SAME)
                assert answer.status == 403, f"{role} {page.name}{route.path}"
                assert "Not for this role" in answer.text


async def test_a_console_that_reads_writes_nothing() -> None:
    async with console_site(mode="read") as site:
        for page, route in ways():
            if route.writes:
                role = min(route.roles)
                answer = await site.post(role, address(page, route))
                assert answer.status == 403, f"{page.name}{route.path}"
                assert "Read only" in answer.text


async def test_no_page_of_another_site_sends_a_form() -> None:
    async with console_site() as site:
        for page, route in ways():
            if route.method == "GET":
                continue
            role = min(route.roles)
            token = site.people[role][1]
            for fields, headers in (
                ({}, SAME),
                ({"csrf": "x"}, SAME),
                ({"csrf": site.people[next(other for other in ROLES if other != role)][1]}, SAME),
                ({"csrf": token}, {"Sec-Fetch-Site": "cross-site"}),
                ({"csrf": token}, {"Sec-Fetch-Site": "same-site"}),
                ({"csrf": token}, {"Origin": "http://evil.example"}),
                ({"csrf": token}, {"Origin": "null"}),
            ):
                answer = await site.send("POST", role, address(page, route), fields, headers)
                assert answer.status == 403, f"{page.name}{route.path} {headers}"


async def _fails(visit: Visit) -> web.StreamResponse:
    raise RuntimeError("mara@example.com is in this text")


async def _refuses(visit: Visit) -> web.StreamResponse:
    raise web.HTTPUnprocessableEntity(text="<b>no</b>")


async def _reads(visit: Visit) -> web.StreamResponse:
    fields = await visit.form()
    return web.Response(text=f"{len(fields)} {fields.get('text', '')[:10]}")


async def _follows(visit: Visit) -> web.StreamResponse:
    async with visit.events() as stream:
        while True:
            await stream.send("<p>now</p>")
            await asyncio.sleep(0)
    return stream.response


async def _streams(visit: Visit) -> web.StreamResponse:
    async with visit.events() as stream:
        await stream.send("<p>a</p>\n<p>b</p>", event="row", id="7")
        await stream.stay()
    return stream.response


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def own_page(folder: Path) -> Page:
    (folder / "page.html").write_text(
        '{% extends "look/layout.html" %}{% block main %}<p>{{ text|shown }}</p>{% endblock %}'
    )
    (folder / "row.html").write_text("<li>{{ text|shown }}</li>")

    async def show(visit: Visit) -> web.StreamResponse:
        return visit.render(visit.query.get("template", "own/page.html"), text="<script>\u202e")

    ways = (
        PageRoute("GET", "", show, EVERYBODY, writes=False),
        PageRoute("GET", "/fails", _fails, EVERYBODY, writes=False),
        PageRoute("GET", "/refuses", _refuses, EVERYBODY, writes=False),
        PageRoute("GET", "/follows", _follows, EVERYBODY, writes=False),
        PageRoute("GET", "/streams", _streams, EVERYBODY, writes=False),
        PageRoute("POST", "/reads", _reads, EVERYBODY, writes=True),
    )
    return Page("own", "Own", "o", EVERYBODY, ways, folder)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    page = own_page(tmp_path)
    monkeypatch.setattr("guardproxy.console.process.PAGES", (page,))
    return page


@pytest.mark.usefixtures("own")
async def test_a_page_is_whole_and_a_part_is_its_block() -> None:
    async with console_site() as site:
        whole = await site.get("viewer", "/console/own")
        assert whole.text.startswith("<!doctype html>")
        shown = '<p>&lt;script&gt;<span class="unseen" title="RIGHT-TO-LEFT OVERRIDE">U+202E</span></p>'
        assert shown in whole.text
        assert_is_closed(dict(whole.headers))
        part = await site.part("viewer", "/console/own")
        assert part.text == shown
        row = await site.part("viewer", "/console/own?template=own/row.html")
        assert row.text.startswith("<li>")
        restored = await site.get("viewer", "/console/own", HX_Request="true", HX_History_Restore_Request="true")
        assert restored.text.startswith("<!doctype html>")


@pytest.mark.usefixtures("own")
async def test_a_nonce_is_used_once() -> None:
    async with console_site() as site:
        answers = [await site.get("viewer", "/console/own") for _ in range(3)]
        nonces = {re.findall(r"'nonce-([^']+)'", answer.headers["Content-Security-Policy"])[0] for answer in answers}
        assert len(nonces) == 3
        assert f'nonce="{sorted(nonces)[0]}"' in "".join(answer.text for answer in answers)


@pytest.mark.usefixtures("own")
async def test_a_failure_shows_no_text_of_an_exchange(caplog: pytest.LogCaptureFixture) -> None:
    async with console_site() as site:
        answer = await site.get("viewer", "/console/own/fails")
        assert answer.status == 500
        assert "mara" not in answer.text
        number = re.findall(r"under the number ([0-9a-f]{8})", answer.text)[0]
        assert [record for record in caplog.records if getattr(record, "number", "") == number]
        refused = await site.get("viewer", "/console/own/refuses")
        assert refused.status == 422
        assert "&lt;b&gt;no" in refused.text


@pytest.mark.usefixtures("own")
async def test_events_are_sent_as_they_are_made() -> None:
    async with console_site() as site:
        answer = await site.get("viewer", "/console/own/streams")
        assert answer.text == "event: row\nid: 7\ndata: <p>a</p>\ndata: <p>b</p>\n\n:\n\n"
        assert answer.headers["Content-Type"] == "text/event-stream"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("end", ["signed out", "login removed", "idle"])
async def test_a_stream_ends_with_its_session(end: str) -> None:
    files = [LOGINS]
    async with console_site() as site:
        site.entrance.logins = lambda: files[0]
        site.entrance.sessions = PersonSessions(clock := Clock())
        headers = {"Cookie": (await sign_in(site, "ann", TOKEN))[2].partition(";")[0]}
        async with asyncio.timeout(30), site.client.get("/console/own/follows", headers=headers) as answer:
            assert b"now" in await answer.content.readline()
            if end == "signed out":
                site.entrance.sessions.end(headers["Cookie"].partition("=")[2])
            elif end == "login removed":
                files[0] = LoginFile()
            else:
                clock.now_s += IDLE_S  # the stream is no sign that its person is there
            await answer.content.read()  # to its end


@pytest.mark.usefixtures("own")
async def test_a_page_that_is_closed_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    async with console_site() as site:
        headers = {"Cookie": f"guardproxy_console={site.people['viewer'][0]}"}
        answer = await site.client.get("/console/own/follows", headers=headers)
        await answer.content.readline()
        answer.close()
        assert (await site.get("viewer", "/console/own")).status == 200
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.usefixtures("own")
async def test_a_form_is_bounded() -> None:
    async with console_site() as site:
        assert (await site.post("viewer", "/console/own/reads", {"text": "a" * 1_000_000})).text == "2 aaaaaaaaaa"
        large = await site.post("viewer", "/console/own/reads", {"text": "a" * (BODY_BYTES + 1)})
        assert large.status == 413
        many = await site.post("viewer", "/console/own/reads", {f"f{number}": "" for number in range(501)})
        assert many.status == 400
        headers = {**SAME, "Content-Type": "multipart/form-data; boundary=x"}
        assert (await site.send("POST", "viewer", "/console/own/reads", {}, headers)).status in (400, 403)


async def test_a_route_that_writes_cannot_be_a_link(own: Page) -> None:
    wrong = replace(own, routes=(PageRoute("GET", "", _reads, EVERYBODY, writes=True),))
    async with console_site() as site:
        with pytest.raises(ValueError, match="must not write"):
            console_app(replace(site.console, pages=(wrong,)), site.entrance)


@pytest.mark.parametrize(
    "path",
    [
        "/console/../reload",
        "/console/%2e%2e/reload",
        "/console/now/..%2f..%2freload",
        "/console//now",
        "/console/now%5c..",
        "/console/static/0000000000000000/../../process.py",
        "/console/now/.",
        "/console/%00",
    ],
)
async def test_a_path_that_could_be_read_as_another_is_refused(path: str) -> None:
    from yarl import URL

    async with (
        console_site() as site,
        site.client.session.get(
            URL(f"http://127.0.0.1:{site.client.port}{path}", encoded=True), allow_redirects=False
        ) as answer,
    ):
        assert answer.status == 404
        assert_is_closed(dict(answer.headers))


async def test_files_for_browsers_are_kept_and_nothing_else_is_served() -> None:
    async with console_site() as site:
        page = await site.get(None, "/console/login")
        for path in re.findall(r'(?:href|src)="(/console/static/[^"]+)"', page.text):
            asset = await site.get(None, path)
            assert asset.status == 200
            assert "immutable" in asset.headers["Cache-Control"]
            assert (await site.get(None, path.replace("/console.", "/x."))).status in (200, 404)
        assert (await site.get(None, "/console/static/0000000000000000/console.css")).status == 404
        assert (await site.get("viewer", "/console/nothing")).status == 404
        assert (await site.get("viewer", "/elsewhere")).status == 404
        assert (await site.send("PUT", "viewer", "/console/now")).status == 405
        assert "no-store" in page.headers["Cache-Control"]


async def sign_in(
    site: ConsoleSite, name: str, token: str, peer: str = "10.0.0.1", **fields: str
) -> tuple[int, str, str]:
    headers = {**SAME, "X-Console-Peer": peer}
    answer = await site.send("POST", None, "/console/login", {"name": name, "token": token, **fields}, headers)
    return answer.status, answer.headers.get("Location", ""), answer.headers.get("Set-Cookie", "")


async def test_a_person_signs_in_with_a_token_and_out_again() -> None:
    async with console_site(logins=LOGINS) as site:
        status, place, cookie = await sign_in(site, "ann", TOKEN, next="/console/review?rule=a")
        assert (status, place) == (303, "/console/review?rule=a")
        assert {"HttpOnly", "SameSite=Strict", "Path=/console"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        headers = {"Cookie": cookie.partition(";")[0]}
        assert (await site.send("GET", None, "/console/review", headers=headers)).status == 200
        assert (await site.send("GET", None, "/console/audit", headers=headers)).status == 403
        token = site.entrance.sessions.find(cookie.partition(";")[0].partition("=")[2])
        assert token is not None
        kept = await site.send("POST", None, "/console/logout", {"csrf": "wrong"}, {**headers, **SAME})
        assert kept.status == 403
        out = await site.send("POST", None, "/console/logout", {"csrf": token.csrf}, {**headers, **SAME})
        assert out.status == 303
        assert (await site.send("GET", None, "/console/review", headers=headers)).status == 303
        site.entrance.is_https = True
        assert "Secure" in (await sign_in(site, "ann", TOKEN))[2]


async def test_a_wrong_token_lets_nobody_in_and_guesses_end() -> None:
    async with console_site(logins=LOGINS) as site:
        for name, token in (("ann", "x"), ("eve", TOKEN), ("", ""), ("ann", TOKEN[:-1]), ("ann", "\x00" * 5000)):
            status, _, cookie = await sign_in(site, name, token)
            assert (status, cookie) == (403, "")
        for _ in range(WRONG_OF_ADDRESS - 5):
            await sign_in(site, "eve", "x")
        assert (await sign_in(site, "ann", TOKEN))[0] == 429
        assert (await sign_in(site, "ann", TOKEN, "10.0.0.2"))[0] == 303
        for _ in range(2 * WRONG_OF_ADDRESS):  # right ones do not count
            assert (await sign_in(site, "ann", TOKEN, "10.0.0.3"))[0] == 303


async def test_a_stranger_sends_little() -> None:
    async with console_site(logins=LOGINS) as site:
        assert (await sign_in(site, "ann", TOKEN, next="x" * STRANGER_BYTES))[0] == 413
        assert (await sign_in(site, "ann", TOKEN))[0] == 303


async def test_a_form_of_another_site_signs_nobody_in_or_out() -> None:
    async with console_site(logins=LOGINS) as site:
        fields = {"name": "ann", "token": TOKEN}
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
            for path in ("/console/login", "/console/logout"):
                answer = await site.send("POST", None, path, fields, headers)
                assert answer.status == 403
                assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/console//evil.example", "/console/../reload", "/reload",
     "/console/now\r\nSet-Cookie: a=b", "javascript:alert(1)", "/consolex", "/console/%2e%2e/reload"],
)  # fmt: skip
async def test_nobody_is_sent_elsewhere(target: str) -> None:
    async with console_site(logins=LOGINS) as site:
        assert (await sign_in(site, "ann", TOKEN, next=target))[:2] == (303, "/console/")


async def test_a_link_of_another_site_opens_the_page() -> None:
    async with console_site() as site:
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        answer = await site.send("GET", None, "/console/exchanges/0?a=%3Cb", headers=headers)
        assert answer.status == 200
        assert 'http-equiv="refresh" content="0;url=/console/exchanges/0?a=%3Cb"' in answer.text
        asked = await site.send("GET", None, "/console/exchanges/0", headers={"HX-Request": "true"})
        assert (asked.status, asked.headers["HX-Redirect"]) == (401, "/console/login")


async def test_a_session_ends_with_its_login() -> None:
    async with console_site() as site:
        files = [LOGINS]
        site.entrance.logins = lambda: files[0]
        for changed in (
            LOGINS.without("ann"),
            LOGINS.without("ann").having(Login("ann", "viewer"), TOKEN, ""),
            LOGINS.without("ann").having(Login("ann", "reviewer"), new_token(), ""),
        ):
            files[0] = LOGINS
            headers = {"Cookie": (await sign_in(site, "ann", TOKEN))[2].partition(";")[0]}
            assert (await site.send("GET", None, "/console/review", headers=headers)).status == 200
            files[0] = changed
            assert (await site.send("GET", None, "/console/review", headers=headers)).status == 303


@pytest.mark.parametrize("role", ROLES)
async def test_the_first_page_and_the_navigation_are_those_of_the_role(role: Role) -> None:
    async with console_site() as site:
        allowed = [page for page in PAGES if role in page.roles]
        first = await site.get(role, "/console/")
        assert first.headers["Location"] == f"/console/{allowed[0].name}"
        page = await site.get(role, "/console/exchanges")
        assert re.findall(r'data-go="(.)"', page.text) == [page.key for page in allowed]


async def test_a_role_without_a_page_is_told_so(own: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.console.process.PAGES", (replace(own, roles=roles("auditor")),))
    async with console_site() as site:
        assert (await site.get("viewer", "/console/")).status == 403
        assert (await site.get(None, "/console/")).headers["Location"] == "/console/login"


async def test_a_key_is_dropped_by_a_form_of_the_session() -> None:
    from guardproxy.audit.sealing.operator_key import StaticKey

    async with console_site() as site:
        session = site.entrance.sessions.find(site.people["auditor"][0])
        assert session is not None
        session.hold_key(StaticKey(bytes(32), "a test"), "complaint 7")
        page = await site.get("auditor", "/console/exchanges")
        assert "Lock sealed texts (15 min left)" in page.text
        assert (await site.send("POST", "auditor", "/console/session/lock", {}, SAME)).status == 403
        assert session.key is not None
        assert (await site.post("auditor", "/console/session/lock")).status == 303
        assert session.key is None
        assert (await site.send("POST", None, "/console/session/lock", {}, SAME)).status == 401


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded; charset=none-such", "multipart/form-data"])
async def test_a_form_that_cannot_be_read_is_no_failure(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async with console_site(logins=LOGINS) as site:
        answer = await site.send("POST", None, "/console/login", {"name": "ann"}, {**SAME, "Content-Type": kind})
    assert answer.status == 400
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
