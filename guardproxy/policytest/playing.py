"""Plays a scene through an exchange, without sockets, threads or a clock.

In: policies, a scene and the cuts of its answer. Out: the texts that reached the model and the client, the findings,
and the rules that held. An exception of a check is handled as in the proxy. Placeholders depend on a key, so they are
shown by label and order of appearance: `[EMAIL_ADDRESS_1]`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardproxy.audit.record import RecordedError, RecordedRoute
from guardproxy.events import Event, Text
from guardproxy.exchange import (
    Address,
    Command,
    DataReceived,
    Exchange,
    Finish,
    Input,
    Keys,
    PromptChange,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    SendData,
    SendHead,
    SendUpstream,
    Setting,
    State,
    caching,
    each,
    play,
    unsealed,
)
from guardproxy.exchange.gate import Job, Lane, Side
from guardproxy.findings import Direction, Finding, Kind, Scan, origin_words
from guardproxy.policy import BoundRule, PolicySet, first_language
from guardproxy.policy.sections import SECTIONS, BoundSection
from guardproxy.policy.values import FieldChange, RawExchange, RequestFacts, Texts, Verdict, verdict_of
from guardproxy.policytest.scan import outcome_of, scan_job
from guardproxy.policytest.scenes import Cuts, Fill, SceneAnswer, answer_of, codec_of, request_of
from guardproxy.redaction import PLACEHOLDER, RESTORE
from guardproxy.replay import Rerun
from guardproxy.wire import Codec
from guardproxy.wire.json import view

_KEY = hashlib.sha256(b"guardproxy policy test: placeholders that need not be secret").digest()
_LIMIT_BYTES = 64 * 1024 * 1024


Watch = Callable[[Input, Sequence[Command]], object]
"""Is called with each input of an exchange, and the commands that follow from it."""


@dataclass(slots=True)
class Numbers:
    """Numbers placeholders in order of appearance."""

    shown: dict[str, str] = field(default_factory=dict)
    canary: str = ""
    """The secret word in the system prompt, which a test writes as `[CANARY]`."""
    _counts: dict[str, int] = field(default_factory=dict)

    def show(self, text: str) -> str:
        """Returns `text` with each placeholder numbered."""
        shown = PLACEHOLDER.sub(lambda match: self._of(match[0]), text)
        return shown.replace(self.canary, "[CANARY]") if self.canary else shown

    def fill(self, text: str) -> str:
        """Returns `text` with the placeholders instead of their numbered forms."""
        for placeholder, number in self.shown.items():
            text = text.replace(number, placeholder)
        return text.replace("[CANARY]", self.canary) if self.canary else text

    def _of(self, placeholder: str) -> str:
        if placeholder not in self.shown:
            label = placeholder[1 : placeholder.rindex("_")]
            self._counts[label] = self._counts.get(label, 0) + 1
            self.shown[placeholder] = f"[{label}_{self._counts[label]}]"
        return self.shown[placeholder]


@dataclass(frozen=True, slots=True)
class Delivery:
    """The content that was sent to the model or the client. `texts`: path and text of each, in order. `raw`: decoded
    bytes."""

    texts: tuple[tuple[str, str], ...] = ()
    raw: str = ""

    def where(self, word: str) -> str:
        """Returns the path of a text that contains `word`; `body` if only the bytes contain it; otherwise empty."""
        decoded = ((path, view(text).text if text[:1] in "{[" else "") for path, text in self.texts)
        found = (path for path, text in (*self.texts, *decoded) if word in text)
        return next(found, "body" if word in self.raw else "")


@dataclass(frozen=True, slots=True, order=True)
class TextFinding:
    """A finding, with the place and the text of its span. `origins`: where it came from, in words."""

    direction: Direction
    path: str
    start: int
    end: int
    check: str
    label: str
    text: str
    kind: Kind = "user"
    score: float = 0.0
    attempt: int = 0
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class RuleHit:
    """A rule that held, with the finding that made it hold. `verdict`: the verdict of its action."""

    policy: str
    rule: str
    action: str
    enforced: bool
    direction: Direction
    path: str
    check: str
    label: str
    start: int
    end: int
    attempt: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ScannedText:
    """A text as checks read it. `checks`: the names of the checks that rules use for it."""

    direction: Direction
    path: str
    kind: Kind
    text: str
    checks: tuple[str, ...]
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class SceneResult:
    """The result of a scene. `policies`: those that apply; `rules_of`: their rules. `trouble`: why the exchange ended, if
    no rule ended it, and `error`: its code. `upstream`, `client`: the content that was sent to them, or `None`. `texts`: every
    text of the exchange. `fields`: what policies did with fields of the request. `prompts`: with its system prompt and its
    marks. `cache`: what it looks for in the cache. `sections`: those that apply, by key. `routes`: what their routes decided.
    `allowed`: the places that are no findings, as the policies of the checks allow the values."""

    decision: Verdict
    rules_of: tuple[BoundRule, ...]
    hits: tuple[RuleHit, ...]
    findings: tuple[TextFinding, ...]
    upstream: Delivery | None
    client: Delivery | None
    policies: tuple[str, ...] = ()
    texts: tuple[ScannedText, ...] = ()
    fields: tuple[FieldChange, ...] = ()
    prompts: tuple[PromptChange, ...] = ()
    cache: caching.CacheQuery | None = None
    sections: Mapping[str, tuple[BoundSection[Any], ...]] = field(default_factory=dict)
    trouble: str = ""
    error: str = ""
    routes: tuple[RecordedRoute, ...] = ()
    allowed: tuple[TextFinding, ...] = ()

    @property
    def applies(self) -> bool:
        return bool(self.policies)

    @property
    def routed(self) -> str:
        """The name of the upstream to which a route sends the request; empty for its own."""
        return next((route.upstream for route in self.routes if route.mode == "enforce"), "")

    def explained(self) -> Iterator[tuple[str, BoundSection[Any], str]]:
        """Yields the sections that say in words what they do: key, section, words."""
        for key, sections in sorted(self.sections.items()):
            if (explain := SECTIONS[key].explain) is not None:
                yield from ((key, bound, explain(bound.value)) for bound in sections)

    @property
    def rules(self) -> tuple[str, ...]:
        return tuple(sorted({hit.rule for hit in self.hits if hit.enforced}))

    @property
    def shadow(self) -> tuple[str, ...]:
        return tuple(sorted({hit.rule for hit in self.hits if not hit.enforced}))


def play_scene(
    policies: PolicySet,
    scene: Texts | RawExchange,
    facts: RequestFacts,
    cuts: Cuts,
    scan: Callable[[Job], Scan] = scan_job,
) -> SceneResult:
    """Plays a scene once. `scan`: runs a check on a window."""
    body = request_of(scene, facts, cuts.streamed)
    return play_answers(
        policies, facts, body, lambda number, fill: answer_of(scene, facts, cuts, number, fill), scan=scan
    )


def play_answers(
    policies: PolicySet,
    facts: RequestFacts,
    body: bytes,
    answer_to: Callable[[int, Fill], SceneAnswer | None],
    *,
    scan: Callable[[Job], Scan] = scan_job,
    watch: Callable[[Exchange, Numbers], Watch] | None = None,
) -> SceneResult:
    """Plays a request and its answers. `body`: of the request. `answer_to`: returns the answer to an attempt, counted from 0;
    `None` if there is no further answer. `watch`: returns what is called with each input of the exchange and its commands."""
    exchange, codec = _exchange(policies, facts)
    numbers = Numbers()
    watched = watch(exchange, numbers) if watch else None
    language = first_language(facts.headers.get("content-language", ""))
    received = RequestReceived(body, language=language, headers=facts.headers)
    done = play(exchange, [received], each(scan), watch=watched)
    _upstream(exchange, done, numbers)
    numbers.canary = exchange.canary
    number = 0
    while exchange.state == State.WAITING and (answer := answer_to(number, numbers.fill)):
        number += 1
        inputs: list[Input] = [ResponseStarted(answer.status, answer.media), *map(DataReceived, answer.pieces)]
        done += play(exchange, [*inputs, ResponseEnded()], each(scan), late=(False, *answer.late), watch=watched)
    upstream = _upstream(exchange, done, numbers)
    client = _client(codec, done, numbers)
    return _result(exchange, done, upstream, client, numbers)


def replay_result(rerun: Rerun) -> SceneResult:
    """Returns the result of a recorded exchange that was run again."""
    exchange, numbers = rerun.exchange, Numbers()
    upstream = _upstream(exchange, rerun.done, numbers)
    texts = tuple(
        (lane.channel.path, numbers.show(_released(lane)))
        for lane in exchange.answers[-1].gate.lanes.every
        if not lane.judged and lane.rewrite.released
    )
    client = Delivery(texts) if exchange.is_over else None
    return _result(exchange, rerun.done, upstream, client, numbers)


def _exchange(policies: PolicySet, facts: RequestFacts) -> tuple[Exchange, Codec]:
    codec, read_by = codec_of(facts), facts.formats.served(facts.route)
    setting = Setting(
        id="test",
        address=Address(read_by.route.text, facts.route.partition(" ")[2]) if read_by else Address(facts.route),
        tenant=facts.tenant,
        tenant_name=facts.tenant,
        codec=codec,
        policies=policies,
        keys=Keys.of(_KEY, facts.tenant, unsealed),
    )
    return Exchange(setting), codec


def _upstream(exchange: Exchange, done: Iterable[Command], numbers: Numbers) -> Delivery | None:
    """Returns the last request that was sent to the model."""
    bodies = [command.body for command in done if isinstance(command, SendUpstream)]
    if not bodies:
        return None
    setting = exchange.setting
    path, query = setting.address.sent
    return _delivery(setting.codec.read_request(path, query, bodies[-1]).events(), bodies[-1], numbers)


def _client(codec: Codec, done: Iterable[Command], numbers: Numbers) -> Delivery | None:
    """Returns the content that was sent to the client, decoded as a client decodes it."""
    head = next((command for command in done if isinstance(command, SendHead)), None)
    if head is None:
        return None
    data = b"".join(command.data for command in done if isinstance(command, (SendData, Finish)))
    decoder = codec.decoder(streamed=head.streamed, failed=head.status >= 400, limit_bytes=_LIMIT_BYTES)
    return _delivery([*decoder.feed(data), *decoder.end()], data, numbers)


def _delivery(events: Iterable[Event], data: bytes, numbers: Numbers) -> Delivery:
    texts: dict[str, str] = {}
    for event in events:
        if isinstance(event, Text) and not event.again:
            texts[event.channel.path] = texts.get(event.channel.path, "") + event.text
    shown = tuple((path, numbers.show(text)) for path, text in texts.items())
    return Delivery(shown, numbers.show(data.decode("utf-8", "replace")))


def _released(lane: Lane) -> str:
    """Returns the released part of a text, with its edits."""
    whole, out, at = "".join(lane.text.parts), "", 0
    for low, high, replacement in lane.rewrite.raw_edits():
        if low >= lane.rewrite.released:
            break
        out += whole[at:low] + replacement
        at = high
    return out + whole[at : lane.rewrite.released]


def _result(
    exchange: Exchange, done: Sequence[Command], upstream: Delivery | None, client: Delivery | None, numbers: Numbers
) -> SceneResult:
    hits = tuple(
        RuleHit(
            outcome.policy,
            outcome.rule,
            outcome.action,
            outcome.enforced,
            outcome.channel.direction,
            outcome.channel.path,
            outcome.finding.check,
            outcome.finding.label,
            outcome.finding.start,
            outcome.finding.end,
            outcome.attempt,
            verdict_of(outcome.decision),
        )
        for outcome in exchange.outcomes
    )
    last = done[-1] if done else None
    ending = last.outcome if isinstance(last, Finish) else ""
    error = last.record.error if isinstance(last, Finish) else None
    return SceneResult(
        decision=outcome_of(exchange, done),
        rules_of=exchange.bound.rules if exchange.bound else (),
        hits=hits,
        findings=tuple(_findings(exchange, numbers)),
        allowed=tuple(_findings(exchange, numbers, allowed=True)),
        upstream=upstream,
        client=client,
        policies=tuple(policy.name for policy in exchange.bound.policies) if exchange.bound else (),
        texts=tuple(_texts(exchange)),
        fields=exchange.field_changes,
        prompts=exchange.prompt_changes,
        cache=exchange.cache,
        sections=exchange.bound.sections if exchange.bound else {},
        trouble=_trouble(ending, error),
        error=error.code if error else "",
        routes=exchange.routing,
    )


def _trouble(outcome: str, error: RecordedError | None) -> str:
    """Returns why an exchange ended, if no rule ended it; otherwise an empty text."""
    if outcome in ("", "answered", "blocked_request", "blocked_response"):
        return ""
    if error is None:
        return f"{outcome}: "
    return f"{outcome}: {error.message or error.code}" + (f" at `{error.field}`" if error.field else "")


def _sides(exchange: Exchange) -> Iterator[tuple[int, Lane]]:
    """Yields every text, with the number of its attempt."""
    sides: list[tuple[int, Side]] = [(0, exchange.sides["request"]), *enumerate(exchange.answers)]
    for attempt, side in sides:
        for lane in side.gate.lanes.every:
            yield attempt, lane


def _whole(lane: Lane) -> str:
    return lane.text.view.text if lane.text.view else "".join(lane.text.parts)


def _texts(exchange: Exchange) -> Iterator[ScannedText]:
    for attempt, lane in _sides(exchange):
        checks = tuple(dict.fromkeys(check.name for check in lane.progress.checks if check.name != RESTORE))
        channel = lane.channel
        yield ScannedText(channel.direction, channel.path, channel.kind, _whole(lane), checks, attempt)


def _origins(finding: Finding) -> Iterator[str]:
    """Yields in words where a value in the arguments of a call came from."""
    for detail in finding.details:
        if (origin := detail.origin) is not None:
            yield origin_words(detail.shown, origin.path, origin.start, origin.end, is_earlier=origin.is_earlier)


def _findings(exchange: Exchange, numbers: Numbers, *, allowed: bool = False) -> Iterator[TextFinding]:
    """Yields the findings in all texts, or the places that policies allow."""
    for attempt, lane in _sides(exchange):
        whole, channel = _whole(lane), lane.channel
        for finding in lane.progress.allowed if allowed else lane.progress.findings:
            if finding.check != RESTORE:
                yield TextFinding(
                    channel.direction,
                    channel.path,
                    finding.start,
                    finding.end,
                    finding.check,
                    finding.label,
                    numbers.show(whole[finding.start : finding.end]),
                    channel.kind,
                    finding.score,
                    attempt,
                    tuple(_origins(finding)),
                )
