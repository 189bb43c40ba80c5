"""Chooses operating points, bias and temperature of an output from a user's own texts, and puts them into a
configuration.

In: the logits of an output for harmless texts, and for attacks if there are some; they come from the scores that the
model gives today. Out: `Choice`, and the `config.json` of a model with it. The scaling of an output is fitted first,
so that its points are scores on the new scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

from guardproxy.lab.calibration import Scaling, expected_error, fit, log_loss, reliability, sigmoid
from guardproxy.lab.reports import percent
from guardproxy.lab.shares import Share, allowed, proportion, threshold


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point: the threshold for a share of false positives with its bootstrap interval, and the shares of
    texts that it finds. `attacks`: `None` if there are no attacks."""

    threshold: Share
    harmless: Share
    attacks: Share | None


@dataclass(frozen=True, slots=True)
class ScalingFit:
    """A scaling on top of the scaling in use. `error`: the expected calibration error, `loss`: the log loss, each
    before and after. They are measured by two-fold cross-validation."""

    scaling: Scaling
    error: tuple[float, float]
    loss: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice for an output. `points`: by name (`1%`). `notes`: which points could not be chosen, and why."""

    output: str
    points: Mapping[str, Point]
    fitted: ScalingFit | None
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def name(share: float) -> str:
    """Returns the name of an operating point: `0.1%`."""
    return percent(share).replace(" ", "")


def share(text: str) -> float | None:
    """Parses a share such as `1%`; `None` if it is not between 0 and 100 %."""
    try:
        value = float(text.removesuffix("%")) / 100
    except ValueError:
        return None
    return value if text.endswith("%") and 0 < value < 1 else None


def choose(
    output: str, harmless: Sequence[float], attacks: Sequence[float], shares: Iterable[float], scale: bool
) -> Choice:
    """Chooses the thresholds for the shares of false positives and, with `scale` and attacks, the scaling."""
    notes: list[str] = []
    fitted = _fit_scaling(harmless, attacks) if scale and attacks else None
    if fitted and not fitted.scaling.storable:
        notes.append("the scaling that fits these texts is out of bounds, so the old scaling is kept")
        fitted = None
    elif scale and attacks and not fitted:
        notes.append("attacks do not score higher than harmless texts here, so the old scaling is kept")
    scaling = fitted.scaling if fitted else Scaling()
    fine, bad = (_scores(part, scaling) for part in (harmless, attacks))
    points = {}
    for wanted_share in shares:
        at = threshold(fine, wanted_share)
        if at:
            points[name(wanted_share)] = Point(
                at, _share_found(fine, at.value), _share_found(bad, at.value) if bad else None
            )
        elif not allowed(wanted_share, len(fine)):
            notes.append(
                f"{len(fine)} harmless texts are too few for {percent(wanted_share)}: "
                f"give {round(1 / wanted_share):,} or more"
            )
        else:
            notes.append(
                f"more than {percent(wanted_share)} of the harmless texts have the highest score: "
                "no threshold is possible"
            )
    return Choice(output, points, fitted, tuple(notes))


def with_choices(config: Mapping[str, Any], chosen: Iterable[Choice]) -> dict[str, Any]:
    """Returns `config.json` (format 2) with the choices. Existing points, and the thresholds from which the first stage
    may clear texts, are converted to the new scale of their output.

    The two outputs of a softmax share a scale, so the points of the other output are converted too. `default_point`
    stays, or is the first chosen point if the model had none.
    """
    result = {**config, "calibration": {**config.get("calibration", {})}}
    points = {output: dict(own) for output, own in config.get("operating_points", {}).items()}
    by_kind = deepcopy(config.get("channel_points", {}))
    if "first_stage" in config:
        result["first_stage"] = {**config["first_stage"]}
    for choice in chosen:
        if choice.fitted:
            _scale(result, [points, *by_kind.values()], choice.output, choice.fitted.scaling)
        for own in by_kind.values():  # what is chosen here holds in every channel
            for at in choice.points:
                own.get(choice.output, {}).pop(at, None)
        points.setdefault(choice.output, {}).update({at: point.threshold.value for at, point in choice.points.items()})
        result.setdefault("default_point", next(iter(choice.points), ""))
    return result | {"operating_points": points} | ({"channel_points": by_kind} if by_kind else {})


def can_scale(config: Mapping[str, Any]) -> bool:
    """Whether an output has its own scale: the columns of a softmax over more than two outputs share a scale."""
    return config.get("activation", "sigmoid") == "sigmoid" or len(config["outputs"]) == 2


def _scale(config: dict[str, Any], scales: list[dict[str, dict[str, float]]], output: str, scaling: Scaling) -> None:
    """Moves an output to another scale. `scales`: the operating points of all channels and of each kind."""
    pair = config.get("activation", "sigmoid") == "softmax"
    for column in config["outputs"] if pair else [output]:
        old = config["calibration"].get(column, {})
        by = scaling if column == output else Scaling(0.0, scaling.temperature)
        new = by.after(Scaling(old.get("bias", 0.0), old.get("temperature", 1.0)))
        config["calibration"][column] = {"bias": round(new.bias, 6), "temperature": round(new.temperature, 6)}
        for points in scales:
            for at, score in points.get(column, {}).items():
                points[column][at] = _moved(score, scaling, column == output)
        if clearing := config.get("first_stage", {}).get(column):
            least = _moved(clearing["least"], scaling, column == output)
            default = config.get("default_point", "")
            lowest = min([least, *(points.get(column, {}).get(default, 1.0) for points in scales)])
            # The estimate of a model that reads in spans is a score of the output; that of a network of its own is not.
            below = _moved(clearing["below"], scaling, column == output) if "spans" in config else clearing["below"]
            config["first_stage"][column] = {**clearing, "below": min(below, lowest), "least": least}


def _moved(score: float, scaling: Scaling, is_own: bool) -> float:
    """Returns a score on the new scale. `is_own`: whether the scaling is that of the score's column, not of the other."""
    return round(scaling.score(score) if is_own else 1 - scaling.score(1 - score), 6)


def _fit_scaling(harmless: Sequence[float], attacks: Sequence[float]) -> ScalingFit | None:
    logits, labels = [*harmless, *attacks], [False] * len(harmless) + [True] * len(attacks)
    whole = fit(logits, labels)
    if whole is None:
        return None
    before: list[float] = []
    after: list[float] = []
    wanted: list[bool] = []
    # Each half, every second text, is scored by the fit to the other half; without a fit it keeps its scores.
    for unseen in (0, 1):
        seen = 1 - unseen
        after += _scores(logits[unseen::2], fit(logits[seen::2], labels[seen::2]) or Scaling())
        before += _scores(logits[unseen::2], Scaling())
        wanted += labels[unseen::2]
    error = expected_error(reliability(before, wanted)), expected_error(reliability(after, wanted))
    return ScalingFit(whole, error, (log_loss(before, wanted), log_loss(after, wanted)))


def _scores(logits: Iterable[float], scaling: Scaling) -> list[float]:
    """Returns scores with six digits, as a model gives them."""
    return [round(sigmoid((value - scaling.bias) / scaling.temperature), 6) for value in logits]


def _share_found(scores: Sequence[float], least: float) -> Share:
    return proportion(sum(score >= least for score in scores), len(scores))
