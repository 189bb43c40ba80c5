"""Turns judgements of a user's own texts into the settings of a model folder.

In: a folder's `config.json`, texts and the verdicts on them. Out: the choice for each output, and the configuration with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from guardproxy.errors import ConfigError
from guardproxy.lab.calibration import logit
from guardproxy.lab.judging import Judgement
from guardproxy.lab.points import Choice, can_scale, choose, name, with_choices
from guardproxy.lab.rows import LabelledRow
from guardproxy.lab.shares import Share, proportion

HIGHEST = 5
"""Number of highest-scoring harmless texts that the result names."""


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """The result of a calibration.

    `chosen`: the choice for each output. `together`: for each point, the share of the harmless texts that any output
    finds. `highest`: the places of the harmless texts with the highest scores. `kept`: the points that do not change.
    `complete`: whether every requested threshold could be chosen. `notes`: remarks for the user. `config`: the new
    configuration.
    """

    chosen: tuple[Choice, ...]
    together: Mapping[str, Share]
    highest: tuple[str, ...]
    kept: tuple[str, ...]
    complete: bool
    notes: tuple[str, ...]
    config: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            "outputs": [choice.as_json() for choice in self.chosen],
            "together": {point: asdict(share) for point, share in self.together.items()},
            "highest": list(self.highest),
            "kept": list(self.kept),
            "notes": list(self.notes),
        }

    def checked_config(self) -> Mapping[str, Any]:
        """Returns the configuration to write. Raises `ConfigError` if it is incomplete."""
        if not self.complete:
            raise ConfigError("nothing is written, since not every threshold could be chosen")
        default = self.config["default_point"]
        for output, points in self.config["operating_points"].items():
            if default not in points:
                raise ConfigError(f"`{output}` needs the model's default point as well: add --fpr {default}")
        return self.config


def calibrate(
    config: Mapping[str, Any],
    fine: Sequence[LabelledRow],
    verdicts: Sequence[Judgement],
    shares: Sequence[float],
    rescale: bool,
) -> CalibrationResult:
    """Chooses thresholds and, if possible, the scaling of each output.

    `fine`: the harmless texts. `verdicts`: on the harmless texts, then on the attacks, of all outputs to calibrate.
    `shares`: the shares of false positives. `rescale`: whether thresholds are scores on the new scale; otherwise they
    are on the scale in use, for a policy that uses the model unchanged.
    """
    outputs = list(verdicts[0].scores)
    count = len(fine)
    scale = can_scale(config) and len(outputs) == 1
    chosen = []
    for output in outputs:
        logits = [logit(verdict.scores[output]) for verdict in verdicts]
        choice = choose(output, logits[:count], logits[count:], shares, scale)
        if choice.fitted and not rescale:
            choice = replace(choice, points=choose(output, logits[:count], logits[count:], shares, False).points)
        chosen.append(choice)
    names = {name(share) for share in shares}
    own = {point for output in outputs for point in config.get("operating_points", {}).get(output, {})}
    ranked = sorted(range(count), key=lambda at: -verdicts[at].score)
    notes = [f"{choice.output}: {note}" for choice in chosen for note in choice.notes]
    if len(verdicts) > count and can_scale(config) and not scale:
        notes.append("bias and temperature are fitted to one output at a time: choose the output with --label")
    return CalibrationResult(
        chosen=tuple(chosen),
        together=_together(chosen, verdicts[:count]) if len(outputs) > 1 else {},
        highest=tuple(fine[at].place for at in ranked[:HIGHEST]),
        kept=tuple(sorted(own - names)),
        complete=all(len(choice.points) == len(names) for choice in chosen),
        notes=tuple(notes),
        config=with_choices(config, chosen),
    )


def _together(chosen: Sequence[Choice], fine: Sequence[Judgement]) -> dict[str, Share]:
    shared = [point for point in chosen[0].points if all(point in choice.points for choice in chosen)]
    return {
        point: proportion(
            sum(
                any(
                    round(verdict.scores[choice.output], 6) >= choice.points[point].threshold.value for choice in chosen
                )
                for verdict in fine
            ),
            len(fine),
        )
        for point in shared
    }
