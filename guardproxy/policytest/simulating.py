"""Simulates a stream: what arrives with each piece, what the exchange holds back and why, and what the client gets.

In: policies, a request, and the pieces of an answer. Out: a step for each piece, and the result of the exchange. The exchange
is that of the proxy; this module only watches it. However an answer is cut, the result is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from guardproxy.events import Event, Text
from guardproxy.exchange import (
    Command,
    DataReceived,
    Exchange,
    Finish,
    Input,
    RequestReceived,
    ResponseEnded,
    SendData,
    SendHead,
    State,
)
from guardproxy.exchange.gate import Job, Lane
from guardproxy.findings import Kind, Scan
from guardproxy.policy import BoundRule, PolicySet
from guardproxy.policy.values import RequestFacts
from guardproxy.policytest.playing import Numbers, SceneResult, play_answers
from guardproxy.policytest.scan import scan_job
from guardproxy.policytest.scenes import SceneAnswer, codec_of
from guardproxy.redaction import RESTORE
from guardproxy.wire import Codec, Decoder

_LIMIT_BYTES = 64 * 1024 * 1024
Deltas = tuple[tuple[str, str], ...]
"""Texts by their paths."""


@dataclass(frozen=True, slots=True)
class HeldPart:
    """The end of a text that has arrived and is not sent. `start`: where it begins in the text, in code points. `reasons`: why
    it is held, in words."""

    path: str
    kind: Kind
    start: int
    text: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StreamStep:
    """A piece of an answer and what follows from it. `size_bytes`: of the piece; 0 at the end of the answer. `arrived`,
    `released`: the texts that came and that the client gets. `held`: what is held after the step. `ending`: how the exchange
    ended in the step; empty if it goes on."""

    size_bytes: int
    arrived: Deltas
    released: Deltas
    held: tuple[HeldPart, ...]
    ending: str = ""


@dataclass(frozen=True, slots=True)
class Simulation:
    """A stream and its result."""

    steps: tuple[StreamStep, ...]
    result: SceneResult

    @property
    def most_held(self) -> int:
        """The most characters that were held after a step."""
        return max((sum(len(part.text) for part in step.held) for step in self.steps), default=0)


@dataclass(frozen=True, slots=True)
class StreamPieces:
    """The bytes of an answer in pieces. `media`: its type; empty for that of the format's streams."""

    pieces: tuple[bytes, ...]
    media: str = ""
    status: int = 200

    @classmethod
    def of_text(cls, codec: Codec, text: str, size_chars: int, kind: Kind = "assistant") -> StreamPieces | None:
        """Returns a stream whose events hold `size_chars` characters each; `None` if the format streams no such text."""
        parts = [text[low:high] for low, high in _borders(len(text), size_chars)]
        frames = codec.author.frames_with(kind, parts)
        return None if frames is None else cls(tuple(frames))

    @classmethod
    def of_bytes(cls, data: bytes, size_bytes: int) -> StreamPieces:
        """Returns a recorded stream, cut every `size_bytes` bytes, also within events and characters."""
        return cls(tuple(data[low:high] for low, high in _borders(len(data), size_bytes)))


def simulate(
    policies: PolicySet,
    body: bytes,
    facts: RequestFacts,
    stream: StreamPieces,
    scan: Callable[[Job], Scan] = scan_job,
) -> Simulation:
    """Plays a request and a stream. Each piece is scanned before the next arrives."""
    codec = codec_of(facts)
    media = stream.media or codec.contract.media.streamed
    watchers: list[_Watcher] = []

    def scan_noted(job: Job) -> Scan:
        scanned = scan(job)
        watchers[0].note(job, scanned)
        return scanned

    def watch(exchange: Exchange, numbers: Numbers) -> Callable[[Input, Sequence[Command]], object]:
        streamed = media == codec.contract.media.streamed
        arriving = codec.decoder(streamed=streamed, failed=stream.status >= 400, limit_bytes=_LIMIT_BYTES)
        watchers.append(_Watcher(exchange, numbers, codec, arriving))
        return watchers[0].watch

    answer = SceneAnswer(stream.status, media, stream.pieces)
    result = play_answers(
        policies, facts, body, lambda number, fill: None if number else answer, scan=scan_noted, watch=watch
    )
    return Simulation(watchers[0].finished(), result)


@dataclass(slots=True)
class _OpenStep:
    """A step that goes on."""

    size_bytes: int
    arrived: list[tuple[str, str]]
    released: list[tuple[str, str]] = field(default_factory=list)
    held: tuple[HeldPart, ...] = ()
    ending: str = ""


@dataclass(slots=True)
class _Watcher:
    """Watches an exchange. `arriving`, `leaving`: decode what comes and what the client gets. `settled`: how far the answer of
    each check is final, by the path of the text and the name of the check."""

    exchange: Exchange
    numbers: Numbers
    codec: Codec
    arriving: Decoder
    leaving: Decoder | None = None
    steps: list[_OpenStep] = field(default_factory=list)
    settled: dict[tuple[str, str], int] = field(default_factory=dict)

    def note(self, job: Job, scanned: Scan) -> None:
        """Takes the scan of a check."""
        if job.window.channel.direction == "response":
            self.settled[job.window.channel.path, job.check.name] = scanned.settled

    def watch(self, event: Input, commands: Sequence[Command]) -> None:
        """Takes an input and the commands that follow from it."""
        if isinstance(event, DataReceived):
            self.steps.append(_OpenStep(len(event.data), self._texts(self.arriving.feed(event.data))))
        elif isinstance(event, ResponseEnded):
            self.steps.append(_OpenStep(0, self._texts(self.arriving.end())))
        elif isinstance(event, RequestReceived) or not self.steps:
            return
        step = self.steps[-1]
        for command in commands:
            if isinstance(command, SendHead):
                self.leaving = self.codec.decoder(
                    streamed=command.streamed, failed=command.status >= 400, limit_bytes=_LIMIT_BYTES
                )
            if isinstance(command, (SendData, Finish)) and self.leaving is not None:
                step.released += self._texts(self.leaving.feed(command.data))
            if isinstance(command, Finish):
                step.ending = command.outcome
                step.released += self._texts(self.leaving.end() if self.leaving else ())
        step.held = () if step.ending else tuple(self._held())

    def finished(self) -> tuple[StreamStep, ...]:
        """Returns all steps."""
        return tuple(
            StreamStep(step.size_bytes, _joined(step.arrived), _joined(step.released), step.held, step.ending)
            for step in self.steps
        )

    def _texts(self, events: Iterable[Event]) -> list[tuple[str, str]]:
        return [
            (event.channel.path, self.numbers.show(event.text))
            for event in events
            if isinstance(event, Text) and not event.again and event.text
        ]

    def _held(self) -> Iterator[HeldPart]:
        """Yields the texts of the answer whose ends are held."""
        whole = self.exchange.state == State.HOLDING
        for lane in self.exchange.answers[-1].gate.lanes.every:
            released, total = 0 if whole else lane.rewrite.released, lane.text.total
            if not lane.judged and released < total:
                text = self.numbers.show(lane.text.part(released, total))
                yield HeldPart(lane.channel.path, lane.channel.kind, released, text, tuple(self._reasons(lane, whole)))

    def _reasons(self, lane: Lane, whole: bool) -> Iterator[str]:
        if whole:
            yield from _who_holds(self.exchange.bound.rules if self.exchange.bound else ())
            return
        if lane.progress.held and not lane.text.ended:
            yield "it is JSON or constrained by a schema, so it is read when it is complete"
            return
        late = [check.name for check in lane.progress.checks if self._at(lane, check.name) < lane.text.total]
        names: dict[str, list[str]] = {}
        for name in late:
            at = self._at(lane, name)
            rest = self.numbers.show(lane.text.part(max(at, lane.rewrite.released), lane.text.total))
            names.setdefault(_quoted(rest), []).append(name)
        for rest, readers in names.items():
            if checks := ", ".join(f"`{name}`" for name in readers if name != RESTORE):
                yield f"what comes next may change what {checks} {'say' if '`, `' in checks else 'says'} of {rest}"
            if RESTORE in readers:
                yield f"a placeholder may go on in {rest}, whose value would be restored"
        if lane.progress.is_patient:
            yield "the text that waits is long, so the next scan waits for more of it"
        if not late and lane.progress.settled < lane.text.total:
            yield "a finding at its end may still grow"
        elif not late:
            yield "its event is sent when all that came before it is settled"

    def _at(self, lane: Lane, name: str) -> int:
        return self.settled.get((lane.channel.path, name), 0)


def _who_holds(rules: Sequence[BoundRule]) -> Iterator[str]:
    """Yields which rules need the whole answer."""
    names = [bound.rule.id for bound in rules if bound.rule.retry and bound.rule.mode == "enforce"]
    for name in names:
        yield f"the rule `{name}` may ask for another answer, so no text leaves before it is sure"
    if not names:
        yield "a rule judges the whole answer, so no text leaves before its end"


def _quoted(text: str) -> str:
    return f"“{text if len(text) <= 40 else '…' + text[-40:]}”"


def _joined(deltas: Sequence[tuple[str, str]]) -> Deltas:
    texts: dict[str, str] = {}
    for path, text in deltas:
        texts[path] = texts.get(path, "") + text
    return tuple(texts.items())


def _borders(size: int, step: int) -> list[tuple[int, int]]:
    return list(pairwise([*range(0, size, step), size])) if size else []
