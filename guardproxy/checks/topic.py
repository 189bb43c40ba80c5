"""The check `topic`: texts about a topic that a policy denies, or about none of those that it allows.

In: windows. Out: a finding for each piece of a text that is about a denied topic, with the label of the topic, or that is
about no allowed topic (`OFF_TOPIC`). A topic is told by a sentence and some examples. A model turns texts into vectors, and a
piece is about a topic if its vector lies far enough in the direction of the examples, seen from ordinary texts
(`_shared/topics`).

A piece that says too little to be about anything (`thanks!`, `yes, the second`) is never off topic. Nor is one that is on topic
together with the piece before it.

Decision: docs/decisions/0077-topics-are-told-by-examples.md
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from guardproxy.checks._shared.declared.contract import Embedder, Resources
from guardproxy.checks._shared.declared.options import SCORE, Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.evasions.readings import other_views
from guardproxy.checks._shared.evasions.unfolding import EVASIONS
from guardproxy.checks._shared.topics.pieces import pieces, telling_words
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import Advice, Check, Detail, Finding, Scan, Traits, Window

if TYPE_CHECKING:
    from guardproxy.checks._shared.topics.directions import Background, TopicDirection

VERSION = 1
OFF_TOPIC = "OFF_TOPIC"
FEWEST, MOST = 3, 20
"""Examples of a topic."""
MOST_TOPICS = 50
OTHERS = {"deny": 0.02, "allow": 0.1}
"""The share of the ordinary texts that a threshold lets be about a topic, if the policy gives none. A denied topic should not
be seen where it is not. An allowed one should rather be seen where it is not: a text about it must not be refused. Of several
allowed topics it is divided by the root of their number, since a text passes that is about any of them."""
NEAR = 0.1
_KEYS = ("name", "about", "examples", "threshold")
_TOPICS: Mapping[str, Any] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MOST_TOPICS,
    "items": {
        "type": "object",
        "required": ["name", "about", "examples"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": r"\S", "description": "The label of its findings."},
            "about": {"type": "string", "pattern": r"\S", "description": "What the topic is, in a sentence."},
            "examples": {
                "type": "array",
                "minItems": FEWEST,
                "maxItems": MOST,
                "items": {"type": "string", "pattern": r"\S"},
                "description": "Texts about it, as people write them.",
            },
            "threshold": {
                **SCORE,
                "description": "The score from which a text is about it; `guardproxy model topic` finds it.",
            },
        },
    },
}
OPTIONS: Options = {
    "allow": Option(
        "Topics, of which a text must be about one.", _TOPICS, default_words="give `allow` or `deny`", tighter="shorter"
    ),
    "deny": Option(
        "Topics, of which a text may be about none.", _TOPICS, default_words="give `allow` or `deny`", tighter="longer"
    ),
    "least_words": Option(
        "With `allow`: a text with fewer words that say something is not off topic.",
        {"type": "integer", "minimum": 1, "maximum": 50},
        default=3,
    ),
    "evasions": EVASIONS,
    "model": Option("The name of the model.", {"type": "string", "minLength": 1}, default="embedding"),
}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of a policy. `threshold`: `None` if the policy gives none."""

    name: str
    about: str
    examples: tuple[str, ...]
    threshold: float | None

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that tell what it is about."""
        return (self.about, *self.examples)


class NearExample(NamedTuple):
    """An example near the threshold of its topic. `score`: along the direction of the other examples; `is_found`: whether it
    reaches the threshold."""

    score: float
    text: str
    is_found: bool


@dataclass(frozen=True, slots=True)
class FittedTopic:
    """A topic with its direction. `threshold`: the score from which a text is about it. `left_out`: the score of each example
    along the direction of the others."""

    topic: Topic
    direction: TopicDirection
    threshold: float
    left_out: tuple[float, ...]

    def near_line(self) -> list[NearExample]:
        """Returns the examples whose score is less than `NEAR` above the threshold, or below it, the lowest first."""
        pairs = zip(self.left_out, self.topic.examples, strict=True)
        return [
            NearExample(score, text, score >= self.threshold)
            for score, text in sorted(pairs)
            if score < self.threshold + NEAR
        ]


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option, for topics that cannot be used, and without a
    model."""
    from guardproxy.checks._shared.topics.directions import background_of  # noqa: PLC0415 - imports numpy, only now

    values = with_defaults(options, OPTIONS)
    way, topics = topics_of(values)
    model = values["model"]
    if resources.embedder is None or resources.background is None:
        raise OptionError("use", "this process was started without a model, so `topic` cannot be used here")
    if not isinstance(model, str) or not model:
        raise OptionError("model", "must be the name of a model")
    try:
        embedder = resources.embedder(model)
        background = background_of(tuple(resources.background(model)), embedder.dimensions)
    except ConfigError as error:
        raise OptionError("model", str(error)) from error
    share = _share(way, len(topics))
    fitted = tuple(_fitted(way, at, topic, embedder, background, share) for at, topic in enumerate(topics))
    traits = Traits(
        is_sensitive=False,  # its findings are scores of a text; they are not values
        is_slow=False,
        labels=frozenset(topic.name for topic in topics) if way == "deny" else frozenset((OFF_TOPIC,)),
        advice=tuple(advice for at, topic in enumerate(fitted) for advice in _advice(way, at, topic)),
    )
    digest = options_digest("topic", VERSION, dict(options), embedder.digest, unicodedata.unidata_version)
    least = values["least_words"]
    return TopicCheck(name, digest, traits, fitted, embedder, way == "allow", least, values["evasions"])


@dataclass(frozen=True, slots=True)
class TopicCheck:
    """The check `topic`. `is_allowing`: whether a text must be about one of the topics."""

    name: str
    digest: str
    traits: Traits
    topics: tuple[FittedTopic, ...]
    embedder: Embedder = field(repr=False)
    is_allowing: bool
    least_words: int
    evasions: str

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        text, at = window.text, window.settled - window.start
        findings: list[Finding] = []
        before = text[:at]
        keep = 0
        for start, end in pieces(text, at, last=window.last):
            piece = text[start:end]
            low = window.start + start + len(piece) - len(piece.lstrip())
            high = window.start + start + len(piece.rstrip())
            if low < high:
                judged = self._off_topic(piece, before) if self.is_allowing else self._denied(piece)
                findings += [Finding(low, high, self.name, label, score, details) for label, score, details in judged]
            before, keep, at = piece, start, end
        return Scan(tuple(sorted(findings)), window.start + at, window.start + keep)

    def scores(self, text: str) -> list[float]:
        """Returns the score of a text for each topic, the highest of all readings of the text."""
        views = (view.text for view in other_views(text, self.evasions))
        vectors = self.embedder.embed([text, *views])
        return [max(topic.direction.score(vector) for vector in vectors) for topic in self.topics]

    def _denied(self, piece: str) -> list[tuple[str, float, tuple[Detail, ...]]]:
        return [
            (topic.topic.name, _shown(score), (_detail(topic, score),))
            for topic, score in zip(self.topics, self.scores(piece), strict=True)
            if score >= topic.threshold
        ]

    def _off_topic(self, piece: str, before: str) -> list[tuple[str, float, tuple[Detail, ...]]]:
        if telling_words(piece) < self.least_words:
            return []
        nearest = self._nearest(piece)
        if nearest >= 0 or (before and self._nearest(before + piece) >= 0):
            return []
        names = ", ".join(topic.topic.name for topic in self.topics)
        detail = Detail("", "", f"a text about {names}", "a text about something else")
        return [(OFF_TOPIC, _shown(-nearest), (detail,))]

    def _nearest(self, text: str) -> float:
        """Returns by how much a text reaches the threshold of a topic, the highest of all topics; below 0 if it reaches
        none."""
        return max(score - topic.threshold for topic, score in zip(self.topics, self.scores(text), strict=True))


def _shown(score: float) -> float:
    return round(min(1.0, max(0.0, score)), 3)


def _detail(topic: FittedTopic, score: float) -> Detail:
    name = topic.topic.name
    return Detail(
        "", "", f"no text about {name}", f"a text about {name} ({score:.3f}, which is from {topic.threshold:g} on)"
    )


def _share(way: str, topics: int) -> float:
    return OTHERS[way] / sqrt(topics) if way == "allow" else OTHERS[way]


def topics_of(values: Mapping[str, Any]) -> tuple[str, list[Topic]]:
    """Returns which of `allow` and `deny` a policy gives, and its topics. Raises `OptionError`."""
    given = [way for way in ("allow", "deny") if values.get(way) is not None]
    if len(given) != 1:
        raise OptionError(given[-1] if given else "deny", "give `allow` or `deny`, one of both")
    way = given[0]
    entries = values[way]
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_TOPICS:
        raise OptionError(way, f"`{way}` must be a list of 1 to {MOST_TOPICS} topics")
    topics = [_topic(way, at, entry) for at, entry in enumerate(entries)]
    names = [topic.name for topic in topics]
    for at, name in enumerate(names):
        if name in names[:at] or name == OFF_TOPIC:
            raise OptionError(
                way,
                f"`{name}` is the name of another topic"
                if name in names[:at]
                else f"`{name}` means that a text is about no topic",
                at,
            )
    return way, topics


def _topic(way: str, at: int, entry: Any) -> Topic:
    def refuse(message: str) -> OptionError:
        return OptionError(way, f"topic {at + 1}: {message}", at)

    if not isinstance(entry, Mapping):
        raise refuse("must have `name`, `about` and `examples`")
    for key in entry:
        if key not in _KEYS:
            raise refuse(f"unknown key `{key}`; known: {', '.join(_KEYS)}")
    for key in ("name", "about"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise refuse(f"`{key}` must be a text")
    examples = entry.get("examples")
    if not isinstance(examples, list) or not all(isinstance(text, str) and text.strip() for text in examples):
        raise refuse("`examples` must be a list of texts")
    distinct = tuple(dict.fromkeys(examples))
    if not FEWEST <= len(distinct) <= MOST:
        raise refuse(f"`examples` must have {FEWEST} to {MOST} different texts, and has {len(distinct)}")
    threshold = entry.get("threshold")
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if threshold is not None and not (is_number and 0 <= threshold <= 1):
        raise refuse("`threshold` must be a number from 0 to 1")
    return Topic(entry["name"], entry["about"], distinct, None if threshold is None else float(threshold))


def fit_topics(
    options: Mapping[str, Any],
    embedder: Embedder,
    background: Sequence[bytes],
    others: Sequence[bytes] = (),
    share: float | None = None,
) -> tuple[str, list[FittedTopic]]:
    """Returns which of `allow` and `deny` the options of a check give, and each topic with the threshold that fits it, whatever
    threshold the policy gives.

    `background`: the vectors of the ordinary texts of the model. `others`: of more texts that are about none of the topics.
    `share`: of all these that may reach a threshold; `None`: the check's own. Raises `OptionError`.
    """
    from guardproxy.checks._shared.topics.directions import background_of  # noqa: PLC0415 - imports numpy, only now

    way, topics = topics_of(options)
    if share is None:
        share = _share(way, len(topics))
    ordinary = background_of(tuple(background), embedder.dimensions)
    fitted = []
    for at, topic in enumerate(topics):
        found = _fitted(way, at, replace(topic, threshold=None), embedder, ordinary, share, others)
        fitted.append(replace(found, topic=topic))
    return way, fitted


def _fitted(
    way: str,
    at: int,
    topic: Topic,
    embedder: Embedder,
    background: Background,
    share: float,
    others: Sequence[bytes] = (),
) -> FittedTopic:
    """Returns a topic with its direction and its threshold. Raises `OptionError` if its examples are as ordinary texts are."""
    from guardproxy.checks._shared.topics.directions import line, numbers  # noqa: PLC0415 - imports numpy, only now

    vectors = embedder.embed(topic.texts)
    for text, vector in zip(topic.texts, vectors, strict=True):
        if not any(vector):
            raise OptionError(way, f"topic {at + 1}: the model knows no word of `{text}`", at)
    examples = numbers(vectors, embedder.dimensions)
    direction = background.direction(examples)
    if direction is None:
        raise OptionError(way, f"topic {at + 1}: its examples say nothing that ordinary texts do not", at)
    left_out = tuple(
        background.left_out(examples)[1:]
    )  # the first is the sentence about the topic, which nobody writes
    threshold = topic.threshold
    if threshold is None:
        scores = [*background.scores(direction), *map(direction.score, others)]
        threshold = min(1.0, max(0.0, line(scores, left_out, share)))
    return FittedTopic(topic, direction, threshold, left_out)


def _advice(way: str, at: int, fitted: FittedTopic) -> list[Advice]:
    name = fitted.topic.name
    advice = []
    if fitted.topic.threshold is None:
        message = (
            f"`{name}` has no `threshold` of its own; `guardproxy model topic` finds one, and shows what is near it"
        )
        advice.append(Advice(way, message, at))
    missed = [
        text for text, score in zip(fitted.topic.examples, fitted.left_out, strict=True) if score < fitted.threshold
    ]
    if 3 * len(missed) > len(fitted.left_out):
        message = f"{len(missed)} of {len(fitted.left_out)} examples of `{name}` would not be found by the others: "
        advice.append(Advice(way, message + "the topic is too wide, or its examples too few", at, serious=True))
    return advice
