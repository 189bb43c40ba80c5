"""The network of a head, run by ONNX Runtime: it gives the head's logits, and reads no token that frames a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from guardproxy.lab.learning.head import VectorHead, VectorSpace
from guardproxy.lab.learning.network import _varint, network

GENERATOR = np.random.default_rng(3)
TOKENS, WIDTH = 300, 24
SPACE = VectorSpace(
    GENERATOR.integers(-127, 128, (TOKENS, WIDTH)).astype(np.int8), GENERATOR.random(TOKENS).astype(np.float32)
)
HEAD = VectorHead(GENERATOR.normal(size=WIDTH), GENERATOR.normal(size=TOKENS), -0.75)
FIRST, LAST, PAD = 0, 1, 2


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    path: Path = tmp_path_factory.mktemp("head") / "model.onnx"
    path.write_bytes(network(HEAD, SPACE, (FIRST, LAST, PAD)))
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, rows: list[list[int]]) -> list[float]:
    width = max(map(len, rows))
    ids = np.array([row + [PAD] * (width - len(row)) for row in rows], np.int64)
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], np.int64)
    (found,) = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
    assert found.shape == (len(rows), 1)
    return [float(row[0]) for row in found]


def test_the_network_gives_the_logits_of_the_head(session: onnxruntime.InferenceSession) -> None:
    texts = [GENERATOR.integers(3, TOKENS, size) for size in (1, 2, 17, 200)]
    rows = [[FIRST, *map(int, ids), LAST] for ids in texts]
    assert run(session, rows) == pytest.approx(HEAD.logits(SPACE, texts).tolist(), abs=1e-4)
    assert [run(session, [row])[0] for row in rows] == pytest.approx(run(session, rows), abs=1e-5)


def test_a_row_without_a_token_is_no_error(session: onnxruntime.InferenceSession) -> None:
    assert run(session, [[FIRST, LAST]]) == [pytest.approx(-0.75)]


def test_whole_numbers_are_written_as_protocol_buffers_write_them() -> None:
    assert [_varint(value) for value in (0, 127, 128, 300)] == [b"\0", b"\x7f", b"\x80\x01", b"\xac\x02"]
    assert _varint(-1) == b"\xff" * 9 + b"\x01"
