"""The first stage: what it computes, in the plainest words, and what it is refused for."""

from __future__ import annotations

import math
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.errors import ConfigError
from guardproxy.inference.first_stage import FirstStage, load, spans

ROWS, UNIGRAMS, OUTPUTS = 300, 100, 3
ARRAYS: dict[str, Any] = {
    "weights": np.random.default_rng(7).normal(size=(ROWS, OUTPUTS)).astype(np.float16),
    "bias": np.array([0.5, -1.0, 0.0], np.float32),
    "thresholds": np.array([0.0, 1.0, -2.0], np.float32),
    "span": np.array(8),
    "unigrams": np.array(UNIGRAMS),
}


def saved(folder: Path, **changes: Any) -> Path:
    arrays = {name: array for name, array in (ARRAYS | changes).items() if array is not None}
    np.savez(folder / "first_stage.npz", **arrays)
    return folder / "first_stage.npz"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> FirstStage:
    return load(saved(tmp_path_factory.mktemp("stage")), OUTPUTS)


def plainly(ids: list[int], span: int) -> list[float]:
    """The definition, word by word."""
    weights = ARRAYS["weights"].astype(float)
    tokens = []
    for at, token in enumerate(ids):
        feature = weights[token % UNIGRAMS].copy()
        if at:
            feature += weights[UNIGRAMS + (ids[at - 1] * 1_000_003 + token) % (ROWS - UNIGRAMS)]
        tokens.append(feature)
    starts = [0] if len(ids) <= span else [*range(0, len(ids) - span, span // 2), len(ids) - span]
    found = []
    for start in starts:
        part = tokens[start : start + span]
        found.append(sum(part, np.zeros(OUTPUTS)) / math.sqrt(max(1, len(part))) + ARRAYS["bias"])
    return [float(value) for value in np.max(found, 0)]


@settings(max_examples=300, deadline=None)
@given(ids=st.lists(st.integers(0, 40_000), max_size=60))
def test_it_is_what_its_definition_says(stage: FirstStage, ids: list[int]) -> None:
    assert stage.scores(ids).tolist() == pytest.approx(plainly(ids, 8), abs=1e-4)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 600), st.integers(2, 60))
def test_every_token_is_in_a_span_of_full_length(count: int, span: int) -> None:
    found = spans(count, span)
    assert {at for start, end in found for at in range(start, end)} == set(range(count))
    assert {end - start for start, end in found} == {min(count, span)}
    assert all(0 < b[0] - a[0] <= span // 2 for a, b in pairwise(found))


def test_nothing_has_the_bias(stage: FirstStage) -> None:
    assert stage.scores([]).tolist() == ARRAYS["bias"].tolist()


def test_a_bad_span_is_not_lost_in_a_long_piece(stage: FirstStage) -> None:
    worst = max(range(UNIGRAMS), key=lambda token: stage.scores([token] * 8)[0])
    best = min(range(UNIGRAMS), key=lambda token: stage.scores([token] * 8)[0])
    hidden = [best] * 100 + [worst] * 12 + [best] * 100
    assert stage.scores(hidden)[0] >= stage.scores([worst] * 8)[0] - 1e-6


@pytest.mark.timing
def test_it_takes_well_under_a_millisecond(tmp_path: Path) -> None:
    weights = np.random.default_rng(7).normal(size=(100_000, 8)).astype(np.float16)
    eight = {"weights": weights, "bias": np.zeros(8, np.float32), "thresholds": np.zeros(8, np.float32)}
    stage = load(saved(tmp_path, **eight, span=np.array(48), unigrams=np.array(30_522)), 8)
    ids = list(range(2000, 2256))
    times = []
    for _ in range(200):
        began = time.thread_time()
        stage.scores(ids)
        times.append(time.thread_time() - began)
    assert sorted(times)[100] < 0.0005


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": None}, "lacks bias"),
        ({"span": None, "unigrams": None}, "lacks span, unigrams"),
        ({"weights": np.zeros((ROWS, 2), np.float32)}, r"`weights` must be float16 or float32, of shape \(rows, 3\)"),
        ({"weights": np.zeros((ROWS, 3), np.int8)}, "`weights` must be float16 or float32"),
        ({"weights": np.zeros(3, np.float32)}, "`weights` must be"),
        ({"weights": np.full((ROWS, 3), np.nan, np.float32)}, "every number must be finite"),
        ({"bias": np.zeros(2, np.float32)}, r"`bias` must be floats of shape \(3,\)"),
        ({"bias": np.zeros(3, np.int64)}, "`bias` must be floats"),
        ({"thresholds": np.zeros((3, 1), np.float32)}, "`thresholds` must be floats"),
        ({"thresholds": np.array([0, np.inf, 0], np.float32)}, "every number must be finite"),
        ({"span": np.array(1)}, "`span` must be a whole number from 2 to 512"),
        ({"span": np.array(4.0)}, "`span` must be a whole number"),
        ({"unigrams": np.array(ROWS)}, "`unigrams` must be a whole number from 2 to 299"),
        ({"unigrams": np.array([4, 5])}, "`unigrams` must be a whole number"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(saved(tmp_path, **changes), OUTPUTS)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"no arrays"])
def test_what_holds_no_arrays_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "first_stage.npz").write_bytes(content)
    with pytest.raises(ConfigError, match="is not a file of numpy arrays"):
        load(tmp_path / "first_stage.npz", OUTPUTS)


def test_a_file_that_holds_code_is_refused(tmp_path: Path) -> None:
    """An array of objects is a pickle, which would run what it says."""
    with pytest.raises(ConfigError, match="is not a file of numpy arrays"):
        load(saved(tmp_path, bias=np.array([print], dtype=object)), OUTPUTS)
