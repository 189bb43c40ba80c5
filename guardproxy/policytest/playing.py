"""One scene through an exchange: the driver of tests, without sockets, threads or clock.

In: policies, a scene and how its answer is cut. Out: what reached the model and the client, what was found, which rules
held. A check that fails does so as it would in the proxy. Placeholders are shown as `[EMAIL_ADDRESS_1]`, numbered by label
in the order in which they come up, for their letters depend on a key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from guardproxy.audit import Record
from guardproxy.events import Event, Text
from guardproxy.exchange import (
    Command,
    DataReceived,
    Exchange,
    Finish,
    Input,
    Job,
    Keys,
    Lane,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    SendData,
    SendHead,
    SendUpstream,
    Setting,
    Side,
    State,
    each,
    play,
    unsealed,
)
from guardproxy.findings import Direction, Kind
from guardproxy.findings import Scan as ScanResult
from guardproxy.policy import (
    BoundRule,
    PolicySet,
    RawExchange,
    RequestFacts,
    Texts,
    Verdict,
    first_language,
    verdict_of,
)
from guardproxy.policytest.scan import outcome_of, scanned
from guardproxy.policytest.scenes import Cuts, answer_of, codec_of, request_of
from guardproxy.redaction import PLACEHOLDER, RESTORE
from guardproxy.replay import Rerun
from guardproxy.wire import Codec, served
from guardproxy.wire.json import view

_KEY = hashlib.sha256(b"guardproxy policy test: placeholders that need not be secret").digest()
_LIMIT_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class Numbers:
    """Placeholders and how they are shown."""

    shown: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def show(self, text: str) -> str:
        """`text` with each placeholder numbered."""
        return PLACEHOLDER.sub(lambda match: self._of(match[0]), text)

    def fill(self, text: str) -> str:
        """`text` with the placeholders that the numbered ones stand for."""
        for placeholder, number in self.shown.items():
            text = text.replace(number, placeholder)
        return text

    def _of(self, placeholder: str) -> str:
        if placeholder not in self.shown:
            label = placeholder[1 : placeholder.rindex("_")]
            self._counts[label] = self._counts.get(label, 0) + 1
            self.shown[placeholder] = f"[{label}_{self._counts[label]}]"
        return self.shown[placeholder]


@dataclass(frozen=True, slots=True)
class Shown:
    """What somebody was sent. `texts`: each text by its path, in order; `raw`: the bytes, as text."""

    texts: tuple[tuple[str, str], ...] = ()
    raw: str = ""

    def where(self, word: str) -> str:
        """The path of a text that holds `word`, or `body`; empty where nothing does."""
        decoded = ((path, view(text).text if text[:1] in "{[" else "") for path, text in self.texts)
        found = (path for path, text in (*self.texts, *decoded) if word in text)
        return next(found, "body" if word in self.raw else "")


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """A finding, with the text that it is of."""

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


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """A rule that held, and by which finding. `verdict`: what its action leads to."""

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
class Read:
    """A text as the checks read it. `checks`: those that some rule asks of it."""

    direction: Direction
    path: str
    kind: Kind
    text: str
    checks: tuple[str, ...]
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a scene. `rules_of`: those of the policies whose `match` holds for it; `trouble`: why it ended though no
    rule ended it; `upstream`, `client`: what each was sent, `None` where nothing was; `read`: every text."""

    decision: Verdict
    rules_of: tuple[BoundRule, ...]
    held: tuple[Held, ...]
    found: tuple[Found, ...]
    upstream: Shown | None
    client: Shown | None
    read: tuple[Read, ...] = ()
    trouble: str = ""

    @property
    def applies(self) -> bool:
        return bool(self.rules_of)

    @property
    def rules(self) -> tuple[str, ...]:
        return tuple(sorted({one.rule for one in self.held if one.enforced}))

    @property
    def shadow(self) -> tuple[str, ...]:
        return tuple(sorted({one.rule for one in self.held if not one.enforced}))


def play_scene(
    policies: PolicySet,
    scene: Texts | RawExchange,
    told: RequestFacts,
    cuts: Cuts,
    scan: Callable[[Job], ScanResult] = scanned,
) -> Played:
    """The scene, once. `scan`: runs a check on a window."""
    exchange, codec = _exchange(policies, told)
    numbers = Numbers()
    body = request_of(scene, told, cuts.streamed)
    language = first_language(told.headers.get("content-language", ""))
    done = play(exchange, [RequestReceived(body, language=language, headers=told.headers)], each(scan))
    _upstream(exchange, done, numbers)
    number = 0
    while exchange.state == State.WAITING and (answer := answer_of(scene, told, cuts, number, numbers.fill)):
        number += 1
        inputs: list[Input] = [ResponseStarted(answer.status, answer.media), *map(DataReceived, answer.pieces)]
        done += play(exchange, [*inputs, ResponseEnded()], each(scan), late=(False, *answer.late))
    upstream = _upstream(exchange, done, numbers)
    client = _client(codec, done, numbers)
    return _played(exchange, done, upstream, client, numbers)


def replayed(rerun: Rerun) -> Played:
    """What became of a recorded exchange."""
    exchange, numbers = rerun.exchange, Numbers()
    upstream = _upstream(exchange, rerun.done, numbers)
    texts = tuple(
        (lane.channel.path, numbers.show(_released(lane)))
        for lane in exchange.answers[-1].gate.lanes
        if not lane.judged and lane.rewrite.released
    )
    client = Shown(texts) if exchange.is_over else None
    return _played(exchange, rerun.done, upstream, client, numbers)


def _exchange(policies: PolicySet, told: RequestFacts) -> tuple[Exchange, Codec]:
    codec, read_by = codec_of(told), served(told.route)
    setting = Setting(
        id="test",
        route=read_by.route.text if read_by else told.route,
        path=told.route.partition(" ")[2] if read_by else "",
        tenant=told.tenant,
        tenant_name=told.tenant,
        codec=codec,
        policies=policies,
        keys=Keys.of(_KEY, told.tenant, unsealed),
    )
    return Exchange(setting), codec


def _upstream(exchange: Exchange, done: Iterable[Command], numbers: Numbers) -> Shown | None:
    """What the model was sent last."""
    bodies = [command.body for command in done if isinstance(command, SendUpstream)]
    if not bodies:
        return None
    setting = exchange.setting
    return _shown(setting.codec.read_request(*setting.target, bodies[-1]).events(), bodies[-1], numbers)


def _client(codec: Codec, done: Iterable[Command], numbers: Numbers) -> Shown | None:
    """What the client was sent, read as a client reads it."""
    head = next((command for command in done if isinstance(command, SendHead)), None)
    if head is None:
        return None
    data = b"".join(command.data for command in done if isinstance(command, (SendData, Finish)))
    decoder = codec.decoder(streamed=head.streamed, failed=head.status >= 400, limit_bytes=_LIMIT_BYTES)
    return _shown([*decoder.feed(data), *decoder.end()], data, numbers)


def _shown(events: Iterable[Event], data: bytes, numbers: Numbers) -> Shown:
    texts: dict[str, str] = {}
    for event in events:
        if isinstance(event, Text) and not event.again:
            texts[event.channel.path] = texts.get(event.channel.path, "") + event.text
    shown = tuple((path, numbers.show(text)) for path, text in texts.items())
    return Shown(shown, numbers.show(data.decode("utf-8", "replace")))


def _released(lane: Lane) -> str:
    """What of a text went on, edits applied."""
    whole, out, at = "".join(lane.text.parts), "", 0
    for low, high, replacement in lane.rewrite.raw_edits():
        if low >= lane.rewrite.released:
            break
        out += whole[at:low] + replacement
        at = high
    return out + whole[at : lane.rewrite.released]


def _played(
    exchange: Exchange, done: Sequence[Command], upstream: Shown | None, client: Shown | None, numbers: Numbers
) -> Played:
    held = tuple(
        Held(
            *(one.policy, one.rule, one.action, one.enforced, one.channel.direction, one.channel.path),
            *(one.finding.check, one.finding.label, one.finding.start, one.finding.end, one.attempt),
            verdict_of(one.decision),
        )
        for one in exchange.outcomes
    )
    last = done[-1] if done else None
    outcome = last.outcome if isinstance(last, Finish) else ""
    return Played(
        decision=outcome_of(exchange, done),
        rules_of=exchange.bound.rules if exchange.bound else (),
        held=held,
        found=tuple(_findings(exchange, numbers)),
        upstream=upstream,
        client=client,
        read=tuple(_read(exchange)),
        trouble=_trouble(outcome, last.record if isinstance(last, Finish) else None),
    )


def _trouble(outcome: str, record: Record | None) -> str:
    """Why an exchange ended, where no rule ended it."""
    if outcome in ("", "answered", "blocked_request", "blocked_response"):
        return ""
    error = record.error if record else None
    if error is None:
        return f"{outcome}: "
    return f"{outcome}: {error.message or error.code}" + (f" at `{error.field}`" if error.field else "")


def _sides(exchange: Exchange) -> Iterator[tuple[int, Lane]]:
    """Every text, with the attempt that it belongs to."""
    sides: list[tuple[int, Side]] = [(0, exchange.sides["request"]), *enumerate(exchange.answers)]
    for attempt, side in sides:
        for lane in side.gate.lanes:
            yield attempt, lane


def _whole(lane: Lane) -> str:
    return lane.text.view.text if lane.text.view else "".join(lane.text.parts)


def _read(exchange: Exchange) -> Iterator[Read]:
    for attempt, lane in _sides(exchange):
        checks = tuple(dict.fromkeys(check.name for check in lane.progress.checks if check.name != RESTORE))
        channel = lane.channel
        yield Read(channel.direction, channel.path, channel.kind, _whole(lane), checks, attempt)


def _findings(exchange: Exchange, numbers: Numbers) -> Iterator[Found]:
    for attempt, lane in _sides(exchange):
        whole, channel = _whole(lane), lane.channel
        for one in lane.progress.findings:
            if one.check != RESTORE:
                place = (channel.direction, channel.path, one.start, one.end)
                text = numbers.show(whole[one.start : one.end])
                yield Found(*place, one.check, one.label, text, channel.kind, one.score, attempt)
