"""People of the console who ask by HTTP, and the walk that finds an address of every route of every page.

In: a token. Out: answers; and the addresses that links, forms and htmx attributes of the pages name, by route. Routes come from
the table of pages, and what stands in their places comes from the log, as a person would get there.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx
from guardproxy.console.contract import PREFIX, Page, PageRoute

_ADDRESSES = ("href", "src", "hx-get", "hx-sse:connect", "action")
MOST = 400  # addresses that one walk opens


class Place(NamedTuple):
    """A route of a page."""

    page: str
    method: str
    path: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches the paths of the route."""
        parts = re.split(r"\{[^}:]*(?::[^}]*)?\}", self.path)
        return re.compile(re.escape(f"{PREFIX}/{self.page}") + "[^/]+".join(map(re.escape, parts)))


def places(pages: Iterable[Page]) -> Iterator[tuple[Place, PageRoute]]:
    """Every route of the pages."""
    for page in pages:
        for route in page.routes:
            yield Place(page.name, route.method, route.path), route


class _Links(HTMLParser):
    """The addresses that a page names, but for those of forms that post."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("method", "get").lower() != "get":
            return
        self.found += [given[name] for name in _ADDRESSES if given.get(name)]


class Person:
    """Somebody who signed in, without a browser."""

    def __init__(self, host: str, token: str = "") -> None:
        self.http = httpx.Client(base_url=f"http://{host}", timeout=60, trust_env=False)
        if token:
            answer = self.http.post(f"{PREFIX}/login", data={"token": token}, headers={"Sec-Fetch-Site": "same-origin"})
            assert answer.status_code == 303, answer.text

    def get(self, address: str) -> httpx.Response:
        """Asks for a page; the head alone if its body has no end."""
        with self.http.stream("GET", address) as answer:
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                return httpx.Response(answer.status_code, headers=answer.headers)
            answer.read()
        return answer

    def walk(self, known: Mapping[Place, PageRoute], each: int = 1) -> dict[Place, list[str]]:
        """The addresses of each route, at most `each` of them, that can be reached from the first page by links."""
        patterns = [(place, place.pattern) for place in known if place.method == "GET"]
        patterns.sort(key=lambda pair: "{" in pair[0].path)  # what is spelled out wins
        found: dict[Place, list[str]] = {}
        seen, waiting = {f"{PREFIX}/"}, deque([f"{PREFIX}/"])
        for _ in range(MOST):
            if not waiting:
                break
            address = waiting.popleft()
            answer = self.get(address)
            assert answer.status_code < 500, (address, answer.text[:500])
            if answer.status_code == 200:
                path = urlsplit(address).path
                place = next((place for place, pattern in patterns if pattern.fullmatch(path)), None)
                if place is not None and len(found.setdefault(place, [])) < each:
                    found[place].append(address)
            if "text/html" not in answer.headers.get("content-type", ""):
                continue
            for link in _Links(answer.text).found:
                onward = urljoin(address, link).partition("#")[0]
                if onward not in seen and onward.startswith(f"{PREFIX}/") and "/static/" not in onward:
                    seen.add(onward)
                    path = urlsplit(onward).path
                    new = next((place for place, pattern in patterns if pattern.fullmatch(path)), None)
                    if new is None or len(found.get(new, ())) < each:
                        waiting.append(onward)
        return found

    def close(self) -> None:
        """Forgets the cookies."""
        self.http.close()
