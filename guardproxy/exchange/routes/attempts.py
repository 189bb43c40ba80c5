"""The attempts of an exchange: their limit, the list of faults that the model gets between them, and their notes.

In: answers that a rule refused, each with the finding that shows why. Out: whether another attempt follows, and its body.
Kept: every answer, for the record. The model gets its own answer back as the record shows it; of a stream, the part up to
the fault. Findings in it are masked, so a retry never repeats a secret. The placeholders of the request do not change.

Decisions:
- docs/decisions/0012-a-wrong-answer-is-quoted-only-up-to-the-fault.md
- docs/decisions/0018-what-a-retry-quotes-was-scanned-first.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
from msgspec import structs

from guardproxy.audit.record import UPSTREAM_5XX
from guardproxy.decisions import UNPLANNED, Plan, Retry, merge_plans
from guardproxy.events import Event, Frame
from guardproxy.exchange.gate.lanes import CHECK_ERROR, Lane, is_raw
from guardproxy.exchange.gate.notes import Attempt, Side, TokenCount
from guardproxy.exchange.routes.failover import FurtherDestinations, trouble_in
from guardproxy.exchange.routes.replay_source import LIVE, History
from guardproxy.findings import Finding
from guardproxy.redaction import mask
from guardproxy.wire import Call, Codec, Contract, Decoder
from guardproxy.wire.contract import ModelTurn
from guardproxy.wire.json import rewrite

CHARS_A_TOKEN = 4
NOT_REPEATED = "(not repeated)"  # instead of text that could not be checked
LATE = "late"  # the time for an answer was over
TEMPLATE = """\
Your last answer cannot be used:
{errors}
Give the whole answer again, without these faults."""

Extent = Literal["all", "start", "none"]
"""How much of an answer is held. `all`: every frame to the end; `start`: the frames before the first text; `none`: no frame."""


class HeldFrames(msgspec.Struct):
    """Frames of an answer that wait to be sent. `listens`: whether the client waits for messages that nobody announces."""

    extent: Extent = "none"
    listens: bool = False
    frames: list[tuple[Frame, bytes]] = msgspec.field(default_factory=list)
    chars: int = 0

    @property
    def data(self) -> list[bytes]:
        """The bytes to send for each frame."""
        return [data for _, data in self.frames]

    def add(self, frame: Frame, data: bytes, chars: int) -> None:
        """Holds a frame."""
        self.frames.append((frame, data))
        self.chars += chars

    def release(self) -> list[tuple[Frame, bytes]]:
        """Takes out all frames. From now on nothing is held."""
        frames, self.frames, self.extent = self.frames, [], "none"
        return frames


class Answer(msgspec.Struct):
    """The state of an attempt while it runs."""

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
    held: HeldFrames = msgspec.field(default_factory=HeldFrames)
    size_bytes: int = 0
    """The size of the body so far."""
    events: list[Event] = msgspec.field(default_factory=list)
    """All events of the answer, if it may be repaired; otherwise empty."""
    mended: bool = False
    """Whether a text of it was repaired."""
    given_up: str = ""
    """Why it was given up before its end: `LATE`, or the cause of a failure of the upstream; otherwise empty."""

    def again(self, side: Side) -> Answer:
        """The same answer with a new gate, after a text of it was repaired."""
        side.begin(read=self.side.read, quotes=self.side.gate.quotes)
        held = HeldFrames(self.held.extent)  # an answer that may be repaired is no stream of unannounced messages
        return structs.replace(self, side=side, held=held, size_bytes=0, events=[], mended=True, given_up="")

    def chars(self, finding: Finding | None = None, faulty: Lane | None = None) -> int:
        """Counts the characters of the answer. In a stream that a finding ended, only those up to the fault in
        `faulty` count."""
        lanes = [lane for lane in self.side.gate.lanes.every if not lane.judged]
        if not self.streamed:
            return sum(lane.text.total for lane in lanes)
        before_fault = 0 if faulty is None or finding is None else faulty.end_of(finding)
        return sum(lane.rewrite.released for lane in lanes if lane is not faulty) + before_fault


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """The attempt that comes next. `decision`: the decision about the previous answer, for the record; `rule`: the rule that
    asks for the attempt; `plan`: its destination, `None` for the same."""

    decision: str
    rule: str
    body: bytes
    plan: Plan | None = None


class Attempts(msgspec.Struct):
    """The attempts of an exchange. Decides whether another attempt may follow."""

    codec: Codec
    history: History = LIVE
    sent_path: str = ""
    """The path that the client sent."""
    path: str = ""
    """The path of the attempt under way, if its model changes the path; otherwise empty."""
    plan: Plan = UNPLANNED
    """The destination of the attempt under way."""
    failover: FurtherDestinations | None = None
    """The destinations that a route names for failures; `None` without a route."""
    body: bytes = b""
    """The body of the first attempt, with the model of the destination that is asked now."""
    tree: Any = None
    """The decoded body, if a rule may ask for another attempt."""
    earlier: list[Attempt] = msgspec.field(default_factory=list)
    """The attempts that are over."""
    retries: int = 0
    fell_back: bool = False
    retry: Retry | None = None
    """The decision that asked for the attempt under way; `None` for the first attempt."""

    def is_left(self, retry: Retry, answer: Answer, chars: int, spent_s: float) -> bool:
        """Whether a further attempt may follow. The tokens of a repaired answer count once. `chars`: the characters of the
        answer; `spent_s`: the time since the request came."""
        if answer.status is not None and answer.status >= 400:  # an error of the upstream is not retried
            return False
        if not self.codec.contract.serves_models:  # a tool would be called twice
            return False
        if self.fell_back or self.retries >= retry.attempts or round(spent_s, 3) >= retry.total_s:
            return False
        if retry.total_tokens is None:
            return True
        spent = sum(attempt.tokens.total for attempt in self.earlier if attempt.decision != "repair")
        return spent + self._count(answer, chars, answer.streamed).total < retry.total_tokens

    def passes(self, retry: Retry, answer: Answer, chars: int, spent_s: float) -> bool:
        """Whether an answer that `retry` refuses is sent as it is, because no attempt is left."""
        return retry.then == "pass_flagged" and not self.is_left(retry, answer, chars, spent_s)

    def following(
        self, retry: Retry, answer: Answer, lane: Lane, finding: Finding, spent_s: float
    ) -> NextAttempt | None:
        """The attempt after an answer that `retry` refuses; `None` if no attempt is left."""
        if self.is_left(retry, answer, answer.chars(finding, lane), spent_s):
            return NextAttempt("retry", retry.rule, self.again(retry, answer, lane, finding))
        may_fall_back = self.codec.contract.serves_models and not self.fell_back
        if retry.then == "fallback" and may_fall_back and answer.status == 200:
            return self.elsewhere(retry, "fallback")
        return None

    def fallback(self, reason: str) -> NextAttempt | None:
        """The attempt with the fallback model after a failed retry; `None` if the rule names no model. `reason`: why the
        retry failed."""
        if self.retry is None or self.retry.then != "fallback" or self.fell_back:
            return None
        return self.elsewhere(self.retry, reason)

    def passed(self) -> None:
        """Notes that all checks let the request pass, so that it may go to further destinations."""
        if self.failover is not None:
            self.failover.body = self.body

    def begin(self, upcoming: NextAttempt) -> None:
        """Notes that an attempt begins."""
        self.plan = upcoming.plan or self.plan
        if self.failover is not None:
            self.failover.body = upcoming.body

    def after_failure(self, reason: str, answer: Answer) -> NextAttempt | None:
        """The attempt after a failure: at the next destination of a route, or with the fallback model of a rule."""
        return self.fail_over(reason, answer) or self.fallback(reason)

    def fail_over(self, reason: str, answer: Answer) -> NextAttempt | None:
        """The same request to the next destination of the route; `None` if no other is to be asked. `reason`: why the answer is
        discarded."""
        if self.failover is None or self.fell_back:
            return None
        plan = self.failover.following(reason, answer.status)
        if plan is None:
            return None
        body = self.failover.body
        if plan.model and plan.model != self.plan.model:
            tree = self.codec.read_body(body)
            body = self.codec.write_body(self._with_model(tree, plan.model))
            if self.tree is not None:  # what a rule asks for later begins with the first body
                self.tree = self._with_model(self.tree, plan.model)
                self.body = self.codec.write_body(self.tree)
        return NextAttempt(reason, "", body, plan)

    @property
    def may_fail_over(self) -> bool:
        """Whether a failure may lead to a further destination."""
        return self.failover is not None and self.failover.is_open and not self.fell_back

    def trouble_in(self, events: Sequence[Event], answer: Answer) -> str:
        """Why the next destination is asked although an answer arrives; empty if it is not asked."""
        if self.failover is None or not self.may_fail_over:
            return ""
        found = trouble_in(events, answer.decoder.seen.finish, answer.side.gate.lanes.every, streamed=answer.streamed)
        found = self.history.trouble(len(self.earlier), found)
        return found if found and self.failover.leads_on(found, answer.status) else ""

    def note(
        self,
        answer: Answer,
        decision: str,
        at_s: float,
        *,
        rule: str = "",
        finding: Finding | None = None,
        lane: Lane | None = None,
        cut: bool = False,
    ) -> Attempt:
        """The notes of an attempt, for the record."""
        # In the middle of a stream the upstream's token count depends on the chunks.
        estimated = decision not in ("answered", UPSTREAM_5XX) and answer.streamed
        tokens = self._count(answer, answer.chars(finding, lane), estimated)
        seen = answer.decoder.seen
        return Attempt(
            answer.side,
            replace(seen, cause=answer.given_up) if answer.given_up not in ("", LATE) else seen,
            answer.status,
            answer.streamed,
            decision=decision,
            rule=rule,
            details=finding.details if finding else (),
            began_s=answer.began_s,
            ended_s=at_s,
            cut=cut,
            tokens=tokens._replace(price=self.retry.price) if self.retry else tokens,
            plan=self.plan,
        )

    def _count(self, answer: Answer, chars: int, estimated: bool) -> TokenCount:
        usage = answer.decoder.seen.usage
        tokens = tokens_of(self.codec.contract, usage, chars, len(self.body), estimated)
        return tokens._replace(total=self.history.tokens(len(self.earlier), tokens.total))

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
        """Notes that the answer was discarded."""
        self.earlier.append(self.note(answer, decision, at_s, rule=rule, finding=finding, lane=lane, cut=is_cut))

    def every(self, answer: Answer, outcome: str, at_s: float) -> list[Attempt]:
        """All attempts, the current included; empty if the first answer was the only attempt."""
        if not self.earlier:
            return []
        return [*self.earlier, self.note(answer, LATE if answer.given_up == LATE else outcome, at_s)]

    def again(self, retry: Retry, answer: Answer, lane: Lane, finding: Finding) -> bytes:
        """The body of the next attempt, which tells the model what was wrong."""
        self.retries += 1
        self.retry = retry
        turn = turn_of(self.codec.contract, answer, lane, finding)
        return self.codec.write_body(self.codec.turns.further(self.tree, turn, retry_message(retry, lane, finding)))

    def elsewhere(self, retry: Retry, decision: str) -> NextAttempt:
        """The attempt with the first body and the fallback model."""
        self.fell_back = True
        self.retry = retry
        fallback = Plan(
            retry.upstream, retry.model, reason=f"fallback of the rule `{retry.rule}`", priority=self.plan.priority
        )
        body = self.codec.write_body(self.planned(fallback)) if fallback.changes_body else self.body
        return NextAttempt(decision, retry.rule, body, merge_plans([fallback, self.plan]))

    def planned(self, plan: Plan) -> Any:
        """Returns the decoded body as `plan` sends it, and sets `path`."""
        tree = {**self.tree, **plan.parameters}
        return self._with_model(tree, plan.model) if plan.model else tree

    def _with_model(self, tree: Any, model: str) -> Any:
        """Returns the decoded body with another model, and sets `path`."""
        path, tree = self.codec.turns.with_model(self.path or self.sent_path, tree, model)
        self.path = "" if path == self.sent_path else path
        return tree


def tokens_of(contract: Contract, usage: dict[str, Any], chars: int, asked_chars: int, cut: bool) -> TokenCount:
    """The tokens of an attempt, estimated from characters if the upstream did not count them, as in an answer that was cut
    off (`cut`)."""
    prompt, output = contract.tokens(usage)
    if not cut and output is not None and prompt is not None:
        return TokenCount(prompt + output, output, True)
    output = -(-chars // CHARS_A_TOKEN)
    return TokenCount(output + -(-asked_chars // CHARS_A_TOKEN), output, False)


def retry_message(retry: Retry, lane: Lane, finding: Finding) -> str:
    """The message to the model about its fault."""
    errors = "\n".join(f"- {line}" for line in errors_of(finding))
    where = "in the arguments of your tool call: " if lane.channel.kind == "tool_arguments" else ""
    return (retry.template or TEMPLATE).replace("{errors}", where + "\n" + errors if where else errors)


def errors_of(finding: Finding) -> list[str]:
    """A line for each fault."""
    if not finding.details:
        label = finding.label.replace("_", " ").lower()
        return ["it could not be checked" if finding.label == CHECK_ERROR else f"it contains this: {label}"]
    return [
        f"{f'at `{detail.place}`: ' if detail.place else ''}expected {detail.expected}, found {detail.found}"
        + (f": `{detail.said}`" if detail.said else "")
        for detail in finding.details
    ]


def turn_of(contract: Contract, answer: Answer, lane: Lane, finding: Finding) -> ModelTurn:
    """The model's own answer. If it was streamed, the text up to the end of the fault."""
    text: list[str] = []
    names: dict[str, str] = {}
    arguments: dict[str, str] = {}
    choice = contract.choice_of(lane.channel.path)
    for other in answer.side.gate.lanes.every:
        if contract.choice_of(other.channel.path) != choice:
            continue
        end = other.text.total
        if answer.streamed and other.judged and other.index > lane.index:
            continue  # whether it came already depends on chunks
        if answer.streamed and (other is lane or not other.judged):
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
    """A lane's text up to `end`, with its sensitive values masked."""
    quote = lane.quotation.lane
    if quote is not None and (lane.judged or end <= lane.quotation.fault_end):
        lane, end = quote, quote.text.total
    elif lane.judged:
        return "".join(lane.text.parts)
    reading = {check.name for check in lane.progress.checks if not is_raw(check)}
    if any(finding.label == CHECK_ERROR and finding.check in reading for finding in lane.progress.findings):
        return NOT_REPEATED
    whole = "".join(lane.text.parts)
    masks = rewrite(lane.text.view, lane.rewrite.masks) if lane.text.view is not None else lane.rewrite.masks
    return mask(whole[:end], [(low, min(high, end), token) for low, high, token in masks if low < end])[0]
