"""The page Models: what the models in use are, what they cost, how their scores move, and what they are worth on own texts.

| module | content |
|---|---|
| `abouts` | the models in use, what a text costs them, and how their scores are spread |
| `cards` | the card of a model as parts of a page |
| `measuring` | measures a model on texts that reviewers labelled |
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from time import time as now_s
from typing import Any, get_args

from aiohttp import web

from guardproxy.console.contract import EVERYBODY, Console, Page, PageRoute, Visit, roles
from guardproxy.console.drift_watch import DriftWatch, MeasuredShift
from guardproxy.console.index import Filter
from guardproxy.console.pages.models.abouts import ModelAbout, TextCost, costs_of, model_about, score_plots
from guardproxy.console.pages.models.cards import blocks_of
from guardproxy.console.pages.models.measuring import LIMIT_ROWS_BYTES, MeasuringDesk, counts_of, labelled_texts
from guardproxy.console.proxy_client import ProxyError
from guardproxy.console.proxy_status import ProcessStatus, StatusScorer, first_status, read_statuses
from guardproxy.errors import QueryError
from guardproxy.findings import Kind
from guardproxy.reading import ReviewedTexts, reviewed_rows

MEASURERS = roles("reviewer", "operator", "auditor")
LIMIT_CARD_BYTES = 256 * 1024
LIMIT_CONFIG_BYTES = 4 * 1024 * 1024
DAY_S = 86_400.0
BASELINE_DAYS = 7
BINS = 25
BUSY = "Another measurement is under way: wait for its end."
KINDS: tuple[str, ...] = get_args(Kind)


async def _status(visit: Visit) -> ProcessStatus | None:
    """Returns what the first worker says; `None` if the proxy does not answer."""
    try:
        statuses = read_statuses(await visit.console.proxy.get("/all/status"))
    except ProxyError:
        return None
    return first_status(statuses)


async def _costs(visit: Visit) -> dict[str, TextCost]:
    try:
        return costs_of(await visit.console.proxy.text("/all/metrics"))
    except ProxyError:
        return {}


def _read(path: Path, limit_bytes: int) -> str:
    with path.open("rb") as file:
        return file.read(limit_bytes).decode("utf-8", "replace")


def _about(name: str, folder: str, status: ProcessStatus) -> ModelAbout:
    """Reads the configuration of a model, in a thread."""
    try:
        return model_about(name, folder, json.loads(_read(Path(folder) / "config.json", LIMIT_CONFIG_BYTES)), status)
    except OSError as error:
        return model_about(name, folder, None, status, f"its folder cannot be read: {error.strerror}")
    except (ValueError, RecursionError):
        return model_about(name, folder, None, status, "its config.json is not JSON")


def _card(folder: str) -> str:
    try:
        return _read(Path(folder) / "card.md", LIMIT_CARD_BYTES)
    except OSError:
        return ""


def _desk(console: Console) -> MeasuringDesk:
    desk: MeasuringDesk = console.shared.setdefault("models", MeasuringDesk(unix_s=now_s))
    return desk


def _drift(console: Console) -> DriftWatch:
    drift: DriftWatch = console.shared.setdefault("drift", DriftWatch(console.audit))
    return drift


async def _show(visit: Visit) -> web.StreamResponse:
    """Lists the models in use."""
    status = await _status(visit)
    models: list[ModelAbout] = []
    for name, folder in (status.folders if status else {}).items():
        models.append(await visit.console.run(_about, name, folder, status or ProcessStatus()))
    drift = _drift(visit.console).state()
    shifts = sorted(drift.shifts, key=lambda shift: (not shift.is_shifted, -shift.psi))
    costs = await _costs(visit) if models else {}
    return visit.render(
        "models/page.html", models=models, costs=costs, is_known=status is not None, drift=drift, shifts=shifts[:30]
    )


async def _model(visit: Visit) -> tuple[ModelAbout, ProcessStatus]:
    """Returns the model that the path names. Raises `HTTPNotFound` for one that is not in use: no other folder is read."""
    status = await _status(visit)
    folder = status.folders.get(visit.part("name")) if status else None
    if status is None or folder is None:
        raise web.HTTPNotFound(text="No check in force uses a model of this name.")
    return await visit.console.run(_about, visit.part("name"), folder, status), status


async def _show_model(visit: Visit) -> web.StreamResponse:
    """Shows a model: its card, points, costs, scores, and what it is worth on labelled texts."""
    return await _model_page(visit)


async def _model_page(visit: Visit, error: str = "", status_code: int = 200) -> web.StreamResponse:
    about, _ = await _model(visit)
    console, desk = visit.console, _desk(visit.console)
    plots = [(scorer, await _plots(visit, scorer.check, dict(scorer.least))) for scorer in about.scorers]
    shifts = [shift for shift in _drift(console).state().shifts if _is_of(shift, about)]
    measured = {label: found for label in about.labels if (found := desk.last(about.folder, label)) is not None}
    return visit.render(
        "models/model.html",
        status=status_code,
        about=about,
        blocks=blocks_of(await console.run(_card, about.folder)),
        cost=(await _costs(visit)).get(Path(about.folder).name, TextCost()),
        plots=plots,
        shifts=shifts,
        measured=measured,
        is_busy=desk.is_busy,
        error=error,
        kinds=KINDS,
        days=BASELINE_DAYS,
        bins=BINS,
    )


async def _plots(visit: Visit, check: str, least: dict[str, float]) -> Any:
    """Reads the scores of a check: of the last day, and of the days before."""
    at_s, index = now_s(), visit.console.index
    baseline = Filter(since=at_s - (BASELINE_DAYS + 1) * DAY_S, until=at_s - DAY_S)
    try:
        before = await visit.console.run(index.scores, baseline, check, BINS)
        now = await visit.console.run(index.scores, Filter(since=at_s - DAY_S), check, BINS)
    except QueryError:
        return ()
    return score_plots(before, now, least, BINS)


def _is_of(shift: MeasuredShift, about: ModelAbout) -> bool:
    """Whether a measure is about findings of a check that uses the model."""
    return any(f" {scorer.check} " in f" {shift.measure} " for scorer in about.scorers)


async def _measure(visit: Visit) -> web.StreamResponse:
    """Measures a model on the texts that reviewers labelled."""
    form = await visit.form()
    about, _ = await _model(visit)
    console, desk, label, kind = visit.console, _desk(visit.console), form.get("label", ""), form.get("channel", "user")
    if label not in about.labels or kind not in KINDS:
        return await _model_page(visit, "Choose a label that a check in force looks for, and a kind of texts.", 422)
    if desk.is_busy:
        return await _model_page(visit, BUSY, 409)
    scorers = [scorer for scorer in about.scorers if label in scorer.least]
    try:
        lines, without = await console.run(_labelled, console.audit, scorers, kind)
    except OSError as error:
        return await _model_page(visit, f"The log cannot be read: {error.strerror}", 503)
    harmless, attacks = counts_of(lines)
    if not harmless:
        reasons = "".join(f" {count:,} verdicts have no text: {reason}." for reason, count in without.items())
        text = f"There are {attacks:,} labelled attacks and no harmless text. Thresholds need both.{reasons}"
        return await _model_page(visit, text, 422)
    if desk.is_busy:  # another person started one while the log was read
        return await _model_page(visit, BUSY, 409)
    desk.start(about.folder, label, kind, b"".join(lines), visit.login.name)
    return visit.see_other("models", f"/{about.name}")


def _labelled(folder: Path | None, scorers: list[StatusScorer], kind: str) -> tuple[list[bytes], Counter[str]]:
    """Reads the texts that reviewers labelled, in a thread. Sealed texts stay sealed: they have no row."""
    without = Counter[str]()
    if folder is None:
        return [], without
    of_checks = (
        line
        for scorer in scorers
        for line in reviewed_rows(folder, ReviewedTexts(check=scorer.check, kind=kind), Counter(), Counter())
    )
    all_rows = reviewed_rows(folder, ReviewedTexts(kind=kind), Counter(), without)
    return labelled_texts(of_checks, all_rows, scorers, LIMIT_ROWS_BYTES), without


PAGE = Page(
    name="models",
    title="Models",
    key="m",
    roles=EVERYBODY,
    routes=(
        PageRoute("GET", "", _show, EVERYBODY, writes=False),
        PageRoute("GET", "/{name}", _show_model, EVERYBODY, writes=False),
        PageRoute("POST", "/{name}/measure", _measure, MEASURERS, writes=False),
    ),
    templates=Path(__file__).parent / "templates",
    summary="What the models in use are worth on your own texts, what they cost, and how their scores move.",
)
