"""Helps tests of the exchange: policies from text, an exchange that a test drives, streams of both formats, and readers of the
streams as a client reads them. Only two things are fake: the bytes of the upstream, and the time of a scan."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.decisions import Plan
from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.inputs.setting import Address, ExchangeLimits, Keys, Setting
from guardproxy.exchange.inputs.transcript import (
    Command,
    DataReceived,
    Finish,
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    Scanned,
    SendData,
    SendHead,
    SendUpstream,
    line,
)
from guardproxy.exchange.player import play
from guardproxy.findings import Scan
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse
from guardproxy.redaction import placeholders
from guardproxy.wire.formats.anthropic_messages.writer import author as anthropic_messages
from guardproxy.wire.formats.openai_chat.writer import author as openai_chat
from tests.kit.records import members

CHAT = "POST /v1/chat/completions"
MESSAGES = "POST /v1/messages"
KEY = b"a key for tests, sixteen or more"


def policy_set(*texts: str) -> PolicySet:
    """Policies from the texts of their files."""
    policies = tuple(parse(text, f"policy{number}.yaml") for number, text in enumerate(texts))
    return PolicySet(policies, build_checks(policies, Resources()), "sha256:test")


def mint(label: str, value: str) -> str:
    return placeholders.mint(KEY, "tenant", label, value)


def hashed(kind: str, value: str) -> str:
    return placeholders.keyed_hash(KEY, "tenant", kind, value)


def seal(data: bytes) -> str:
    return "seal"


KEYS = Keys(mint, hashed, seal)


def setting(policies: PolicySet, route: str = CHAT, path: str = "", query: str = "", **more: Any) -> Setting:
    """The setting of an exchange."""
    codec, address = policies.formats.codec_for(route) or policies.formats.codec_for(CHAT), Address(route, path, query)
    assert codec
    about: dict[str, Any] = {
        "id": "id",
        "address": address,
        "tenant": "tenant",
        # Streams of tests are server-sent events, for which Gemini's clients ask in the query.
        "codec": codec.for_request(address.sent[0], query or "alt=sse"),
        "policies": policies,
        "keys": KEYS,
    }
    return Setting(**(about | more))


@dataclass
class Play:
    """An exchange and all of its commands. `lines` prints the transcript."""

    policies: PolicySet
    route: str = CHAT
    limits: ExchangeLimits = field(default_factory=ExchangeLimits)
    told: list[tuple[Input, Sequence[Command]]] = field(default_factory=list)
    done: list[Command] = field(default_factory=list)
    pending: RunScans | None = None
    clock: Callable[[], float] = lambda: 0.0
    receipts: bool = False
    path: str = ""
    query: str = ""
    exchange: Exchange = field(init=False)
    _record: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        more: dict[str, Any] = {"limits": self.limits, "engine": "test", "receipts": self.receipts}
        self.exchange = Exchange(setting(self.policies, self.route, self.path, self.query, **more))

    def tell(self, event: Input) -> list[Command]:
        """Passes one input, without answering the scans that follow."""
        commands = self.exchange.receive(event)
        self.note(event, commands)
        return commands

    def note(self, event: Input, commands: Sequence[Command]) -> None:
        """Writes the transcript."""
        self.pending = None if isinstance(event, Scanned) else self.pending
        self.told.append((event, commands))
        for command in commands:
            if isinstance(command, RunScans):
                assert self.pending is None, "one scan at a time"
                self.pending = command
        self.done += commands

    @property
    def lines(self) -> list[str]:
        """The transcript: inputs after `>>`, commands after `<<`."""
        rows: list[str] = []
        for event, commands in self.told:
            rows.append(">> " + line(event, shows_paths=True))
            rows += ["<< " + line(command, shows_paths=True) for command in commands]
        return rows

    def perform(self, command: RunScans) -> Scanned:
        """Runs the checks."""
        return Scanned(tuple(job.check.scan([job.window])[0] for job in command.jobs), self.clock())

    def scan(self) -> None:
        """Answers the scan under way, and those that follow."""
        while self.pending:
            self.tell(self.perform(self.pending))

    def answer_scan(self, *scans: Scan) -> None:
        self.tell(Scanned(scans))

    def ask(self, body: Mapping[str, Any] | bytes, *plans: Plan) -> Play:
        """The request, scanned."""
        received = RequestReceived(body if isinstance(body, bytes) else json.dumps(body).encode(), plans=plans)
        play(self.exchange, [received], self.perform, watch=self.note)
        return self

    def stream(self, chunks: Iterable[bytes], waits: Sequence[bool] = (), *, media: str = "") -> Play:
        """The answer in chunks. `waits[i]`: chunk i + 1 comes before chunk i is scanned. `media`: by default that of streams of
        the format."""
        media = media or self.exchange.setting.codec.contract.media.streamed
        data = list(map(DataReceived, chunks))
        late = (False, *waits[: max(0, len(data) - 1)])
        inputs: list[Input] = [ResponseStarted(200, media), *data, ResponseEnded()]
        play(self.exchange, inputs, self.perform, late=late, watch=self.note)
        return self

    @property
    def upstream(self) -> Any:
        """The body that was sent upstream, or `None`."""
        sent = [command.body for command in self.done if isinstance(command, SendUpstream)]
        return json.loads(sent[0]) if sent else None

    @property
    def finish(self) -> Finish:
        (finish,) = [command for command in self.done if isinstance(command, Finish)]
        return finish

    @property
    def head(self) -> SendHead:
        (head,) = [command for command in self.done if isinstance(command, SendHead)]
        return head

    @property
    def client(self) -> bytes:
        """Everything that the client was sent."""
        return b"".join(command.data for command in self.done if isinstance(command, (SendData, Finish)))

    @property
    def record(self) -> dict[str, Any]:
        """The record, less what depends on time and on how many scans it took."""
        if self._record is None:
            self._record = members(self.finish.record)
        return {key: value for key, value in self._record.items() if key not in ("timings", "scans", "bytes")}


def events(data: bytes) -> Iterator[tuple[str | None, Any]]:
    """The events of a stream, as a client reads them."""
    for block in data.decode().split("\n\n"):
        name, text = None, ""
        for row in block.split("\n"):
            if row.startswith("event: "):
                name = row.removeprefix("event: ")
            elif row.startswith("data: "):
                text += row.removeprefix("data: ")
        if text:
            yield name, (text if text == "[DONE]" else json.loads(text))


def sse(tree: Any, event: str | None = None) -> bytes:
    return (f"event: {event}\n" if event else "").encode() + b"data: " + json.dumps(tree).encode() + b"\n\n"


def chat_frames(deltas: Iterable[dict[str, Any]], finish: str = "stop", index: int = 0) -> list[bytes]:
    """A chat stream of these deltas."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return openai_chat.chunks(deltas, head, finish, index)


def chat_texts(data: bytes) -> dict[str, str]:
    """The texts that a client reads from a chat stream: texts by field, tool arguments by `tool`, and the finish reasons."""
    out: dict[str, str] = {}
    for _, tree in events(data):
        if tree == "[DONE]":
            out["done"] = out.get("done", "") + "!"
            continue
        if "error" in tree:
            out["error"] = tree["error"]["code"]
        for choice in tree.get("choices", []):
            delta = choice["delta"]
            for key in ("content", "reasoning_content", "refusal"):
                if delta.get(key):
                    out[f"{key}{choice['index']}"] = out.get(f"{key}{choice['index']}", "") + delta[key]
            for call in delta.get("tool_calls", []):
                out["tool"] = out.get("tool", "") + call["function"].get("arguments", "")
            if choice.get("finish_reason"):
                out[f"finish{choice['index']}"] = choice["finish_reason"]
    return out


def message_frames(blocks: Sequence[tuple[str, Sequence[str]]], stop: str = "end_turn") -> list[bytes]:
    """An Anthropic stream: blocks of a kind (`text`, `thinking`, `tool`) and their pieces."""
    content = [_BLOCKS[kind] for kind, _ in blocks]
    deltas = [[{"type": _DELTAS[kind][0], _DELTAS[kind][1]: piece} for piece in pieces] for kind, pieces in blocks]
    head = {"id": "m", "model": "c", "usage": {"input_tokens": 3, "output_tokens": 1}}
    last = {"stop_reason": stop, "stop_sequence": None}
    opening, *rest = anthropic_messages.blocks(
        list(zip(content, deltas, strict=True)), last, head, {"output_tokens": 9}
    )
    return [opening, anthropic_messages.event({"type": "ping"}), *rest]


_BLOCKS: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    "tool": {"type": "tool_use", "id": "t", "name": "send", "input": {}},
}
_DELTAS = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool": ("input_json_delta", "partial_json"),
}


def message_texts(data: bytes) -> dict[str, str]:
    """The texts that a client reads from an Anthropic stream."""
    out: dict[str, str] = {}
    for name, tree in events(data):
        assert name == tree["type"]
        if name == "content_block_delta":
            delta = tree["delta"]
            piece = delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
            out[f"block{tree['index']}"] = out.get(f"block{tree['index']}", "") + piece
        elif name == "message_delta":
            out["stop"] = tree["delta"]["stop_reason"]
        elif name in ("message_stop", "error"):
            out[name] = str(tree.get("error", {}).get("message", "yes"))
    return out


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`data` in pieces, cut at these offsets."""
    places = sorted({0, len(data), *(place for place in cuts if 0 < place < len(data))})
    return [data[low:high] for low, high in pairwise(places)]


def pieces(text: str, cuts: Iterable[int]) -> list[str]:
    """`text` in pieces, cut at these offsets."""
    places = sorted({0, len(text), *(place for place in cuts if 0 < place < len(text))})
    return [text[low:high] for low, high in pairwise(places)]
