"""Every page of the console, with hostile texts in every field of the log, of policies and of forms, for every role.

The pages are those of the table `PAGES`. The addresses are found by walking, and each route must be reached.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args
from urllib.parse import quote, urlencode, urlsplit

import pytest

from guardproxy.audit.record.document import Record
from guardproxy.audit.record.entries import AnyEntry
from guardproxy.console.contract import PREFIX, ROLES, Role
from guardproxy.console.pages import PAGES
from tests.browser.guarded import JUDGED, OTHERS, SEALED, Guarded, guarded, traffic
from tests.browser.people import Form, Person, Place, Walk, places
from tests.e2e.rig import KEY, MAIL, Upstream
from tests.kit.browser import PHONE, WIDE, Scheme, Tab
from tests.kit.hostile import EVERY, FILE_NAME, MARK, TEXTS, filled, policy
from tests.kit.logs import write_log

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROUTES = dict(places(PAGES))
READ = [place for place in ROUTES if place.method == "GET"]
BY_RIGHTS: tuple[Role, ...] = ("operator", "auditor", "reviewer", "viewer")
LARGE, SMALL_BYTES = 1_000_000, 100_000
HOSTILE = tuple(f"{PREFIX}/exchanges/{letter * 32}" for letter in "ab")
_SIGNS_OUT = (f"{PREFIX}/logout", f"{PREFIX}/session/lock", f"{PREFIX}/login")


def hostile_log(folder: Path) -> None:
    """A log of a worker that has an entry of each kind with hostile texts, some twice; and one with a text of 1 MB."""
    kinds = get_args(AnyEntry)
    start_s = time.time() + 3600  # on top of every list
    entries = [filled(kind, v=3, at=start_s + number) for number, kind in enumerate(kinds)]
    entries += [
        filled(Record, text, v=3, at=start_s + 10 + number, feedback=None) for number, text in enumerate(TEXTS.values())
    ]
    strange = filled(Record, v=3, at=start_s + 49, feedback=None)
    opened = filled(
        Record, v=3, at=start_s + 50, id="a" * 32, sealed=None, feedback=None, codec="openai_chat", outcome="answered"
    )
    text = {
        "path": "messages[0].content",
        "kind": "user",
        "chars": LARGE,
        "text": (EVERY + " ") * (LARGE // len(EVERY)),
    }
    spans = [(40 * number, 40 * number + 30) for number in range(1000)]
    findings = [{"check": "pii", "label": EVERY, "start": start, "end": end, "score": 0.5} for start, end in spans]
    text |= {"checks": [], "findings": findings, "edits": spans[:9], "released": LARGE}
    request = {"body": None, "texts": [text], "uninspected": [], "unmapped": []}
    large = filled(Record, v=3, at=start_s + 51, id="b" * 32, sealed=None, feedback=None, request=request)
    write_log(folder, "audit-7", *entries, strange, opened, large)


@pytest.fixture(scope="module")
def place(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("pages")
    hostile_log(folder / "proxy" / "audit")
    with guarded(upstream, folder, policies={**OTHERS, "judged": JUDGED}) as running:
        traffic(running)
        policies = folder / "proxy" / "policies"
        (policies / "hostile.yaml").write_text(policy(is_broken=False), encoding="utf-8")
        (policies / FILE_NAME).write_text(policy(is_broken=True), encoding="utf-8")
        yield running


@pytest.fixture(scope="module")
def people(place: Guarded) -> Iterator[dict[Role, Person]]:
    found = {role: Person(place.host, role, place.tokens[role]) for role in ROLES}
    yield found
    for person in found.values():
        person.close()


@pytest.fixture(scope="module")
def walks(place: Guarded, people: dict[Role, Person]) -> dict[Role, Walk]:
    """What each role reaches, before and after each form of the pages was sent: as it is and with hostile texts."""
    exchange = next(record["id"] for record in place.proxy.records() if record.get("rules") == ["no-identifiers-out"])
    written = {"id": exchange, "a": exchange, "b": exchange, "file": "mine.yaml"}
    walks: dict[Role, Walk] = {role: Walk() for role in ROLES}
    sent = set()
    for role in BY_RIGHTS[:3]:
        person, walk = people[role], walks[role]
        person.walk(READ, walk, written, first=HOSTILE)
        for form in walk.forms:
            kind = re.sub(r"/[^/]{9,}/", "/id/", form.address.partition("?")[0]), *form.fields
            if form.method == "POST" and kind not in sent and not form.address.endswith(_SIGNS_OUT):
                sent.add(kind)
                for fields in (form.fields, *(_attacked(form, text) for text in (EVERY, TEXTS["script"]))):
                    answer = person.post(form.address, fields)
                    assert answer.status_code < 500, (form, answer.text[:2000])
                    if answer.status_code == 303:
                        walk.led[answer.headers["location"]] = None
    while 'hx-trigger="every 1s"' in people["auditor"].get(f"{PREFIX}/audit").text:
        pass  # commands that forms have started
    for role in ROLES:
        walk = walks[role]
        people[role].walk(READ, walk, written, each=2, first=(*HOSTILE, *walk.led))
    return walks


def _attacked(form: Form, text: str) -> dict[str, str]:
    return {name: text if name in form.written else value for name, value in form.fields.items()}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reaches_its_routes_alone(people: dict[Role, Person], role: Role) -> None:
    """A route that is refused says so before it does anything; a form without the token of the session does nothing. What a
    browser shows is a whole page, also where htmx would take only a part of it."""
    for found, route in ROUTES.items():
        address = found.filled("x")
        if found.method == "GET":
            answer = people[role].get(address)
            assert (answer.status_code == 403) == (role not in route.roles), (found, answer.status_code)
            assert answer.status_code < 500, found
        else:
            answer = people[role].post(address, {})
            assert answer.status_code == 403, found
            assert ("This needs the role" in answer.text) == (role not in route.roles), (found, answer.text)
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert answer.text.startswith("<!doctype html>"), found
            assert re.search(r"<html lang=\"en\".*<title>[^<]", answer.text, re.S), found


def test_nobody_reaches_anything(place: Guarded) -> None:
    stranger = Person(place.host)
    for found in ROUTES:
        address = found.filled("x")
        answer = stranger.get(address) if found.method == "GET" else stranger.post(address, {})
        assert answer.status_code in (303, 401), found
        assert answer.headers.get("location", "/console/login").startswith("/console/login"), found
    stranger.close()


@pytest.mark.walk
def test_links_lead_to_every_route_and_to_none_that_is_refused(walks: dict[Role, Walk]) -> None:
    reached = {found for walk in walks.values() for found in walk.found}
    assert reached >= set(READ), f"no link leads to {sorted(set(READ) - reached)}"
    for role, walk in walks.items():
        refused = [
            (answer.status_code, address[:200]) for address, answer in walk.answers.items() if answer.status_code >= 400
        ]
        assert not refused, (role, refused)


@pytest.mark.walk
def test_no_page_holds_what_a_text_says_as_a_part_of_itself(walks: dict[Role, Walk]) -> None:
    raw = [text for text in TEXTS.values() if html.escape(text, quote=False) != text]
    assert len(raw) > 6
    for walk in walks.values():
        for address, answer in walk.answers.items():
            if answer.status_code == 200 and answer.headers["content-type"].startswith("text/html"):
                found = [text for text in raw if text in answer.text]
                assert not found, (address, found)
                # What a person edits, and what a form sends back, stays as it is.
                laid_out = re.sub(r' (value|data-copy)="[^"]*"|<textarea.*?</textarea>', "", answer.text, flags=re.S)
                assert "\u202e" not in laid_out, address


@pytest.mark.walk
def test_no_page_shows_sealed_texts(walks: dict[Role, Walk]) -> None:
    for walk in walks.values():
        for address, answer in walk.answers.items():
            assert (
                answer.headers.get("content-type", "").startswith("text/event-stream") or SEALED not in answer.text
            ), address


@pytest.mark.walk
def test_a_viewer_sees_no_value(walks: dict[Role, Walk]) -> None:
    for address, answer in walks["viewer"].answers.items():
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            for value in (MAIL, KEY, "mara.lindqvist", "+1 212 555"):
                assert value not in answer.text, (address, value)


@pytest.mark.walk
def test_hostile_filters_of_an_address_are_refused_or_escaped(
    people: dict[Role, Person], walks: dict[Role, Walk]
) -> None:
    """Every field of every form that asks, and every name in the query of a link, with every hostile text."""
    asked: dict[str, set[str]] = {}
    for walk in walks.values():
        for form in walk.forms:
            if form.method == "GET":
                asked.setdefault(form.address.partition("?")[0], set()).update(form.fields)
    assert asked
    for address, names in asked.items():
        for text in (EVERY, TEXTS["attribute"], TEXTS["controls"], "9" * 400, "-1", "nan"):
            answer = people["operator"].get(f"{address}?{urlencode(dict.fromkeys(names, text))}")
            assert answer.status_code < 500, (address, names, answer.text[:2000])
            assert "<script>window.attacked" not in answer.text, address
            assert 'x" onmouseover' not in answer.text, address


@pytest.mark.walk
def test_hostile_parts_of_an_address_are_refused(people: dict[Role, Person]) -> None:
    for found in (found for found in READ if "{" in found.path):
        for text in (*TEXTS.values(), "9" * 400, "-1"):
            answer = people["auditor"].get(found.filled(quote(text[:1000], safe="")))
            assert answer.status_code < 500, (found, text, answer.text[:2000])
            assert "<script>window.attacked" not in answer.text


@pytest.mark.browser
@pytest.mark.walk
def test_every_page_in_a_browser(browser: Browser, place: Guarded, walks: dict[Role, Walk]) -> None:
    """The browser complains about nothing, asks nobody else and runs nothing of a text; axe-core finds nothing serious,
    in light and in dark; and no page is wider than a phone."""
    faults: list[str] = []
    shown: set[Place] = set()
    for role in BY_RIGHTS:
        tab = signed_in(browser, place, role)
        walk = walks[role]
        for found in walk.found.keys() - shown:
            for address in filter(walk.is_page, walk.found[found]):
                faults += look(tab, address, is_small=len(walk.answers[address].content) < SMALL_BYTES)
        shown |= walk.found.keys()
        tab.close()
    assert not faults, "\n".join(faults)


def signed_in(browser: Browser, place: Guarded, name: str) -> Tab:
    """The window of a person who signed in."""
    tab = Tab(browser, place.host)
    tab.page.goto(f"http://{place.host}{PREFIX}/")
    tab.page.get_by_label("Name").fill(name)
    tab.page.get_by_label("Token").fill(place.tokens[name])
    tab.page.get_by_role("button", name="Sign in").click()
    tab.page.wait_for_url(lambda url: "/login" not in url)
    return tab


def look(tab: Tab, address: str, *, is_small: bool) -> list[str]:
    """What is wrong with a page. A large one differs from a small one by its texts, which axe-core would read for a minute."""
    tab.complaints.clear()
    tab.page.goto(f"http://{tab.host}{address}")
    found = []
    # The schemes differ in nothing but colours.
    schemes: dict[Scheme, tuple[str, ...]] = {"dark": ("color-contrast",), "light": ()}
    for scheme, rules in schemes.items() if is_small else ():
        tab.page.emulate_media(color_scheme=scheme)
        found += [f"{address} ({scheme}): {fault}" for fault in tab.serious(*rules)]
    for width, height in (PHONE, WIDE):
        tab.page.set_viewport_size({"width": width, "height": height})
        if excess := tab.excess_px():
            found.append(f"{address}: {excess} px wider than {width}")
    found += [f"{address}: {complaint}" for complaint in tab.complaints]
    # Addresses of the console repeat hostile names; an attack asks for a path of its own.
    if tab.page.evaluate("() => window.attacked") or any(MARK in urlsplit(url).path[:40] for url in tab.requests):
        found.append(f"{address}: a text was run")
    return found
