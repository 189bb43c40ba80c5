"""What is known about the models in use: their folders, where they run, who uses them, and what a text costs. Pure.

In: the configuration of a folder, what the workers say of themselves, and the metrics of the proxy. Out: values for the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from guardproxy.console.proxy_status import ProcessStatus, StatusScorer

KINDS: Mapping[str, str] = {
    "scores": "gives texts scores",
    "tags": "finds names with a network",
    "forms": "finds names with a table of words",
    "pairs": "judges whether a text supports a statement",
    "vectors": "turns texts into vectors",
    "difficulty": "says how hard a request is",
}
"""What models of a kind do. A kind of a later version is shown by its word."""
_PREFIX = "guardproxy_supervisor_"


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A point of an output: the score from which so many harmless texts would be found. `is_used`: whether a check in force
    finds from this score, or from that of a kind of texts with points of its own."""

    output: str
    name: str
    score: float
    is_used: bool


@dataclass(frozen=True, slots=True)
class ModelAbout:
    """A model in use. `does`: what it is for; `runs`: where; `points`: of the output in general; `scorers`: the checks that use
    its scores. `problem`: why its folder cannot be read."""

    name: str
    folder: str
    does: str
    version: str = ""
    runs: str = ""
    default_point: str = ""
    outputs: tuple[str, ...] = ()
    points: tuple[OperatingPoint, ...] = ()
    scorers: tuple[StatusScorer, ...] = ()
    problem: str = ""

    @property
    def point_names(self) -> tuple[str, ...]:
        """Returns the names of its operating points."""
        return tuple(dict.fromkeys(point.name for point in self.points))

    @property
    def labels(self) -> tuple[str, ...]:
        """Returns the labels that checks in force look for."""
        return tuple(dict.fromkeys(label for scorer in self.scorers for label in scorer.least))

    def row(self, output: str) -> tuple[OperatingPoint | None, ...]:
        """Returns the points of an output, in the order of `point_names`."""
        by_name = {point.name: point for point in self.points if point.output == output}
        return tuple(by_name.get(name) for name in self.point_names)


@dataclass(frozen=True, slots=True)
class TextCost:
    """What a text costs a model. `texts`: that were judged; `cached`: the share whose verdict was remembered; times in
    milliseconds: `each` of a text on average, `run` of a batch of the network, `wait` for its turn; `None` if not known."""

    texts: int = 0
    cached: float = 0.0
    each: float | None = None
    run: float | None = None
    wait: float | None = None


def model_about(name: str, folder: str, config: Any, status: ProcessStatus, problem: str = "") -> ModelAbout:
    """Returns what is known about a model. `config`: the content of its `config.json`, whatever it is."""
    scorers = tuple(scorer for scorer in status.scorers if scorer.model == name)
    if not isinstance(config, dict):
        return ModelAbout(name, folder, "", scorers=scorers, problem=problem or "its config.json is not an object")
    kind = str(config.get("kind", ""))
    used = {score for scorer in scorers for score in scorer.least.values()}
    own = config.get("channel_points")
    tables = [by_output for by_output in own.values() if isinstance(by_output, dict)] if isinstance(own, dict) else []
    points = tuple(
        OperatingPoint(output, point, score, _is_used(used, score, (table.get(output) for table in tables), point))
        for output, by_name in _tables(config.get("operating_points"))
        for point, score in _numbers(by_name)
    )
    outputs = config.get("outputs")
    return ModelAbout(
        name,
        folder,
        KINDS.get(kind, kind),
        str(config.get("version", "")),
        status.models.get(folder.rpartition("/")[2], status.models.get(name, "")).removesuffix("ExecutionProvider"),
        str(config.get("default_point", "")),
        tuple(map(str, outputs)) if isinstance(outputs, list) else (),
        points,
        scorers,
        problem,
    )


def _is_used(used: Iterable[float], score: float, others: Iterable[Any], point: str) -> bool:
    scores = [score, *(dict(_numbers(by_name)).get(point, score) for by_name in others)]
    return any(abs(known - least) < 1e-9 for known in scores for least in used)


def _tables(value: Any) -> Iterable[tuple[str, Any]]:
    """Returns the tables of a table; a table of numbers alone is one without a name."""
    if not isinstance(value, dict):
        return ()
    if value and all(isinstance(part, int | float) for part in value.values()):
        return (("", value),)
    return tuple((str(name), part) for name, part in value.items())


def _numbers(value: Any) -> Iterable[tuple[str, float]]:
    numbers = value.items() if isinstance(value, dict) else ()
    return [(str(name), float(part)) for name, part in numbers if isinstance(part, int | float)]


@dataclass(slots=True)
class _Sums:
    texts: float = 0.0
    hits: float = 0.0
    seconds: float = 0.0
    runs: float = 0.0
    waited: float = 0.0
    waits: float = 0.0


def costs_of(metrics: str) -> dict[str, TextCost]:
    """Returns what a text costs each model, by the name of its folder. `metrics`: of all processes, in the format of
    Prometheus; anything else gives nothing."""
    sums: dict[str, _Sums] = {}
    try:
        families = list(text_string_to_metric_families(_lines_of(metrics)))
    except ValueError:
        return {}
    for family in families:
        for sample in family.samples:
            model = sums.setdefault(sample.labels.get("model", ""), _Sums())
            match sample.name.removeprefix(_PREFIX):
                case "texts_total":
                    model.texts += sample.value
                    model.hits += sample.value if sample.labels.get("cache") == "hit" else 0.0
                case "run_seconds_sum":
                    model.seconds += sample.value
                case "run_seconds_count":
                    model.runs += sample.value
                case "queue_seconds_sum":
                    model.waited += sample.value
                case "queue_seconds_count":
                    model.waits += sample.value
    return {name: _cost(model) for name, model in sums.items() if model.texts or model.runs}


def _lines_of(metrics: str) -> str:
    """Returns the lines about models: the others may be many."""
    return "".join(f"{line}\n" for line in metrics.splitlines() if _PREFIX in line and "_bucket{" not in line)


def _cost(model: _Sums) -> TextCost:
    return TextCost(
        round(model.texts),
        model.hits / model.texts if model.texts else 0.0,
        1000 * model.seconds / model.texts if model.texts else None,
        1000 * model.seconds / model.runs if model.runs else None,
        1000 * model.waited / model.waits if model.waits else None,
    )


@dataclass(frozen=True, slots=True)
class ScorePlot:
    """The scores of a label: exchanges for each part of 0 to 1, of the baseline and of now. `least`: the score from which the
    label is a finding."""

    label: str
    before: tuple[int, ...]
    now: tuple[int, ...]
    least: float | None

    @property
    def totals(self) -> tuple[int, int]:
        """Returns the exchanges of both."""
        return sum(self.before), sum(self.now)

    def bars(self) -> tuple[tuple[float, float], ...]:
        """Returns the shares of both for each part, of the largest share of all."""
        before, now = (_shares(counts) for counts in (self.before, self.now))
        most = max((*before, *now), default=0.0) or 1.0
        return tuple((old / most, new / most) for old, new in zip(before, now, strict=True))


def score_plots(
    before: Mapping[str, Sequence[int]],
    now: Mapping[str, Sequence[int]],
    least: Mapping[str, float],
    bins: int,
    limit: int = 8,
) -> tuple[ScorePlot, ...]:
    """Returns a plot for each label of a check, the most frequent first."""
    labels = sorted(
        before.keys() | now.keys(), key=lambda label: (-sum(now.get(label, ())) - sum(before.get(label, ())), label)
    )
    none = (0,) * bins
    return tuple(
        ScorePlot(label, tuple(before.get(label, none)), tuple(now.get(label, none)), least.get(label))
        for label in labels[:limit]
    )


def _shares(counts: Sequence[int]) -> list[float]:
    whole = sum(counts)
    return [count / whole if whole else 0.0 for count in counts]
