"""A folder that reads in spans: its files, and limits that lose no more of the found attacks than they may."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: make test-export")
pytest.importorskip("tqdm", reason="needs tqdm: make test-export")
pytestmark = pytest.mark.export

from guardproxy.checks import Query  # noqa: E402
from guardproxy.inference import Settings, load  # noqa: E402
from guardproxy.inference.folders.model import FIRST_STAGE, Model  # noqa: E402
from guardproxy.inference.models import find, read  # noqa: E402
from models.supervisor.recipe import groups  # noqa: E402
from models.supervisor.recipe.first import assemble  # noqa: E402
from models.supervisor.recipe.first.spans import COLUMNS, Table  # noqa: E402
from models.supervisor.recipe.points import Chosen  # noqa: E402
from tests.kit.piece_models import piece_model, with_first_stage  # noqa: E402
from tests.kit.span_models import table as random_table  # noqa: E402


def test_limits_of_both_kinds_of_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "LEAST", 10)
    values = np.arange(100.0)[:, None].repeat(2, 1)
    tools = np.arange(100) >= 80
    found = np.ones((100, 2), bool)
    found[:, 1] = tools
    assert assemble.limits(values, found, tools, 0.1).tolist() == [[7.0, -np.inf], [81.0, 81.0]]
    found[85:, 0] = False
    assert assemble.limits(values, found, tools, 0.1).tolist() == [[7.0, -np.inf], [-np.inf, 81.0]]


def test_tools_results_are_not_cleared_for_want_of_attacks() -> None:
    table = Table(np.zeros((1, 2), np.float32), np.array([[-3, -3], [-1, -8]], np.float32))
    below = np.array([[-7.0, -7.0], [-4.5, -np.inf]])
    assert assemble.shift(table, below).tolist() == [-2.5, 5.0]
    assert assemble.shift(table, np.full((2, 2), -np.inf)).tolist() == [0.0, 5.0]


def choice(count: int) -> list[dict[str, Any]]:
    """Attacks and harmless texts by turns, in both kinds of channel."""
    channels = ("user", "user", "tool_result", "tool_result")
    return [
        groups.make_row(f"text {at} " * (at % 60 + 1), at % 2, groups.BOTH, "made", channels[at % 4], "note")
        for at in range(count)
    ]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder's folder, which reads pieces, with a first stage that the new folder must not take over."""
    return with_first_stage(tmp_path_factory.mktemp("encoder"))


def test_a_folder_loses_what_it_says(tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "LEAST", 10)
    rows = choice(200)
    found = np.array([[row["label"] == 1, False] for row in rows])
    table = Table(np.asarray(random_table() / 50, np.float32), np.zeros((2, 2), np.float32))
    model = assemble.whole(table, encoder, tmp_path / "out")
    assert not model.clearing
    assert FIRST_STAGE not in model.files
    report = assemble.clear(table, model, rows, found, 0.1)
    assert report["injection"]["attacks"] == 100
    assert 0.05 < report["injection"]["lost"] <= 0.1
    assert report["content"]["cleared"] == {"note": 0.0}
    assert json.loads((tmp_path / "out" / "depth.json").read_text())["below"][0][1] is None
    scorer = load(tmp_path / "out", settings=Settings(workers=1, remembered=0))
    assert set(scorer.model.clearing) == {"jailbreak", "embedded_instruction"}
    outputs = tuple(scorer.model.clearing)
    judged = scorer.judge([Query(row["text"], outputs, kind=row["channel"]) for row in rows])
    lost = [all(piece.cleared for piece in pieces) for pieces, row in zip(judged, rows, strict=True) if row["label"]]
    # The numbers of a configuration are rounded, so one text at a limit may stay.
    assert report["injection"]["lost"] - 0.011 < np.mean(lost) <= report["injection"]["lost"] + 1e-9
    for pieces in judged:
        for piece in pieces:
            assert piece.cleared <= (max(piece.scores.values()) < assemble.ESTIMATE)


def test_new_points_move_the_scores_of_cleared_spans(tmp_path: Path, encoder: Path) -> None:
    table = Table(np.asarray(random_table() / 50, np.float32), np.zeros((2, 2), np.float32))
    model = assemble.whole(table, encoder, tmp_path)  # it is there already, as after a run that was interrupted
    config = assemble.config_of(model.folder)
    keys = ("calibration", "operating_points", "channel_points")
    told = {name: config[name] for name in keys}
    told["calibration"] = told["calibration"] | {"harmful": {"bias": -0.5, "temperature": 0.7}}
    told["operating_points"] = told["operating_points"] | {"harmful": {"1%": 0.77}}
    again = assemble.rescale(table, model, Chosen(**told))
    assert again.calibration["harmful"].bias == -0.5
    assert again.points["harmful"] == {"1%": 0.77}
    assert again.spans
    assert model.spans
    moved = {name for name, part in again.spans.parts.items() if part != model.spans.parts[name]}
    assert moved <= {"harmful"}
    assert {name: assemble.config_of(again.folder)[name] for name in keys} == told


@pytest.mark.parametrize("model", [piece_model(), read(find())], ids=["pieces", "shipped"])
def test_an_attack_is_found_from_the_default_point_of_its_channel(model: Model) -> None:
    rows = [
        groups.make_row("x", label, labels, "made", channel, "note")
        for label, labels, channel in (
            (1, groups.BOTH, "user"), (0, groups.BOTH, "user"), (1, ("content",), "user"), (1, groups.BOTH, "tool_result")
        )
    ]  # fmt: skip
    behind = {label: model.labels[label]["any"] for label in COLUMNS}
    for name in model.outputs:
        for row in rows:
            point = model.points_in(row["channel"])[name][model.default_point]
            scaling = model.calibration[name]
            level = scaling.bias + scaling.temperature * np.log(point / (1 - point))
            for moved, is_found in ((1e-4, True), (-1e-4, False)):
                values = np.full((1, len(model.outputs)), -50.0)
                values[0, model.outputs.index(name)] = level + moved
                asked = [name in behind[label] and label in row["labels"] for label in COLUMNS]
                wanted = [is_found and row["label"] == 1 and is_asked for is_asked in asked]
                assert assemble.found_by_encoder(values, [row], model).tolist() == [wanted]
