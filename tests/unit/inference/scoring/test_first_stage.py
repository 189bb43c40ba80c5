"""The first stage: what it estimates and clears, and what it is refused for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.errors import ConfigError
from guardproxy.inference.folders.clearing import Clearing, read
from guardproxy.inference.scoring.first_stage import FirstStage
from tests.kit.first_stages import graph

TOKEN = 2886
OUTPUTS = ("jailbreak", "embedded", "harm")
GOOD: dict[str, Any] = {"column": 0, "below": 0.5, "least": 0.9}
CLEARING = {"jailbreak": Clearing(0, 0.5, 0.9), "harm": Clearing(0, 1.0, 1.0)}
CONFIG = Path("config.json")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stage") / "first_stage.onnx"
    path.write_bytes(graph(TOKEN))
    return path


@pytest.fixture(scope="module")
def stage(path: Path) -> FirstStage:
    return FirstStage(path, CLEARING, OUTPUTS)


def test_an_output_without_an_entry_is_never_cleared(stage: FirstStage) -> None:
    assert stage.estimates([101, 7, 102]) == (0.0, 1.0, 0.0)
    assert stage.estimates([101, TOKEN, 102]) == (1.0, 1.0, 1.0)
    assert stage.clears((0.0, 0.0, 0.0), [0, 2])
    assert not stage.clears((0.0, 0.0, 0.0), [0, 1, 2])


def test_a_row_is_cleared_below_the_limit_of_each_requested_output(stage: FirstStage) -> None:
    assert stage.clears((0.499999, 1.0, 0.7), [0])
    assert not stage.clears((0.5, 1.0, 0.7), [0])
    assert stage.clears((0.5, 1.0, 0.7), [2])
    assert not stage.clears((0.5, 1.0, 0.7), [0, 2])


def test_a_row_can_be_cleared_if_each_requested_output_has_an_entry(stage: FirstStage) -> None:
    assert stage.can_clear([0, 2])
    assert not stage.can_clear([0, 1])


def test_a_number_that_is_none_clears_nothing(stage: FirstStage) -> None:
    assert not stage.clears((float("nan"), 1.0, 0.0), [0])


def test_a_configuration_is_read() -> None:
    assert read(CONFIG, {"jailbreak": GOOD}, OUTPUTS) == {"jailbreak": Clearing(0, 0.5, 0.9)}
    assert read(CONFIG, {}, OUTPUTS) == {}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "must map outputs"),
        ({"other": GOOD}, "must map outputs"),
        ({"harm": 0.5}, "`harm` must have `column`, `below` and `least`"),
        ({"harm": {"column": 0, "below": 0.5}}, "`harm` must have `column`, `below` and `least`"),
        ({"harm": GOOD | {"more": 1}}, "`harm` must have `column`, `below` and `least`"),
        ({"harm": GOOD | {"column": -1}}, "the `column` of `harm` must be a column"),
        ({"harm": GOOD | {"column": 1.0}}, "the `column` of `harm` must be a column"),
        ({"harm": GOOD | {"column": True}}, "the `column` of `harm` must be a column"),
        ({"harm": GOOD | {"column": 256}}, "the `column` of `harm` must be a column"),
        ({"harm": GOOD | {"below": 1.5}}, "`harm` must have a `below` and a `least` of 0 to 1, in order"),
        ({"harm": GOOD | {"below": "0.5"}}, "`harm` must have a `below` and a `least` of 0 to 1, in order"),
        ({"harm": GOOD | {"below": float("nan")}}, "`harm` must have a `below` and a `least` of 0 to 1, in order"),
        ({"harm": GOOD | {"least": 0.4}}, "`harm` must have a `below` and a `least` of 0 to 1, in order"),
        ({"harm": GOOD | {"least": None}}, "`harm` must have a `below` and a `least` of 0 to 1, in order"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(entries: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(CONFIG, entries, OUTPUTS)


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        (b"not a network", 0, "cannot be run"),
        (graph(TOKEN), 1, "does not fit `first_stage` in config.json: IndexError"),
        (graph(TOKEN).replace(b"scores", b"others"), 0, "does not fit `first_stage` in config.json"),
        (graph(TOKEN).replace(b"input_ids", b"input_xyz"), 0, "does not fit `first_stage` in config.json"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(tmp_path: Path, content: bytes, column: int, message: str) -> None:
    (tmp_path / "first_stage.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        FirstStage(tmp_path / "first_stage.onnx", {"harm": Clearing(column, 0.5, 0.9)}, OUTPUTS)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 30_521), min_size=1, max_size=256), st.lists(st.integers(0, 30_521), max_size=256))
def test_a_row_has_the_same_estimates_whatever_ran_before(
    path: Path, stage: FirstStage, row: list[int], other: list[int]
) -> None:
    fresh = FirstStage(path, CLEARING, OUTPUTS)
    stage.estimates([101, *other, TOKEN, 102])
    assert stage.estimates(row) == fresh.estimates(row)
