"""A console in the process of a test: pages, logins, a log, and people who are signed in.

    async with console_site(audit=folder) as site:
        page = await site.get("reviewer", "/console/review")
        await site.post("reviewer", "/console/review/verdict", {"id": "abc", "verdict": "right"})

Each role has a login of its name. The token of a form is sent by `post`; `send` sends what it is given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlencode

from aiohttp.test_utils import TestClient, TestServer

from guardproxy.config import Config
from guardproxy.console.access.logins import LoginFile
from guardproxy.console.access.oidc import SignIn
from guardproxy.console.access.people import Login, Role
from guardproxy.console.application import COOKIE, Entrance, console_app
from guardproxy.console.contract import Console, Mode
from guardproxy.console.index import Index
from guardproxy.console.process import console_of
from guardproxy.console.proxy_client import ProxyClient, ProxyError


@dataclass
class FakeProxy(ProxyClient):
    """The admin port of a proxy, with fixed answers. `answers`: texts by paths; `posted`: the paths of changes."""

    answers: dict[str, str] = field(default_factory=dict)
    posted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(None)

    async def _ask(self, method: str, path: str) -> str:
        if method == "POST":
            self.posted.append(path)
        if path not in self.answers:
            raise ProxyError("the proxy does not answer")
        return self.answers[path]


@dataclass
class PageAnswer:
    """An answer of the console."""

    status: int
    text: str
    headers: Mapping[str, str]


@dataclass
class ConsoleSite:
    """A console with people who are signed in. `people`: the cookie and the form token of each role."""

    client: TestClient[Any, Any]
    console: Console
    entrance: Entrance
    people: dict[str, tuple[str, str]]

    async def get(self, role: Role | None, path: str, **headers: str) -> PageAnswer:
        """Asks for a page. `headers`: with `_` for `-`."""
        return await self.send(
            "GET", role, path, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )

    async def part(self, role: Role | None, path: str) -> PageAnswer:
        """Asks for a part of a page, as htmx does."""
        return await self.send("GET", role, path, headers={"HX-Request": "true", "HX-Request-Type": "partial"})

    async def post(self, role: Role | None, path: str, fields: Mapping[str, str] | None = None) -> PageAnswer:
        """Sends a form with the token of its session, from a page of the console."""
        token = self.people[role][1] if role else ""
        headers = {"Sec-Fetch-Site": "same-origin"}
        return await self.send("POST", role, path, {"csrf": token, **(fields or {})}, headers)

    async def send(
        self,
        method: str,
        role: Role | None,
        path: str,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> PageAnswer:
        """Sends a request as it is given."""
        cookies = {"Cookie": f"{COOKIE}={self.people[role][0]}"} if role else {}
        form = {"Content-Type": "application/x-www-form-urlencoded"} if fields is not None else {}
        data = BytesIO(urlencode(fields).encode()) if fields is not None else None
        async with self.client.request(
            method, path, data=data, headers={**form, **cookies, **(headers or {})}, allow_redirects=False
        ) as answer:
            return PageAnswer(answer.status, await answer.text(), dict(answer.headers))


@asynccontextmanager
async def console_site(
    audit: Path | None = None,
    mode: Mode = "write",
    proxy: ProxyClient | None = None,
    logins: LoginFile | None = None,
    sign_in: SignIn | None = None,
    **settings: Any,
) -> AsyncIterator[ConsoleSite]:
    """Opens a console in this process. `audit`: the folder of a log; `settings`: of the proxy, by their names, such as
    `policies`."""
    config = Config.of(**({"audit": audit} if audit else {}), **settings)
    console = console_of(config, mode, proxy or FakeProxy())
    if audit is None:
        console = replace(console, audit=None, index=Index(None))
    entrance = Entrance(lambda: logins or LoginFile(), sign_in=sign_in)
    people = {}
    for role in get_args(Role):
        cookie, session = entrance.sessions.begin(Login(role, role))
        people[role] = cookie, session.csrf
    while console.index.follow():  # no thread: a test says when the log is read again
        pass
    async with TestClient(TestServer(console_app(console, entrance))) as client:
        try:
            yield ConsoleSite(client, console, entrance, people)
        finally:
            console.index.close()
            console.threads.shutdown(cancel_futures=True)
