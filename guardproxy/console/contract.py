"""What a page of the console declares, and what its handlers get.

In: `Page` with its routes. Out: the answer of a handler to a `Visit`, which is one request of a person who signed in. The
application refuses a route to people without its roles, and a route that writes in a console that only reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

from aiohttp import web

from guardproxy.audit.sealing import STORE
from guardproxy.config import Config
from guardproxy.console.access.people import ROLES, Login, Role
from guardproxy.console.access.sessions import PersonSession
from guardproxy.console.index import Index
from guardproxy.console.look import Templates
from guardproxy.console.proxy_client import ProxyClient

__all__ = [
    "EVERYBODY",
    "PREFIX",
    "ROLES",
    "Console",
    "EventStream",
    "Login",
    "Mode",
    "Page",
    "PageRoute",
    "Role",
    "Visit",
    "form_of",
    "roles",
]
Mode = Literal["read", "write"]
EVERYBODY: frozenset[Role] = frozenset(ROLES)
PREFIX = "/console"
READING = ("GET", "HEAD")
FIELDS_MOST = 500  # of a form

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


class PageRoute(NamedTuple):
    """A way to a page or a part of it. `path`: below the page's prefix; "" is the page itself, "/{id}" a part. `roles`: who
    may. `writes`: whether it changes something outside of the console's memory; refused with `--console read`."""

    method: str
    path: str
    handle: Callable[[Visit], Awaitable[web.StreamResponse]]
    roles: frozenset[Role]
    writes: bool


def roles(*names: Role) -> frozenset[Role]:
    """Returns a set of roles."""
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class Page:
    """A page. `name`: its place below `/console/`, and the folder of its templates in names such as "now/page.html". `key`: a
    letter, which opens it after `g`. `roles`: those who see it in the navigation. `summary`: what it is for, in a few words."""

    name: str
    title: str
    key: str
    roles: frozenset[Role]
    routes: tuple[PageRoute, ...]
    templates: Path
    summary: str = ""


@dataclass(slots=True)
class Console:
    """What the process of the console knows. `policies`: the paths that are served; those of a folder can be written. `index`:
    the columns of the log. `proxy`: asks the admin ports of the proxy. `shared`: what a page keeps for all visits, by a
    name that begins with the page's."""

    mode: Mode
    audit: Path | None
    policies: tuple[Path, ...]
    index: Index
    proxy: ProxyClient
    config: Config
    templates: Templates
    pages: tuple[Page, ...]
    threads: ThreadPoolExecutor = field(repr=False)
    shared: dict[str, Any] = field(default_factory=dict, repr=False)
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list, repr=False)
    """What is done when the console ends."""

    def key_store(self, log: Path) -> Path:
        """Returns the store of the keys that open sealed texts. `log`: the folder of the log."""
        return self.config.audit.seal_store or log / STORE

    async def close(self) -> None:
        """Ends what pages have begun."""
        while self.closing:
            await self.closing.pop()()

    async def run(
        self, function: Callable[Arguments, Value], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Value:
        """Calls a function that blocks in a thread of the console."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, lambda: function(*arguments, **named))


@dataclass(slots=True)
class Visit:
    """One request of a person. `nonce`: for `hx-nonce` and scripts; templates have it too. `is_signed_in`: returns whether the
    person still is, without which a stream ends."""

    request: web.Request
    login: Login
    console: Console
    nonce: str
    session: PersonSession
    page: Page
    is_signed_in: Callable[[], bool] = lambda: True
    _form: Mapping[str, str] | None = None

    @property
    def wants_part(self) -> bool:
        """Whether htmx asked, which puts the answer into the page that it shows."""
        headers = self.request.headers
        # Going back in the history, htmx asks as for a part but shows the answer as the whole page.
        is_whole = headers.get("HX-Request-Type") == "full" or "HX-History-Restore-Request" in headers
        return headers.get("HX-Request") == "true" and not is_whole

    @property
    def query(self) -> Mapping[str, str]:
        """Returns the query of the address."""
        return self.request.query

    def part(self, name: str) -> str:
        """Returns the part of the path that the route names `{name}`."""
        return self.request.match_info[name]

    def render(self, template: str, *, status: int = 200, **values: object) -> web.Response:
        """Returns a page from a template such as "exchanges/list.html". If htmx asked, only its block `main` if it has that
        block, else the whole template."""
        text = self.console.templates.text(template, self._context(values), is_part=self.wants_part)
        return web.Response(text=text, status=status, content_type="text/html")

    def text(self, template: str, **values: object) -> str:
        """Returns the HTML of a template or of its block `main`, such as a message of a stream of events."""
        return self.console.templates.text(template, self._context(values), is_part=True)

    def _context(self, values: Mapping[str, object]) -> dict[str, object]:
        shown = [page for page in self.console.pages if self.login.role in page.roles]
        return {
            "visit": self,
            "login": self.login,
            "nonce": self.nonce,
            "csrf_token": self.session.csrf,
            "page": self.page,
            "pages": shown,
            "mode": self.console.mode,
            "may_write": self.console.mode == "write",
            "session": self.session,
            "theme": self.request.cookies.get("guardproxy_theme", ""),
            "url": self.url,
            **values,
        }

    async def form(self) -> Mapping[str, str]:
        """Returns the fields of a form; the first value of each."""
        if self._form is None:
            self._form = await form_of(self.request)
        return self._form

    def url(self, page: str, path: str = "", **query: str) -> str:
        """Returns an address in the console. `path`: below the page, such as "/abc", as it is read: whatever an address cannot
        hold is quoted here. Empty values of the query are left out."""
        kept = {name: value for name, value in query.items() if value != ""}
        where = quote(path, errors="replace")
        return f"{PREFIX}/{page}{where}{'?' + urlencode(kept, errors='replace') if kept else ''}"

    def see_other(self, page: str, path: str = "", **query: str) -> web.Response:
        """Returns an answer that sends the browser to another page, as after a form was sent."""
        address = self.url(page, path, **query)
        # A redirect would be followed by the browser itself, and htmx would put the other page into a part of this one.
        if self.request.headers.get("HX-Request") == "true":
            return web.Response(headers={"HX-Redirect": address})
        return web.Response(status=303, headers={"Location": address})

    @asynccontextmanager
    async def events(self) -> AsyncIterator[EventStream]:
        """Opens a stream of server-sent events, as `async with visit.events() as stream`. The handler returns
        `stream.response` in the end. The page may be closed meanwhile, which ends the block."""
        # nginx gathers an answer before it passes it on, unless this header says otherwise.
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(self.request)
        with suppress(ConnectionError):
            yield EventStream(response, self.is_signed_in)


class EventStream:
    """Server-sent events to a page, as long as its person is signed in."""

    def __init__(self, response: web.StreamResponse, is_signed_in: Callable[[], bool] = lambda: True) -> None:
        self.response = response
        self._is_signed_in = is_signed_in

    async def send(self, html: str, event: str = "", id: str = "") -> None:
        """Sends a message. Raises `ConnectionError` when the page is closed, or the session has ended."""
        head = "".join(f"{name}: {value}\n" for name, value in (("event", event), ("id", id)) if value)
        # A line of a message cannot hold a line end, so a text with one would end the field early (HTML standard,
        # 9.2.6).
        body = "".join(f"data: {line}\n" for line in html.splitlines() or [""])
        await self._write(f"{head}{body}\n".encode())

    async def stay(self) -> None:
        """Shows that the stream is alive, to a program between here and the browser that would close a silent connection."""
        await self._write(b":\n\n")

    async def _write(self, message: bytes) -> None:
        if not self._is_signed_in():
            raise ConnectionResetError("the session has ended")
        await self.response.write(message)


async def form_of(request: web.Request) -> Mapping[str, str]:
    """Reads the fields of a form, of which the first value counts. Raises `HTTPBadRequest` and `HTTPRequestEntityTooLarge`."""
    if request.content_type not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return {}
    try:
        posted = await request.post()
    except (ValueError, LookupError):  # `LookupError`: a `charset` that Python does not know; anybody can name one
        raise web.HTTPBadRequest(text="the form cannot be read") from None
    if len(posted) > FIELDS_MOST:
        raise web.HTTPBadRequest(text="the form has too many fields")
    fields: dict[str, str] = {}
    for name, value in posted.items():
        text = value if isinstance(value, str) else _file_text(value)
        fields.setdefault(name, text)
    return fields


def _file_text(value: Any) -> str:
    content = value.file.read() if isinstance(value, web.FileField) else bytes(value)
    return str(content.decode("utf-8", "replace"))
