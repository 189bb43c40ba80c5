"""The processes of one server (the workers, and the process that runs the models) as one admin port shows them.

In: a folder in which every process has a socket that answers like its admin port. Out: the paths below `/all`, which ask all
processes. A process that does not answer, because it is being started again, is named.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

MODELS = "models"
ASK_S = 5.0  # the longest wait for the answer of a process
Handler = Callable[[web.Request], Awaitable[web.Response]]
_FAMILY = re.compile(r"^(?=# HELP )", re.MULTILINE)
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (?=\S+$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Siblings:
    """The processes of a server. `own`: the name of this process, the number of its worker or `MODELS`; `names`: those of all
    processes; `folder`: where their sockets are, or `None` for a process without siblings."""

    own: str = "0"
    names: tuple[str, ...] = ("0",)
    folder: Path | None = None

    @property
    def socket(self) -> Path | None:
        """The socket of this process."""
        return self.folder / f"admin-{self.own}" if self.folder else None

    async def answers(self, request: web.Request, path: str, own: web.Response) -> dict[str, ProcessAnswer | None]:
        """The answers of all processes to a request for `path`, by their names; `None` if a process does not answer. `own`: the
        answer of this process."""
        others = [name for name in self.names if name != self.own]
        asked = await asyncio.gather(*(self._ask(name, request.method, path) for name in others))
        known = {self.own: ProcessAnswer(own.status, own.text or ""), **dict(zip(others, asked, strict=True))}
        return {name: known[name] for name in self.names}

    async def _ask(self, name: str, method: str, path: str) -> ProcessAnswer | None:
        assert self.folder is not None  # noqa: S101 - a process with siblings has a folder
        connector = aiohttp.UnixConnector(str(self.folder / f"admin-{name}"))
        timeout = aiohttp.ClientTimeout(total=ASK_S)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.request(method, f"http://admin{path}") as answer,
            ):
                return ProcessAnswer(answer.status, await answer.text())
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None


@dataclass(frozen=True, slots=True)
class ProcessAnswer:
    """The answer of a process: an HTTP status and a text."""

    status: int
    text: str


Answers = Mapping[str, ProcessAnswer | None]
ALONE = Siblings()
"""A process without siblings."""


def add_all(app: web.Application, handlers: Mapping[str, Handler], siblings: Siblings) -> None:
    """Adds the paths below `/all` to the application of an admin port. `handlers`: the handler of each path of this process."""
    for path, combined in _COMBINED.items():
        if path in handlers:
            method = "POST" if combined is _done else "GET"
            app.router.add_route(method, f"/all{path}", _handler(path, handlers[path], combined, siblings))


def _handler(path: str, own: Handler, combined: Callable[[Answers], web.Response], siblings: Siblings) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        mine = await own(request)
        if mine.status == 403:  # a web page asked; it reaches no other process either
            return mine
        asked = f"{path}?{request.query_string}" if request.query_string else path
        return combined(await siblings.answers(request, asked, mine))

    return handle


def _title(name: str) -> str:
    return name if name == MODELS else f"worker {name}"


def _lines(answers: Answers) -> str:
    texts = {name: answer.text if answer else "does not answer\n" for name, answer in answers.items()}
    return "".join(f"{_title(name)}: {line}\n" for name, text in texts.items() for line in text.splitlines())


def _livez(answers: Answers) -> web.Response:
    """Fails if a process says that it is stuck. The parent starts a process that ended, so a missing process is no failure."""
    is_stuck = any(answer and answer.status != 200 for answer in answers.values())
    return web.Response(text=_lines(answers), status=503 if is_stuck else 200)


def _readyz(answers: Answers) -> web.Response:
    """Fails if a process says that it is not ready, or if no worker answers. The others serve for a missing worker."""
    is_failing = any(answer and answer.status != 200 for answer in answers.values())
    is_served = any(answer for name, answer in answers.items() if name != MODELS)
    return web.Response(text=_lines(answers), status=200 if is_served and not is_failing else 503)


def _version(answers: Answers) -> web.Response:
    return web.json_response({_title(name): answer and json.loads(answer.text) for name, answer in answers.items()})


def _shown(answers: Answers) -> web.Response:
    """What each worker shows; `null` for one that does not answer. The process of the models shows nothing."""
    workers = {_title(name): answer for name, answer in answers.items() if name != MODELS}
    return web.json_response(
        {
            title: json.loads(answer.text) if answer is not None and answer.status == 200 else None
            for title, answer in workers.items()
        }
    )


def _done(answers: Answers) -> web.Response:
    """Fails if a worker could not do its work, or does not answer. The process of the models takes no part."""
    workers = {_title(name): answer for name, answer in answers.items() if name != MODELS}
    done = {name: json.loads(answer.text) if answer else {"ok": False} for name, answer in workers.items()}
    is_ok = all(answer["ok"] for answer in done.values())
    return web.json_response({"ok": is_ok, **done}, status=200 if is_ok else 422)


def _metrics(answers: Answers) -> web.Response:
    """The metrics of all processes. Each has a label `worker`, which is a number or `MODELS`."""
    families: dict[str, list[str]] = {}
    up = families.setdefault(
        "# HELP guardproxy_up 1, or 0 for a process that does not answer.\n# TYPE guardproxy_up gauge", []
    )
    for name, answer in answers.items():
        up.append(f'guardproxy_up{{worker="{name}"}} {float(answer is not None)}')
        for family in _FAMILY.split(answer.text if answer else "")[1:]:
            about, kind, samples = family.split("\n", 2)
            families.setdefault(f"{about}\n{kind}", []).append(_labelled(samples.rstrip("\n"), name))
    texts = [f"{head}\n" + "".join(f"{part}\n" for part in parts if part) for head, parts in families.items()]
    return web.Response(body="".join(texts).encode(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _labelled(samples: str, name: str) -> str:
    """Samples in the text format of Prometheus, with the label `worker`."""

    def add(sample: re.Match[str]) -> str:
        labels = f",{sample[2]}" if sample[2] else ""
        return f'{sample[1]}{{worker="{name}"{labels}}} '

    return _SAMPLE.sub(add, samples)


_COMBINED: Mapping[str, Callable[[Answers], web.Response]] = {
    "/livez": _livez,
    "/readyz": _readyz,
    "/metrics": _metrics,
    "/version": _version,
    "/status": _shown,
    "/limits": _shown,
    "/reload": _done,
    "/cache/purge": _done,
}
