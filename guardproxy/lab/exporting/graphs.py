"""Draws a torch network as an ONNX graph, makes it smaller, and measures how far a graph is from the network.

In: a network `(input_ids, attention_mask) -> logits`, paths, token ids. Out: graphs, and `Parity`. torch, onnx and onnxruntime
are imported when they are used.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from guardproxy.errors import ConfigError
from guardproxy.lab.exporting.checkpoint import MISSING
from guardproxy.lab.exporting.fusing import fuse_attention

Batches = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Token ids and attention masks, (rows, tokens) each."""
Axis = Literal["rows", "tokens"]
OPSET = 17


@dataclass(frozen=True, slots=True)
class Parity:
    """The distance between a graph and torch over `rows` rows: the largest and the mean difference of a logit and of a score,
    and `flips`, the share of rows (of a tagger: tokens) with another highest column."""

    logit_most: float
    logit_mean: float
    score_most: float
    score_mean: float
    flips: float
    rows: int


def write_graph(network: Any, path: Path, inputs: tuple[str, str], per_token: bool) -> None:
    """Writes the graph of a network, with free numbers of rows and tokens. `inputs`: the names of its two inputs, the token ids
    first; `per_token`: whether its logits have a row for each token. Raises `ConfigError` when torch or onnx is missing."""
    import torch  # noqa: PLC0415

    # The rows that the graph is drawn from are padded, or a mask might be dropped.
    ids, second = (torch.from_numpy(part) for part in batch([[5] * 12, [5] * 9], 0))
    free: dict[int, Axis] = {0: "rows", 1: "tokens"}
    network.eval()  # the exporter gives a module back in the mode that it found it in
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                network,
                (ids, second),
                str(path),
                input_names=list(inputs),
                output_names=["logits"],
                dynamic_axes={**dict.fromkeys(inputs, free), "logits": free if per_token else {0: "rows"}},
                opset_version=OPSET,
                dynamo=False,
            )
        except ImportError:
            raise ConfigError(MISSING) from None


def write_int8(source: Path, target: Path, reduce_range: bool = True, heads: int = 0) -> None:
    """Quantizes the weights; activations are quantized as the graph runs. `reduce_range`: weights of 7 bits, which every
    processor multiplies without overflow; weights of 8 bits need VNNI instructions. `heads`: of the attention, which is then
    fused (see `fusing.py`): each row must run alone and without padding."""
    from onnx import TensorProto  # noqa: PLC0415
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    prepared, fused = (target.with_name(f".{target.name}.{step}") for step in ("prepared", "fused"))
    try:
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        if heads:
            fuse_attention(prepared, fused, heads)
        quantize_dynamic(
            str(fused if heads else prepared),
            str(target),
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=reduce_range,
            # onnx does not know what comes out of a fused node.
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
    finally:
        for path in (prepared, fused):
            path.unlink(missing_ok=True)


def write_fp16(source: Path, target: Path) -> None:
    """Converts weights and sums to 16 bits; the logits that come out have 32."""
    import onnx  # noqa: PLC0415
    from onnxruntime.transformers.float16 import convert_float_to_float16  # noqa: PLC0415

    onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True), str(target))


def batch(rows: list[list[int]], pad: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the rows filled up to the longest, and their mask."""
    longest = max(map(len, rows))
    ids = [[*row, *[pad] * (longest - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return np.array(ids, np.int64), np.array(mask, np.int64)


def parity(network: Any, path: Path, batches: Batches, activation: str = "sigmoid", per_token: bool = False) -> Parity:
    """Measures how far the graph at `path` is from the network on the batches, which hold the graph's two inputs. `activation`:
    `sigmoid` or `softmax`."""
    import onnxruntime  # noqa: PLC0415
    import torch  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    network.eval()
    logits: list[float] = []
    means: list[float] = []
    scores: list[float] = []
    flips: list[bool] = []
    for ids, mask in batches:
        got = session.run(["logits"], dict(zip(names, (ids, mask), strict=True)))[0]
        with torch.inference_mode():
            wanted = network(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        real = mask.astype(bool) if per_token else slice(None)  # a tag where there is no token says nothing
        pair = got[real], wanted[real]
        gaps = np.abs(pair[0] - pair[1]).max(-1)
        logits.append(float(gaps.max()))
        means += gaps.tolist()
        scores += np.abs(np.subtract(*(_activated(activation, part) for part in pair))).max(-1).tolist()
        sides = (part.argmax(-1) if part.shape[-1] > 1 else part[:, 0] > 0 for part in pair)
        flips += np.not_equal(*sides).tolist()
    rows = sum(len(ids) for ids, _ in batches)
    return Parity(
        float(np.max(logits)),
        float(np.mean(means)),
        float(np.max(scores)),
        float(np.mean(scores)),
        float(np.mean(flips)),
        rows,
    )


def _activated(activation: str, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    values = logits.astype(np.float64)
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-values)))
    powers = np.exp(values - values.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))
