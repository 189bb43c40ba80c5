"""Exchanges with calls that a person must approve: a memory in a dict, calls in every format, and what a client gets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec

from guardproxy.audit import Record
from guardproxy.exchange import (
    Exchange,
    Finish,
    Input,
    Keys,
    RequestReceived,
    RunScans,
    Scanned,
    SendData,
    SendUpstream,
    approvals,
    play,
    recollection,
)
from tests.kit.play import hashed, mint, policy_set, setting

POLICY = """\
policy: asks
checks:
  pay: {use: tool_call, tools: [pay]}
rules:
  - {id: ask, on: tool_arguments, when: pay, action: confirm}
"""
MCP = "POST /mcp/{server}"


def seal(data: bytes) -> str:
    return sha256(data).hexdigest()[:32]


def scanned(command: RunScans) -> Scanned:
    return Scanned(tuple(job.check.scan([job.window])[0] for job in command.jobs))


@dataclass
class Notebook:
    """A memory of exchanges without a store. `claims`: how many were asked for; `is_late`: claims find nothing left."""

    entries: dict[recollection.MemoryKey, dict[str, str]] = field(default_factory=dict)
    claims: int = 0
    is_late: bool = False

    def __call__(self, command: recollection.MemoryCommand) -> recollection.MemoryRecalled | recollection.MemoryClaimed:
        if isinstance(command, recollection.RecallMemory):
            return recollection.MemoryRecalled(tuple(dict(self.entries.get(key, {})) for key in command.keys))
        self.claims += len(command.claims)
        got = [self.entries.get(claim.key, {}).pop(claim.member, None) for claim in command.claims]
        return recollection.MemoryClaimed((None,) * len(got) if self.is_late else tuple(got))

    def keep(self, exchange: Exchange) -> None:
        for change in exchange.memory_changes:
            entry = self.entries.setdefault(change.key, {})
            for put in change.puts:
                entry[put.member] = put.value

    @property
    def pending(self) -> list[approvals.PendingCall]:
        """The calls that wait for a person."""
        texts = [text for key, entry in self.entries.items() if key.use == "confirmations" for text in entry.values()]
        return [msgspec.json.decode(text, type=approvals.PendingCall) for text in texts]

    def approve(self, call: approvals.PendingCall, at_s: float = 0.0) -> None:
        """Approves a call, as a person does."""
        tag = call.id.partition("-")[0]
        approval = approvals.Approval(call.id, "ann", at_s)
        entry = self.entries.setdefault(approvals.APPROVED.key(tag), {})
        entry[call.digest] = msgspec.json.encode(approval).decode()
        self.entries[approvals.PENDING.key(tag)].pop(call.id)

    @property
    def approved(self) -> int:
        """How many approvals are left."""
        return sum(len(entry) for key, entry in self.entries.items() if key.use == "approvals")


@dataclass
class Ended:
    """An exchange that is over: what the client and the upstream got."""

    exchange: Exchange
    data: str
    sent: bool
    record: Record


def begun(policy: str = POLICY, route: str = "POST /v1/chat/completions", path: str = "", **more: Any) -> Exchange:
    keys = Keys(mint, hashed, seal)
    policies = policy_set(policy)
    codec = policies.formats.codec_for(route)
    assert codec is not None
    return Exchange(setting(policies, route, path, keys=keys, codec=codec.for_request(path, ""), **more))


def run(exchange: Exchange, notebook: Notebook, body: Any, answer: Iterable[Input] = (), unix_s: float = 0.0) -> Ended:
    """Runs an exchange and keeps what it leaves."""
    inputs: Sequence[Input] = [RequestReceived(json.dumps(body).encode(), unix_s=unix_s), *answer]
    done = play(exchange, inputs, scanned, remembered=notebook)
    data = b"".join(command.data for command in done if isinstance(command, (SendData, Finish))).decode()
    notebook.keep(exchange)
    last = done[-1]
    assert isinstance(last, Finish)
    return Ended(exchange, data, any(isinstance(command, SendUpstream) for command in done), last.record)
