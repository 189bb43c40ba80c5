"""Drafts of policies: each person edits files in memory, sees remarks while typing, and what the change would do.

In: visits. Out: pages. A draft begins with the digest of its file; if the file changes meanwhile, the person chooses.
"""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from guardproxy.console.contract import PageRoute, Visit, roles
from guardproxy.console.pages.policies import views
from guardproxy.console.pages.policies.desk import Desk, desk_of
from guardproxy.console.pages.policies.drafts import DraftError, PolicyDraft
from guardproxy.console.pages.policies.files import FileContent, FileError, from_form, refuse_name
from guardproxy.console.pages.policies.reading import download, tabs
from guardproxy.console.pages.policies.tasks import CancelledTask, DiffReply, DiffTask, FailedTask, LintReply
from guardproxy.console.pages.policies.workshop import DIFF_S

EDITORS = roles("reviewer", "operator", "auditor")
PERIODS = (("1", "the last day"), ("7", "the last 7 days"), ("30", "the last 30 days"), ("3650", "the whole log"))
SAMPLES = (("200", "200 newest"), ("1000", "1,000 newest"), ("10000", "10,000 newest"), ("100000", "100,000 newest"))
DAY_S = 86_400.0
NEW_FILE = """\
policy: NAME
description: What the rules are for.
match: {}
checks:
  secrets: {use: secrets}
rules:
  - {id: no-secrets-out, on: request, when: secrets, action: redact}
tests:
  - name: an ordinary question passes
    request: What is the weather like?
    expect: {decision: pass}
"""


async def _read(visit: Visit, name: str) -> FileContent | None:
    """Returns a file; `None` if there is none. Raises `HTTPBadRequest`."""
    try:
        refuse_name(name)
        return await visit.console.run(desk_of(visit.console).folder.read, name)
    except FileError as error:
        raise web.HTTPBadRequest(text=f"{error}") from None


def _draft(visit: Visit, name: str, found: FileContent | None) -> PolicyDraft:
    """Returns the draft of a file: the one of the person, or what a draft begins with."""
    draft = desk_of(visit.console).drafts.of(visit.login.name).get(name)
    if draft is not None:
        return draft
    content = found.content if found else NEW_FILE.replace("NAME", name.rsplit(".", 1)[0].lower()).encode()
    return PolicyDraft(name, found.digest if found else None, content)


async def _edit(visit: Visit) -> web.StreamResponse:
    name = visit.query.get("file", "")
    desk = desk_of(visit.console)
    found = await _read(visit, name)
    if found is not None and found.text is None:
        raise web.HTTPBadRequest(
            text="This file cannot be edited here: a form would change its bytes. Edit it on the disk."
        )
    draft = _draft(visit, name, found)
    reply = await desk.remarks_about(
        visit, desk.source({**_others(visit), draft.name: draft.content}), f"draft {draft.name}"
    )
    return visit.render(
        "policies/edit.html",
        tabs=tabs(visit, "/changes"),
        draft=draft,
        text=draft.content.decode("utf-8", "replace").replace("\r\n", "\n"),
        is_conflict=(found.digest if found else None) != draft.base,
        lines=views.diff_lines(_text(found.content) if found else "", _text(draft.content)),
        periods=PERIODS,
        samples=SAMPLES,
        has_log=visit.console.audit is not None,
        may_save=desk.folder.is_writable and visit.console.mode == "write",
        **_linted(reply, draft.name),
        **_diffed(visit),
    )


def _others(visit: Visit) -> dict[str, bytes]:
    drafts = desk_of(visit.console).drafts.of(visit.login.name)
    return {name: draft.content for name, draft in drafts.items() if draft.is_changed}


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _linted(reply: LintReply | FailedTask | CancelledTask, name: str) -> dict[str, Any]:
    """Returns what a template shows of remarks: those about the file first."""
    marks = sorted(reply.marks, key=lambda mark: (mark.file != name, mark.line)) if isinstance(reply, LintReply) else []
    return {
        "marks": marks,
        "weights": views.WEIGHTS,
        "failed": reply.why if isinstance(reply, FailedTask) else "",
        "is_read": isinstance(reply, LintReply),
        "name": name,
    }


async def _keep(visit: Visit) -> web.StreamResponse:
    """Keeps a draft, and answers with the remarks about it: to htmx in a part, to others with the editor."""
    desk, form = desk_of(visit.console), await visit.form()
    name = form.get("file", "")
    found = await _read(visit, name)
    base = form.get("base", "")
    draft = desk.drafts.of(visit.login.name).get(name)
    if form.get("theirs"):
        desk.drafts.drop(visit.login.name, name)
        return visit.see_other("policies", "/edit", file=name)
    content = from_form(form.get("content", ""), found.content if found else b"")
    is_handed_over = "base" not in form and not form.get("mine")
    if is_handed_over and draft is not None and draft.is_changed and draft.content != content:
        raise web.HTTPConflict(
            text=f"You have a draft of {name} already. Propose it or discard it, and hand this over again."
        )
    if is_handed_over or form.get("mine"):
        base = found.digest if found else ""
    try:
        kept = desk.drafts.put(visit.login.name, PolicyDraft(name, base or None, content))
    except DraftError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    if not visit.wants_part:
        return visit.see_other("policies", "/edit", file=name)
    reply = await desk.remarks_about(visit, desk.source({**_others(visit), name: content}), f"draft {name}")
    if isinstance(reply, CancelledTask):
        return web.Response(status=204)
    lines = views.diff_lines(_text(found.content) if found else "", _text(kept.content))
    return visit.render("policies/linted.html", lines=lines, **_linted(reply, name))


async def _drop(visit: Visit) -> web.StreamResponse:
    form = await visit.form()
    desk_of(visit.console).drafts.drop(visit.login.name, form.get("file", ""))
    return visit.see_other("policies", "/changes")


async def _download(visit: Visit) -> web.StreamResponse:
    name = visit.query.get("file", "")
    draft = _draft(visit, name, await _read(visit, name))
    return download(draft.name, draft.content)


async def _compare(visit: Visit) -> web.StreamResponse:
    """Starts to compare the drafts with the files on recorded traffic, or ends that, or shows how far it is."""
    desk, person = desk_of(visit.console), visit.login.name
    if visit.request.method == "POST":
        form = await visit.form()
        if form.get("cancel"):
            desk.workshop.stop(person, "diff")
        else:
            _start(visit, desk, form.get("days", ""), form.get("most", ""))
        if not visit.wants_part:
            return visit.see_other("policies", "/compare")
    template = "policies/compared.html" if visit.wants_part else "policies/compare.html"
    return visit.render(template, tabs=tabs(visit, "/changes"), **_diffed(visit))


def _start(visit: Visit, desk: Desk, days: str, most: str) -> None:
    log, now = visit.console.audit, time.time()
    since = now - DAY_S * float(days if days in dict(PERIODS) else PERIODS[1][0])
    number = int(most if most in dict(SAMPLES) else SAMPLES[1][0])
    new = desk.with_drafts(visit.login.name)
    task = DiffTask(desk.source(), new, str(log) if log else "", since, now, number)
    desk.workshop.start(visit.login.name, "diff", task, ", ".join(sorted(new.instead)), DIFF_S)


def _diffed(visit: Visit) -> dict[str, Any]:
    """Returns what a template shows of the last comparison."""
    job = desk_of(visit.console).workshop.job(visit.login.name, "diff")
    reply = job.reply if job else None
    compared = reply if isinstance(reply, DiffReply) else None
    return {
        "job": job,
        "compared": compared,
        "not_compared": compared.problem if compared else getattr(reply, "why", ""),
        "summary": views.summary_of(compared.counts) if compared else "",
        "effects": views.EFFECTS,
    }


ROUTES = (
    PageRoute("GET", "/edit", _edit, EDITORS, writes=False),
    PageRoute("POST", "/drafts", _keep, EDITORS, writes=False),
    PageRoute("POST", "/drafts/drop", _drop, EDITORS, writes=False),
    PageRoute("GET", "/drafts/download", _download, EDITORS, writes=False),
    PageRoute("GET", "/compare", _compare, EDITORS, writes=False),
    PageRoute("POST", "/compare", _compare, EDITORS, writes=False),
)
