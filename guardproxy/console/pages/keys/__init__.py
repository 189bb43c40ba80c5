"""The page Keys and budgets: keys of clients, and what limits and budgets leave.

| module | content |
|---|---|
| `clients` | clients with their keys, as a list |
| `budgets` | what limits leave |

A new key is in one answer and nowhere else: it is not kept, and no address leads to it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from guardproxy.console.contract import Page, PageRoute, Visit, roles
from guardproxy.console.index import Filter
from guardproxy.console.pages.keys.budgets import BudgetBoard, budgets_of
from guardproxy.console.pages.keys.clients import client_line, client_page
from guardproxy.console.proxy_client import ProxyError
from guardproxy.console.proxy_status import ProcessStatus, first_status, read_statuses
from guardproxy.errors import ConfigError, QueryError
from guardproxy.gateway.clients import ClientFile, KeyFolder, StoredClient, new_key

_log = logging.getLogger(__name__)
READERS = roles("reviewer", "operator", "auditor")
WRITERS = roles("operator")
DAY_S = 86_400.0
LIMIT_TENANTS = 50
LIMIT_MODELS = 10
LIMIT_MODEL_CHARS = 120


def _folder(visit: Visit) -> KeyFolder | None:
    keys = visit.console.config.clients.keys
    return KeyFolder(keys) if keys else None


async def _status(visit: Visit) -> ProcessStatus:
    try:
        return first_status(read_statuses(await visit.console.proxy.get("/all/status")))
    except ProxyError:
        return ProcessStatus()


async def _budgets(
    visit: Visit, clients: Sequence[str] = (), tenants: Sequence[str] = (), models: Sequence[str] = ()
) -> BudgetBoard:
    """Asks the workers what limits leave."""
    asked = [("client", name) for name in clients] + [("tenant", name) for name in tenants]
    asked += [("model", name) for name in models if len(name) <= LIMIT_MODEL_CHARS]
    try:
        shown = await visit.console.proxy.get(f"/all/limits?{urlencode(asked)}")
    except ProxyError as error:
        return BudgetBoard(problem=str(error))
    return budgets_of(shown, (await _status(visit)).is_shared)


async def _groups(visit: Visit, column: str, client: str | None = None) -> dict[str, int]:
    """Counts the requests of the last day by a column; nothing if the index cannot be read."""
    chosen = Filter(since=datetime.now(UTC).timestamp() - DAY_S, client=client)
    try:
        return dict(await visit.console.run(visit.console.index.groups, chosen, column))
    except QueryError:
        return {}


async def _file(visit: Visit, folder: KeyFolder) -> ClientFile:
    return await visit.console.run(folder.read)


async def _show(visit: Visit) -> web.StreamResponse:
    """Lists the clients."""
    folder = _folder(visit)
    values: dict[str, Any] = {
        "folder": str(folder.folder) if folder else "",
        "problem": "",
        "listed": None,
        "words": "",
    }
    if folder is not None:
        words, number = visit.query.get("q", "")[:100], visit.query.get("page", "")
        try:
            file = await _file(visit, folder)
        except ConfigError as error:
            return visit.render("keys/page.html", **{**values, "problem": str(error)})
        requests = await _groups(visit, "client")
        listed = client_page(file, datetime.now(UTC), requests, words, int(number[:6]) if number.isdecimal() else 0)
        budgets = await _budgets(visit, [line.name for line in listed.lines]) if listed.lines else BudgetBoard()
        values |= {"listed": listed, "words": words, "budgets": budgets, "has_clients": bool(file.clients)}
    return visit.render("keys/page.html", **values)


async def _show_budgets(visit: Visit) -> web.StreamResponse:
    """Lists limits and budgets, the scarcest first."""
    folder = _folder(visit)
    names: list[str] = []
    if folder is not None:
        try:
            file = await _file(visit, folder)
        except ConfigError:
            file = ClientFile()
        used = await _groups(visit, "client")
        names = sorted((client.name for client in file.clients), key=lambda name: (-used.get(name, 0), name))
    settings = visit.console.config.tenants.names
    tenants = list(dict.fromkeys((*settings, *await _groups(visit, "tenant"))))
    models = list(await _groups(visit, "model"))
    budgets = await _budgets(visit, names[:LIMIT_TENANTS], tenants[:LIMIT_TENANTS], models[:LIMIT_MODELS])
    return visit.render("keys/budgets.html", budgets=budgets, more=max(0, len(names) - LIMIT_TENANTS))


async def _show_client(visit: Visit) -> web.StreamResponse:
    return await _client_page(visit, visit.part("name"))


async def _client_page(
    visit: Visit, name: str, *, error: str = "", key: str = "", done: str = "", status: int = 200
) -> web.StreamResponse:
    """Shows a client. `key`: one that was just made, which is shown this once."""
    folder = _folder(visit)
    if folder is None:
        raise web.HTTPNotFound(text="The proxy has no file of keys.")
    try:
        client = (await _file(visit, folder)).client(name)
    except ConfigError as fault:
        raise web.HTTPNotFound(text=str(fault)[:300]) from None
    line = client_line(client, datetime.now(UTC), await _groups(visit, "client", name))
    models = list(await _groups(visit, "model", name))
    budgets = await _budgets(visit, [name], (), models[:LIMIT_MODELS])
    return visit.render(
        "keys/client.html",
        status=status,
        line=line,
        budgets=budgets,
        error=error,
        key=key,
        done=done,
        url_of_proxy=(await _status(visit)).url,
    )


async def _show_new(visit: Visit) -> web.StreamResponse:
    return await _form_page(visit, {})


async def _form_page(visit: Visit, fields: dict[str, str], error: str = "", status: int = 200) -> web.StreamResponse:
    if _folder(visit) is None:
        raise web.HTTPNotFound(text="The proxy has no file of keys.")
    policies = [guard.policy for guard in (await _status(visit)).guards]
    return visit.render("keys/new.html", status=status, fields=fields, error=error, policies=policies)


async def _create(visit: Visit) -> web.StreamResponse:
    """Makes a client with its first key, and shows the key."""
    form = await visit.form()
    fields = {name: form.get(name, "").strip()[:2000] for name in ("name", "tenant", "models", "policies", "expires")}
    folder = _folder(visit)
    if folder is None:
        raise web.HTTPNotFound(text="The proxy has no file of keys.")
    name, now = fields["name"], datetime.now(UTC)
    client = StoredClient(
        name, fields["tenant"] or name, models=_words(fields["models"]) or None, policies=_words(fields["policies"])
    )
    key = _new_key()
    try:
        await _refuse_unknown(visit, client.policies)
        await visit.console.run(folder.create, client, key, now, folder.end(fields["expires"], now))
    except ConfigError as error:
        return await _form_page(visit, fields, str(error), 422)
    _log.info("key created", extra={"login": visit.login.name, "client": name})
    return await _client_page(visit, name, key=key)


async def _refuse_unknown(visit: Visit, policies: Sequence[str]) -> None:
    """Raises `ConfigError` for a policy that is not in force: every request of the client would be refused."""
    known = {guard.policy for guard in (await _status(visit)).guards}
    for policy in policies if known else ():
        if policy not in known:
            raise ConfigError(f"no policy in force is called `{policy[:100]}` (policies: {', '.join(sorted(known))})")


async def _rotate(visit: Visit) -> web.StreamResponse:
    """Makes a further key for a client, and shows it."""
    folder, name, form = _folder(visit), visit.part("name"), await visit.form()
    if folder is None:
        raise web.HTTPNotFound(text="The proxy has no file of keys.")
    key, now = _new_key(), datetime.now(UTC)
    try:
        grace = folder.period(form.get("grace", "").strip()[:20] or "24h")
        end = folder.end(form.get("expires", "").strip()[:60], now)
        await visit.console.run(folder.rotate, name, key, now, grace, end)
    except ConfigError as error:
        return await _client_page(visit, name, error=str(error), status=422)
    _log.info("key rotated", extra={"login": visit.login.name, "client": name})
    return await _client_page(visit, name, key=key)


async def _revoke(visit: Visit) -> web.StreamResponse:
    """Revokes one key of a client, or all."""
    folder, name, form = _folder(visit), visit.part("name"), await visit.form()
    if folder is None:
        raise web.HTTPNotFound(text="The proxy has no file of keys.")
    prefix = form.get("key", "").strip()[:40]
    if form.get("sure") != "yes":
        error = "Nothing was revoked: confirm that programs with the key are refused from now on."
        return await _client_page(visit, name, error=error, status=422)
    try:
        await visit.console.run(folder.revoke, name, prefix)
    except ConfigError as fault:
        return await _client_page(visit, name, error=str(fault), status=422)
    _log.info("key revoked", extra={"login": visit.login.name, "client": name, "key": prefix or "all"})
    done = f"The key {prefix} is revoked." if prefix else "All keys are revoked."
    return await _client_page(visit, name, done=f"{done} Running proxies refuse it within seconds.")


def _new_key() -> str:
    return new_key(secrets.token_hex(6), secrets.token_urlsafe(32))


def _words(text: str) -> tuple[str, ...]:
    """Returns the words of a field, at commas, spaces and lines."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


PAGE = Page(
    name="keys",
    title="Keys and budgets",
    key="k",
    roles=READERS,
    routes=(
        PageRoute("GET", "", _show, READERS, writes=False),
        PageRoute("GET", "/budgets", _show_budgets, READERS, writes=False),
        PageRoute("GET", "/new", _show_new, WRITERS, writes=False),
        PageRoute("POST", "/new", _create, WRITERS, writes=True),
        PageRoute("GET", "/client/{name}", _show_client, READERS, writes=False),
        PageRoute("POST", "/client/{name}/rotate", _rotate, WRITERS, writes=True),
        PageRoute("POST", "/client/{name}/revoke", _revoke, WRITERS, writes=True),
    ),
    templates=Path(__file__).parent / "templates",
    summary="Keys of clients, and what is left of their limits.",
)
