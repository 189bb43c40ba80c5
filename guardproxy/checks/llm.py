"""The check `llm`: a model at an upstream of the operator judges each text by a rubric.

In: windows of whole texts, each with the text as the record shows it (`Facts.masked`). Out: a finding that covers the whole
text, if the model gives the answer that counts; and what it said, for the record. Kept: nothing; the server sends questions,
remembers verdicts and counts budgets.

The text leaves this machine, so it is read after all other checks and rules, with placeholders for the values that they
found. Only upstreams that the operator has named are asked (`--upstream NAME=URL`), with the proxy's key. `_shared/asking`
says how the question is put, so that the text cannot answer for the judge. An answer that is none fails the check, and
`on_error` decides. No answer is no verdict: if the upstream is busy (status 429, 503 or 529), late (`timeout_s`, status 504)
or cannot be reached, the exchange ends with 503, whatever `on_error` says. The record holds the findings, so a replay asks
nobody.

Decision: docs/decisions/0078-a-model-judges-what-the-record-shows.md
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

from msgspec import structs

from guardproxy.checks._shared.asking.question import VERSION as QUESTION_VERSION
from guardproxy.checks._shared.asking.question import (
    AllowedAnswers,
    Answer,
    GivenAnswer,
    JudgeQuestion,
    digest_of,
    question_of,
    scores,
)
from guardproxy.checks._shared.declared.contract import AskedModel, Resources
from guardproxy.checks._shared.declared.options import Option, Options, options_digest, with_defaults
from guardproxy.errors import OptionError, RemoteCapacityError, RemoteError, Shortage
from guardproxy.findings import Advice, Check, Finding, ModelVerdict, Scan, Traits, Window, failed_scan

VERSION = 1
TIMEOUT_S = 10.0
MAX_CHARS = 8000
LIMIT_CHARS = 200_000
LIMIT_RUBRIC_CHARS = 20_000
LIMIT_STEPS = 100
NO_TEXT, TOO_LONG = "no_text", "too_long"
_YES_NO = AllowedAnswers(("yes", "no"))
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?) ?%", re.ASCII)
_WHOLE = Fraction(100)
_SCORE: Mapping[str, Any] = {"type": "integer", "minimum": 0, "maximum": 1000}

OPTIONS: Options = {
    "upstream": Option(
        "The name of the upstream that is asked. The operator names it with `--upstream NAME=URL`.",
        {"type": "string", "pattern": r"\S"},
    ),
    "model": Option("The model that judges.", {"type": "string", "pattern": r"\S"}),
    "rubric": Option(
        "What the model judges, as a question that `yes`, `no` or a score answers.",
        {"type": "string", "pattern": r"\S", "maxLength": LIMIT_RUBRIC_CHARS},
    ),
    "answer": Option(
        "The answer that is a finding: `yes`, `no`, or a `score` from `least` on.",
        {"enum": ["yes", "no", "score"]},
        default="yes",
    ),
    "scale": Option(
        "For `score`: the lowest and the highest score, two whole numbers.",
        {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        default_words="[1, 5]",
    ),
    "least": Option("For `score`: the lowest score that is a finding.", _SCORE, default_words="the highest"),
    "format": Option(
        "The wire format that the upstream speaks, by its name.",
        {"type": "string", "pattern": r"\S"},
        default_words="the first format, chat completions",
    ),
    "timeout_s": Option(
        "Seconds to wait for an answer.",
        {"type": "number", "exclusiveMinimum": 0, "maximum": 60},
        default=TIMEOUT_S,
    ),
    "max_chars": Option(
        "The most characters of a text that the model reads; a longer text fails the check.",
        {"type": "integer", "minimum": 100, "maximum": LIMIT_CHARS},
        default=MAX_CHARS,
    ),
    "budget": Option(
        "What may be asked in an hour for each tenant: `calls`, `cost` in the unit of prices, or both. Beyond it, the check "
        "fails.",
        {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                "calls": {"type": "integer", "minimum": 1},
                "cost": {"type": "number", "exclusiveMinimum": 0},
            },
        },
        default_words="no limit",
    ),
    "sample": Option(
        "The share of exchanges whose texts are judged. The id of the exchange decides.",
        {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,4})? ?%$"},
        default="100 %",
    ),
    "cache": Option("Whether a verdict serves for equal texts of the same tenant.", {"type": "boolean"}, default=True),
}


class QuestionOutcome(NamedTuple):
    """What became of a question. `given`: the answer; `failure`: why there is none, as the record says it; `shortage`: if
    that is no verdict at all. `tokens`, `cost`, `ms`, `is_known`: see `ModelVerdict`."""

    given: GivenAnswer | None = None
    failure: str = ""
    shortage: Shortage | None = None
    tokens: tuple[int, int] | None = None
    cost: int | None = None
    ms: float = 0.0
    is_known: bool = False


class AskingClient(Protocol):
    """A client of one model, usable from any thread."""

    def submit(self, queries: Sequence[JudgeQuestion]) -> Any:
        """Asks all questions at once. Returns a future (`concurrent.futures.Future`) with an `QuestionOutcome` for each."""
        ...


@dataclass(frozen=True, slots=True)
class Questions:
    """The questions of a scan. `numbers`: the numbers of their windows. `unasked`: why other windows are not asked about
    although they should be, by their numbers."""

    queries: tuple[JudgeQuestion, ...]
    numbers: tuple[int, ...]
    unasked: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LlmCheck:
    """The check `llm`. `finds`: the score of the finding that an answer is, `None` if it is none. `label`: of the finding.
    `share`: the exchanges in a sample, in millionths. `scorer`: the client, or `None` if nobody may be asked (`policy test`,
    a replay)."""

    name: str
    digest: str
    traits: Traits
    asked: AskedModel
    rubric: str
    allowed: AllowedAnswers
    finds: Callable[[Any], float | None]
    label: str
    max_chars: int
    share: int
    scorer: AskingClient | None

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """Asks about the windows and waits."""
        questions = self.ask(windows)
        try:
            if questions.queries and self.scorer is None:
                raise RemoteError("no model may be asked here")
            asked = self.scorer.submit(questions.queries).result() if questions.queries and self.scorer else []
            return self.answer(windows, questions, asked)
        except RemoteError as error:
            unanswered = {*questions.numbers, *questions.unasked}
            return [
                failed_scan(window, error) if number in unanswered else _settled(window)
                for number, window in enumerate(windows)
            ]

    def ask(self, windows: Sequence[Window]) -> Questions:
        """Returns the questions: about texts of the sample that are not blank."""
        queries: list[JudgeQuestion] = []
        numbers: list[int] = []
        unasked: dict[int, str] = {}
        for number, window in enumerate(windows):
            masked = window.facts.masked
            if masked is None or masked.text is None:
                if window.text.strip():  # without a copy that may leave, nothing leaves
                    unasked[number] = NO_TEXT
                continue
            if not masked.text.strip() or not self._is_sampled(masked.exchange):
                continue
            if len(masked.text) > self.max_chars:
                unasked[number] = TOO_LONG
                continue
            place = (self.name, masked.exchange, window.channel.direction, window.channel.path)
            queries.append(question_of(self.rubric, self.allowed, masked.text, place))
            numbers.append(number)
        return Questions(tuple(queries), tuple(numbers), unasked)

    def answer(self, windows: Sequence[Window], questions: Questions, asked: Sequence[QuestionOutcome]) -> list[Scan]:
        """Returns the scans for what became of the questions."""
        scans = [_settled(window) for window in windows]
        for number, failure in questions.unasked.items():
            scans[number] = failed_scan(
                windows[number], RemoteError(failure), self._verdict("", QuestionOutcome(failure=failure))
            )
        for number, question, outcome in zip(questions.numbers, questions.queries, asked, strict=True):
            scans[number] = self._scan(windows[number], question, outcome)
        return scans

    def told(self, window: Window, answer: str | None) -> Scan:
        """Returns the scan of a text for an answer that a test of a policy gives instead of a model; `None`: nobody is
        asked. Raises `RemoteError` for an answer that the question does not allow."""
        masked = window.facts.masked
        if answer is None or masked is None or not masked.text:
            return _settled(window)
        given = next((allowed for allowed in self.allowed.answers if str(allowed) == answer), None)
        if given is None:
            raise RemoteError("the question does not allow this answer")
        return self._found(window, given)

    def _scan(self, window: Window, question: JudgeQuestion, asked: QuestionOutcome) -> Scan:
        if asked.given is None:
            verdict = self._verdict(question.digest, asked)
            if asked.shortage is not None:
                return failed_scan(window, RemoteCapacityError(asked.shortage, asked.failure), verdict)
            return failed_scan(window, RemoteError(asked.failure), verdict)
        verdict = self._verdict(question.digest, asked, str(asked.given.answer))
        return structs.replace(self._found(window, asked.given.answer), verdict=verdict)

    def _found(self, window: Window, answer: Answer) -> Scan:
        """The scan of a text for an answer."""
        score = self.finds(answer)
        end = window.start + len(window.text)
        findings = () if score is None else (Finding(window.start, end, self.name, self.label, score),)
        return Scan(findings, end, window.start)

    def _verdict(self, question: str, asked: QuestionOutcome, answer: str = "") -> ModelVerdict:
        return ModelVerdict(
            check=self.name,
            upstream=self.asked.upstream,
            model=self.asked.model,
            question=question and digest_of(self.asked.model, question),
            answer=answer,
            failure=asked.failure,
            tokens=asked.tokens,
            cost=asked.cost,
            ms=asked.ms,
            known=asked.is_known,
        )

    def _is_sampled(self, exchange: str) -> bool:
        if self.share >= _MILLION:
            return True
        digest = hashlib.sha256(f"{self.name}\0{exchange}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % _MILLION < self.share


_MILLION = 1_000_000


def _settled(window: Window) -> Scan:
    """The scan of a text without a finding. An unfinished text is asked about later."""
    return Scan((), window.start + len(window.text) if window.last else window.settled, window.start)


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check for one policy entry; see `OPTIONS`. Raises `OptionError`, also for an upstream that the operator has
    not named."""
    values = with_defaults(options, OPTIONS)
    for key in ("upstream", "model", "rubric"):
        if not isinstance(values[key], str) or not values[key].strip():
            raise OptionError(key, f"`{key}` must be a text")
    if len(values["rubric"]) > LIMIT_RUBRIC_CHARS:
        raise OptionError("rubric", f"a rubric has at most {LIMIT_RUBRIC_CHARS} characters")
    if values["format"] is not None and not isinstance(values["format"], str):
        raise OptionError("format", "`format` must be the name of a wire format")
    allowed, finds, label = _answers(values)
    calls, cost = _budget(values["budget"])
    asked = AskedModel(
        check=name,
        upstream=values["upstream"].strip(),
        model=values["model"].strip(),
        wire_format=values["format"] or "",
        timeout_s=float(values["timeout_s"]),
        calls=calls,
        cost=cost,
        remembers=values["cache"],
    )
    share = _share(values["sample"])
    # The others do not change what an answer would be, so a replay may take what the record holds.
    lasting = {key: value for key, value in values.items() if key not in ("timeout_s", "budget", "cache")}
    traits = Traits(
        is_sensitive=False,
        needs_masked=True,
        judges_whole=True,
        labels=frozenset((label,)),
        advice=tuple(_advice(values)),
    )
    return LlmCheck(
        name,
        options_digest("llm", VERSION, lasting, str(QUESTION_VERSION)),
        traits,
        asked,
        values["rubric"],
        allowed,
        finds,
        label,
        values["max_chars"],
        share,
        resources.asking(asked) if resources.asking else None,
    )


def _answers(values: Mapping[str, Any]) -> tuple[AllowedAnswers, Callable[[Any], float | None], str]:
    """Returns the answers that the question allows, what an answer is worth as a finding, and the label of the finding."""
    wanted = str(values["answer"])
    if wanted != "score":
        for key in ("scale", "least"):
            if values[key] is not None:
                raise OptionError(key, f"`{key}` belongs to `answer: score`")
        return _YES_NO, lambda answer: 1.0 if answer == wanted else None, wanted.upper()
    scale = values["scale"] if values["scale"] is not None else [1, 5]
    is_pair = isinstance(scale, list) and len(scale) == 2 and all(type(end) is int for end in scale)
    if not is_pair or not 0 <= scale[0] < scale[1] <= min(_SCORE["maximum"], scale[0] + LIMIT_STEPS):
        raise OptionError(
            "scale", f"`scale` must be two whole numbers like [1, 5], with 1 to {LIMIT_STEPS} steps between them"
        )
    low, high = scale
    least = high if values["least"] is None else values["least"]
    if not low <= least <= high:
        raise OptionError("least", f"`least` must be a whole number from {low} to {high}")
    return scores(low, high), lambda answer: (answer - low) / (high - low) if answer >= least else None, "SCORE"


def _budget(value: Any) -> tuple[int | None, float | None]:
    """Returns the calls and the cost that an hour may have."""
    if value is None:
        return None, None
    if not isinstance(value, Mapping) or not value or not value.keys() <= {"calls", "cost"}:
        raise OptionError("budget", "`budget` must have `calls`, `cost` or both")
    calls, cost = value.get("calls"), value.get("cost")
    if calls is not None and (type(calls) is not int or calls < 1):
        raise OptionError("budget", "`calls` must be a whole number, at least 1")
    if cost is not None and (type(cost) not in (int, float) or not 0 < cost < float("inf")):
        raise OptionError("budget", "`cost` must be a number above 0")
    return calls, None if cost is None else float(cost)


def _share(value: Any) -> int:
    match = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    share = Fraction(match[1]) if match else _WHOLE + 1
    if share > _WHOLE:
        raise OptionError("sample", "`sample` must be a share from 0 % to 100 %, like `10 %`")
    return int(share * _MILLION / _WHOLE)


def _advice(values: Mapping[str, Any]) -> list[Advice]:
    if values["budget"] is not None or _share(values["sample"]) < _MILLION:
        return []
    message = (
        "each text that the rules of this check read costs a question to the model, unless its verdict is known; name the "
        "texts in `on` of the rules, and set a `budget` or a `sample`"
    )
    return [Advice("upstream", message)]
