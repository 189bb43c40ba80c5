"""Files of policies with their remarks, the coverage table, and tests.

In: visits. Out: pages. What the files say is read by the workbench.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from guardproxy.console.contract import EVERYBODY, PageRoute, Visit
from guardproxy.console.pages.policies import views
from guardproxy.console.pages.policies.desk import READING, desk_of
from guardproxy.console.pages.policies.files import FileContent, FileError
from guardproxy.console.pages.policies.tasks import TryReply, TryTask
from guardproxy.console.pages.policies.workshop import TESTS_S
from guardproxy.console.proxy_client import ProxyError

TABS = (("Files", ""), ("Coverage", "/coverage"), ("Playground", "/playground"), ("Changes", "/changes"))


def tabs(visit: Visit, current: str) -> list[tuple[str, str, bool]]:
    """Returns the tabs of the page. `current`: the path of the one that is shown."""
    waiting = sum(proposal.is_open for proposal in desk_of(visit.console).drafts.proposals())
    return [
        (
            f"{title} ({waiting})" if path == "/changes" and waiting else title,
            visit.url("policies", path),
            path == current,
        )
        for title, path in TABS
        if path != "/changes" or visit.login.role != "viewer"
    ]


async def in_force(visit: Visit) -> str:
    """Returns the digest of the policies in force; empty if the proxy does not answer, or if its workers differ."""
    try:
        told = await visit.console.proxy.get("/all/version")
    except ProxyError:
        return ""
    return digest_in(told)


def digest_in(told: object) -> str:
    """Returns the digest in an answer of one process, or in that of all workers if they agree."""
    answers = [told, *told.values()] if isinstance(told, dict) else []
    found = {
        answer["policies"] for answer in answers if isinstance(answer, dict) and isinstance(answer.get("policies"), str)
    }
    return str(found.pop()) if len(found) == 1 else ""


async def file_of(visit: Visit, name: str) -> FileContent:
    """Returns a file. Raises `HTTPNotFound`."""
    try:
        found = await visit.console.run(desk_of(visit.console).folder.read, name)
    except FileError as error:
        raise web.HTTPNotFound(text=f"{error}") from None
    if found is None:
        raise web.HTTPNotFound(text="There is no such file of policies.")
    return found


async def _files(visit: Visit) -> web.StreamResponse:
    desk = desk_of(visit.console)
    try:
        names = await visit.console.run(desk.folder.names)
    except FileError as error:
        return visit.render(
            "policies/page.html", tabs=tabs(visit, ""), problem=str(error), rows=(), desk=desk, **_NOTHING
        )
    reply, problem = await desk.remarks(visit)
    listed = set(names)
    return visit.render(
        "policies/page.html",
        tabs=tabs(visit, ""),
        problem=problem,
        is_reading=problem == READING,
        rows=views.file_rows(names, reply.policies, reply.marks, _edited(visit)),
        elsewhere=tuple(mark for mark in reply.marks if mark.file not in listed),
        desk=desk,
        digest=reply.digest,
        in_force=await in_force(visit),
    )


_NOTHING: dict[str, Any] = {"is_reading": False, "elsewhere": (), "digest": "", "in_force": ""}


def _edited(visit: Visit) -> list[str]:
    drafts = desk_of(visit.console).drafts.of(visit.login.name)
    return [name for name, draft in drafts.items() if draft.is_changed]


async def _file(visit: Visit) -> web.StreamResponse:
    name = visit.query.get("name", "")
    found = await file_of(visit, name)
    desk = desk_of(visit.console)
    reply, problem = await desk.remarks(visit)
    marks = [mark for mark in reply.marks if mark.file == name]
    text = found.content.decode("utf-8", "replace")
    lines = views.file_lines(text, marks)
    return visit.render(
        "policies/file.html",
        tabs=tabs(visit, ""),
        problem=problem,
        is_reading=problem == READING,
        name=name,
        digest=found.digest,
        size_bytes=len(found.content),
        lines=lines,
        more=text.count("\n") + 1 - len(lines) if len(lines) == views.LIMIT_LINES else 0,
        marks=marks,
        policies=tuple(policy for policy in reply.policies if policy.file == name),
        weights=views.WEIGHTS,
        may_edit=visit.login.role != "viewer" and found.text is not None,
        is_text=found.text is not None,
    )


async def _download(visit: Visit) -> web.StreamResponse:
    found = await file_of(visit, visit.query.get("name", ""))
    return download(found.name, found.content)


def download(name: str, content: bytes) -> web.Response:
    """Returns a file that the browser saves."""
    kept = "".join(char if char.isalnum() or char in "._-" else "_" for char in name)
    headers = {"Content-Disposition": f'attachment; filename="{kept}"'}
    return web.Response(body=content, content_type="application/octet-stream", headers=headers)


async def _coverage(visit: Visit) -> web.StreamResponse:
    reply, problem = await desk_of(visit.console).remarks(visit)
    formats = views.covered_formats(reply.coverage)
    asked = visit.query.get("format", "")
    chosen = next((format.name for format in formats if format.name == asked), formats[0].name if formats else "")
    return visit.render(
        "policies/coverage.html",
        tabs=tabs(visit, "/coverage"),
        problem=problem,
        is_reading=problem == READING,
        errors=reply.errors,
        formats=formats,
        chosen=chosen,
        rows=views.coverage_rows(reply.coverage, chosen),
        fields=reply.fields,
    )


async def _tests(visit: Visit) -> web.StreamResponse:
    """Starts the tests of a file, or shows how far they are."""
    desk, person = desk_of(visit.console), visit.login.name
    if visit.request.method == "POST":
        form = await visit.form()
        name, with_drafts = form.get("name", ""), bool(form.get("drafts"))
        source = desk.with_drafts(person) if with_drafts else desk.source()
        desk.workshop.start(person, "tests", TryTask(source, name), name, TESTS_S)
        if not visit.wants_part:
            return visit.see_other("policies", "/tests")
    job = desk.workshop.job(person, "tests")
    reply = job.reply if job else None
    failed = getattr(reply, "why", "") or (reply.problem if isinstance(reply, TryReply) else "")
    template = "policies/tested.html" if visit.wants_part else "policies/tests.html"
    return visit.render(
        template,
        tabs=tabs(visit, ""),
        job=job,
        tested=reply if isinstance(reply, TryReply) else None,
        failed=failed,
        about=job.about if job else "",
    )


ROUTES = (
    PageRoute("GET", "", _files, EVERYBODY, writes=False),
    PageRoute("GET", "/file", _file, EVERYBODY, writes=False),
    PageRoute("GET", "/download", _download, EVERYBODY, writes=False),
    PageRoute("GET", "/coverage", _coverage, EVERYBODY, writes=False),
    PageRoute("GET", "/tests", _tests, EVERYBODY, writes=False),
    PageRoute("POST", "/tests", _tests, EVERYBODY, writes=False),
)
