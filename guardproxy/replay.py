"""Replay: a record -> a new exchange through the same code -> the differences.

The record holds every text with placeholders in place of sensitive values, what each check found in it, and the order
in which the texts came; chunk invariance is why their cuts need not be kept. A check that is unchanged (same digest) is
not run again: its findings are taken from the record, as a model's scores may differ between machines. A check that is
new or changed scans the recorded text. To this exchange a placeholder is the value that it stands for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from guardproxy import placeholders
from guardproxy.events import End, Event, Frame, Opaque, Text
from guardproxy.exchange import Exchange, Setting
from guardproxy.findings import Channel, Finding, Scan, Window
from guardproxy.gate import CHECK_ERROR, Job
from guardproxy.placeholders import PLACEHOLDER
from guardproxy.policy.evaluate import PolicySet
from guardproxy.transcript import (
    Command,
    DataReceived,
    DownstreamGone,
    Finish,
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    Scanned,
    SendUpstream,
    UpstreamFailed,
)
from guardproxy.transcript import Scan as ScanCommand
from guardproxy.wire import Codec, Decoder, Request, Seen, codec_for
from guardproxy.wire.json_text import view
from guardproxy.wire.strict import write

Verdict = Literal["identical", "different", "not replayable"]
_KEY = hashlib.sha256(b"guardproxy replay: what a new rule redacts gets a placeholder of its own").digest()
_UNTOUCHED = frozenset(("answered", "blocked_request", "blocked_response"))


@dataclass(frozen=True, slots=True)
class Replayed:
    """`differences`: one line each, in words; `rescanned`: checks that were run again because they are new or changed."""

    verdict: Verdict
    differences: tuple[str, ...] = ()
    rescanned: tuple[str, ...] = ()


@dataclass(slots=True)
class _Recorded:
    """Stands for the upstream: its codec reads requests as ever, its decoder gives the recorded texts."""

    codec: Codec
    answer: Mapping[str, Any]
    seen: Seen = field(default_factory=Seen)

    @property
    def name(self) -> str:
        return self.codec.name

    @property
    def provider(self) -> str:
        return self.codec.provider

    @property
    def routes(self) -> tuple[str, ...]:
        return self.codec.routes

    def read_request(self, body: bytes) -> Request:
        return self.codec.read_request(body)

    def decoder(self, *, streamed: bool, failed: bool, limit_bytes: int, read: bool = True) -> Decoder:
        return self

    def edited(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        return self.codec.edited(frame, texts) if frame.tree is not None else b""

    def cut(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> bytes:
        return b""

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        return self.codec.error(status, code, message, field)

    def error_event(self, code: str, message: str) -> bytes:
        return self.codec.error_event(code, message)

    def filtered(self, decoder: Decoder, message: str) -> bytes:
        return b""

    def feed(self, data: bytes) -> list[Event]:
        """All recorded texts, in the frames' order; what had not left when the answer was stopped comes last."""
        self.seen.model = self.answer["model"]
        self.seen.finish = self.answer["finish"]
        texts, streamed = self.answer["texts"], self.answer["streamed"]
        runs = [*map(tuple, self.answer["runs"]), *((number, len(one["text"])) for number, one in enumerate(texts))]
        at = [0] * len(texts)
        events: list[Event] = []
        whole = Frame(b"", terminal=True)
        for number, size in runs:
            frame = Frame(b"", streamed=True) if streamed else whole
            if number < 0:
                events.append(Opaque(frame))
                continue
            one = texts[number]
            channel = Channel("response", one["kind"], one["path"])
            part = one["text"][at[number] : at[number] + size]
            if part:
                at[number] += len(part)
                encoded, is_number = one.get("encoded", False), one.get("number", False)
                events.append(Text(channel, part, frame, (), encoded=encoded, number=is_number))
                if at[number] == len(one["text"]) and not one.get("open"):
                    events.append(End(channel))
        return events or [Opaque(whole)]

    def end(self) -> list[Event]:
        return []

    def sent(self, frame: Frame) -> None:
        """The client of a replay has seen nothing."""


def replay(record: Mapping[str, Any], policies: PolicySet) -> Replayed:
    """Runs the record's exchange again under `policies`."""
    if reason := _missing(record):
        return Replayed("not replayable", (reason,))
    codec = codec_for(record["route"])
    if codec is None:
        return Replayed("not replayable", ("its wire format is not installed",))
    exchange = Exchange(
        Setting(
            id=record["id"],
            route=record["route"],
            tenant=record["tenant"],
            codec=_Recorded(codec, record["response"]),
            policies=policies,
            mint=lambda label, value: (
                value if PLACEHOLDER.fullmatch(value) else placeholders.mint(_KEY, "", label, value)
            ),
            seal=lambda data: "",
            engine=record["engine"],
        )
    )
    memory = _Memory(record)
    last = _run(exchange, memory, RequestReceived(write(record["request"]["body"]), unix_s=record["at"]))
    if isinstance(last, SendUpstream) and record["response"]["status"] is not None:
        media = "text/event-stream" if record["response"]["streamed"] else "application/json"
        _run(exchange, memory, ResponseStarted(record["response"]["status"], media))
        last = _run(exchange, memory, DataReceived(b"")) or _run(exchange, memory, _ending(record))
    new = last.record if isinstance(last, Finish) else exchange.record("sent upstream")
    found = tuple(_differences(record, new))
    return Replayed("different" if found else "identical", found, tuple(sorted(memory.rescanned)))


def _missing(record: Mapping[str, Any]) -> str:
    if record["outcome"] in ("passed", "refused"):
        return f"the exchange was {record['outcome']}: no check saw it"
    if record["request"]["body"] is None:
        return "the record keeps no text of the request"
    if any(one["text"] is None for one in record["response"]["texts"]):
        return "the record keeps no text of the answer"
    return ""


def _ending(record: Mapping[str, Any]) -> Input:
    outcome = record["outcome"]
    if outcome == "client_closed":
        return DownstreamGone()
    if outcome not in _UNTOUCHED:
        return UpstreamFailed(outcome, record.get("error", {}).get("message", ""), record["status"])
    return ResponseEnded()


def _run(exchange: Exchange, memory: _Memory, happened: Input) -> Command | None:
    """The last command that is for the outside, after all scans were answered."""
    last: Command | None = None
    todo: list[Command] = exchange.receive(happened)
    while todo:
        command = todo.pop(0)
        if isinstance(command, ScanCommand):
            todo += exchange.receive(Scanned(tuple(map(memory.scan, command.jobs))))
        elif isinstance(command, (Finish, SendUpstream)):
            last = command
    return last


class _Memory:
    """What the recorded checks found, by text."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._digests: Mapping[str, str] = record["checks"]
        self._found: dict[tuple[str, str, str], Sequence[Mapping[str, Any]]] = {}
        self.rescanned: set[str] = set()
        for direction in ("request", "response"):
            for one in record[direction]["texts"]:
                if one["text"] is not None:
                    text = view(one["text"]).text if one.get("encoded") else one["text"]
                    self._found[direction, one["kind"], text] = one["findings"]

    def scan(self, job: Job) -> Scan:
        window, check = job.window, job.check
        found = self._found.get((window.channel.direction, window.channel.kind, window.text))
        if found is None or self._digests.get(check.name) != check.digest:
            self.rescanned.add(check.name)
            return check.scan([window])[0]
        return self._answer(window, check.name, found)

    @staticmethod
    def _answer(window: Window, name: str, found: Sequence[Mapping[str, Any]]) -> Scan:
        mine = [one for one in found if one["check"] == name]
        if any(one["label"] == CHECK_ERROR for one in mine):
            return Scan((), window.settled, window.start, "recorded")
        findings = tuple(Finding(one["start"], one["end"], name, one["label"], one["score"]) for one in mine)
        return Scan(findings, window.start + len(window.text), window.start)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    out = [f"{name}: {old[name]} -> {new[name]}" for name in ("outcome", "status") if old[name] != new[name]]
    for name, word in (("rules", "rule"), ("shadow", "shadow rule")):
        out += [f"{word} `{one}` no longer holds" for one in old[name] if one not in new[name]]
        out += [f"{word} `{one}` now holds" for one in new[name] if one not in old[name]]
    before, after = (_counted(record["decisions"]) for record in (old, new))
    if before != after and not out:
        out.append(f"decisions: {len(old['decisions'])} -> {len(new['decisions'])}")
    for side in ("request", "response"):
        for number, one in enumerate(old[side]["texts"]):
            other = new[side]["texts"][number] if number < len(new[side]["texts"]) else {}
            for name in ("edits", "released"):
                if other and one[name] != other[name]:
                    out.append(f"{side} {one['path']}: {name} {one[name]} -> {other[name]}")
    return out


def _counted(decisions: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return sorted(tuple(str(value) for _, value in sorted(one.items())) for one in decisions)
