"""Proposals: a second person approves, then the files are saved and the proxy loads them.

In: visits. Out: pages, files, an entry in the log. What is saved is what the second person saw, by its digest.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from aiohttp import web

from guardproxy.console.contract import PageRoute, Visit, roles
from guardproxy.console.pages.policies import views
from guardproxy.console.pages.policies.desk import desk_of, note_change
from guardproxy.console.pages.policies.drafts import DraftError, Proposal
from guardproxy.console.pages.policies.editing import EDITORS
from guardproxy.console.pages.policies.files import FileError
from guardproxy.console.pages.policies.reading import download, tabs
from guardproxy.console.pages.policies.tasks import LintReply
from guardproxy.console.proxy_client import ProxyError
from guardproxy.errors import AuditError

SAVERS = roles("operator")
STATES = {"waiting": "warn", "approved": "info", "saving": "info", "saved": "good", "refused": "bad", "void": "quiet"}


@dataclass(frozen=True, slots=True)
class ChangedText:
    """A file of a proposal. `is_stale`: the file on disk is not the one that was edited."""

    name: str
    base: str
    digest: str
    lines: tuple[views.DiffLine, ...]
    is_stale: bool


async def _changes(visit: Visit) -> web.StreamResponse:
    desk = desk_of(visit.console)
    drafts = [draft for draft in desk.drafts.of(visit.login.name).values() if draft.is_changed]
    return visit.render(
        "policies/changes.html",
        tabs=tabs(visit, "/changes"),
        drafts=drafts,
        proposals=desk.drafts.proposals(),
        states=STATES,
    )


async def _propose(visit: Visit) -> web.StreamResponse:
    desk, form = desk_of(visit.console), await visit.form()
    try:
        made = desk.drafts.propose(visit.login.name, form.get("why", ""), secrets.token_hex(8), time.time())
    except DraftError as error:
        raise web.HTTPBadRequest(text=f"{error}") from None
    return visit.see_other("policies", "/change", id=made.id)


def _asked(visit: Visit, id: str) -> Proposal:
    try:
        return desk_of(visit.console).drafts.proposal(id)
    except DraftError as error:
        raise web.HTTPNotFound(text=f"{error}") from None


async def _show(visit: Visit) -> web.StreamResponse:
    return await _shown(visit, _asked(visit, visit.query.get("id", "")))


async def _shown(visit: Visit, proposal: Proposal, problem: str = "", status: int = 200) -> web.Response:
    desk = desk_of(visit.console)
    files = []
    for file in proposal.files:
        try:
            found = await visit.console.run(desk.folder.read, file.name)
        except FileError:
            found = None
        before = found.content if found else b""
        files.append(
            ChangedText(
                file.name,
                file.base or "no file",
                file.digest,
                views.diff_lines(before.decode("utf-8", "replace"), file.content.decode("utf-8", "replace")),
                (found.digest if found else None) != file.base and proposal.state != "saved",
            )
        )
    contents = {file.name: file.content for file in proposal.files}
    reply = (
        await desk.remarks_about(visit, desk.source(contents), f"proposal {proposal.id}") if proposal.is_open else None
    )
    marks = reply.marks if isinstance(reply, LintReply) else ()
    return visit.render(
        "policies/proposal.html",
        status=status,
        tabs=tabs(visit, "/changes"),
        proposal=proposal,
        files=files,
        marks=marks,
        errors=[mark for mark in marks if mark.weight == "error"],
        not_linted="" if isinstance(reply, LintReply) or reply is None else getattr(reply, "why", "not read yet"),
        weights=views.WEIGHTS,
        states=STATES,
        is_own=proposal.is_of(visit.login.name),
        may_save_it=visit.login.role in SAVERS and proposal.involves(visit.login.name),
        why_not=why_not_saved(visit),
        problem=problem,
    )


def why_not_saved(visit: Visit) -> str:
    """Returns why nothing can be saved here; empty if it can."""
    if not desk_of(visit.console).folder.is_writable:
        return "The proxy was not started with a folder of policies of its own (--policies DIR), so nothing can be saved here."
    if visit.console.mode != "write":
        return "The console only reads. With --console write it saves approved changes."
    if visit.console.audit is None:
        return "The proxy keeps no log (--audit DIR), which has to say who changed the policies and who approved."
    return ""


async def _approve(visit: Visit) -> web.StreamResponse:
    form = await visit.form()
    proposal = _asked(visit, form.get("id", ""))
    try:
        desk_of(visit.console).drafts.approve(proposal.id, visit.login.name, form.get("digest", ""))
    except DraftError as error:
        return await _shown(visit, proposal, str(error), 409)
    return visit.see_other("policies", "/change", id=proposal.id)


async def _refuse(visit: Visit) -> web.StreamResponse:
    form = await visit.form()
    proposal = _asked(visit, form.get("id", ""))
    try:
        desk_of(visit.console).drafts.refuse(proposal.id, visit.login.name, form.get("told", "")[:300])
    except DraftError as error:
        return await _shown(visit, proposal, str(error), 409)
    return visit.see_other("policies", "/change", id=proposal.id)


async def _save(visit: Visit) -> web.StreamResponse:
    """Saves an approved proposal and makes the proxy load it. One of both people does it, as an operator."""
    form, desk, audit = await visit.form(), desk_of(visit.console), visit.console.audit
    asked = _asked(visit, form.get("id", ""))
    if not asked.involves(visit.login.name):
        return await _shown(visit, asked, "One of the two people saves: who proposed, or who approved.", 409)
    if (why_not := why_not_saved(visit)) or audit is None:
        return await _shown(visit, asked, why_not, 409)
    try:
        proposal = desk.drafts.begin_to_save(asked.id, form.get("digest", ""))
    except DraftError as error:
        return await _shown(visit, asked, str(error), 409)
    is_saved = False
    try:
        contents = {file.name: file.content for file in proposal.files}
        reply = await desk.remarks_about(visit, desk.source(contents), f"save {proposal.id}")
        if not isinstance(reply, LintReply) or reply.errors:
            errors = reply.errors if isinstance(reply, LintReply) else ()
            why = (
                f"{errors[0].file}:{errors[0].line}: {errors[0].message}"
                if errors
                else getattr(reply, "why", "ask again")
            )
            return await _shown(visit, asked, f"Policies with errors are not saved. {why}", 409)
        await visit.console.run(
            desk.folder.save, proposal.contents(), lambda: note_change(audit, proposal, time.time())
        )
        is_saved = True
    except (FileError, AuditError) as error:
        return await _shown(visit, asked, f"Not saved: {error}", 409)
    finally:
        if not is_saved:
            desk.drafts.not_saved(proposal.id)
    desk.drafts.saved(proposal.id, await _reloaded(visit))
    return visit.see_other("policies", "/change", id=proposal.id)


async def _reloaded(visit: Visit) -> str:
    """Makes the proxy load its policies. Returns what it says, in words."""
    try:
        told = await visit.console.proxy.post("/all/reload")
    except ProxyError as error:
        return f"The files are saved, but {error}: it polls the folder, or reload it by POST /reload."
    return reload_words(told)


def reload_words(told: object) -> str:
    """Returns what the proxy says of a reload, in words. The answer may be that of one process, or of all workers."""
    answers = told.values() if isinstance(told, dict) else ()
    known = [answer for answer in answers if isinstance(answer, dict) and "ok" in answer]
    if isinstance(told, dict) and not known and "ok" in told:
        known = [told]
    failed = [answer for answer in known if not answer.get("ok")]
    if failed:
        errors = failed[0].get("errors") or ["it gave no reason"]
        first = errors[0] if isinstance(errors, list) else errors
        return (
            f"Saved, but the proxy did not load the files; the old policies stay in force: {_error(first)}. "
            "The proxy would not start with these files: correct them, or put the old ones back."
        )
    if not known:
        return "Saved. The proxy did not say whether it has loaded the files."
    digest = next((str(answer["policies"]) for answer in known if answer.get("policies")), "")
    return f"Saved and in force{': ' + digest if digest else ''}."


def _error(told: object) -> str:
    if isinstance(told, dict):
        place = ":".join(str(told[name]) for name in ("file", "line") if told.get(name))
        return f"{place}: {told.get('message', '')}" if place else str(told.get("message", told))
    return str(told)


async def _download(visit: Visit) -> web.StreamResponse:
    proposal = _asked(visit, visit.query.get("id", ""))
    name = visit.query.get("file", "")
    file = next((file for file in proposal.files if file.name == name), None)
    if file is None:
        raise web.HTTPNotFound(text="The proposal has no such file.")
    return download(file.name, file.content)


ROUTES = (
    PageRoute("GET", "/changes", _changes, EDITORS, writes=False),
    PageRoute("POST", "/changes", _propose, EDITORS, writes=False),
    PageRoute("GET", "/change", _show, EDITORS, writes=False),
    PageRoute("GET", "/change/download", _download, EDITORS, writes=False),
    PageRoute("POST", "/change/approve", _approve, EDITORS, writes=True),
    PageRoute("POST", "/change/refuse", _refuse, EDITORS, writes=False),
    PageRoute("POST", "/change/save", _save, SAVERS, writes=True),
)
