"""The supervisor: a small model that rates how much a text looks like an attack (`use: supervisor`).

In: windows. Out: findings, each at a piece of the text that reaches the threshold, so that a reviewer sees the place. A
channel's text is cut into segments at places that depend on the text alone, and each segment is scored together with the words
before it, so that an attack across a border is seen. A request's text is available as a whole: except for the longest texts it
is a single segment, and the model cuts it into pieces of the size that it was trained on. An answer is cut at early sentence
ends, so that little of a stream is held back.

Decision: docs/decisions/0057-one-output-decides-about-harm.md
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from guardproxy.checks._shared.declared.contract import Query, Resources, ScoredPiece, Scorer
from guardproxy.checks._shared.declared.foreign import hint
from guardproxy.checks._shared.declared.options import SCORE, TEXTS, Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.evasions.readings import other_views
from guardproxy.checks._shared.evasions.unfolding import EVASIONS, merge_views
from guardproxy.checks._shared.evasions.views import TextView
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import (
    ALL_PLACES,
    KINDS,
    Advice,
    Check,
    Direction,
    Finding,
    Kind,
    Scan,
    Traits,
    Window,
)

VERSION = 5
WINDOW_CHARS = 900
"""Characters of an answer scored together, with context: about 200 tokens of English, a single piece for the model."""
SMALLEST_WINDOW_CHARS = 200
LARGEST_WINDOW_CHARS = 4000
REQUEST_CHARS = 50_000
"""As `WINDOW_CHARS`, for requests. They are available as a whole, so longer texts are cut only to bound memory."""
REQUEST_CONTEXT_CHARS = 1000

UNCALIBRATED = 0.5
"""The threshold of outputs without operating points, if the policy sets none."""
_POINT: Mapping[str, Any] = {"anyOf": [SCORE, {"type": "string", "minLength": 1}]}
OPTIONS: Options = {
    "first_stage": Option(
        "Whether a cheap model may skip texts that are clearly harmless.",
        {"type": "boolean"},
        default=True,
        tighter=(True, False),
    ),
    "evasions": EVASIONS,
    "label": Option("The label to look for.", {"type": "string", "minLength": 1}, default="injection"),
    "labels": Option("Several labels, instead of `label`.", TEXTS, default_words="none", tighter="longer"),
    "model": Option("The name of a model folder.", {"type": "string", "minLength": 1}, default="supervisor"),
    "names": Option(
        "Labels that say what was found: they are findings too, but only where a label of the check is found.",
        TEXTS,
        default=[],
        tighter="longer",
    ),
    "threshold": Option(
        "A score (`0.8`), an operating point (`1%`), or one of them for each label.",
        {"anyOf": [*_POINT["anyOf"], {"type": "object", "additionalProperties": _POINT}]},
        default_words="the model's own operating point",
        tighter="lower",
    ),
    "window_chars": Option(
        "The most characters of an answer that are scored together.",
        {"type": "integer", "minimum": SMALLEST_WINDOW_CHARS, "maximum": LARGEST_WINDOW_CHARS},
        default=WINDOW_CHARS,
    ),
}

FIRST_CHARS = 80
"""The first segment of an answer ends at the first sentence end after this many characters."""
LATER_CHARS = 240
"""As `FIRST_CHARS`, for all later segments."""

# A match never depends on the text after it; otherwise a border would move when more text arrives.
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*\s|[\n。！？]")
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Segments:
    """How a text is cut. `window_chars`: the most characters scored together, with context. `context_chars`: the
    number of these that are context. `early`: whether a segment ends at the first possible sentence end, so that the
    text after it need not wait."""

    window_chars: int
    context_chars: int
    early: bool

    def end(self, text: str, start: int, offset: int, last: bool) -> int | None:
        """Returns the end of the segment that begins at `text[start]`; `None` while it depends on later text.

        `offset`: the place of `text` in its channel. The answer for a border that more text follows is the same
        whether that text is present or not: chunk invariance depends on this.
        """
        first = offset + start == 0
        cap = self.window_chars if first else self.window_chars - self.context_chars
        if self.early:
            least = min(FIRST_CHARS if first else LATER_CHARS, cap)
            matches = _SENTENCE_END.finditer(text, start, start + cap)
            early = next((match.end() for match in matches if match.end() - start >= least), None)
            if early is not None:
                return early
        if len(text) - start <= cap:
            return len(text) if last else None
        half, stop = start + cap // 2, start + cap
        ends = [match.end() for match in _SENTENCE_END.finditer(text, start, stop) if match.end() > half]
        ends = ends or [match.end() for match in _SPACE.finditer(text, half, stop)]
        return ends[-1] if ends else stop

    def begin(self, text: str, start: int, offset: int) -> int:
        """Returns the start of the context of the segment at `text[start]`: at a word, if a word begins nearby.

        `text` holds at least `context_chars` before `start`, or begins its channel's text.
        """
        raw = start - self.context_chars
        if offset + raw <= 0:
            return 0
        space = _SPACE.search(text, raw, raw + self.context_chars // 3)
        return space.end() if space else raw


REQUESTS = Segments(REQUEST_CHARS, REQUEST_CONTEXT_CHARS, early=False)


def answers(window_chars: int) -> Segments:
    """Returns how answers are cut: a quarter of the text that is scored together is context."""
    return Segments(window_chars, window_chars // 4, early=True)


@dataclass(frozen=True, slots=True)
class LabelThresholds:
    """A label of the policy in one kind of channel: for each of its outputs, the score from which it is a finding."""

    label: str
    thresholds: Mapping[str, float]

    def highest(self, scores: Mapping[str, float]) -> float | None:
        """Returns the highest score that reaches its threshold; `None` if no score does."""
        return max(
            (scores[output] for output, least in self.thresholds.items() if scores[output] >= least), default=None
        )


@dataclass(frozen=True, slots=True)
class TextSegment:
    """Text to be scored together: `start` to `end` of its channel, and the query, which begins at `begin`.

    `views`: other readings of the query's text (see `_shared/evasions/readings.py`); each becomes a query.
    """

    start: int
    end: int
    begin: int
    query: Query | None
    views: tuple[TextView, ...] = ()

    @property
    def readings(self) -> tuple[TextView | None, ...]:
        """Returns the view of each query, in order; `None` stands for the text as it is."""
        return (None, *self.views) if self.query else ()

    @property
    def queries(self) -> list[Query]:
        """Returns the query, then one query for each view."""
        return [self.query, *(replace(self.query, text=view.text) for view in self.views)] if self.query else []

    def span(self, piece: ScoredPiece, view: TextView | None = None) -> tuple[int, int] | None:
        """Returns the place in the channel of a piece of the query, or of a view of it, without the context; `None`
        for a piece in the context, which was scored with the previous segment."""
        low, high = (view.start_of(piece.start), view.stop_of(piece.end)) if view else (piece.start, piece.end)
        start, end = max(self.start, self.begin + low), min(self.end, self.begin + high)
        return (start, end) if start < end else None


@dataclass(frozen=True, slots=True)
class SegmentedWindows:
    """The segments of each window. Segments without a query are blank, or no output is requested for them."""

    segments: list[list[TextSegment]]

    @property
    def queries(self) -> list[Query]:
        return [query for segments in self.segments for segment in segments for query in segment.queries]


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The check `supervisor`. `wanted`: the labels and thresholds in each kind of channel; `names`: those of labels that are
    found only where a label of `wanted` is. `first_stage`: the kinds of channels whose texts the model's first stage may
    clear."""

    name: str
    digest: str
    wanted: Mapping[Kind, tuple[LabelThresholds, ...]]
    names: Mapping[Kind, tuple[LabelThresholds, ...]]
    scorer: Scorer
    cut: Mapping[Direction, Segments]
    first_stage: frozenset[Kind]
    evasions: str
    traits: Traits

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """Returns one `Scan` for each window; the texts of all windows are scored in one call."""
        segmented = self.ask(windows)
        return self.answer(windows, segmented, self.scorer.judge(segmented.queries) if segmented.queries else [])

    def ask(self, windows: Sequence[Window]) -> SegmentedWindows:
        """Returns the queries to the model for a scan of the windows."""
        return SegmentedWindows([list(self._cut(window)) for window in windows])

    def answer(
        self, windows: Sequence[Window], segmented: SegmentedWindows, pieces: Sequence[Sequence[ScoredPiece]]
    ) -> list[Scan]:
        """Converts the pieces of every query, in order, to scans."""
        answers = iter(pieces)
        return [
            self._answer(window, segments, answers)
            for window, segments in zip(windows, segmented.segments, strict=True)
        ]

    def _cut(self, window: Window) -> Iterator[TextSegment]:
        text, offset, kind = window.text, window.start, window.channel.kind
        start = window.settled - offset
        # Names count only where a label is found, so they alone are no reason to ask the model.
        labels = (*self.wanted[kind], *self.names[kind]) if any(label.thresholds for label in self.wanted[kind]) else ()
        outputs = tuple(dict.fromkeys(output for label in labels for output in label.thresholds))
        segments = self.cut[window.channel.direction]
        while start < len(text):
            end = segments.end(text, start, offset, window.last)
            if end is None:
                return
            # The model sees what came before, so that a sentence on a border is not judged without its first half.
            begin = segments.begin(text, start, offset)
            # A blank segment still ends where a segment ends: later borders must not depend on what was asked.
            asks = bool(outputs) and not text[start:end].isspace()
            query = Query(text[begin:end], outputs, kind in self.first_stage, kind) if asks else None
            views = tuple(other_views(query.text, self.evasions)) if query else ()
            yield TextSegment(offset + start, offset + end, offset + begin, query, views)
            start = end

    def _answer(
        self, window: Window, segments: Sequence[TextSegment], answers: Iterator[Sequence[ScoredPiece]]
    ) -> Scan:
        findings: list[Finding] = []
        for segment in segments:
            if segment.query is None:
                continue
            by_view = []
            for view in segment.readings:
                spans = [(span, piece) for piece in next(answers) if (span := segment.span(piece, view))]
                by_view.append(self._findings(spans, window.channel.kind))
            findings += merge_views(by_view)
        settled = segments[-1].end if segments else window.settled
        keep = max(window.start, settled - self.cut[window.channel.direction].context_chars)
        return Scan(tuple(findings), settled, keep)

    def _findings(self, spans: Sequence[tuple[tuple[int, int], ScoredPiece]], kind: Kind) -> list[Finding]:
        """Returns the findings of the labels, then those of the names in the pieces in which a label is found."""
        found = list(self._found(spans, self.wanted[kind]))
        places = {(finding.start, finding.end) for finding in found}
        return [*found, *self._found([(span, piece) for span, piece in spans if span in places], self.names[kind])]

    def _found(
        self, spans: Sequence[tuple[tuple[int, int], ScoredPiece]], labels: Sequence[LabelThresholds]
    ) -> Iterator[Finding]:
        for label in labels:
            for (start, end), piece in spans:
                if (score := label.highest(piece.scores)) is not None:
                    yield Finding(start, end, self.name, label.label, score)


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check for a policy entry.

    Options: `label` or `labels` (default `injection`); `names` (labels that are found only where one of these is);
    `threshold`, a score from 0 to 1 or the name of an operating point (`1%`), for all labels or for each label and name
    (default: the model's own point, which is that of a name in any case); `first_stage` (`false`: the
    encoder scores all texts); `model` (default `supervisor`); `evasions` (the disguises to undo: each reading of a
    text is scored, and the highest score counts); `window_chars` of an answer scored together. Raises `OptionError`
    for any other option.
    """
    values = with_defaults(options, OPTIONS)
    if resources.scorer is None:
        raise OptionError("use", "this process was started without a model, so `supervisor` cannot be used here")
    model = values["model"]
    if not isinstance(model, str) or not model:
        raise OptionError("model", "must be the name of a model")
    try:
        scorer = resources.scorer(model)
    except ConfigError as error:
        raise OptionError("model", str(error)) from error
    first_stage, evasions = values["first_stage"], values["evasions"]
    labels = _labels(options, scorer)
    names = _names(values["names"], labels, scorer)
    thresholds = _thresholds(options, labels, names)
    wanted, named = (
        {kind: tuple(_wanted(label, thresholds[label], scorer, kind) for label in given) for kind in KINDS}
        for given in (labels, names)
    )
    cut: Mapping[Direction, Segments] = {"request": REQUESTS, "response": answers(values["window_chars"])}
    digest = options_digest("supervisor", VERSION, dict(options), scorer.digest, unicodedata.unidata_version)
    traits = Traits(
        is_sensitive=False,  # its findings are scores of a text; they are not values
        labels=frozenset((*labels, *names)),
        looks_at=frozenset(place for place in ALL_PLACES if any(label.thresholds for label in wanted[place[1]])),
        advice=tuple(_advice(wanted, scorer)),
    )
    cleared = frozenset(kind for kind in KINDS if first_stage and _can_clear(wanted[kind], scorer.clears_from(kind)))
    return Supervisor(name, digest, wanted, named, scorer, cut, cleared, evasions, traits)


def _labels(options: Mapping[str, Any], scorer: Scorer) -> list[str]:
    if "label" in options and "labels" in options:
        raise OptionError("label", "give `label` or `labels`, not both")
    key = "labels" if "labels" in options else "label"
    value = options.get(key, OPTIONS["label"].default)
    labels = [value] if key == "label" else value
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise OptionError(key, "must be a label" if key == "label" else "must be a list of at least one label")
    return _known(key, labels, scorer)


def _names(names: Any, labels: Sequence[str], scorer: Scorer) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise OptionError("names", "must be a list of labels")
    for name in names:
        if name in labels:
            raise OptionError("names", f"`{name}` is a label of this check already")
    return _known("names", names, scorer)


def _known(key: str, labels: Sequence[str], scorer: Scorer) -> list[str]:
    known = sorted(scorer.labels)
    for label in labels:
        if label not in known:
            raise OptionError(key, f"the model has no label `{label}`{_near(label, known)}")
    return list(dict.fromkeys(labels))


def _thresholds(
    options: Mapping[str, Any], labels: Sequence[str], names: Sequence[str]
) -> dict[str, float | str | None]:
    """Returns the policy's threshold for each label and name: a score, an operating point, or `None`."""
    value = options.get("threshold")
    if not isinstance(value, Mapping):
        own = dict.fromkeys(labels, _threshold(value) if "threshold" in options else None)
        return own | dict.fromkeys(names)
    every = [*labels, *names]
    for label in value:
        if label not in every:
            raise OptionError("threshold", f"`{label}` is not a label of this check{_near(str(label), every)}")
    return {label: _threshold(value[label]) if label in value else None for label in every}


def _threshold(value: Any) -> float | str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise OptionError("threshold", "must be a number from 0 to 1, or the name of an operating point, like 1%")
    return float(value)


def _wanted(label: str, threshold: float | str | None, scorer: Scorer, kind: Kind) -> LabelThresholds:
    """Returns the thresholds of a label in a kind of channel. A score counts for all its outputs; at an operating
    point each output has its own score."""
    behind = scorer.labels[label]
    outputs = behind.get(kind, behind.get("any", ()))
    if isinstance(threshold, float):
        return LabelThresholds(label, dict.fromkeys(outputs, threshold))
    points = scorer.points_in(kind)
    if threshold is None and not any(points[output] for output in outputs):
        return LabelThresholds(label, dict.fromkeys(outputs, UNCALIBRATED))
    point = threshold or scorer.default_point
    for output in outputs:
        if point not in points[output]:
            known = ", ".join(points[output]) or "none, it was never calibrated"
            raise OptionError("threshold", f"the model has no operating point `{point}` for `{output}`; known: {known}")
    return LabelThresholds(label, {output: points[output][point] for output in outputs})


def _can_clear(wanted: Sequence[LabelThresholds], clears_from: Mapping[str, float]) -> bool:
    """Whether the first stage may clear texts for these labels. What it loses was measured for attacks that the encoder
    finds at a threshold; of a lower threshold nothing is known."""
    pairs = [pair for label in wanted for pair in label.thresholds.items()]
    return all(output in clears_from and least >= clears_from[output] for output, least in pairs)


def _advice(wanted: Mapping[Kind, tuple[LabelThresholds, ...]], scorer: Scorer) -> Iterator[Advice]:
    outside: dict[tuple[str, float], str] = {}
    for kind, labels in wanted.items():
        for output, least in sorted(pair for label in labels for pair in label.thresholds.items()):
            points = scorer.points_in(kind).get(output, {})
            if points and not min(points.values()) <= least <= max(points.values()):
                measured = ", ".join(f"{point} at {score:g}" for point, score in points.items())
                outside.setdefault((output, least), f"the model's operating points for `{output}` ({measured})")
    for (_, least), measured in sorted(outside.items()):
        message = f"{least:g} is outside of {measured}: its false positives were not measured"
        yield Advice("threshold", message, serious=True)


def _near(word: str, known: Sequence[str]) -> str:
    """Returns a hint: the nearest known word, or all known words."""
    return hint(word, known, "label") or f"; known: {', '.join(known)}"
