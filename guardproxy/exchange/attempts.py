"""The answers that a model gives to one request: how many there may be, what it is told between them, what is kept.

In: answers that a rule refused, with the finding that shows why. Out: whether there is another attempt, and the body to
send for it. Kept: every answer, for the record. What goes back to the model is its own answer as the record shows it, up
to the fault where it came as a stream: what was found in it is masked, so a retry never repeats a secret, and the
placeholders of the request stay what they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from guardproxy.audit import mask
from guardproxy.decisions import UNPLANNED, Plan, Retry, merged
from guardproxy.events import Event, Frame
from guardproxy.exchange.history import LIVE, History
from guardproxy.exchange.lanes import CHECK_ERROR, Lane, is_raw
from guardproxy.exchange.notes import Attempt, Side
from guardproxy.findings import Finding
from guardproxy.wire import Call, Codec, Contract, Decoder, ModelTurn
from guardproxy.wire.json import rewrite, write

CHARS_A_TOKEN = 4
NOT_REPEATED = "(not repeated)"  # what could not be checked
TEMPLATE = """\
Your last answer cannot be used:
{errors}
Give the whole answer again, without these faults."""

Extent = Literal["all", "start", "none"]
"""How much of an answer is held: all of it to its end, its frames without text until one with text may leave, nothing."""


@dataclass(slots=True)
class Held:
    """Frames of an answer that wait to be sent."""

    extent: Extent = "none"
    frames: list[tuple[Frame, bytes]] = field(default_factory=list)
    chars: int = 0

    @property
    def data(self) -> list[bytes]:
        """What is to be sent for each frame."""
        return [data for _, data in self.frames]

    def add(self, frame: Frame, data: bytes, chars: int) -> None:
        """Holds a frame."""
        self.frames.append((frame, data))
        self.chars += chars

    def release(self) -> list[tuple[Frame, bytes]]:
        """Takes out all frames. From now on nothing is held."""
        frames, self.frames, self.extent = self.frames, [], "none"
        return frames


@dataclass(slots=True)
class Answer:
    """What is known of one attempt while it runs."""

    side: Side
    decoder: Decoder
    began_s: float = 0.0
    status: int | None = None
    """The upstream's status; `None` until the answer begins."""
    streamed: bool = False
    ended: bool = False
    """Whether the body is complete, as HTTP sees it."""
    over: bool = False
    """Whether the last frame was seen."""
    held: Held = field(default_factory=Held)
    size_bytes: int = 0
    """How much of the body came."""
    events: list[Event] = field(default_factory=list)
    """All events, where the answer may be repaired."""
    mended: bool = False
    """Whether a text of it was repaired."""
    late: bool = False
    """Whether the time for it was over."""

    def again(self, side: Side) -> Answer:
        """The same answer through a new gate, once a text of it was repaired."""
        side.read, side.gate.quotes = self.side.read, self.side.gate.quotes
        return replace(self, side=side, held=Held(self.held.extent), size_bytes=0, events=[], mended=True, late=False)

    def chars(self, finding: Finding | None = None, lane: Lane | None = None) -> int:
        """Characters of the answer; of one that was cut off, those up to the fault, however much more had come."""
        lanes = [other for other in self.side.gate.lanes if not other.judged]
        if not self.streamed:
            return sum(other.text.total for other in lanes)
        here = 0 if lane is None or finding is None else lane.end_of(finding)
        return sum(other.rewrite.released for other in lanes if other is not lane) + here


@dataclass(frozen=True, slots=True)
class Following:
    """A next attempt. `decision`: what becomes of the answer before it, for the record; `rule`: which rule asked for it."""

    decision: str
    rule: str
    body: bytes


@dataclass(slots=True)
class Attempts:
    """The attempts of one exchange, and whether there may be another."""

    codec: Codec
    history: History = LIVE
    plan: Plan = UNPLANNED
    """Where the attempt under way goes."""
    body: bytes = b""
    """What went upstream first."""
    tree: Any = None
    """The body, decoded; only where a rule may ask for another attempt."""
    earlier: list[Attempt] = field(default_factory=list)
    """The attempts that are over."""
    retries: int = 0
    fell_back: bool = False
    retry: Retry | None = None
    """By which the attempt under way was asked for."""
    _tokens: int = 0

    def is_left(self, retry: Retry, answer: Answer, chars: int, spent_s: float) -> bool:
        """Whether there may be a further attempt. `chars`: of the answer; `spent_s`: since the request came."""
        if answer.status is not None and answer.status >= 400:  # an error is no answer
            return False
        if self.fell_back or self.retries >= retry.attempts or round(spent_s, 3) >= retry.total_s:
            return False
        if retry.total_tokens is None:
            return True
        return self._tokens + self._count(answer, chars, answer.streamed)[0] < retry.total_tokens

    def passes(self, retry: Retry, answer: Answer, chars: int, spent_s: float) -> bool:
        """Whether an answer that `retry` refuses goes on as it is, since there may be no other."""
        return retry.then == "pass_flagged" and not self.is_left(retry, answer, chars, spent_s)

    def following(self, retry: Retry, answer: Answer, lane: Lane, finding: Finding, spent_s: float) -> Following | None:
        """The attempt after an answer that `retry` refuses; `None` where there is none."""
        if self.is_left(retry, answer, answer.chars(finding, lane), spent_s):
            return Following("retry", retry.rule, self.again(retry, answer, lane, finding))
        if retry.then == "fallback" and not self.fell_back and answer.status == 200:
            return Following("fallback", retry.rule, self.elsewhere(retry))
        return None

    def fallback(self, reason: str) -> Following | None:
        """The other model after a further attempt that failed; `None` where the rule names none. `reason`: of the failure."""
        if self.retry is None or self.retry.then != "fallback" or self.fell_back:
            return None
        return Following(reason, self.retry.rule, self.elsewhere(self.retry))

    def note(
        self,
        answer: Answer,
        decision: str,
        at_s: float,
        *,
        rule: str = "",
        found: Finding | None = None,
        lane: Lane | None = None,
        cut: bool = False,
    ) -> Attempt:
        """What the record holds of an attempt."""
        # How far the upstream's own count has come in the middle of a stream depends on chunks.
        estimated = decision != "answered" and answer.streamed
        tokens, output, counted = self._count(answer, answer.chars(found, lane), estimated)
        return Attempt(
            answer.side,
            answer.decoder.seen,
            answer.status,
            answer.streamed,
            decision=decision,
            rule=rule,
            details=found.details if found else (),
            began_s=answer.began_s,
            ended_s=at_s,
            cut=cut,
            tokens=tokens,
            output_tokens=output,
            counted=counted,
            price=self.retry.price if self.retry else 0.0,
        )

    def _count(self, answer: Answer, chars: int, estimated: bool) -> tuple[int, int, bool]:
        usage = answer.decoder.seen.usage
        tokens, output, counted = tokens_of(self.codec.contract, usage, chars, len(self.body), estimated)
        return self.history.tokens(len(self.earlier), tokens), output, counted

    def end(
        self,
        answer: Answer,
        decision: str,
        at_s: float,
        rule: str,
        finding: Finding | None = None,
        lane: Lane | None = None,
        *,
        is_cut: bool = False,
    ) -> None:
        """Notes that the answer was discarded. A repair costs nothing of its own."""
        attempt = self.note(answer, decision, at_s, rule=rule, found=finding, lane=lane, cut=is_cut)
        self.earlier.append(attempt)
        if decision != "repair":
            self._tokens += attempt.tokens

    def every(self, answer: Answer, outcome: str, at_s: float) -> list[Attempt]:
        """All attempts, the last one included, where there was more than one."""
        if not self.earlier:
            return []
        return [*self.earlier, self.note(answer, "late" if answer.late else outcome, at_s)]

    def again(self, retry: Retry, answer: Answer, lane: Lane, finding: Finding) -> bytes:
        """The body of the next attempt."""
        self.retries += 1
        self.retry = retry
        turn = turn_of(self.codec.contract, answer, lane, finding)
        return write(self.codec.turns.further(self.tree, turn, feedback(retry, lane, finding)))

    def elsewhere(self, retry: Retry) -> bytes:
        """The first body, for another model."""
        self.fell_back = True
        self.retry = retry
        fallback = Plan(
            retry.upstream, retry.model, reason=f"fallback of the rule `{retry.rule}`", priority=self.plan.priority
        )
        self.plan = merged([fallback, self.plan])
        return write(planned(self.codec, fallback, self.tree)) if fallback.changes_body else self.body


def planned(codec: Codec, plan: Plan, tree: Any) -> Any:
    """The body of a request, decoded, as `plan` sends it."""
    changed = {**tree, **plan.parameters}
    return codec.turns.with_model(changed, plan.model) if plan.model else changed


def tokens_of(
    contract: Contract, usage: dict[str, Any], chars: int, asked_chars: int, cut: bool
) -> tuple[int, int, bool]:
    """Tokens in all, tokens of the answer, and whether they were counted by the upstream: what was cut off was not."""
    asked, output = contract.tokens(usage)
    if not cut and isinstance(output, int) and isinstance(asked, int):
        return asked + output, output, True
    output = -(-chars // CHARS_A_TOKEN)
    return output + -(-asked_chars // CHARS_A_TOKEN), output, False


def feedback(retry: Retry, lane: Lane, finding: Finding) -> str:
    """What the model is told."""
    errors = "\n".join(f"- {line}" for line in errors_of(finding))
    where = "in the arguments of your tool call: " if lane.channel.kind == "tool_arguments" else ""
    return (retry.template or TEMPLATE).replace("{errors}", where + "\n" + errors if where else errors)


def errors_of(finding: Finding) -> list[str]:
    """One line for each fault."""
    if not finding.details:
        label = finding.label.replace("_", " ").lower()
        return ["it could not be checked" if finding.label == CHECK_ERROR else f"it contains this: {label}"]
    return [
        f"{f'at `{detail.place}`: ' if detail.place else ''}expected {detail.expected}, found {detail.found}"
        + (f": `{detail.said}`" if detail.said else "")
        for detail in finding.details
    ]


def turn_of(contract: Contract, answer: Answer, lane: Lane, finding: Finding) -> ModelTurn:
    """The model's own answer: of one that came as a stream, what stands before and in the fault."""
    text: list[str] = []
    names: dict[str, str] = {}
    arguments: dict[str, str] = {}
    choice = contract.choice_of(lane.channel.path)
    for other in answer.side.gate.lanes:
        if contract.choice_of(other.channel.path) != choice:
            continue
        end = other.text.total
        if answer.streamed:
            end = other.end_of(finding) if other is lane else other.rewrite.released
        part = contract.part(other.channel)
        if part == "answer" and not other.judged:
            text.append(shown(other, end))
        elif part == "tool":
            if end or other.channel.path == contract.name_path(lane.channel.path):
                names[other.channel.path] = shown(other, end or len(other.text.parts[0]))
        elif part == "input" and end:
            arguments[contract.name_path(other.channel.path)] = shown(other, end)
    calls = tuple(Call(name, arguments.get(path, "{}")) for path, name in names.items())
    return ModelTurn("".join(text), calls)


def shown(lane: Lane, end: int) -> str:
    """A lane's text up to `end`, with what was found in it masked."""
    quote = lane.quotation.lane
    if quote is not None and (lane.judged or end <= lane.quotation.fault_end):
        lane, end = quote, quote.text.total
    elif lane.judged:
        return "".join(lane.text.parts)
    asked = {check.name for check in lane.progress.checks if not is_raw(check)}
    if any(finding.label == CHECK_ERROR and finding.check in asked for finding in lane.progress.findings):
        return NOT_REPEATED
    whole = "".join(lane.text.parts)
    masks = rewrite(lane.text.view, lane.rewrite.masks) if lane.text.view is not None else lane.rewrite.masks
    return mask(whole[:end], [(low, min(high, end), token) for low, high, token in masks if low < end])[0]
