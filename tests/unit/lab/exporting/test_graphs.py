"""Graphs against the torch networks that they were drawn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guardproxy.lab.exporting.graphs import batch, parity, write_fp16, write_graph, write_int8

ROWS = [[5, 6, 7, 8], [9, 3], [4]]


def network(per_token: bool) -> Any:
    """A small network with the inputs of an encoder: the mean of token vectors, or each token's vector."""
    import torch

    class Small(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.words = torch.nn.Embedding(20, 16)
            self.head = torch.nn.Linear(16, 3)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            mask = attention_mask.unsqueeze(-1).float()
            states = self.words(input_ids) * mask
            return self.head(states if per_token else states.sum(1) / mask.sum(1))

    return Small()


def test_a_batch_is_filled_up_and_says_where() -> None:
    ids, mask = batch(ROWS, 0)
    assert ids.tolist() == [[5, 6, 7, 8], [9, 3, 0, 0], [4, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]


@pytest.mark.export
@pytest.mark.parametrize("per_token", [False, True])
def test_a_graph_gives_the_logits_of_its_network(tmp_path: Path, per_token: bool) -> None:
    drawn = network(per_token)
    write_graph(drawn, tmp_path / "whole.onnx", ("input_ids", "attention_mask"), per_token)
    batches = [batch(ROWS, 0), batch(ROWS[:1], 0)]
    whole = parity(drawn, tmp_path / "whole.onnx", batches, per_token=per_token)
    assert whole.rows == 4
    assert whole.logit_mean <= whole.logit_most < 1e-5
    assert whole.score_mean <= whole.score_most < 1e-5
    assert whole.flips == 0
    write_fp16(tmp_path / "whole.onnx", tmp_path / "half.onnx")
    assert parity(drawn, tmp_path / "half.onnx", batches, per_token=per_token).logit_most < 0.01


@pytest.mark.export
@pytest.mark.parametrize("reduce_range", [False, True])
def test_eight_bits_are_near_and_leave_no_file_behind(tmp_path: Path, reduce_range: bool) -> None:
    drawn = network(False)
    write_graph(drawn, tmp_path / "whole.onnx", ("input_ids", "attention_mask"), False)
    write_int8(tmp_path / "whole.onnx", tmp_path / "small.onnx", reduce_range)
    assert {path.name for path in tmp_path.iterdir()} == {"whole.onnx", "small.onnx"}
    assert 0 < parity(drawn, tmp_path / "small.onnx", [batch(ROWS, 0)]).logit_most < 0.2


@pytest.mark.export
def test_parity_sees_another_network(tmp_path: Path) -> None:
    drawn = network(False)
    write_graph(drawn, tmp_path / "whole.onnx", ("input_ids", "attention_mask"), False)
    import torch

    with torch.no_grad():
        drawn.head.bias += torch.tensor([0.0, 0.0, 5.0])
    found = parity(drawn, tmp_path / "whole.onnx", [batch(ROWS, 0)], activation="softmax")
    assert found.logit_most == pytest.approx(5, abs=1e-4)
    assert found.flips > 0
    assert np.isfinite(found.score_most)
