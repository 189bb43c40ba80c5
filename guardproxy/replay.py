"""Replay: a record -> a new exchange through the same code -> the differences.

The record holds every text with placeholders in place of sensitive values, what each check found in it, and the order
in which the texts came; chunk invariance is why their cuts need not be kept. A check that is unchanged (same digest) is
not run again: its findings are taken from the record, as a model's scores may differ between machines. A check that is
new, changed or newly asked of a text scans the recorded text: there a placeholder is the value that it stands for only
to the very check that found it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from guardproxy import placeholders
from guardproxy.events import End, Event, Frame, Opaque, Text
from guardproxy.exchange import Exchange, Setting
from guardproxy.findings import Channel, Finding, Scan, Window
from guardproxy.gate import Job
from guardproxy.placeholders import PLACEHOLDER, RESTORE, Restoring
from guardproxy.policy.evaluate import PolicySet
from guardproxy.shapes import NO_SHAPES, Shapes
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
    stopped: bool
    seen: Seen = field(default_factory=Seen)
    shapes: Shapes = NO_SHAPES

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

    def decoder(
        self,
        *,
        streamed: bool,
        failed: bool,
        limit_bytes: int,
        read: bool = True,
        guarded: bool = False,
        shapes: Shapes = NO_SHAPES,
    ) -> Decoder:
        self.shapes = shapes
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
        """The recorded texts, in the order in which their frames left. The rest of an answer that was stopped comes
        last, for another policy may not stop it; of one that was cut off it never leaves."""
        self.seen.model = self.answer["model"]
        self.seen.finish = self.answer["finish"]
        texts, streamed = self.answer["texts"], self.answer["streamed"]
        runs = [(number, size) for number, size in self.answer["runs"]]
        if self.stopped:
            runs += [(number, len(one["text"] or "")) for number, one in enumerate(texts)]
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
            part = (one["text"] or "")[at[number] : at[number] + size]
            if part:
                at[number] += len(part)
                encoded, is_number = one.get("encoded", False), one.get("number", False)
                key, shape = one["path"].endswith("#key"), self.shapes.named(*one.get("shape", ("", ())))
                events.append(Text(channel, part, frame, (), encoded, key, is_number, shape=shape))
                if at[number] == len(one["text"]) and not one.get("open"):
                    events.append(End(channel))
        return events

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
    memory = _Memory(record)
    exchange = Exchange(
        Setting(
            id=record["id"],
            route=record["route"],
            tenant=record["tenant"],
            codec=_Recorded(codec, record["response"], record["outcome"] == "blocked_response"),
            policies=policies,
            mint=lambda label, value: (
                value if PLACEHOLDER.fullmatch(value) else placeholders.mint(_KEY, "", label, value)
            ),
            seal=lambda data: "",
            hashed=lambda kind, value: placeholders.hashed(_KEY, "", kind, value),
            engine=record["engine"],
            restoring=lambda values: _Restored(values, memory),
        )
    )
    last = _run(exchange, memory, RequestReceived(write(record["request"]["body"]), unix_s=record["at"]))
    if isinstance(last, SendUpstream):
        if record["response"]["status"] is not None:
            media = "text/event-stream" if record["response"]["streamed"] else "application/json"
            _run(exchange, memory, ResponseStarted(record["response"]["status"], media))
            last = _run(exchange, memory, DataReceived(b""))
        last = (last if isinstance(last, Finish) else None) or _run(exchange, memory, _ending(record))
    new = last.record if isinstance(last, Finish) else exchange.record("sent upstream")
    found = tuple(_differences(record, new))
    return Replayed("different" if found else "identical", found, tuple(sorted(memory.rescanned)))


def _missing(record: Mapping[str, Any]) -> str:
    if record["outcome"] in ("passed", "refused"):
        return f"the exchange was {record['outcome']}: no check saw it"
    if record["request"]["body"] is None:
        return "the record keeps no text of the request"
    texts = record["response"]["texts"]
    if any(number >= 0 and texts[number]["text"] is None for number, _ in record["response"]["runs"]):
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
    """What the recorded checks found, by place and text."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._digests: Mapping[str, str] = record["checks"]
        self._texts: dict[tuple[str, str, str], list[tuple[str, Mapping[str, Any]]]] = {}
        self._values: dict[tuple[str, str], tuple[str, float]] = {}
        self.rescanned: set[str] = set()
        for direction in ("request", "response"):
            for one in record[direction]["texts"]:
                if one["text"] is not None:
                    text = view(one["text"]).text if one.get("encoded") else one["text"]
                    self._texts.setdefault((direction, one["kind"], one["path"]), []).append((text, one))
                    for finding in one["findings"]:
                        value = text[finding["start"] : finding["end"]]
                        self._values[finding["check"], value] = (finding["label"], finding["score"])

    def scan(self, job: Job) -> Scan:
        window, check = job.window, job.check
        same = self._digests.get(check.name) == getattr(check, "pair_digest", check.digest)
        gives_way = getattr(check, "gives_way", False)  # then what is recorded under its name is its partner's to tell
        if same and (found := self.findings(window, check.name)) is not None:
            return settled(window, () if gives_way else found)
        self.rescanned.add(check.name)
        scan = check.scan([window])[0]
        more = self._masked(window, scan, check.name) if same and not gives_way else ()
        return replace(scan, findings=tuple(sorted((*scan.findings, *more))))

    def _masked(self, window: Window, scan: Scan, name: str) -> Iterator[Finding]:
        """The masked values that this very check found in another text: it would find them here too."""
        restored = {one.start for one in self.findings(window, RESTORE) or ()}  # placeholders on the wire are no values
        for match in PLACEHOLDER.finditer(window.text):
            if match.end() <= scan.settled and match.start() not in restored and (name, match[0]) in self._values:
                label, score = self._values[name, match[0]]
                yield Finding(match.start(), match.end(), name, label, score)

    def findings(self, window: Window, name: str) -> tuple[Finding, ...] | None:
        """What the check of this name found in the window's text, which may be the beginning of a recorded one; `None`
        where it was not asked."""
        channel = window.channel
        its = self._texts.get((channel.direction, channel.kind, channel.path), [])
        same = [one for text, one in its if text == window.text] or [
            one for text, one in its if text.startswith(window.text)
        ]
        if not same or name not in same[0]["checks"]:
            return None
        return tuple(
            Finding(one["start"], one["end"], name, one["label"], one["score"])
            for one in same[0]["findings"]
            if one["check"] == name and one["end"] <= len(window.text)
        )


def settled(window: Window, found: tuple[Finding, ...]) -> Scan:
    """A scan that settles all of a window."""
    return Scan(found, window.start + len(window.text), window.start)


@dataclass(frozen=True, slots=True)
class _Restored:
    """Finds the placeholders that were found: a masked value looks like one in the record, and is none."""

    values: Mapping[str, str]
    memory: _Memory
    name: str = RESTORE
    digest: str = ""

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        found = self.memory.findings(window, self.name)
        if found is None:
            return Restoring(self.values).scan([window])[0]
        return settled(window, tuple(one for one in found if window.text[one.start : one.end] in self.values))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    out = [f"{name}: {old[name]} -> {new[name]}" for name in ("outcome", "status") if old[name] != new[name]]
    for name, word in (("rules", "rule"), ("shadow", "shadow rule")):
        out += [f"{word} `{one}` no longer holds" for one in old[name] if one not in new[name]]
        out += [f"{word} `{one}` now holds" for one in new[name] if one not in old[name]]
    before, after = (_counted(record["decisions"]) for record in (old, new))
    if before != after and not out:
        out.append(f"decisions: {len(old['decisions'])} -> {len(new['decisions'])}")
    cut_off = old["outcome"] not in _UNTOUCHED
    for side in ("request", "response"):
        again = _by_place(new[side]["texts"])
        for one in old[side]["texts"]:
            others = again.get((one["path"], one["kind"]), [])
            if not others:
                if one["released"]:
                    out.append(f"{side} {one['path']}: the text is gone")
                continue
            other = others.pop(0)
            for name in ("edits", "released"):
                if (was := _left(one, name, cut_off)) != (now := _left(other, name, cut_off)):
                    out.append(f"{side} {one['path']}: {name} {was} -> {now}")
    return out


def _by_place(texts: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    out: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in texts:
        out.setdefault((one["path"], one["kind"]), []).append(one)
    return out


def _left(text: Mapping[str, Any], name: str, cut_off: bool) -> Any:
    """How much was edited and released; of an answer that was cut off, only of what had left."""
    if name == "edits" and cut_off:
        return [edit for edit in text["edits"] if edit[0] < text["released"]]
    return text[name]


def _counted(decisions: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return sorted(tuple(str(value) for _, value in sorted(one.items())) for one in decisions)
