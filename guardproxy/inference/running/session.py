"""Runs rows through an ONNX Runtime session: on a GPU if the session reports one, otherwise on a CPU.

In: rows of token numbers. Out: the logits of each row. Kept: the session, which any thread may use at the same time,
and on a GPU the buffers of each thread.

The logits of a row depend on that row alone, whatever runs beside it: findings must not depend on other requests, or
on how a stream was cut. An int8 network scales its activations over a whole batch, so on a CPU each row runs alone,
without padding; batches are no faster there anyway. On a GPU rows run in batches of a few fixed shapes. A test at the
start proves that the other rows of a batch change no bit; if they do, each row runs alone there too.

Decision: docs/decisions/0021-on-a-cpu-rows-of-the-model-run-one-by-one.md
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from guardproxy.errors import ConfigError
from guardproxy.inference.folders.folder import GPU_FILE, verify
from guardproxy.inference.folders.model import Model
from guardproxy.inference.running.batching import Network, Row, StoppableRow
from guardproxy.inference.running.device import CPU, CUDA, FELL_BACK, is_gpu_expected, load_libraries, obstacle

_log = logging.getLogger(__name__)

SLOW_ON_CPU = ("SkipLayerNormFusion",)
"""Optimisations that make a network slower on a CPU: the fused addition and normalisation takes six times as long as the
two by themselves, which is a tenth of a forward pass (onnxruntime 1.32)."""


class Session:
    """Runs the network. `provider`: the execution provider that the session reports."""

    def __init__(self, path: Path, threads: int, wanted: Sequence[str] = (CPU,)) -> None:
        """Raises `ConfigError` when the file is not a network or `threads` is below 1."""
        if threads < 1:
            raise ConfigError("the supervisor needs at least one thread")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Spinning threads would take CPU time from the event loop between two forward passes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        slow = SLOW_ON_CPU if providers == [CPU] else ()
        try:
            self.session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=providers, disabled_optimizers=list(slow)
            )
        except Exception as error:  # onnxruntime has no public base class for its errors here
            raise ConfigError(f"{path} cannot be run: {type(error).__name__}") from error
        # An available provider may still be refused: only the session knows which provider it uses.
        self.provider: str = self.session.get_providers()[0]

    def rows(self, output: str, **inputs: Sequence[int]) -> Any:
        """Returns the array `output` for one row of each input."""
        return self._run(output, {name: np.array([row], np.int64) for name, row in inputs.items()})

    def logits(self, row: Row) -> list[float]:
        """Returns the logits of a row of an encoder; see `Network.run`."""
        ids = np.array([row], np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        if isinstance(row, StoppableRow):
            feed["below"] = np.array(row.below, np.float32)
        found: list[float] = self._run("logits", feed).tolist()
        return found

    def _run(self, output: str, feed: dict[str, Any]) -> Any:
        return self.session.run([output], feed)[0][0]


class SingleRows:
    """A network that runs each row alone, on a CPU. Implements `guardproxy.inference.running.batching.Network`."""

    budget = 1

    def __init__(self, session: Session, workers: int) -> None:
        self._session = session
        self.provider = session.provider
        self.workers = workers

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        return [self._session.logits(row) for row in rows]

    def close(self) -> None:
        """Does nothing: the session needs no close."""


class BatchedRows:
    """A network that runs batches of fixed shapes through bound buffers, on a GPU. Implements `Network`.

    A batch has one of the lengths below and always `TOKENS` tokens; unused rows are padding. So the same kernels run
    for every batch, and a row's numbers do not depend on the other rows. Cost: a single row takes as long as a full
    batch, which on a GPU is little more than the start of a batch.
    """

    LENGTHS: tuple[int, ...] = (32, 64, 128, 256, 512)
    TOKENS = 8192
    budget = TOKENS
    workers = 2
    """While one worker waits for the device, the other prepares the next batch."""

    def __init__(self, session: Session, pad: int, device: str = "cuda") -> None:
        self._session = session.session
        self.provider = session.provider
        self._pad = pad
        self._device = device
        self._buffers = threading.local()

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        logits: list[list[float]] = [[]] * len(rows)
        for length, numbers in self.batches(rows):
            for number, row_logits in zip(numbers, self._batch(length, [rows[at] for at in numbers]), strict=False):
                logits[number] = row_logits
        return logits

    def close(self) -> None:
        """Does nothing: the session needs no close."""

    @classmethod
    def batches(cls, rows: Sequence[Row]) -> list[tuple[int, list[int]]]:
        """Groups rows into batches: returns the length of each batch and the indexes of its rows."""
        by_length: dict[int, list[int]] = {}
        for number, row in enumerate(rows):
            by_length.setdefault(next(length for length in cls.LENGTHS if len(row) <= length), []).append(number)
        return [
            (length, numbers[at : at + most])
            for length, numbers in sorted(by_length.items())
            for most in [cls.TOKENS // length]
            for at in range(0, len(numbers), most)
        ]

    def _batch(self, length: int, rows: Sequence[Row]) -> list[list[float]]:
        ids = np.full((self.TOKENS // length, length), self._pad, np.int64)
        mask = np.zeros_like(ids)
        mask[:, 0] = 1  # a row that is padding alone would divide by zero
        for at, row in enumerate(rows):
            ids[at, : len(row)] = row
            mask[at, : len(row)] = 1
        binding, inputs = self._device_buffers(length)
        for value, array in zip(inputs, (ids, mask), strict=True):
            value.update_inplace(array)
        self._session.run_with_iobinding(binding)
        logits: list[list[float]] = binding.copy_outputs_to_cpu()[0].tolist()
        return logits

    def _device_buffers(self, length: int) -> tuple[Any, tuple[Any, Any]]:
        """Returns this thread's buffers on the device for batches of a length."""
        if not hasattr(self._buffers, "known"):
            self._buffers.known = {}
        known: dict[int, tuple[Any, tuple[Any, Any]]] = self._buffers.known
        if length not in known:
            shape = (self.TOKENS // length, length)
            values = [
                onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.int64, self._device, 0) for _ in range(2)
            ]
            binding = self._session.io_binding()
            for name, value in zip(("input_ids", "attention_mask"), values, strict=True):
                binding.bind_ortvalue_input(name, value)
            binding.bind_output("logits", self._device)
            known[length] = binding, (values[0], values[1])
        return known[length]


def is_exact(network: Network, rows: Sequence[Row]) -> bool:
    """Whether a row's logits are equal to the bit when it runs alone, beside other rows, and at any index of a
    batch."""
    alone = [network.run([row])[0] for row in rows]
    back = list(reversed(rows))
    # First at the same index as alone but beside other rows; at the end, in reverse, at another index.
    beside = network.run([*rows, *back, *back])
    return beside[: len(rows)] == alone and beside[-len(rows) :] == alone[::-1]


def local_network(
    model: Model, pad: int, rows: Sequence[Row], threads: int, workers: int, device: str = "auto"
) -> Network:
    """Returns the network of a model folder on this machine. Raises `ConfigError`, also for a changed file.

    `rows`: sample rows, to warm up and to test `exact`. On a CPU `workers` forward passes of `threads` threads may run
    at the same time. `device`: `auto` takes a GPU where it can be used, `cuda` fails where it cannot.
    """
    reason = "" if device == "cpu" else obstacle(GPU_FILE in model.files)
    if device != "cpu" and not reason:
        load_libraries()
        verify(model.folder, (GPU_FILE,))
        session = Session(model.folder / GPU_FILE, threads, (CUDA, CPU))
        if session.provider == CUDA:
            batched = BatchedRows(session, pad)
            if is_exact(batched, rows):
                return batched
            _log.warning("rows run one by one: on this GPU neighbours change a row's numbers")
            return SingleRows(session, 1)
        reason = FELL_BACK
    if device == "cuda":
        raise ConfigError(f"the model `{model.folder.name}` cannot run on CUDA: {reason}")
    if reason and is_gpu_expected():
        _log.warning("a model runs on the CPU", extra={"model": model.folder.name, "error": reason})
    network = SingleRows(Session(model.folder / "model.onnx", threads, (CPU,)), workers)
    network.run(rows)
    return network
