"""People of the console who ask by HTTP, and the walk that finds an address of every route of every page.

In: a login, and what a person would write into the fields that a form needs. Out: answers; the addresses that links, forms and
htmx attributes of the pages name, by route; the forms. Routes come from the table of pages, and what stands in their places
comes from the log, as a person would get there.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

import httpx

from guardproxy.console.contract import PREFIX, Page, PageRoute

_ADDRESSES = ("href", "src", "hx-get", "hx-sse:connect", "action")
_FIELDS = ("input", "select", "textarea", "button")
MOST = 600  # addresses that one walk opens


class Place(NamedTuple):
    """A route of a page."""

    page: str
    method: str
    path: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches the paths of the route."""
        parts = re.split(r"\{[^}]*\}", self.path)
        return re.compile(re.escape(f"{PREFIX}/{self.page}") + "[^/]+".join(map(re.escape, parts)))

    def filled(self, value: str) -> str:
        """An address of the route, with a value in every place."""
        return f"{PREFIX}/{self.page}" + re.sub(r"\{[^}]*\}", value, self.path)


def places(pages: Iterable[Page]) -> Iterator[tuple[Place, PageRoute]]:
    """Every route of the pages."""
    for page in pages:
        for route in page.routes:
            yield Place(page.name, route.method, route.path), route


@dataclass(slots=True)
class Form:
    """A form of a page. `fields`: their values as the page has them. `written`: those that a person writes into. `needed`:
    without which a browser does not send the form."""

    address: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)

    def sent(self, written: Mapping[str, str]) -> str:
        """The address to which a form that asks leads. `written`: what a person writes into what is needed and empty."""
        fields = {
            name: value if value or name not in self.needed else written[name] for name, value in self.fields.items()
        }
        return f"{self.address.partition('?')[0]}?{urlencode(fields)}"


class PageLinks(HTMLParser):
    """The addresses that a page names, but for those of forms that post; and its forms."""

    def __init__(self, address: str, text: str) -> None:
        super().__init__()
        self.address = address
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._select = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        posts = given.get("hx-post") or (tag == "form" and given.get("method", "get").lower() == "post")
        if given.get("method", "").lower() == "dialog":
            return
        if tag == "form" or given.get("hx-post"):
            target = given.get("hx-post") or given.get("action") or self.address
            self.forms.append(Form(urljoin(self.address, target), "POST" if posts else "GET"))
        if not posts:
            self.links += [urljoin(self.address, given[name]) for name in _ADDRESSES if given.get(name)]
        if tag == "option" and self._select:
            self.forms[-1].fields.setdefault(self._select, given.get("value", ""))
        if tag in _FIELDS and given.get("name") and self.forms:
            self._select = given["name"] if tag == "select" else ""
            kind = given.get("type", "submit" if tag == "button" else "text")
            if tag == "textarea" or (tag == "input" and kind in ("text", "search", "password")):
                self.forms[-1].written.append(given["name"])
                if "required" in given:
                    self.forms[-1].needed.append(given["name"])
            if tag != "select":
                self.forms[-1].fields.setdefault(given["name"], given.get("value", ""))


class Person:
    """Somebody who signed in, without a browser."""

    def __init__(self, host: str, name: str = "", token: str = "") -> None:
        self.name = name
        self.http = httpx.Client(base_url=f"http://{host}", timeout=60, trust_env=False)
        if token:
            answer = self.post(f"{PREFIX}/login", {"name": name, "token": token})
            assert answer.status_code == 303, answer.text

    def post(self, address: str, fields: dict[str, str]) -> httpx.Response:
        """Sends a form as a browser does."""
        return self.http.post(address, data=fields, headers={"Sec-Fetch-Site": "same-origin"})

    def get(self, address: str) -> httpx.Response:
        """Asks for a page; for its head alone if its body has no end."""
        with self.http.stream("GET", address) as answer:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                answer.read()
                return answer
            return httpx.Response(answer.status_code, headers=answer.headers)

    def walk(
        self,
        known: Iterable[Place],
        walk: Walk,
        written: Mapping[str, str],
        each: int = 1,
        first: Iterable[str] = (),
    ) -> None:
        """Opens what links lead to from the first page; of each route at most `each` addresses. Forms that ask are sent as they
        are, with `written` in fields that are needed. `first`: is opened before. What is seen is added to `walk`."""
        patterns = sorted(
            ((place, place.pattern) for place in known if place.method == "GET"), key=lambda pair: "{" in pair[0].path
        )

        def place_of(address: str) -> Place | None:
            path = urlsplit(address).path
            return next((place for place, pattern in patterns if pattern.fullmatch(path)), None)

        opened: dict[Place, int] = {}
        waiting = deque([*first, f"{PREFIX}/"])
        seen = set(waiting)
        while waiting and sum(opened.values()) < MOST:
            address = waiting.popleft()
            place = place_of(address)
            if place is not None and opened.get(place, 0) >= each:
                continue
            answer = self.get(address)
            walk.answers[address] = answer
            if answer.status_code == 303:
                links = [urljoin(address, answer.headers["location"])]
            elif answer.status_code == 200 and place is not None:
                opened[place] = opened.get(place, 0) + 1
                walk.found.setdefault(place, {})[address] = None
                page = PageLinks(address, answer.text if answer.headers["content-type"].startswith("text/html") else "")
                walk.forms += page.forms
                links = page.links
                links += [form.sent(written) for form in page.forms if form.method == "GET"]
            else:
                links = []
            for link in links:
                onward = link.partition("#")[0]
                if onward not in seen and onward.startswith(f"{PREFIX}/") and "/static/" not in onward:
                    seen.add(onward)
                    waiting.append(onward)

    def close(self) -> None:
        """Forgets the cookies."""
        self.http.close()


@dataclass(slots=True)
class Walk:
    """What a walk saw. `found`: addresses that answered, by route. `answers`: of every address. `forms`: of all pages.
    `led`: where forms led that were sent."""

    found: dict[Place, dict[str, None]] = field(default_factory=dict)
    answers: dict[str, httpx.Response] = field(default_factory=dict)
    forms: list[Form] = field(default_factory=list)
    led: dict[str, None] = field(default_factory=dict)

    def is_page(self, address: str) -> bool:
        """Whether a browser shows what is at an address, and does not save it."""
        headers = self.answers[address].headers
        return headers["content-type"].startswith("text/html") and "content-disposition" not in headers
