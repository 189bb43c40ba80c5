"""The aiohttp application of the console: who may see which page, and what every answer says to the browser.

In: the pages, what the console knows, and the logins. Out: an application. Each request is bounded, has a session and a role of
its route, and comes from a page of this console where it changes something. No other request reaches a handler.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal
from urllib.parse import quote

from aiohttp import web

from guardproxy.console.access import forgery
from guardproxy.console.access.attempts import WrongTokens
from guardproxy.console.access.logins import LoginFile
from guardproxy.console.access.oidc import BEGUN_S, SignIn, SignInError
from guardproxy.console.access.people import Login
from guardproxy.console.access.sessions import WHOLE_S, PersonSession, PersonSessions
from guardproxy.console.contract import PREFIX, READING, Console, Page, PageRoute, Visit, form_of
from guardproxy.console.look import ASSETS

_log = logging.getLogger(__name__)
COOKIE = "guardproxy_console"
BINDER = "guardproxy_console_signin"
BODY_BYTES = 8 * 1024 * 1024  # of a request; the admin port refuses more, too
STRANGER_BYTES = 16 * 1024  # of a form of somebody who has not signed in
PEER = "X-Console-Peer"  # the address of the person, from the admin port, which sets it for every request
CHECKS_AT_ONCE = 2  # tokens whose slow hash is computed at the same time
# Parts of a path that some program between the browser and here could read as a way to another path.
_CROOKED = re.compile(r"(?i)//|\\|%2f|%5c|%00|(?:^|/)(?:\.|%2e){1,2}(?:/|$)")
_NEXT = re.compile(r"/console/[A-Za-z0-9/_.~%?=&+:,@-]*", re.ASCII)
_NONCE = web.RequestKey("nonce", str)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Entrance:
    """The state of who comes in. `logins`: returns the present content of the file. `is_https`: whether people use HTTPS."""

    logins: Callable[[], LoginFile]
    sessions: PersonSessions = field(default_factory=PersonSessions)
    attempts: WrongTokens = field(default_factory=WrongTokens)
    is_https: bool = False
    has_tokens: bool = True
    sign_in: SignIn | None = None
    unix_s: Callable[[], float] = time.time
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CHECKS_AT_ONCE))

    def session_of(self, request: web.Request) -> PersonSession | None:
        """Returns the session of a request. It ends when the login is gone, or has another token or role."""
        cookie = request.cookies.get(COOKIE, "")
        if not cookie or not self.is_current(cookie):
            return None
        return self.sessions.find(cookie)

    def is_current(self, cookie: str) -> bool:
        """Whether the session of a cookie goes on. Asking is no sign that its person is there."""
        session = self.sessions.peek(cookie)
        if session is None or not session.fingerprint:
            return session is not None
        stored = self.logins().find(session.login.name)
        if stored is None or stored.fingerprint != session.fingerprint:
            self.sessions.end(cookie)
            return False
        return True


def console_app(console: Console, entrance: Entrance) -> web.Application:
    """Returns the application. Raises `ValueError` for a route that writes by GET."""
    app = web.Application(middlewares=[_bounded], client_max_size=BODY_BYTES)
    app.on_response_prepare.append(_secure)

    async def close(_: web.Application) -> None:
        await console.close()

    app.on_cleanup.append(close)
    door = _EntranceDoor(console, entrance)
    app.router.add_get(PREFIX, door.first)
    app.router.add_get(f"{PREFIX}/", door.first)
    app.router.add_get(f"{PREFIX}/login", door.form)
    app.router.add_post(f"{PREFIX}/login", door.sign_in)
    if entrance.sign_in is not None:
        app.router.add_get(f"{PREFIX}/oidc/start", door.begin_at_provider)
        app.router.add_get(f"{PREFIX}/oidc/callback", door.finish_at_provider)
    app.router.add_post(f"{PREFIX}/logout", door.sign_out)
    app.router.add_post(f"{PREFIX}/session/lock", door.lock)
    app.router.add_get(f"{PREFIX}/static/{{digest:[0-9a-f]{{16}}}}/{{name:.+}}", _static)
    for page in console.pages:
        for route in page.routes:
            if route.writes and route.method in READING:
                raise ValueError(f"{page.name}{route.path}: {route.method} must not write")
            handler = door.guarded(page, route)
            path = f"{PREFIX}/{page.name}{route.path}"
            app.router.add_route(route.method, path, handler)
            if route.path == "" and route.method == "GET":
                app.router.add_get(f"{path}/", handler)
    app.router.add_route("*", "/{tail:.*}", door.missing)
    return app


class _EntranceDoor:
    """Lets people in, and to the routes of their roles."""

    def __init__(self, console: Console, entrance: Entrance) -> None:
        self._console = console
        self._entrance = entrance

    # Coming in and going.

    async def first(self, request: web.Request) -> web.StreamResponse:
        """Sends a person to the first page of the role."""
        session = self._entrance.session_of(request)
        if session is None:
            return self._asks_to_sign_in(request)
        page = next((page for page in self._console.pages if session.login.role in page.roles), None)
        if page is None:
            return self._alone(request, "No page", "No page is open to this role.", 403)
        return _to(f"{PREFIX}/{page.name}")

    async def form(self, request: web.Request) -> web.StreamResponse:
        """Shows the form for a name and a token."""
        return self._sign_in_form(request, next=_local(request.query.get("next", "")))

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Begins a session for a name with its token."""
        if forgery.is_from_elsewhere(request.headers):
            return self._alone(request, "Not from here", "The form was sent by a page of another site.", 403)
        fields = await form_of(request.clone(client_max_size=STRANGER_BYTES))
        name, token, target = fields.get("name", "").strip(), fields.get("token", "").strip(), fields.get("next", "")
        peer, now_s = request.headers.get(PEER, ""), self._entrance.unix_s()
        wait_s = self._entrance.attempts.wait_s(peer, name, now_s)
        if wait_s:
            error = f"Too many wrong tokens. Wait {wait_s} s."
            response = self._sign_in_form(request, error, name, _local(target), status=429)
            response.headers["Retry-After"] = str(wait_s)
            return response
        # Counted before it is known, so that many at once are not all looked at.
        self._entrance.attempts.add(peer, name, now_s)
        # scrypt takes 16 MiB and 40 ms: without a limit, strangers could fill the memory and every thread of the
        # console.
        async with self._entrance.slots:
            stored = await self._console.run(self._entrance.logins().checked, name, token)
        if stored is None:
            _log.warning("refused to sign in", extra={"login": name[:64], "peer": peer})
            return self._sign_in_form(request, "The name or the token is wrong.", name, _local(target), status=403)
        self._entrance.attempts.forgive(peer, name)
        return self._begin(request, stored.login, stored.fingerprint, _to(_local(target)))

    async def begin_at_provider(self, request: web.Request) -> web.StreamResponse:
        """Sends a person to the identity provider."""
        assert self._entrance.sign_in is not None  # noqa: S101 - otherwise there is no such way
        try:
            address, binder = await self._entrance.sign_in.begin(_local(request.query.get("next", "")))
        except SignInError as error:
            return self._sign_in_form(request, str(error), status=502)
        response = _to(address)
        self._set_cookie(response, BINDER, binder, "Lax", f"{PREFIX}/oidc", BEGUN_S)  # the provider sends people back
        return response

    async def finish_at_provider(self, request: web.Request) -> web.StreamResponse:
        """Begins a session for a person whom the identity provider sends back."""
        assert self._entrance.sign_in is not None  # noqa: S101 - otherwise there is no such way
        try:
            login, target = await self._entrance.sign_in.finish(request.query, request.cookies.get(BINDER, ""))
        except SignInError as error:
            _log.warning("refused to sign in", extra={"provider": self._entrance.sign_in.title, "why": str(error)})
            return self._sign_in_form(request, str(error), status=403)
        # A redirection would still count as one from the provider, and browsers would not send the cookie.
        page = self._alone(request, "Signed in", "The page opens.", 200, again=_local(target))
        page.del_cookie(BINDER, path=f"{PREFIX}/oidc")
        return self._begin(request, login, "", page, self._entrance.sign_in.session_s)

    def _begin(
        self, request: web.Request, login: Login, fingerprint: str, response: web.Response, whole_s: float = WHOLE_S
    ) -> web.Response:
        self._entrance.sessions.end(request.cookies.get(COOKIE, ""))
        # A session that somebody put into this browser before (fixation) must not become that of this person: it has
        # ended above, and this one has a new cookie.
        cookie, session = self._entrance.sessions.begin(login, fingerprint, whole_s)
        _log.info("signed in", extra={"login": session.login.name, "role": session.login.role})
        self._set_cookie(response, COOKIE, cookie, "Strict", PREFIX, whole_s)
        return response

    def _set_cookie(
        self,
        response: web.Response,
        name: str,
        value: str,
        same_site: Literal["Strict", "Lax"],
        path: str,
        age_s: float,
    ) -> None:
        is_https = self._entrance.is_https
        response.set_cookie(
            name, value, path=path, httponly=True, samesite=same_site, secure=is_https, max_age=int(age_s)
        )

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """Ends the session."""
        if forgery.is_from_elsewhere(request.headers):  # such a request has no cookie, so it would only lose one
            return self._alone(request, "Not from here", "The form was sent by a page of another site.", 403)
        session = self._entrance.session_of(request)
        if session is not None:
            if fault := await _forged(request, session):
                return self._alone(request, "Not from here", fault, 403)
            self._entrance.sessions.end(request.cookies.get(COOKIE, ""))
        response = _to(f"{PREFIX}/login")
        response.del_cookie(COOKIE, path=PREFIX)
        return response

    async def lock(self, request: web.Request) -> web.StreamResponse:
        """Forgets the key that opens sealed texts."""
        session = self._entrance.session_of(request)
        if session is None:
            return self._asks_to_sign_in(request)
        if fault := await _forged(request, session):
            return self._alone(request, "Not from here", fault, 403)
        session.drop_key()
        return _to(f"{PREFIX}/")

    # Pages.

    def guarded(self, page: Page, route: PageRoute) -> Handler:
        """Returns the handler of a route for those who may."""

        async def handle(request: web.Request) -> web.StreamResponse:
            session = self._entrance.session_of(request)
            if session is None:
                return self._asks_to_sign_in(request)
            cookie = request.cookies.get(COOKIE, "")
            nonce, is_signed_in = _nonce(request), partial(self._entrance.is_current, cookie)
            visit = Visit(request, session.login, self._console, nonce, session, page, is_signed_in)
            if session.login.role not in route.roles:
                roles = " or ".join(sorted(route.roles))
                return _problem(
                    visit, "Not for this role", f"This needs the role {roles}; you are {session.login.role}.", 403
                )
            if route.writes and self._console.mode != "write":
                text = "This console only reads. Start the proxy with `--console write` to change things here."
                return _problem(visit, "Read only", text, 403)
            # After the role: who may not use a route learns that, whatever token the form has.
            if request.method not in READING and (fault := await _forged(request, session)):
                return _problem(visit, "Not from here", fault, 403)
            try:
                return await route.handle(visit)
            except web.HTTPException as error:
                if error.status < 400:
                    raise
                return _problem(visit, error.reason, error.text or error.reason, error.status)
            except (ConnectionError, asyncio.CancelledError):
                raise
            except Exception as error:
                number = secrets.token_hex(4)
                _log.exception("a page failed", exc_info=error, extra={"page": page.name, "number": number})
                text = f"The page could not be made. The log of the proxy says why, under the number {number}."
                return _problem(visit, "Something failed", text, 500)

        return handle

    async def missing(self, request: web.Request) -> web.StreamResponse:
        """Answers for an address that no page has."""
        if self._entrance.session_of(request) is None and request.method in READING:
            return self._asks_to_sign_in(request)
        return self._alone(request, "No such page", "There is nothing at this address.", 404)

    def _asks_to_sign_in(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        address = request.rel_url.raw_path_qs
        if headers.get("HX-Request") == "true":
            return web.Response(status=401, headers={"HX-Redirect": f"{PREFIX}/login"}, text="sign in again\n")
        if request.method not in READING:
            return self._alone(request, "Signed out", "The session has ended. Sign in, and do it again.", 401)
        # A browser that follows a link from another site sends no cookie that is `Strict`. The same address, asked for from a
        # page of this site, gets it.
        if headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and headers.get("Sec-Fetch-Mode") == "navigate":
            return self._alone(request, "One moment", "The page opens.", 200, again=_local(address))
        target = _local(address)
        return _to(f"{PREFIX}/login" + (f"?next={quote(target)}" if target not in (f"{PREFIX}/", PREFIX) else ""))

    def _sign_in_form(
        self, request: web.Request, error: str = "", name: str = "", next: str = f"{PREFIX}/", status: int = 200
    ) -> web.Response:
        provider = self._entrance.sign_in
        values = {
            "error": error,
            "name": name,
            "next": next,
            "has_tokens": self._entrance.has_tokens,
            "sign_in_url": f"{PREFIX}/oidc/start?next={quote(next)}" if provider else "",
            "provider": provider.title if provider else "",
        }
        return self._page(request, "look/sign_in.html", values, status)

    def _alone(self, request: web.Request, title: str, text: str, status: int, again: str = "") -> web.Response:
        return self._page(request, "look/problem_alone.html", {"title": title, "text": text, "again": again}, status)

    def _page(self, request: web.Request, template: str, values: Mapping[str, object], status: int) -> web.Response:
        context = {"nonce": _nonce(request), "csrf_token": "", "theme": request.cookies.get("guardproxy_theme", "")}
        text = self._console.templates.text(template, {**context, **values}, is_part=False)
        return web.Response(text=text, status=status, content_type="text/html")


def _problem(visit: Visit, title: str, text: str, status: int) -> web.Response:
    return visit.render("look/problem.html", status=status, title=title, text=text, is_bad=status >= 500)


async def _forged(request: web.Request, session: PersonSession) -> str:
    """Returns what is wrong with where a request comes from; empty if it comes from a page of the session."""
    if forgery.is_from_elsewhere(request.headers):
        return "The request was made by a page of another site."
    given = request.headers.get(forgery.HEADER) or (await form_of(request)).get(forgery.FIELD, "")
    return "" if forgery.is_token(session.csrf, given) else "The form is of an earlier session. Load the page again."


def _local(address: str) -> str:
    """Returns an address of this console, or its first page for any other address."""
    is_local = _NEXT.fullmatch(address) and not _CROOKED.search(address.partition("?")[0])
    return address if is_local else f"{PREFIX}/"


def _to(address: str) -> web.Response:
    return web.Response(status=303, headers={"Location": address})


async def _static(request: web.Request) -> web.StreamResponse:
    asset = ASSETS.find(request.match_info["digest"], request.match_info["name"])
    if asset is None:
        return web.Response(status=404, text="no such file\n")
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    return web.Response(body=asset.content, content_type=asset.content_type, charset="utf-8", headers=kept)


@web.middleware
async def _bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses what no page of the console sends, before anything else looks at it."""
    if request.method not in (*READING, "POST"):
        return web.Response(status=405, text="not allowed\n", headers={"Allow": "GET, HEAD, POST"})
    # The raw path: aiohttp decodes a path before it looks for a route, and a proxy in front may do so in
    # another way.
    if _CROOKED.search(request.rel_url.raw_path):
        return web.Response(status=404, text="there is nothing at this address\n")
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status == 413:
            return web.Response(status=413, text=f"more than {BODY_BYTES // 1024**2} MiB\n")
        raise


def _nonce(request: web.Request) -> str:
    if _NONCE not in request:
        request[_NONCE] = secrets.token_urlsafe(18)
    return request[_NONCE]


async def _secure(request: web.Request, response: web.StreamResponse) -> None:
    """Says to the browser: load nothing from elsewhere, run no script without the nonce, be in no frame."""
    policy = (
        f"default-src 'none'; script-src 'nonce-{_nonce(request)}'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types htmx"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        # A page that opened this one would keep a handle on its window, and could send it elsewhere.
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }
    if response.headers.get("Cache-Control") is None:
        headers |= {"Cache-Control": "no-store", "Vary": "Cookie, HX-Request"}
    response.headers.update(headers)
