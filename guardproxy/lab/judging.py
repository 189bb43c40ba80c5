"""Judges a text with the check `supervisor`, as the proxy judges a complete message or answer.

In: texts. Out: for each text the highest score of each output over its pieces, and whether the check found it. Kept:
the check and its model. The check cuts the text, the model judges the pieces and the check decides, exactly as in the
proxy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from guardproxy import inference
from guardproxy.checks import Resources, ScoredPiece, Scorer, Supervisor, build_supervisor
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import Channel, Kind, Window
from guardproxy.lab.calibration import logit
from guardproxy.lab.texts import ANSWER_KINDS

if TYPE_CHECKING:
    from guardproxy.inference import ModelScorer

TOGETHER = 16
"""Number of texts judged in one call: pieces of similar length can share a forward pass."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a text. `scores`: of each output, 0.0 for a blank text. `found`: whether the check reports a
    finding. `margin`: how far the output that is nearest to its threshold lies above it, as a difference of logits."""

    scores: Mapping[str, float]
    found: bool
    margin: float = 0.0

    @property
    def score(self) -> float:
        return max(self.scores.values())


class Judge:
    """Judges texts of a kind of channel. `outputs`: the outputs of the requested labels for this kind. `check`: the
    check."""

    def __init__(self, scorer: Scorer, options: Mapping[str, Any], kind: Kind) -> None:
        """`options`: the check's options, as in a policy. Raises `ConfigError` for options that the check refuses."""
        try:
            self.check = cast(Supervisor, build_supervisor("model", options, Resources(lambda name: scorer)))
        except OptionError as error:
            raise ConfigError(f"{error.key}: {error.message}") from None
        self._scorer = scorer
        self._channel = Channel("response" if kind in ANSWER_KINDS else "request", kind, "text")
        wanted = self.check.wanted[kind]
        self._thresholds: dict[str, float] = {}
        for output, least in (pair for label in wanted for pair in label.thresholds.items()):
            self._thresholds[output] = min(least, self._thresholds.get(output, 1.0))
        self.outputs = tuple(self._thresholds)
        if not self.outputs:
            raise ConfigError(f"the model has no output for these labels in a text of the kind `{kind}`")

    def judge(self, texts: Iterable[str]) -> Iterator[Judgement]:
        """Yields one verdict for each text, in order."""
        waiting = iter(texts)
        while part := list(islice(waiting, TOGETHER)):
            windows = [Window(self._channel, text) for text in part]
            request = self.check.ask(windows)
            pieces_by_query = self._scorer.judge(request.queries) if request.queries else []
            scans = self.check.answer(windows, request, pieces_by_query)
            answers = iter(pieces_by_query)
            for segments, scan in zip(request.segments, scans, strict=True):
                judged = [(segment, view, next(answers)) for segment in segments for view in segment.readings]
                scores = self._highest(
                    [piece for segment, view, pieces in judged for piece in pieces if segment.span(piece, view)]
                )
                margin = max(logit(scores[output]) - logit(least) for output, least in self._thresholds.items())
                yield Judgement(scores, bool(scan.findings), margin)

    def _highest(self, pieces: Sequence[ScoredPiece]) -> dict[str, float]:
        return {output: max((piece.scores[output] for piece in pieces), default=0.0) for output in self.outputs}


def load(folder: Path, digits: int = 6, remembered: int = 0) -> ModelScorer:
    """Loads the scorer of a folder, on all cores. Raises `ConfigError`.

    `digits`: of a score; the proxy uses six. `remembered`: number of pieces whose verdicts are cached, for callers
    that judge the same texts several times.
    """
    settings = inference.Settings(threads=inference.cores(), workers=1, remembered=remembered)
    return inference.load(folder, settings=settings, digits=digits)


def find(model: str) -> Path:
    """Returns the folder of a model, given its path or its name (see `inference.find`). Raises `ConfigError`."""
    path = Path(model)
    return path if (path / "config.json").is_file() else inference.find(model)
