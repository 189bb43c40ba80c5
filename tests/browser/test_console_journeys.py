"""What people do in the console, by the keyboard alone: an operator, a reviewer, an auditor and a viewer.

Each journey is a task with a beginning and an end that can be checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from guardproxy.console.contract import PREFIX
from guardproxy.console.pages import PAGES
from tests.browser.guarded import ATTACK, SEALED, Guarded, guarded, traffic
from tests.browser.keyboard import Keyboard
from tests.e2e.rig import Upstream
from tests.kit.browser import Tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
REASON = "complaint 12 of the clinic"


@pytest.fixture(scope="module")
def place(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(upstream, tmp_path_factory.mktemp("journeys")) as running:
        traffic(running)
        yield running


@pytest.fixture
def person(browser: Browser, place: Guarded, request: pytest.FixtureRequest) -> Iterator[Keyboard]:
    with signed_in(browser, place, request.param) as keyboard:
        yield keyboard


@contextmanager
def signed_in(browser: Browser, place: Guarded, name: str) -> Iterator[Keyboard]:
    """Somebody who signs in by keys, and of whose pages the browser never complains."""
    tab = Tab(browser, place.host)
    keyboard = Keyboard(tab)
    tab.page.goto(f"http://{place.host}{PREFIX}/")
    keyboard.write(name)  # the form has the focus
    keyboard.to("Token")
    keyboard.write(place.tokens[name])
    keyboard.press("Enter")
    tab.page.get_by_role("heading", level=1, name="Now").wait_for()
    keyboard.settle()  # scripts know the keys from then on
    yield keyboard
    tab.check()
    tab.close()


def as_(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("person", [name], indirect=True)


def operator_log(place: Guarded, kind: str) -> list[dict[str, str]]:
    """Entries of what people did."""
    lines = [
        json.loads(line)
        for path in place.proxy.audit.glob("operator*.jsonl")
        for line in path.read_bytes().splitlines()
    ]
    return [line for line in lines if line.get("kind") == kind]


@as_("operator")
def test_an_operator_finds_what_is_wrong_and_the_setting_that_mends_it(person: Keyboard) -> None:
    page = person.page
    wrong = page.get_by_role("region", name="What is wrong")
    wrong.get_by_text("spare").first.wait_for()
    assert "--upstream" in wrong.inner_text()
    page.get_by_role("link", name="Show these requests").first.wait_for()
    person.open("Show these requests", "a")
    page.get_by_role("heading", level=1, name="Exchanges").wait_for()
    assert "outcome=upstream" in page.url


@as_("operator")
def test_an_operator_finds_out_why_an_exchange_was_blocked(person: Keyboard) -> None:
    page = person.page
    person.go("e", "Exchanges")
    person.press("/")
    assert person.focused()[0] in ("input", "select")
    page.goto(page.url.partition("?")[0] + "?rule=no-attacks")
    person.press("j")
    assert person.focused()[0] == "a"
    person.press("Enter")
    page.get_by_text("no-attacks").first.wait_for()
    first = page.url
    person.press("n")
    page.wait_for_url(lambda url: url != first)
    person.press("p")
    page.wait_for_url(first)


@as_("reviewer")
def test_a_reviewer_judges_three_decisions_and_makes_a_test_of_one(person: Keyboard, place: Guarded) -> None:
    page = person.page
    person.go("r", "Review")
    page.goto(f"{page.url}/next?queue=rule&rule=no-identifiers-out&since=7d")
    for key in ("1", "2", "1"):
        page.locator(f"[data-key='{key}'].verdict").wait_for()
        with page.expect_navigation():
            person.press(key)
    assert len(operator_log(place, "reviewed")) == 3
    assert {entry["by"] for entry in operator_log(place, "reviewed")} == {"reviewer"}
    person.press("t")
    page.get_by_role("heading", name="The test", exact=True).wait_for()
    assert "expect" in page.inner_text("main")
    person.press("a")
    person.settle()
    person.press("v")
    page.get_by_role("heading", name="Allow this value").wait_for()


@as_("reviewer")
def test_a_reviewer_proposes_an_allowed_value(person: Keyboard, place: Guarded) -> None:
    page = person.page
    page.goto(f"http://{place.host}{PREFIX}/review/next?queue=rule&rule=no-identifiers-out&since=7d")
    person.press("v")
    page.get_by_role("heading", name="Allow this value").wait_for()
    person.to("Value", "input")
    person.write("support@shop.example")
    person.press("Enter")
    page.get_by_role("heading", name="The line").wait_for()
    person.press("e")
    page.get_by_role("heading", name="Propose it").wait_for()
    assert "support@shop.example" in page.input_value("#field-content")


@as_("operator")
def test_an_operator_tries_a_text_while_typing(person: Keyboard, place: Guarded) -> None:
    page = person.page
    person.go("p", "Policies")
    person.press("t")
    page.get_by_role("heading", name="Policies").wait_for()
    person.press("/")
    person.page.keyboard.insert_text(ATTACK)
    page.locator("#played").get_by_text("pass", exact=True).first.wait_for()  # the policy is for a tenant
    person.to("The route", "summary")
    person.press("Enter")
    person.to("Tenant", "input")
    person.page.keyboard.insert_text("acme")
    page.locator("#played").get_by_text("no-attacks").first.wait_for()
    assert all(ATTACK not in json.dumps(record) for record in place.proxy.records()[-1:])


def test_a_second_person_approves_a_change_of_a_policy(browser: Browser, place: Guarded) -> None:
    served = place.folder / "proxy" / "policies" / "clinic.yaml"
    changed = served.read_text("utf-8").replace("Texts of patients are sealed.", "Texts of patients stay sealed.")
    why = "ticket 7: say that it lasts"
    with signed_in(browser, place, "operator") as operator:
        operator.go("p", "Policies")
        operator.open("^clinic.yaml", "a")
        operator.press("e")
        operator.page.get_by_role("heading", name="Propose it").wait_for()
        operator.to("The file", "textarea")
        operator.write(changed)
        operator.page.locator("#linted").get_by_text("stay sealed").wait_for()
        operator.to("^Why", "input")
        operator.write(why)
        operator.press("Enter")
        operator.page.get_by_text("Another person approves it").wait_for()
        operator.settle()
        assert not operator.page.locator("[data-key='a']").count(), "nobody approves what is their own"
    with signed_in(browser, place, "second") as second:
        page = second.page
        second.go("p", "Policies")
        second.open("^Changes", "a")
        second.press("j")
        assert second.focused()[0] == "a"
        second.press("Enter")
        page.get_by_text(why).wait_for()
        second.settle()
        assert "stay sealed" in page.locator("tr.added").inner_text()
        assert served.read_text("utf-8") != changed
        second.press("a")
        page.locator("[data-key='s']").wait_for()
        second.settle()
        second.press("s")
        page.get_by_text("Saved and in force").wait_for()
    assert served.read_text("utf-8") == changed
    (entry,) = operator_log(place, "policy_changed")
    assert (entry["by"], entry["approved_by"], entry["why"]) == ("operator", "second", why)


@as_("auditor")
def test_an_auditor_unseals_verifies_proves_and_exports(person: Keyboard, place: Guarded) -> None:
    page = person.page
    person.go("e", "Exchanges")
    page.goto(page.url.partition("?")[0] + "?rule=no-patients-out")
    person.press("j")
    person.press("Enter")
    page.get_by_text("Enter the operator's key").wait_for()
    assert SEALED not in page.content()
    person.to("Key", "(input|textarea)")
    person.write(place.seal_key.read_text("ascii").strip())
    person.to("Reason", "input")
    person.write(REASON)
    person.press("Enter")
    page.get_by_label("Reason for this view").wait_for()
    person.to("Reason for this view", "input")
    person.write(REASON)
    person.press("Enter")
    page.get_by_text(SEALED).first.wait_for()
    (opened,) = operator_log(place, "unsealed")
    assert (opened["by"], opened["why"]) == ("auditor", REASON)
    name = opened["id"]

    person.go("a", "Audit")
    person.press("v")
    page.wait_for_url("**/runs/*")
    page.get_by_text("The log is intact").wait_for()
    person.press("u")
    person.to("Id of the exchange", "input")
    person.write(name)
    with page.expect_download() as proof:
        person.press("Enter")
    assert json.loads(proof.value.path().read_bytes())
    person.to("^Export", "button")
    person.press("Enter")
    page.wait_for_url("**/runs/*")
    page.get_by_text("Download").wait_for()
    with page.expect_download() as export:
        person.press("d")
    assert name in export.value.path().read_text("utf-8")


@as_("viewer")
def test_a_viewer_looks_on(person: Keyboard, place: Guarded) -> None:
    page = person.page
    shown = [found.title for found in PAGES if "viewer" in found.roles]
    links = page.get_by_role("navigation", name="Pages").get_by_role("link").all_inner_texts()
    assert [text.partition("\n")[0].strip() for text in links] == shown
    for found in PAGES:
        if "viewer" in found.roles:
            person.go(found.key, "")
            assert page.url.partition("?")[0].endswith(f"{PREFIX}/{found.name}")
    person.press("?")
    page.get_by_role("dialog").wait_for()
    person.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
