"""What is known about models in use: their folders, their costs and their scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from guardproxy.console.pages.models.abouts import KINDS, ScorePlot, TextCost, costs_of, model_about, score_plots
from guardproxy.console.proxy_status import ProcessStatus, StatusScorer
from guardproxy.inference import Registry

FOLDERS = sorted(Path(__file__).parents[5].glob("models/*/config.json"))
CONFIG = {
    "kind": "scores",
    "version": "4",
    "outputs": ["injection", "harmful"],
    "default_point": "1%",
    "operating_points": {"injection": {"1%": 0.87, "0.1%": 0.95}, "harmful": {"1%": 0.7}},
    "channel_points": {"user": {"injection": {"1%": 0.88}}, "system": 3},
}
SCORER = StatusScorer("attack", "mine", {"injection": 0.88, "content": 0.7}, ("strict",))
STATUS = ProcessStatus(scorers=(SCORER, StatusScorer("other", "x")), models={"folder": "CPUExecutionProvider"})


def test_a_model_has_its_points_and_those_who_use_it() -> None:
    about = model_about("mine", "/models/folder", CONFIG, STATUS)
    assert (about.does, about.version, about.runs) == (KINDS["scores"], "4", "CPU")
    assert about.point_names == ("1%", "0.1%")
    assert about.scorers == (SCORER,)
    assert about.labels == ("injection", "content")
    injection, harmful = about.row("injection"), about.row("harmful")
    assert [point and (point.score, point.is_used) for point in injection] == [(0.87, True), (0.95, False)]
    assert [point and (point.score, point.is_used) for point in harmful] == [(0.7, True), None]


@pytest.mark.parametrize("path", FOLDERS, ids=lambda path: path.parent.name)
def test_every_model_that_ships_is_described(path: Path) -> None:
    config = json.loads(path.read_text())
    about = model_about(path.parent.name, str(path.parent), config, ProcessStatus())
    assert about.does in KINDS.values()
    assert not about.problem
    assert bool(about.points) == bool(config.get("operating_points"))


@pytest.mark.parametrize(
    "config", [None, [], {}, {"operating_points": 3}, {"operating_points": {"a": 3, "b": {}}, "outputs": {}, "kind": 9}]
)
def test_a_broken_folder_is_said_or_shown_as_far_as_it_goes(config: Any) -> None:
    about = model_about("mine", "/m/mine", config, STATUS, "" if config is not None else "gone")
    assert about.points == ()
    assert bool(about.problem) == (not isinstance(config, dict))


def test_a_text_costs_what_the_meters_say() -> None:
    registry = CollectorRegistry()
    meters = Registry(registry).meters("mine")
    Registry().meters("quiet")
    meters.hits.inc(3)
    meters.misses.inc(1)
    meters.observe_batch(2, 0.010)
    meters.waited.observe(0.002)
    text = generate_latest(registry).decode() + "# TYPE other counter\nother_total 3\n"
    cost = costs_of(text)["mine"]
    assert (cost.texts, cost.cached) == (4, 0.75)
    assert (cost.each, cost.run, cost.wait) == pytest.approx((2.5, 10.0, 2.0))
    assert costs_of(text).keys() == {"mine"}
    assert costs_of("") == {}
    assert costs_of("guardproxy_supervisor_texts_total{model= broken") == {}


def test_a_model_that_only_ran_has_no_cost_of_a_text() -> None:
    text = (
        'guardproxy_supervisor_run_seconds_count{model="m"} 2\nguardproxy_supervisor_run_seconds_sum{model="m"} 0.5\n'
    )
    text = "# TYPE guardproxy_supervisor_run_seconds histogram\n" + text
    assert costs_of(text) == {"m": TextCost(0, 0.0, None, 250.0, None)}


def test_scores_are_compared_as_shares() -> None:
    plots = score_plots({"a": (10, 0, 0), "b": (1, 1, 1)}, {"a": (0, 5, 15)}, {"a": 0.5}, 3)
    first, second = plots
    assert (first.label, first.totals, first.least) == ("a", (10, 20), 0.5)
    assert first.bars() == ((1.0, 0.0), (0.0, 0.25), (0.0, 0.75))
    assert (second.label, second.now, second.least) == ("b", (0, 0, 0), None)
    assert ScorePlot("x", (), (), None).bars() == ()
    assert len(score_plots({str(number): (1,) for number in range(99)}, {}, {}, 1)) == 8
