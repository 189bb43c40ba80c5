"""What a model that reads in spans declares: `spans` in `config.json`.

Depth 0 (`scoring/depth.py`) reads every span of a text, and the encoder reads only the rows of the spans that depth 0 leaves
open. Depth 0 has some columns; a column's logit is a weighted sum of n-grams, of the network in `first_stage.onnx`, and of a
bias for each kind of channel. The logit of a span that the encoder reads is the encoder's plus `weight` times the column.
That of a span that it does not read is `alone` plus `slope` times the column, on the same scale.

The encoder may have an exit behind its lower layers, with some columns of its own. Where they say that a row is clearly
harmless, the upper layers need not run, and the spans that the row judges have the exit's score, made like that of depth 0.
What counts as clearly harmless is one for both: `below` in `first_stage`.

Decisions: docs/decisions/0058-every-span-is-read-cheaply.md
docs/decisions/0059-what-ships-is-chosen-on-strangers.md
docs/decisions/0061-the-encoder-has-an-exit.md
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardproxy.errors import ConfigError
from guardproxy.findings import KINDS, Kind
from guardproxy.inference.folders.folder import is_number

ANY = "any"
SPAN = 48
"""Tokens of a span."""
MOST_COLUMNS = 8
"""Columns of depth 0."""
_MOST = 1000.0


@dataclass(frozen=True, slots=True)
class Column:
    """A column of depth 0. `scale`: what a step of the table's 8 bits is worth. `network`: the weight of the network's column
    of the same number. `bias`: by kind of channel; `any` for every kind without its own."""

    scale: float
    network: float
    bias: Mapping[str, float]

    def bias_in(self, kind: Kind | None) -> float:
        return self.bias.get(kind or ANY, self.bias[ANY])


@dataclass(frozen=True, slots=True)
class DepthPart:
    """The part of depth 0 in an output: its column, the `weight` of the column beside the encoder's logit, and `slope` and
    `alone`, which make a logit of the column where the encoder does not read."""

    column: int
    weight: float
    slope: float
    alone: float


@dataclass(frozen=True, slots=True)
class EncoderExit:
    """The exit of the encoder: its columns, of which only the `bias` counts, and their parts in the outputs, without a
    `weight`. An output that is not in `parts` needs the whole encoder."""

    columns: tuple[Column, ...]
    parts: Mapping[str, DepthPart]


@dataclass(frozen=True, slots=True)
class SpanReading:
    """How a model reads in spans. An output that is not in `parts` is scored by the encoder alone, so no span is cleared for
    it. `merges`: whether a row may judge the span before its own, too. `exit`: that of the encoder, if it has one."""

    columns: tuple[Column, ...]
    parts: Mapping[str, DepthPart]
    merges: bool = False
    exit: EncoderExit | None = None

    @property
    def has_network(self) -> bool:
        """Whether any column needs `first_stage.onnx`."""
        return any(column.network for column in self.columns)


def read(path: Path, entry: Any, outputs: Sequence[str]) -> SpanReading:
    """Reads `spans` of a configuration, for a model with these outputs. Raises `ConfigError`.

    `path`: of the configuration, for messages.
    """
    if not isinstance(entry, dict) or set(entry) - {"merge", "exit"} != {"tokens", "columns", "outputs"}:
        raise ConfigError(
            f"{path}: `spans` must have `tokens`, `columns` and `outputs`, and may have `merge` and `exit`"
        )
    if not isinstance(entry.get("merge", False), bool):
        raise ConfigError(f"{path}: `spans`: `merge` must be true or false")
    if entry["tokens"] != SPAN:
        raise ConfigError(f"{path}: `spans`: `tokens` must be {SPAN}, the only length that is known")
    columns, by_output = entry["columns"], entry["outputs"]
    if not isinstance(columns, list) or not 0 < len(columns) <= MOST_COLUMNS:
        raise ConfigError(f"{path}: `spans`: `columns` must be a list of 1 to {MOST_COLUMNS} columns")
    if not isinstance(by_output, dict) or not set(by_output) <= set(outputs):
        raise ConfigError(f"{path}: `spans`: `outputs` must map outputs to their part of depth 0")
    return SpanReading(
        tuple(_column(path, column) for column in columns),
        {output: _part(path, output, part, len(columns)) for output, part in by_output.items()},
        entry.get("merge", False),
        _exit(path, entry["exit"], set(by_output)) if "exit" in entry else None,
    )


def _exit(path: Path, entry: Any, outputs: Collection[str]) -> EncoderExit:
    """`outputs`: those that depth 0 has a part in: what it never clears has no limit."""
    if not isinstance(entry, dict) or set(entry) != {"columns", "outputs"}:
        raise ConfigError(f"{path}: `spans`: `exit` must have `columns` and `outputs`")
    biases, by_output = entry["columns"], entry["outputs"]
    if not isinstance(biases, list) or not 0 < len(biases) <= MOST_COLUMNS:
        raise ConfigError(f"{path}: `spans`: `columns` of `exit` must list the bias of 1 to {MOST_COLUMNS} columns")
    if not isinstance(by_output, dict) or not set(by_output) <= set(outputs):
        raise ConfigError(f"{path}: `spans`: `outputs` of `exit` must map outputs of `spans` to their part of the exit")
    columns = tuple(_column(path, {"scale": 0, "network": 0, "bias": bias}) for bias in biases)
    parts = {}
    for output, part in by_output.items():
        if not isinstance(part, dict) or set(part) != {"column", "slope", "alone"}:
            raise ConfigError(f"{path}: `spans`: `{output}` of `exit` must have `column`, `slope` and `alone`")
        parts[output] = _part(path, output, {**part, "weight": 0.0}, len(columns))
        if not parts[output].slope:
            raise ConfigError(f"{path}: `spans`: the `slope` of `{output}` of `exit` must be above 0")
    return EncoderExit(columns, parts)


def _column(path: Path, entry: Any) -> Column:
    if not isinstance(entry, dict) or set(entry) != {"scale", "network", "bias"} or not isinstance(entry["bias"], dict):
        raise ConfigError(
            f"{path}: `spans`: each of `columns` must have `scale`, `network` and `bias` by kind of channel"
        )
    bias = entry["bias"]
    if ANY not in bias or not set(bias) <= {ANY, *KINDS}:
        raise ConfigError(f"{path}: `spans`: `bias` must have `any`, and no more than kinds of channel beside it")
    for number in (entry["scale"], entry["network"], *bias.values()):
        if not is_number(number, -_MOST, _MOST):
            raise ConfigError(f"{path}: `spans`: the numbers of `columns` must be from {-_MOST:.0f} to {_MOST:.0f}")
    own = {kind: float(number) for kind, number in bias.items()}
    with_documents = {"document": own["tool_result"], **own} if "tool_result" in own else own
    return Column(float(entry["scale"]), float(entry["network"]), with_documents)


def _part(path: Path, output: str, entry: Any, columns: int) -> DepthPart:
    if not isinstance(entry, dict) or set(entry) != {"column", "weight", "slope", "alone"}:
        raise ConfigError(f"{path}: `spans`: `{output}` must have `column`, `weight`, `slope` and `alone`")
    column = entry["column"]
    if isinstance(column, bool) or not isinstance(column, int) or not 0 <= column < columns:
        raise ConfigError(f"{path}: `spans`: the `column` of `{output}` must be the number of one of `columns`")
    # A slope below 0 would clear what depth 0 finds suspicious.
    numbers = ((entry["weight"], 0.0), (entry["slope"], 0.0), (entry["alone"], -_MOST))
    if not all(is_number(number, least, _MOST) for number, least in numbers):
        raise ConfigError(
            f"{path}: `spans`: `{output}` must have a `weight` and a `slope` from 0, and an `alone`, at most {_MOST:.0f}"
        )
    return DepthPart(column, float(entry["weight"]), float(entry["slope"]), float(entry["alone"]))
