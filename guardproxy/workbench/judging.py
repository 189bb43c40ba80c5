"""A text through the check `supervisor`, as the proxy would ask it of a message or an answer that is there as a whole.

In: texts. Out: for each the highest score of each output in any of its pieces, and whether the check found it. Kept: the
check and its model. The check cuts the text, the model judges the pieces, the check decides: nothing is done otherwise
than in the proxy.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from guardproxy import supervisor
from guardproxy.checks import Judged, Resources, Scorer
from guardproxy.checks.supervisor import Supervisor, build
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import Channel, Kind, Window
from guardproxy.supervisor.model import Calibration
from guardproxy.workbench.texts import ANSWER_KINDS

if TYPE_CHECKING:
    from guardproxy.supervisor.scorer import OnnxScorer

TOGETHER = 16
"""Texts that are judged in one call, so that pieces of about the same length can share a forward pass."""
SPREAD = 8.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`scores`: of each output, 0.0 for a blank text; `score`: the highest of them; `found`: the check found it."""

    scores: Mapping[str, float]
    found: bool

    @property
    def score(self) -> float:
        return max(self.scores.values())


class Judge:
    """`outputs`: those behind the labels asked for, in this kind of channel. `check`: what judges."""

    def __init__(self, scorer: Scorer, options: Mapping[str, Any], kind: Kind) -> None:
        """`options`: those of the check, in a policy. Raises `ConfigError` for what the check refuses."""
        try:
            self.check = cast(Supervisor, build("model", options, Resources(lambda name: scorer)))
        except OptionError as error:
            raise ConfigError(f"{error.key}: {error.message}") from None
        self._scorer = scorer
        self._channel = Channel("response" if kind in ANSWER_KINDS else "request", kind, "text")
        wanted = self.check.wanted[kind]
        self.outputs = tuple(dict.fromkeys(output for one in wanted for output in one.thresholds))
        if not self.outputs:
            raise ConfigError(f"the model says nothing of these labels in a text of the kind `{kind}`")

    def judge(self, texts: Iterable[str]) -> Iterator[Verdict]:
        """One verdict for each text, in order."""
        waiting = iter(texts)
        while part := list(islice(waiting, TOGETHER)):
            windows = [Window(self._channel, text) for text in part]
            asked = self.check.ask(windows)
            queries = [segment.query for segments in asked for segment in segments if segment.query]
            judged = self._scorer.judge(queries) if queries else []
            scans = self.check.answer(windows, asked, judged)
            answers = iter(judged)
            for segments, scan in zip(asked, scans, strict=True):
                pieces = [piece for segment in segments if segment.query for piece in next(answers)]
                yield Verdict(self._highest(pieces), bool(scan.findings))

    def _highest(self, pieces: Sequence[Judged]) -> dict[str, float]:
        return {output: max((piece.scores[output] for piece in pieces), default=0.0) for output in self.outputs}


def load(model: str) -> tuple[Path, OnnxScorer]:
    """The folder and the scorer of a model: the path of a folder, or a name (see `supervisor.find`). Raises `ConfigError`."""
    folder = find_model(model)
    return folder, supervisor.load(folder, os.cpu_count() or 1)


def load_spread(model: str) -> tuple[Path, OnnxScorer, float]:
    """As `load`, with scores whose logits are those of the model divided by the number that comes last.

    A score has six digits, so a logit of 20 and one of 30 both score 1.0; spread out they can be told apart. Only outputs
    with a scale of their own are spread.
    """
    from guardproxy.supervisor.scorer import OnnxScorer  # noqa: PLC0415 - imports onnxruntime

    folder = find_model(model)
    read = supervisor.read(folder)
    own = read.activation == "sigmoid" or len(read.outputs) == 2
    by = SPREAD if own else 1.0
    wide = {output: Calibration(one.bias, one.temperature * by) for output, one in read.calibration.items()}
    return folder, OnnxScorer(replace(read, calibration=wide), os.cpu_count() or 1), by


def find_model(model: str) -> Path:
    path = Path(model)
    return path if (path / "config.json").is_file() else supervisor.find(model)
