"""What an exchange writes down while it runs. The record is composed from this and from nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from guardproxy.audit import Intent, Record
from guardproxy.exchange.attempts import Answer, Attempts
from guardproxy.exchange.gate import Entry
from guardproxy.exchange.guard import Guard
from guardproxy.exchange.notes import Notes, Side
from guardproxy.exchange.recording import compose, intent
from guardproxy.exchange.setting import Setting
from guardproxy.exchange.transcript import Refused, RequestReceived
from guardproxy.findings import Direction


@dataclass(frozen=True, slots=True)
class Size:
    """How large an exchange is. The driver decides by it where the next step runs."""

    request_texts: int = 0
    answer_texts: int = 0
    values: int = 0
    """Sensitive values."""
    request_bytes: int = 0
    answer_bytes: int = 0
    held_chars: int = 0
    """Characters of the answer that are held back."""
    begun: bool = True
    """Whether the head of the answer was sent."""
    restorable: int = 0
    """Values that may come back in the answer."""


@dataclass(slots=True)
class Ledger:
    """The notes of one exchange: sizes, times, seals, texts, answers of the model."""

    setting: Setting
    guard: Guard
    attempts: Attempts
    request: Side
    answer: Answer
    """The answer that is under way."""
    notes: Notes = field(default_factory=Notes)
    entry: Entry | None = None
    """The request's frame, once it was released."""
    _sent: Any = field(default_factory=hashlib.sha256)

    def begin(self, happened: RequestReceived | Refused) -> None:
        """Notes when the request came, and what the gateway's store answered."""
        self.time("received", happened.at_s)
        self.notes.unix_s = happened.unix_s
        self.notes.answers = happened.answers

    def time(self, name: str, at_s: float) -> None:
        """Notes when something happened first."""
        self.notes.times.setdefault(name, at_s)

    def spent_s(self, at_s: float) -> float:
        """How long ago the request came."""
        return at_s - self.notes.times.get("received", at_s)

    def sent(self, data: bytes, *, sealed: bool = True) -> None:
        """Notes bytes that go to the client. `sealed`: they are part of an answer of the model."""
        if sealed:
            self._sent.update(data)
        sizes = self.notes.sizes
        sizes["client"] = sizes.get("client", 0) + len(data)

    @property
    def sides(self) -> dict[Direction, Side]:
        """What is known of each direction."""
        return {"request": self.request, "response": self.answer.side}

    @property
    def answers(self) -> tuple[Side, ...]:
        """What is known of each answer of the model, in their order."""
        return (*(attempt.side for attempt in self.attempts.earlier), self.answer.side)

    def size(self, *, begun: bool) -> Size:
        """How large the exchange is. `begun`: the head of the answer was sent."""
        answer, editor, sizes = self.answer, self.guard.editor, self.notes.sizes
        return Size(
            len(self.request.gate.lanes),
            len(answer.side.gate.lanes),
            len(editor.tokens),
            sizes.get("request", 0),
            answer.size_bytes,
            answer.side.gate.held + answer.held.chars,
            begun,
            len(editor.values),
        )

    @property
    def intent(self) -> Intent | None:
        """What the log keeps before the first byte goes upstream, without any text; `None` where the policies say so."""
        if self.guard.bound is not None and not self.guard.bound.intent:
            return None
        return intent(self.setting.origin, self.notes.unix_s, self.notes.seals)

    def record(self, outcome: str) -> Record:
        """The record as it stands."""
        notes, guard, answer = self.notes, self.guard, self.answer
        notes.seals["client"] = self.setting.keys.seal(self._sent.digest())
        return compose(
            self.setting.origin,
            outcome,
            notes,
            guard.bound,
            guard.outcomes,
            (self.request, answer.side),
            self.entry,
            guard.editor.tokens,
            answer.decoder.seen,
            self.attempts.every(answer, outcome, notes.times.get("finished", 0.0)),
            guard.editor.restored_places(),
        )
