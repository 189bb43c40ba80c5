"""The page Models as a person uses it: models in use, their cards and scores, and their worth on labelled texts."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit import ENTRY_VERSION, Reviewed
from guardproxy.audit.sealing import operator_log
from guardproxy.console.drift_watch import DriftState, DriftWatch, MeasuredShift
from guardproxy.console.index import Filter, Index
from guardproxy.console.pages import models
from guardproxy.console.pages.models.measuring import MeasuringDesk
from guardproxy.inference.models import find, read
from tests.kit.console import ConsoleSite, FakeProxy, console_site
from tests.kit.console_log import write_console_log

MODELS = Path(__file__).parents[5] / "models"
HOSTILE = "<script>alert(1)</script><i hx-get=/evil>\u202egnp"
METRICS = """# TYPE guardproxy_supervisor_texts counter
guardproxy_supervisor_texts_total{worker="0",model="supervisor",cache="miss"} 8
guardproxy_supervisor_texts_total{worker="0",model="supervisor",cache="hit"} 2
# TYPE guardproxy_supervisor_run_seconds histogram
guardproxy_supervisor_run_seconds_bucket{worker="0",model="supervisor",le="+Inf"} 4
guardproxy_supervisor_run_seconds_count{worker="0",model="supervisor"} 4
guardproxy_supervisor_run_seconds_sum{worker="0",model="supervisor"} 0.0234
"""
SCORER = {"check": "attack", "model": "supervisor", "least": {"injection": 0.62}, "policies": ["strict", "support"]}


@pytest.fixture(autouse=True)
def no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs no command beside the test."""
    monkeypatch.setattr(DriftWatch, "again", lambda self: None)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    write_console_log(folder, 200, keep=("redacted", "none"))
    return folder


@pytest.fixture
def audit(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "audit"))


def proxy(folders: dict[str, str] | None = None, **changes: Any) -> FakeProxy:
    own = {"supervisor": str(MODELS / "supervisor")} if folders is None else folders
    status = {"engine": "guardproxy 1", "folders": own, "scorers": [SCORER], **changes}
    return FakeProxy({"/all/status": json.dumps({"worker 0": status}), "/all/metrics": METRICS})


class Commands:
    """Keeps what would be measured."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []

    async def __call__(self, words: Any, rows: bytes) -> tuple[int, bytes, bytes]:
        self.rows.append(rows)
        share = {"value": 0.25, "low": 0.1, "high": 0.4}
        point = {"threshold": {**share, "value": 0.93}, "harmless": share, "attacks": share}
        output = {"output": "injection", "points": {"1%": point, "5%": {**point, "attacks": None}}, "notes": [HOSTILE]}
        return 0, json.dumps({"harmless": 3, "attacks": 2, "outputs": [output]}).encode(), b""


def judged(folder: Path, site: ConsoleSite, verdicts: dict[str, str]) -> None:
    """Lets a reviewer judge exchanges in which a rule held, by the outcome of the exchange."""
    with operator_log(folder, "test") as append:
        for outcome, verdict in verdicts.items():
            for row in site.console.index.rows(Filter(outcome=outcome, check="attack"), 20).rows:
                policy, rule = row.policies[0], row.rules[0]
                append(
                    Reviewed(
                        v=ENTRY_VERSION,
                        at=row.at + 1,
                        engine="test",
                        by="rea",
                        id=row.id,
                        verdict=verdict,  # type: ignore[arg-type]  # a word of a test
                        policy=policy,
                        rule=rule,
                    )
                )


async def test_models_in_use_are_listed_with_what_a_text_costs(audit: Path) -> None:
    async with console_site(audit, proxy=proxy()) as site:
        page = await site.get("viewer", "/console/models")
    assert 'href="/console/models/supervisor"' in page.text
    assert "2.34 ms" in page.text
    assert "20 % from memory" in page.text


async def test_without_a_model_the_page_says_what_they_are_for() -> None:
    async with console_site(None, proxy=proxy({})) as site:
        assert "No check in force uses a model" in (await site.get("viewer", "/console/models")).text


async def test_a_proxy_that_does_not_answer_is_said() -> None:
    async with console_site(None) as site:
        assert "The proxy does not answer" in (await site.get("viewer", "/console/models")).text
        assert (await site.get("viewer", "/console/models/supervisor")).status == 404


@pytest.mark.parametrize("name", ["fast", "..", "%2e%2e", "supervisor2", "etc"])
async def test_no_folder_is_read_that_no_check_uses(name: str) -> None:
    async with console_site(None, proxy=proxy()) as site:
        assert (await site.get("auditor", f"/console/models/{name}")).status in (303, 404)


async def test_a_model_has_its_card_its_points_and_its_users(audit: Path) -> None:
    points = read(find()).points["injection"]
    async with console_site(audit, proxy=proxy()) as site:
        page = await site.get("viewer", "/console/models/supervisor")
    assert page.status == 200
    for seen in (
        "Model card: supervisor",
        "Chosen on texts by others",
        f"{points['1%']:.4f}",
        "Labelled texts say what",
        "strict",
        "A text costs",
    ):
        assert seen in page.text
    assert "<!--" not in page.text
    assert "Measure</button>" not in page.text, "a viewer measures nothing"


async def test_scores_of_the_last_day_stand_beside_those_before(audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with console_site(audit, proxy=proxy()) as site:
        last = site.console.index.rows(Filter(), 1).rows[0].at
        monkeypatch.setattr(models, "now_s", lambda: last + 1)
        drift = site.console.shared["drift"] = DriftWatch(None)
        shift = MeasuredShift("score of attack injection in a request", "large", 0.4, counts=(90, 80))
        drift._state = DriftState("done", 1.0, (shift, MeasuredShift("found tone x in a request", "stable")))
        page = await site.get("viewer", "/console/models/supervisor")
        whole = await site.get("viewer", "/console/models")
    assert page.text.count("<figure") >= 1
    assert 'class="outline"' in page.text
    assert "a finding from 0.62" in page.text
    assert "score of attack injection" in page.text
    assert "found tone x" not in page.text
    assert "found tone x" in whole.text


async def test_a_model_is_measured_on_what_reviewers_labelled(audit: Path) -> None:
    run = Commands()
    async with console_site(audit, proxy=proxy()) as site:
        desk = site.console.shared["models"] = MeasuringDesk(run)
        judged(audit, site, {"blocked_request": "false_alarm", "blocked_response": "right"})
        while site.console.index.follow():
            pass
        answer = await site.post("reviewer", "/console/models/supervisor/measure", {"label": "injection"})
        assert desk._task is not None, answer.text
        await desk._task
        page = await site.get("viewer", "/console/models/supervisor")
    assert (answer.status, answer.headers["Location"]) == (303, "/console/models/supervisor")
    rows = [json.loads(line) for line in run.rows[0].splitlines()]
    assert {row["label"] for row in rows} == {0}
    assert all(row.keys() == {"text", "label"} for row in rows), "nothing of who said it"
    for seen in ("0.93", "25.0 %", "no attack is labelled", "asked for by reviewer", "3 harmless, 2 with an attack"):
        assert seen in page.text
    assert "<script>alert" not in page.text


async def test_without_labelled_texts_nothing_is_measured(audit: Path) -> None:
    run = Commands()
    async with console_site(audit, proxy=proxy()) as site:
        site.console.shared["models"] = MeasuringDesk(run)
        answer = await site.post("operator", "/console/models/supervisor/measure", {"label": "injection"})
        assert (answer.status, "no harmless text" in answer.text) == (422, True)
        for fields in ({"label": HOSTILE}, {"label": "injection", "channel": HOSTILE}, {}):
            assert (await site.post("operator", "/console/models/supervisor/measure", fields)).status == 422
        assert (await site.post("viewer", "/console/models/supervisor/measure", {"label": "injection"})).status == 403
    assert run.rows == []
    async with console_site(None, proxy=proxy()) as site:
        answer = await site.post("operator", "/console/models/supervisor/measure", {"label": "injection"})
        assert answer.status == 422


async def test_one_measurement_at_a_time(audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeasuringDesk, "is_busy", property(lambda self: True))
    async with console_site(audit, proxy=proxy()) as site:
        answer = await site.post("operator", "/console/models/supervisor/measure", {"label": "injection"})
    assert answer.status == 409


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read"), ("{", "is not JSON"), ("[]", "is not an object"), ("[" * 99_999, "JSON")],
)
async def test_a_broken_folder_is_said(tmp_path: Path, content: str | None, problem: str) -> None:
    folder = tmp_path / "broken"
    if content is not None:
        folder.mkdir()
        (folder / "config.json").write_text(content)
    async with console_site(None, proxy=proxy({"broken": str(folder)})) as site:
        for path in ("", "/broken"):
            page = await site.get("viewer", f"/console/models{path}")
            assert (page.status, problem in page.text) == (200, True)


async def test_hostile_models_are_shown_and_never_run(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    points = {HOSTILE: {HOSTILE: 0.5}}
    config = {"kind": HOSTILE, "version": HOSTILE * 1000, "outputs": [HOSTILE], "operating_points": points}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "card.md").write_text(
        f"# {HOSTILE}\n\n- {HOSTILE}\n\n| {HOSTILE} |\n|---|\n\n```\n{HOSTILE}\n" + "x" * 1_000_000
    )
    scorer = {"check": HOSTILE, "model": "m", "least": {HOSTILE: 0.5}, "policies": [HOSTILE]}
    hostile = proxy({"m": str(folder)}, scorers=[scorer], models={"m": HOSTILE})
    async with console_site(None, proxy=hostile) as site:
        for path in ("", "/m"):
            page = await site.get("operator", f"/console/models{path}")
            assert page.status == 200
            assert "<script>alert" not in page.text
            assert "<i hx-get" not in page.text
            assert "\u202e" not in page.text


def test_scores_are_counted_by_label(written: Path, tmp_path: Path) -> None:
    index = Index(Path(shutil.copytree(written, tmp_path / "log")))
    while index.follow():
        pass
    scores = index.scores(Filter(), "attack", 10)
    assert scores
    assert sum(map(sum, scores.values())) >= index.count(Filter(check="attack"))
    assert all(len(counts) == 10 for counts in scores.values())
    assert index.scores(Filter(since=1e12), "attack") == index.scores(Filter(), "'; DROP TABLE findings") == {}
    index.close()
    assert Index(None).scores(Filter(), "attack") == {}


async def test_two_who_ask_at_once_start_one_measurement(audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(MeasuringDesk, "is_busy", property(lambda self: bool(started)))
    monkeypatch.setattr(MeasuringDesk, "start", lambda self, folder, label, *rest: started.append(label))
    monkeypatch.setattr(models, "_labelled", lambda *arguments: ([b'{"text":"a","label":0}\n'], Counter[str]()))
    async with console_site(audit, proxy=proxy()) as site:
        asked = (site.post("operator", "/console/models/supervisor/measure", {"label": "injection"}) for _ in range(3))
        statuses = sorted(answer.status for answer in await asyncio.gather(*asked))
    assert statuses == [303, 409, 409]
    assert started == ["injection"]
