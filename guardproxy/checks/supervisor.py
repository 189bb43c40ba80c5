"""The supervisor: a small model that says how much a text looks like an attack (`use: supervisor`).

In: windows. Out: a finding for each segment whose score reaches the threshold. Kept: nothing. A channel's text is cut
into segments at places that depend on the text alone, and each segment is scored together with the words before it, so
that an attack across a border is seen. Text on its way to the model is there as a whole and is cut into few long
segments (a short prompt is one); an answer is cut at early sentence ends, so that little of a stream is held back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from guardproxy.checks import Check, Resources, Scorer, options_digest
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import Direction, Finding, Scan, Window

VERSION = 1
OPTIONS = ("label", "labels", "model", "threshold", "window_chars")
WINDOW_CHARS = 900
"""Characters scored together, context included: about 200 tokens of English, below the model's 256."""
SMALLEST_WINDOW_CHARS = 200
LARGEST_WINDOW_CHARS = 4000

FIRST_CHARS = 80
"""The first segment of an answer ends at the first sentence end after this many characters."""
LATER_CHARS = 240
"""The same for all segments after the first."""

# A match never depends on what follows it, or a border would move when more text arrives.
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*\s|[\n。！？]")
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Segments:
    """How a text is cut. `window_chars`: the most characters scored together, a quarter of them context."""

    window_chars: int = WINDOW_CHARS

    @property
    def context_chars(self) -> int:
        return self.window_chars // 4

    def end(self, text: str, start: int, direction: Direction, offset: int, last: bool) -> int | None:
        """Where the segment that begins at `text[start]` ends, or `None` while text that is still to come decides it.

        `offset`: where `text` begins in its channel. The answer for a border that more text follows is the same
        whether that text is there or not: this is what chunk invariance rests on.
        """
        first = offset + start == 0
        cap = self.window_chars if first else self.window_chars - self.context_chars
        body = text[start : start + cap]
        if direction == "response":
            least = min(FIRST_CHARS if first else LATER_CHARS, cap)
            early = next((match.end() for match in _SENTENCE_END.finditer(body) if match.end() >= least), None)
            if early is not None:
                return start + early
        if len(text) - start <= cap:
            return len(text) if last else None
        half = cap // 2
        ends = [match.end() for match in _SENTENCE_END.finditer(body) if match.end() > half]
        ends = ends or [match.end() for match in _SPACE.finditer(body, half)]
        return start + (ends[-1] if ends else cap)

    def begin(self, text: str, start: int, offset: int) -> int:
        """Where the context of the segment at `text[start]` begins: at a word, where there is one near.

        `text` holds at least `context_chars` before `start`, or begins its channel's text.
        """
        raw = start - self.context_chars
        if offset + raw <= 0:
            return 0
        space = _SPACE.search(text, raw, raw + self.context_chars // 3)
        return space.end() if space else raw


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The check. `thresholds`: for each label asked for, the score from which it is a finding.

    `sensitive`: its findings judge a text, they are no values that a record must hide. `slow`: never on the event loop.
    """

    name: str
    digest: str
    thresholds: Mapping[str, float]
    scorer: Scorer
    segments: Segments = field(default_factory=Segments)
    sensitive: bool = False
    slow: bool = True

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """One `Scan` for each window; the texts of all of them are scored in one call."""
        cuts = [self._cut(window) for window in windows]
        texts = [text for spans in cuts for _, _, text in spans if text is not None]
        scores = iter(self.scorer.score(texts) if texts else [])
        return [self._answer(window, spans, scores) for window, spans in zip(windows, cuts, strict=True)]

    def _cut(self, window: Window) -> list[tuple[int, int, str | None]]:
        """The complete segments of a window: start and end in the channel's text, and what to score (`None`: blank)."""
        text, offset = window.text, window.start
        start = window.settled - offset
        found: list[tuple[int, int, str | None]] = []
        while start < len(text):
            end = self.segments.end(text, start, window.channel.direction, offset, window.last)
            if end is None:
                break
            blank = not text[start:end].strip()
            scored = None if blank else text[self.segments.begin(text, start, offset) : end]
            found.append((offset + start, offset + end, scored))
            start = end
        return found

    def _answer(
        self, window: Window, spans: list[tuple[int, int, str | None]], scores: Iterator[dict[str, float]]
    ) -> Scan:
        findings = []
        for start, end, text in spans:
            if text is None:
                continue
            score = next(scores)
            findings += [
                Finding(start, end, self.name, label, score[label])
                for label, threshold in self.thresholds.items()
                if score[label] >= threshold
            ]
        settled = spans[-1][1] if spans else window.settled
        keep = max(window.start, settled - self.segments.context_chars)
        return Scan(tuple(findings), settled, keep)


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """The check for one policy entry.

    Options: `label` or `labels` (default `injection`), `threshold` (0 to 1, default the model's own for each label),
    `model` (default `supervisor`), `window_chars`. Raises `OptionError` for anything else.
    """
    for key in options:
        if key not in OPTIONS:
            raise OptionError(key, f"unknown option `{key}`{_near(key, OPTIONS)}")
    if resources.scorer is None:
        raise OptionError("use", "this process was started without a model, so `supervisor` cannot be used here")
    model = options.get("model", "supervisor")
    if not isinstance(model, str) or not model:
        raise OptionError("model", "must be the name of a model")
    try:
        scorer = resources.scorer(model)
    except ConfigError as error:
        raise OptionError("model", str(error)) from error
    own = _threshold(options)
    thresholds = {label: scorer.thresholds[label] if own is None else own for label in _labels(options, scorer)}
    segments = Segments(_window_chars(options))
    digest = options_digest("supervisor", VERSION, dict(options), scorer.digest)
    return Supervisor(name, digest, thresholds, scorer, segments)


def _labels(options: Mapping[str, Any], scorer: Scorer) -> list[str]:
    if "label" in options and "labels" in options:
        raise OptionError("label", "give `label` or `labels`, not both")
    key = "labels" if "labels" in options else "label"
    given = options.get(key, "injection")
    labels = [given] if key == "label" else given
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise OptionError(key, "must be a label" if key == "label" else "must be a list of at least one label")
    known = sorted(scorer.thresholds)
    for label in labels:
        if label not in known:
            raise OptionError(key, f"the model has no label `{label}`{_near(label, known)}")
    return labels


def _threshold(options: Mapping[str, Any]) -> float | None:
    if "threshold" not in options:
        return None
    value = options["threshold"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise OptionError("threshold", "must be a number from 0 to 1")
    return float(value)


def _window_chars(options: Mapping[str, Any]) -> int:
    value = options.get("window_chars", WINDOW_CHARS)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not SMALLEST_WINDOW_CHARS <= value <= LARGEST_WINDOW_CHARS:
        raise OptionError(
            "window_chars", f"must be a whole number from {SMALLEST_WINDOW_CHARS} to {LARGEST_WINDOW_CHARS}"
        )
    return int(value)


def _near(word: str, known: Sequence[str]) -> str:
    """A hint: the nearest known word, or all of them."""
    near = get_close_matches(word, known, 1)
    return f"; did you mean `{near[0]}`?" if near else f"; known: {', '.join(known)}"
