"""Graphs whose attention is one node: the same logits for rows that run alone, and refused where they would differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guardproxy.errors import ConfigError
from guardproxy.lab.exporting.fusing import fuse_attention
from guardproxy.lab.exporting.graphs import batch, parity, write_graph, write_int8

pytestmark = pytest.mark.export
HEADS, WIDTH = 2, 16


def network(near: float = 0.0, layers: int = 2) -> Any:
    """Attention as in BERT, without a mask. `near`: what distance adds to a score, which a fused node cannot do."""
    import torch
    from torch.nn.functional import softmax

    class Layer(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.out = (torch.nn.Linear(WIDTH, WIDTH) for _ in range(4))

        def forward(self, states: Any) -> Any:
            rows, tokens = states.shape[:2]
            split = [
                side(states).view(rows, tokens, HEADS, WIDTH // HEADS).transpose(1, 2)
                for side in (self.query, self.key, self.value)
            ]
            places = torch.arange(tokens)
            bias = near * (places[:, None] - places[None, :]).abs().float()
            scores = split[0] @ split[1].transpose(-1, -2) / (WIDTH // HEADS) ** 0.5 + bias
            heads = softmax(scores, -1) @ split[2]
            return states + self.out(heads.transpose(1, 2).reshape(rows, tokens, WIDTH))

    class Encoder(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.words = torch.nn.Embedding(60, WIDTH)
            self.layers = torch.nn.ModuleList(Layer() for _ in range(layers))
            self.head = torch.nn.Linear(WIDTH, 3)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.words(input_ids)
            for layer in self.layers:
                states = layer(states)
            mask = attention_mask.unsqueeze(-1).float()
            return self.head((states * mask).sum(1) / mask.sum(1))

    return Encoder()


def drawn(folder: Path, **options: Any) -> tuple[Any, Path]:
    own = network(**options)
    write_graph(own, folder / "whole.onnx", ("input_ids", "attention_mask"), False)
    return own, folder / "whole.onnx"


def kinds(path: Path) -> list[str]:
    import onnx

    return [node.op_type for node in onnx.load(str(path)).graph.node]


def test_fused_attention_gives_the_logits_of_the_network(tmp_path: Path) -> None:
    own, whole = drawn(tmp_path)
    assert fuse_attention(whole, tmp_path / "fused.onnx", HEADS) == 2
    assert kinds(tmp_path / "fused.onnx").count("MultiHeadAttention") == 2
    assert "Softmax" not in kinds(tmp_path / "fused.onnx")
    rng = np.random.default_rng(1)
    rows = [batch([rng.integers(0, 60, length).tolist()], 0) for length in (1, 2, 7, 33)]
    assert parity(own, tmp_path / "fused.onnx", rows).logit_most < 1e-4


def test_eight_bits_of_a_fused_graph_are_near_and_leave_no_file_behind(tmp_path: Path) -> None:
    own, whole = drawn(tmp_path)
    write_int8(whole, tmp_path / "small.onnx", heads=HEADS)
    assert {path.name for path in tmp_path.iterdir()} == {"whole.onnx", "small.onnx"}
    assert {"MultiHeadAttention", "MatMulInteger"} <= set(kinds(tmp_path / "small.onnx"))
    rows = [batch([[5, 6, 7, 8]], 0), batch([[9] * 30], 0)]
    assert parity(own, tmp_path / "small.onnx", rows).logit_most < 0.2


@pytest.mark.parametrize(
    ("options", "heads", "message"),
    [
        ({"near": 1.0}, HEADS, "a logit changes by"),
        ({}, 4, "a logit changes by"),
        ({"layers": 0}, HEADS, "there is none"),
    ],
)
def test_what_would_change_the_logits_is_refused(
    tmp_path: Path, options: dict[str, Any], heads: int, message: str
) -> None:
    _, whole = drawn(tmp_path, **options)
    with pytest.raises(ConfigError, match=f"cannot be fused: {message}"):
        fuse_attention(whole, tmp_path / "fused.onnx", heads)


def test_attention_of_another_form_is_refused(tmp_path: Path) -> None:
    import torch

    class Plain(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(60, WIDTH)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return (torch.softmax(self.words(input_ids), -1) * attention_mask.unsqueeze(-1)).sum(1)

    write_graph(Plain(), tmp_path / "whole.onnx", ("input_ids", "attention_mask"), False)
    with pytest.raises(ConfigError, match="its form is unknown"):
        fuse_attention(tmp_path / "whole.onnx", tmp_path / "fused.onnx", HEADS)
