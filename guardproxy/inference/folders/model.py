"""Reads and checks the folder of a model that scores texts.

In: a folder with `model.onnx`, `tokenizer.json`, `config.json` (format 2) and `SHA256SUMS`, and optionally `model.fp16.onnx`
for a GPU and `first_stage.onnx`. Out: a `Model`. An incomplete folder or an unknown value raises `ConfigError`. The network
takes `input_ids` and `attention_mask` (int64, rows x tokens) and gives `logits` (float32, rows x outputs). One with an exit
gives the exit's columns behind them, and `model.onnx` then also takes `below` (float32, columns), which has a default: see
`spans.py`.

Decisions:
- docs/decisions/0043-both-outputs-count-in-every-channel.md
- docs/decisions/0055-each-channel-has-its-own-points.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from guardproxy.errors import ConfigError
from guardproxy.findings import KINDS, Kind
from guardproxy.inference.folders import clearing as clearings
from guardproxy.inference.folders import folder as folders
from guardproxy.inference.folders import spans
from guardproxy.inference.folders.clearing import Clearing
from guardproxy.inference.folders.folder import GPU_FILE, is_number
from guardproxy.inference.folders.spans import SpanReading

Activation = Literal["sigmoid", "softmax"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
FORMAT = 2
"""The version of `config.json` that this code reads."""
FILES = ("model.onnx", "tokenizer.json", "config.json")
FIRST_STAGE = "first_stage.onnx"
NGRAMS = "ngrams.bin"
ANY = "any"
_MOST_TOKENS = 2**31
_MOST_CORRECTION = 10


@dataclass(frozen=True, slots=True)
class Special:
    """The tokens that begin, end and pad a row, as the tokenizer spells them."""

    first: str = "[CLS]"
    last: str = "[SEP]"
    pad: str = "[PAD]"


@dataclass(frozen=True, slots=True)
class Calibration:
    """A score is the activation of (logit - `bias`) / `temperature`."""

    bias: float = 0.0
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Model:
    """A checked model folder.

    `digest`: of all its files. `outputs`: the network's columns, in order. `labels`: for each label the outputs that
    it stands for, by kind of channel (`any`: every kind without its own entry); each output is also a label. `points`:
    for each output the score at each operating point, `default_point` among them; an output that was never calibrated
    has no points. `channel_points`: the points that differ in a kind of channel. `max_tokens`: the most tokens of one
    row, with the special tokens. `overlap_tokens`: the tokens that two neighbouring rows of a long text share.
    `channels`: the number of the token that names a kind of channel to the network, after the first token of a row;
    empty for a network that knows no channels. `clearing`: for each output how the first stage clears rows; empty for a
    model without a first stage. `length_correction`: for a text of n pieces, each logit is lowered by this number times
    ln n; where `length_pieces` is not 0, n counts as at most so many. `spans`: how depth 0 reads every span of a text, for a
    model whose encoder reads only rows that end with a span; `None` for a model that reads pieces.
    """

    folder: Path
    digest: str
    files: frozenset[str]
    version: str
    outputs: tuple[str, ...]
    activation: Activation
    labels: Mapping[str, Mapping[str, tuple[str, ...]]]
    max_tokens: int
    overlap_tokens: int
    special: Special
    channels: Mapping[Kind, int]
    calibration: Mapping[str, Calibration]
    points: Mapping[str, Mapping[str, float]]
    default_point: str
    clearing: Mapping[str, Clearing]
    length_correction: float = 0.0
    length_pieces: int = 0
    channel_points: Mapping[Kind, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    spans: SpanReading | None = None

    @property
    def width(self) -> int:
        """The number of columns that the network gives for a row."""
        return len(self.outputs) + (len(self.spans.exit.columns) if self.spans and self.spans.exit else 0)

    def points_in(self, kind: Kind) -> dict[str, dict[str, float]]:
        """Returns for each output the score at each operating point in a kind of channel."""
        own = self.channel_points.get(kind, {})
        return {output: {**points, **own.get(output, {})} for output, points in self.points.items()}

    def clears_from(self, kind: Kind) -> dict[str, float]:
        """Returns for each output that has a first stage the lowest threshold of a policy for which it may clear texts of
        this kind of channel. Its limits are chosen for the attacks found at the default point of each kind."""
        own = self.channel_points.get(kind, {})
        return {
            output: own.get(output, {}).get(self.default_point, clearing.least)
            for output, clearing in self.clearing.items()
        }


class ModelDescription:
    """The properties by which every `guardproxy.checks.Scorer` describes its model, wherever the model runs."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def digest(self) -> str:
        return self.model.digest

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.model.outputs

    @property
    def labels(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        return self.model.labels

    @property
    def points(self) -> Mapping[str, Mapping[str, float]]:
        return self.model.points

    @property
    def default_point(self) -> str:
        return self.model.default_point

    def points_in(self, kind: Kind) -> Mapping[str, Mapping[str, float]]:
        return self.model.points_in(kind)

    def clears_from(self, kind: Kind) -> Mapping[str, float]:
        return self.model.clears_from(kind)


def read(folder: Path, remote: bool = False) -> Model:
    """Checks and reads the folder of a model that gives scores. Raises `ConfigError`.

    `remote`: whether another machine runs the network; the folder may then lack it.
    """
    needed = FILES[1:] if remote else FILES
    digest, files = folders.verify(folder, needed, (*(FILES[:1] if remote else ()), GPU_FILE, FIRST_STAGE, NGRAMS))
    config = folders.configuration(folder, "scores", FORMAT)
    reading = _Reading(folder / "config.json", config)
    outputs = reading.outputs()
    max_tokens = folders.tokens_at_most(reading.path, config)
    in_spans = reading.spans(outputs, files)
    return Model(
        folder=folder,
        digest=digest,
        files=files,
        version=str(config.get("version", "")),
        outputs=outputs,
        activation=reading.activation(),
        labels={**{output: {ANY: (output,)} for output in outputs}, **reading.groups(outputs)},
        max_tokens=max_tokens,
        overlap_tokens=reading.overlap(max_tokens),
        special=reading.special(),
        channels=reading.channels(),
        calibration=reading.calibration(outputs),
        points=reading.points(outputs),
        default_point=reading.default(),
        clearing=reading.clearing(outputs, FIRST_STAGE in files or in_spans is not None, in_spans),
        length_correction=reading.length_correction(),
        length_pieces=reading.length_pieces(),
        channel_points=reading.channel_points(outputs),
        spans=in_spans,
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reads a configuration key by key. Every method raises `ConfigError`."""

    path: Path
    config: Mapping[str, Any]

    def refuse(self, text: str) -> ConfigError:
        return ConfigError(f"{self.path}: {text}")

    def outputs(self) -> tuple[str, ...]:
        names = self.config.get("outputs", ())
        if not _words(names):
            raise self.refuse("`outputs` must be a list of the network's outputs, at least one, each once")
        return tuple(names)

    def activation(self) -> Activation:
        name = self.config.get("activation", "sigmoid")
        if name not in ACTIVATIONS:
            raise self.refuse(f"`activation` must be one of {', '.join(ACTIVATIONS)}")
        return name  # type: ignore[no-any-return]

    def groups(self, outputs: tuple[str, ...]) -> dict[str, dict[str, tuple[str, ...]]]:
        """Returns the labels that stand for several outputs, or for different outputs in different kinds of channel."""
        labels = self.config.get("labels", {})
        if not isinstance(labels, dict):
            raise self.refuse("`labels` must map the name of a group to its outputs by kind of channel")
        for name, kinds in labels.items():
            if name in outputs:
                raise self.refuse(f"`labels`: `{name}` is an output, which is a label already")
            if not isinstance(kinds, dict) or not kinds:
                raise self.refuse(f'`labels`: `{name}` must be like {{"any": ["{outputs[0]}"]}}')
            for kind, behind in kinds.items():
                if kind != ANY and kind not in KINDS:
                    raise self.refuse(f"`labels`: `{kind}` is not a kind of channel; known: any, {', '.join(KINDS)}")
                if not _words(behind) or not set(behind) <= set(outputs):
                    raise self.refuse(f"`labels`: `{name}` must list outputs for `{kind}`; known: {', '.join(outputs)}")
        return {
            name: {kind: tuple(behind) for kind, behind in _with_documents(kinds).items()}
            for name, kinds in labels.items()
        }

    def overlap(self, max_tokens: int) -> int:
        tokens = self.config.get("overlap_tokens", 64)
        most = (max_tokens - 2) // 2
        if isinstance(tokens, bool) or not isinstance(tokens, int) or not 0 <= tokens <= most:
            raise self.refuse(f"`overlap_tokens` must be a whole number from 0 to {most}, half of a row")
        return tokens

    def length_correction(self) -> float:
        correction = self.config.get("length_correction", 0)
        if not is_number(correction, 0, _MOST_CORRECTION):
            raise self.refuse(f"`length_correction` must be a number from 0 to {_MOST_CORRECTION}")
        if correction and self.activation() != "sigmoid":
            raise self.refuse("`length_correction` needs `sigmoid`: with `softmax` it would change no score")
        return float(correction)

    def length_pieces(self) -> int:
        most = self.config.get("length_pieces", 0)
        if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= _MOST_TOKENS:
            raise self.refuse(
                "`length_pieces` must be a whole number: from how many pieces on a text is lowered no further"
            )
        return most

    def special(self) -> Special:
        tokens = self.config.get("special", {})
        known = {"first", "last", "pad"}
        if not isinstance(tokens, dict) or not set(tokens) <= known or not all(_word(name) for name in tokens.values()):
            raise self.refuse("`special` must name the tokens `first`, `last` and `pad`")
        return Special(**tokens)

    def channels(self) -> dict[Kind, int]:
        """Returns the token of each kind of channel; a kind without a token is not named to the network."""
        tokens = self.config.get("channels", {})
        if not isinstance(tokens, dict):
            raise self.refuse('`channels` must map kinds of channel to the numbers of tokens, like {"user": 1}')
        for kind, number in tokens.items():
            if kind not in KINDS:
                raise self.refuse(f"`channels`: `{kind}` is not a kind of channel; known: {', '.join(KINDS)}")
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < _MOST_TOKENS:
                raise self.refuse(f"`channels`: `{kind}` must have the number of a token of the vocabulary")
        return _with_documents(tokens)

    def calibration(self, outputs: tuple[str, ...]) -> dict[str, Calibration]:
        entries = self.config.get("calibration", {})
        if not isinstance(entries, dict) or not set(entries) <= set(outputs):
            raise self.refuse("`calibration` must map outputs to their `bias` and `temperature`")
        for output, entry in entries.items():
            fine = isinstance(entry, dict) and set(entry) <= {"bias", "temperature"}
            if not fine or not is_number(entry.get("bias", 0), -100, 100):
                raise self.refuse(f"`calibration`: `{output}` must have a `bias` from -100 to 100 and a `temperature`")
            if not is_number(entry.get("temperature", 1), 0.01, 100):
                raise self.refuse(f"`calibration`: the `temperature` of `{output}` must be from 0.01 to 100")
        return {
            output: Calibration(float(entry.get("bias", 0)), float(entry.get("temperature", 1)))
            for output in outputs
            for entry in [entries.get(output, {})]
        }

    def spans(self, outputs: tuple[str, ...], files: frozenset[str]) -> SpanReading | None:
        """Returns how the model reads in spans, `None` if it reads pieces. `files`: of the folder, beside those that every
        folder has."""
        if "spans" not in self.config:
            return None
        found = spans.read(self.path, self.config["spans"], outputs)
        if self.activation() != "sigmoid":
            raise self.refuse("`spans` needs `sigmoid`")
        least = 2 * spans.SPAN + 3  # with the first token, the last and that of the channel
        if found.merges and folders.tokens_at_most(self.path, self.config) < least:
            raise self.refuse(f"`spans`: `merge` needs `max_tokens` of at least {least}, so that a row holds two spans")
        if NGRAMS not in files or (found.has_network and FIRST_STAGE not in files):
            raise self.refuse(f"`spans` needs {NGRAMS}, and {FIRST_STAGE} where a `network` is not 0")
        return found

    def clearing(
        self, outputs: tuple[str, ...], has_file: bool, in_spans: SpanReading | None = None
    ) -> dict[str, Clearing]:
        """Returns how the first stage clears rows. `has_file`: whether the folder holds its files; without them nothing
        is cleared. `in_spans`: how depth 0 reads, if it takes the place of the first stage."""
        if has_file and "first_stage" not in self.config:
            raise self.refuse(f"`first_stage` is missing, which says what {FIRST_STAGE} may clear")
        clearing = clearings.read(self.path, self.config.get("first_stage", {}), outputs)
        columns = {output: part.column for output, part in in_spans.parts.items()} if in_spans else {}
        for output, entry in clearing.items():
            if in_spans and columns.get(output) != entry.column:
                raise self.refuse(f"`first_stage`: `{output}` must have the `column` that it has in `spans`")
        for kind, by_output in self.channel_points(outputs).items():
            for output, points in by_output.items():
                if output in clearing and points.get(self.default(), 1.0) < clearing[output].below:
                    raise self.refuse(
                        f"`first_stage`: the `below` of `{output}` exceeds its default point for `{kind}`"
                    )
        return clearing if has_file else {}

    def default(self) -> str:
        name = self.config.get("default_point", "")
        if not isinstance(name, str) or (not name and self.config.get("operating_points")):
            raise self.refuse("`default_point` must be the name of an operating point")
        return name

    def points(self, outputs: tuple[str, ...]) -> dict[str, dict[str, float]]:
        """Returns the operating points of each output; empty for an output that was never calibrated."""
        by_output = self._points("`operating_points`", self.config.get("operating_points", {}), outputs)
        for output, points in by_output.items():
            if self.default() not in points:
                raise self.refuse(f"`operating_points`: `{output}` lacks `{self.default()}`, the default point")
        return {output: by_output.get(output, {}) for output in outputs}

    def channel_points(self, outputs: tuple[str, ...]) -> dict[Kind, dict[str, dict[str, float]]]:
        by_kind = self.config.get("channel_points", {})
        if not isinstance(by_kind, dict) or not set(by_kind) <= set(KINDS):
            raise self.refuse(f"`channel_points` must map kinds of channel to points; known: {', '.join(KINDS)}")
        points = {kind: self._points(f"`channel_points` of `{kind}`", own, outputs) for kind, own in by_kind.items()}
        return _with_documents(points)

    def _points(self, where: str, by_output: Any, outputs: tuple[str, ...]) -> dict[str, dict[str, float]]:
        if not isinstance(by_output, dict) or not set(by_output) <= set(outputs):
            raise self.refuse(f"{where} must map outputs to their operating points")
        for output, points in by_output.items():
            if not isinstance(points, dict) or not all(is_number(score, 0, 1) for score in points.values()):
                raise self.refuse(f"{where}: each of `{output}` must be a score from 0 to 1")
        return {output: {at: float(score) for at, score in points.items()} for output, points in by_output.items()}


def _with_documents(by_kind: dict[Any, Any]) -> dict[Any, Any]:
    """Returns what is declared by kind of channel. A document without an entry of its own is read as a result of a tool."""
    return {"document": by_kind["tool_result"], **by_kind} if "tool_result" in by_kind else by_kind


def _word(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _words(value: Any) -> bool:
    """Whether a value is a list of distinct non-empty words, at least one."""
    return isinstance(value, list) and bool(value) and all(map(_word, value)) and len(set(value)) == len(value)
