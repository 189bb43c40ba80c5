"""How rows go through a session: one by one on a CPU, in fixed shapes on a GPU, whose code runs here on a CPU."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.errors import ConfigError
from guardproxy.inference.folders.folder import GPU_FILE
from guardproxy.inference.models import find, read
from guardproxy.inference.running import session
from guardproxy.inference.running.batching import Row, StoppableRow
from guardproxy.inference.running.device import CPU, CUDA
from guardproxy.inference.running.session import BatchedRows, Session, SingleRows, is_exact, local_network

ROWS: list[Row] = [(101, *range(2000, 2000 + count), 102) for count in (0, 5, 9, 60)]


@cache
def shipped(threads: int = 1) -> Session:
    return Session(find() / "model.onnx", threads, (CPU,))


class Small(BatchedRows):
    """As on a GPU, with batches that a CPU runs in no time."""

    TOKENS = 256
    LENGTHS = (16, 64, 256)


def test_a_row_alone_has_the_logits_it_has_beside_others() -> None:
    network = SingleRows(shipped(), 2)
    assert is_exact(network, ROWS)
    assert (network.workers, network.provider) == (2, CPU)


def test_a_row_that_stops_at_the_exit_gives_its_columns_and_no_more() -> None:
    """As the shipped encoder: nothing else changes, and nothing stops that is not told to."""
    width = len(read(find()).outputs)
    for row in ROWS:
        (whole,) = SingleRows(shipped(), 1).run([row])
        stopped, going_on = SingleRows(shipped(), 1).run(
            [StoppableRow(row, (math.inf, math.inf)), StoppableRow(row, (math.inf, -math.inf))]
        )
        assert going_on == whole
        assert stopped[width:] == whole[width:]
        assert all(map(math.isnan, stopped[:width]))


def test_more_threads_change_no_score() -> None:
    one, two = (SingleRows(shipped(threads), 1).run(ROWS) for threads in (1, 2))
    assert one == two


def test_the_int8_network_does_not_pass_for_one_whose_rows_may_share_a_batch() -> None:
    """Its activations are scaled over the whole batch: this is why its rows run alone."""
    network = Small(shipped(), 0, "cpu")
    assert not is_exact(network, ROWS)


class Sums:
    """A session that gives each row the sum of its tokens; `spill`: and something of what stands beside it."""

    def __init__(self, spill: float = 0.0) -> None:
        self.spill = spill
        self.shapes: list[tuple[int, ...]] = []

    def get_providers(self) -> list[str]:
        return [CUDA]

    def io_binding(self) -> Bound:
        return Bound()

    def run_with_iobinding(self, binding: Bound) -> None:
        ids, mask = (binding.inputs[name].numpy() for name in ("input_ids", "attention_mask"))
        self.shapes.append(ids.shape)
        binding.found = (ids * mask).sum(1, keepdims=True) + self.spill * (ids * mask).sum()


class Bound:
    """What is bound to one shape."""

    def __init__(self) -> None:
        self.inputs: dict[str, Any] = {}
        self.found: Any = None

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        self.inputs[name] = value

    def bind_output(self, name: str, device: str) -> None:
        assert (name, device) == ("logits", "cpu")

    def copy_outputs_to_cpu(self) -> list[Any]:
        return [self.found]


def fake(spill: float = 0.0) -> tuple[Small, Sums]:
    sums = Sums(spill)
    holder: Any = Session.__new__(Session)
    holder.session, holder.provider = sums, CUDA
    return Small(holder, 7, "cpu"), sums


rows = st.lists(st.lists(st.integers(1, 30_000), min_size=1, max_size=256).map(tuple), max_size=40)


@settings(max_examples=60, deadline=None)
@given(rows)
def test_batches_have_few_shapes_and_every_row_its_own_logits(given_rows: list[Row]) -> None:
    network, sums = fake()
    assert network.run(given_rows) == [[sum(row)] for row in given_rows]
    assert set(sums.shapes) <= {(16, 16), (4, 64), (1, 256)}


def test_rows_of_one_length_share_as_many_batches_as_they_need() -> None:
    network, sums = fake()
    network.run([(1,) * 40] * 9 + [(1,) * 3])
    assert sums.shapes == [(16, 16), (4, 64), (4, 64), (4, 64)]


def test_a_network_shows_whether_neighbours_change_it() -> None:
    assert is_exact(fake()[0], ROWS)
    assert not is_exact(fake(spill=1e-9)[0], ROWS)


def test_a_gpu_is_used_where_the_session_proves_it_and_the_folder_has_a_network_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As far as this can be shown without one: the session is made up."""
    asked: list[tuple[str, Sequence[str]]] = []
    given_provider, spill = CUDA, 0.0

    class Made(Session):
        def __init__(self, path: Any, threads: int, wanted: Sequence[str] = ()) -> None:
            asked.append((path.name, wanted))
            self.provider = given_provider if len(wanted) == 2 else CPU
            self.session = Sums(spill)

        def logits(self, row: Row) -> list[float]:
            return [float(sum(row))]

    monkeypatch.setattr(session, "Session", Made)
    monkeypatch.setattr(session, "BatchedRows", lambda made, pad: Small(made, pad, "cpu"))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    model = read(find())
    plain = replace(model, files=model.files - {"model.fp16.onnx"})

    assert isinstance(local_network(model, 0, ROWS, 1, 3), Small)
    assert asked == [("model.fp16.onnx", (CUDA, CPU))]
    spill = 0.5
    alone = local_network(model, 0, ROWS, 1, 3)
    assert (type(alone), alone.workers, alone.provider) == (SingleRows, 1, CUDA), "neighbours change it"
    given_provider = CPU
    network = local_network(model, 0, ROWS, 1, 3)
    assert (type(network), network.workers, network.provider) == (SingleRows, 3, CPU), (
        "an available provider proves nothing"
    )
    assert asked[-1] == ("model.onnx", (CPU,))
    asked.clear()
    local_network(plain, 0, ROWS, 1, 3)
    assert asked == [("model.onnx", (CPU,))]


def test_a_changed_network_for_a_gpu_is_refused_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "obstacle", lambda has_network: "")
    monkeypatch.setattr(session, "Session", lambda *given: pytest.fail("it was loaded"))
    shutil.copy(find() / "SHA256SUMS", tmp_path)
    (tmp_path / GPU_FILE).write_bytes(b"changed")
    with pytest.raises(ConfigError, match=f"{GPU_FILE} does not match SHA256SUMS"):
        local_network(replace(read(find()), folder=tmp_path), 0, ROWS, 1, 1)


def test_no_thread_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one thread"):
        Session(find() / "model.onnx", 0)
