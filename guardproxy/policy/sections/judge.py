"""The section `judge`: a model that scores a sample of answers by a rubric, after they were sent.

`exchange/record/llm_judge.py` writes the questions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardproxy.audit.record import RecordedJudge
from guardproxy.checks import JudgeQuestion
from guardproxy.policy.sections.section import BoundSection, NeededUpstream, Section
from guardproxy.policy.values.rollout import WHOLE, position_of, read_share
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import YamlNode
from guardproxy.wire import Dialect

SAMPLE = "5 %"
SCALE = (1, 5)
LIMIT_RUBRIC_CHARS = 20_000
LIMIT_STEPS = 10
MOST_SCORE = 100
MAX_CHARS = 8000
LEAST_CHARS = 100
MOST_CHARS = 100_000
_KEYS = ("candidate", "upstream", "model", "rubric", "format", "sample", "scale", "least", "max_chars")
_SCALE_FORM = f"two whole numbers like [1, 5], from 0 to {MOST_SCORE}, with 1 to {LIMIT_STEPS} steps between them"


@dataclass(frozen=True, slots=True)
class CandidateModel:
    """A model that gets the sampled requests, too, so that the judge can compare its answer with the one that was sent."""

    upstream: str
    model: str


@dataclass(frozen=True, slots=True)
class JudgeSection:
    """The section. `upstream`: the name of the upstream that is asked for `model`, in a wire format (`wire_format`).
    `sample`: the number of exchanges in a million. `low`, `high`: the scale. `least`: the lowest score of a good answer.
    `max_chars`: how much of an exchange the judge reads at most. `candidate`: a model to compare with."""

    upstream: str
    model: str
    rubric: str
    sample: int
    low: int = SCALE[0]
    high: int = SCALE[1]
    least: int = SCALE[1] - 1
    max_chars: int = MAX_CHARS
    wire_format: str = ""
    candidate: CandidateModel | None = None

    @property
    def digest(self) -> str:
        """Identifies the question: scores of two rubrics, scales or models cannot be compared."""
        question = (JudgeQuestion.VERSION, self.model, self.rubric, self.low, self.high, self.max_chars)
        return hashlib.sha256(repr(question).encode()).hexdigest()[:12]


def read_judge(reading: FileReading, node: YamlNode) -> JudgeSection | None:
    """Reads the section."""
    keys = reading.entries(node, "a mapping", _KEYS, needed=("upstream", "model", "rubric"))
    upstream = reading.word(keys.get("upstream"), "the name of an upstream")
    model = reading.word(keys.get("model"), "the name of a model")
    rubric = reading.word(keys.get("rubric"), "a text, written as words")
    if rubric and len(rubric) > LIMIT_RUBRIC_CHARS:
        reading.fail(keys["rubric"].place, f"a rubric has at most {LIMIT_RUBRIC_CHARS} characters")
    wire_format = reading.choice(keys.get("format"), Dialect.names(), place="format") or ""
    sample = read_share(reading, keys.get("sample")) if "sample" in keys else WHOLE // 20
    low, high = _scale(reading, keys.get("scale"))
    least = reading.number(keys.get("least"), low, high, whole=True)
    max_chars = reading.number(keys.get("max_chars"), LEAST_CHARS, MOST_CHARS, whole=True)
    candidate = _candidate(reading, keys.get("candidate"))
    if upstream is None or model is None or rubric is None or sample is None:
        return None
    good = max(low, high - 1) if least is None else int(least)
    return JudgeSection(
        upstream, model, rubric.strip(), sample, low, high, good, int(max_chars or MAX_CHARS), wire_format, candidate
    )


def _candidate(reading: FileReading, node: YamlNode | None) -> CandidateModel | None:
    if node is None:
        return None
    keys = reading.entries(
        node, "a mapping like {upstream: cheap, model: gpt-5-nano}", ("upstream", "model"), ("upstream", "model")
    )
    upstream = reading.word(keys.get("upstream"), "the name of an upstream")
    model = reading.word(keys.get("model"), "the name of a model")
    return None if upstream is None or model is None else CandidateModel(upstream, model)


def _scale(reading: FileReading, node: YamlNode | None) -> tuple[int, int]:
    if node is None:
        return SCALE
    values = [item.value for item in node.value] if isinstance(node.value, tuple) else []
    if len(values) == 2:
        low, high = values
        if type(low) is int and type(high) is int and 0 <= low < high <= min(MOST_SCORE, low + LIMIT_STEPS):
            return low, high
    reading.fail(node.place, f"expected {_SCALE_FORM}")
    return SCALE


_WORD: dict[str, Any] = {"type": "string", "minLength": 1}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["upstream", "model", "rubric"],
    "properties": {
        "upstream": {**_WORD, "description": "The name of an upstream with a key of the proxy."},
        "model": {**_WORD, "description": "The model that judges."},
        "rubric": {**_WORD, "maxLength": LIMIT_RUBRIC_CHARS, "description": "What a score stands for."},
        "format": {
            "type": "string",
            "description": "The wire format that the upstream speaks. Default: chat completions.",
        },
        "candidate": {
            "type": "object",
            "additionalProperties": False,
            "required": ["upstream", "model"],
            "properties": {
                "upstream": {**_WORD, "description": "The name of an upstream that speaks the format of the requests."},
                "model": {**_WORD, "description": "The model that answers the sampled requests, too."},
            },
            "description": "A model whose answers the judge compares with those that were sent, in both orders.",
        },
        "sample": {"type": "string", "description": f"The share of exchanges, like `{SAMPLE}`, which is the default."},
        "scale": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": MOST_SCORE},
            "minItems": 2,
            "maxItems": 2,
            "description": "The lowest and the highest score. Default: [1, 5].",
        },
        "least": {
            "type": "integer",
            "description": "The lowest score of a good answer. Default: one below the highest.",
        },
        "max_chars": {
            "type": "integer",
            "minimum": LEAST_CHARS,
            "maximum": MOST_CHARS,
            "description": f"How many characters of an exchange the judge reads at most. Default: {MAX_CHARS}.",
        },
    },
}


def is_sampled(section: JudgeSection, policy: str, exchange_id: str) -> bool:
    """Whether an exchange is in the sample of a policy. It depends on the names alone, so a replay decides the same."""
    return position_of(f"judge:{policy}", exchange_id) < section.sample


def _recorded(sections: Sequence[BoundSection[JudgeSection]], exchange_id: str) -> Mapping[str, Any]:
    """Returns the judges that are to score the answer of an exchange."""
    judges = tuple(
        RecordedJudge(policy=section.policy, mode="enforce" if section.enforced else "shadow")
        for section in sections
        if is_sampled(section.value, section.policy, exchange_id)
    )
    return {"judges": judges}


def _explain(section: JudgeSection) -> str:
    beside = f" and compares them with those of {section.candidate.model}" if section.candidate else ""
    return f"{section.model} scores {section.sample / 10_000:g} % of the answers{beside}"


def _needs(section: JudgeSection) -> Iterator[NeededUpstream]:
    yield NeededUpstream("the judge asks", section.upstream, gets_request=False)
    if section.candidate:
        yield NeededUpstream("the judge compares with", section.candidate.upstream, gets_request=False)


JUDGE = Section(
    "judge",
    "A model that scores a sample of answers by a rubric, after they were sent.",
    _SCHEMA,
    read_judge,
    explain=_explain,
    needs=_needs,
    recorded=_recorded,
)
