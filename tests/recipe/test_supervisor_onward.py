"""A folder of a training that went on: the mean of the weights, and the depth 0 of the folder before."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: make test-export")
pytest.importorskip("torch", reason="needs torch: make test-export")
pytestmark = pytest.mark.export

import torch  # noqa: E402

from guardproxy.inference.models import find, read  # noqa: E402
from models.supervisor.recipe.first.assemble import columns, config_of  # noqa: E402
from models.supervisor.recipe.third.onward import depth_of, mean  # noqa: E402


def test_what_the_trainings_leave_of_the_mean_is_the_old_weight() -> None:
    old, one, other = ({"head": torch.full((2,), value)} for value in (8.0, 4.0, 0.0))
    assert mean(old, [])["head"].tolist() == [8.0, 8.0]
    assert mean(old, [(0.25, one)])["head"].tolist() == [7.0, 7.0]
    assert mean(old, [(0.25, one), (0.5, other)])["head"].tolist() == [3.0, 3.0]
    assert mean(old, [(0.5, one), (0.5, {"head": torch.zeros(2, dtype=torch.bfloat16)})])["head"].tolist() == [2.0, 2.0]


def test_depth_0_is_that_of_the_folder() -> None:
    model = read(find())
    assert model.spans
    config = config_of(model.folder)
    assert columns(depth_of(config), np.zeros(2)) == config["spans"]["columns"]
