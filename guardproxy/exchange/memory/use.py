"""What a user of the memory declares, and the memory of one exchange.

In: the uses that the rules want, what was recalled. Out: typed values, the changes that the exchange leaves, and what its
record says about them. Kept: those of one exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import msgspec

from guardproxy.audit import Owner
from guardproxy.exchange.gate.notes import Side
from guardproxy.exchange.inputs.recollection import (
    MemoryChange,
    MemoryKey,
    MemoryPut,
    MemoryRecalled,
    MemoryScope,
    RecallMemory,
)
from guardproxy.exchange.inputs.setting import Setting
from guardproxy.exchange.inputs.transcript import RequestReceived
from guardproxy.findings import Facts, Sources
from guardproxy.policy import BoundRules
from guardproxy.wire import Request

Value = TypeVar("Value")


class MemoryAsking(msgspec.Struct, frozen=True):
    """A request that was decoded, and that no check has read yet. `conversation`: its pseudonym."""

    setting: Setting
    request: Request
    event: RequestReceived
    conversation: str


class MemoryEnding(msgspec.Struct, frozen=True):
    """An exchange at its end.

    `memory`: what was recalled; takes what is left for later exchanges. `asking`: the request as it was read. `request`,
    `answers`: the notes of all texts. `tree`: the request as it went upstream, `None` if it was not sent. `status`: of the last
    answer, `None` if there is none. `stored_id`: the id under which the provider stores it, or empty. `sources`: the texts of
    the request as the model got them, if a check needs them. `is_sent`: whether the request went upstream. `is_delivered`:
    whether the client got something of an answer. `shown`: returns a text without sensitive values; `None` if policies keep no
    texts. `confirmations`: those of the exchange (`approvals.py`).
    """

    memory: ExchangeMemory
    asking: MemoryAsking
    request: Side
    answers: tuple[Side, ...]
    tree: Any
    status: int | None
    stored_id: str
    sources: Sources | None = None
    is_sent: bool = False
    is_delivered: bool = False
    shown: Callable[[str], str] | None = None
    confirmations: Any = None


def _no_names(asking: MemoryAsking) -> Iterable[str]:
    return ()


def _same(memory: ExchangeMemory, facts: Facts) -> Facts:
    return facts


def _nothing(ending: MemoryEnding) -> None:
    return None


def _everything(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values


@dataclass(frozen=True)
class MemoryUse(Generic[Value]):
    """The declaration of a user of the memory. Only `name`, `type` and `wanted` are needed."""

    name: str
    """Its name in keys and records."""
    type: Any
    """The type of a member's value (`type[Value]`), which JSON can hold."""
    wanted: Callable[[BoundRules], bool]
    """Whether a set of rules needs it."""
    keys: Callable[[MemoryAsking], Iterable[str]] = _no_names
    """Returns the names of the entries to recall for a request."""
    scope: MemoryScope = "client"
    """Who shares an entry."""
    ttl_s: float = 3600.0
    """How long a member lives after it was put."""
    most: int = 256
    """How many members an entry may have. All entries have at most 64 KiB."""
    recalled: Callable[[ExchangeMemory, Facts], Facts] = _same
    """Returns the facts of all texts, with what checks see of the memory."""
    left: Callable[[MemoryEnding], None] = _nothing
    """Puts and drops what the exchange leaves."""
    is_once: bool = False
    """Whether what it leaves is lost rather than sent twice (`MemoryChange`)."""
    recorded: Callable[[Mapping[str, Value]], Mapping[str, Value]] = _everything
    """Returns the part of the recalled values that the record keeps."""

    def key(self, name: str) -> MemoryKey:
        """Returns the key of an entry."""
        return MemoryKey(self.name, self.scope, name)


@dataclass(slots=True)
class ExchangeMemory:
    """The memory of one exchange. `uses`: those that its rules want. `keys`: the entries that were asked for. `is_reached`:
    whether the store answered. `generation`: see `MemoryRecalled`. `asking`: the request."""

    uses: tuple[MemoryUse[Any], ...] = ()
    keys: tuple[MemoryKey, ...] = ()
    is_reached: bool = True
    generation: str = ""
    asking: MemoryAsking | None = None
    _entries: tuple[Mapping[str, Any], ...] = ()
    _puts: dict[MemoryKey, dict[str, MemoryPut]] = field(default_factory=dict)
    _is_over: bool = False  # whether the uses have left what they leave
    _drops: dict[MemoryKey, dict[str, None]] = field(default_factory=dict)

    def ask(self, asking: MemoryAsking, owner: Owner | None = None) -> RecallMemory:
        """Returns the command for the entries of a request. `owner`: of its texts, if policies seal them."""
        self.asking = asking
        known = asking.setting.history.recalled
        self.keys = tuple(
            use.key(name)
            for use in self.uses
            for name in (dict.fromkeys(use.keys(asking)) if known is None else map(str, range(known.get(use.name, 0))))
        )
        return RecallMemory(self.keys, owner)

    def learn(self, event: MemoryRecalled, facts: Facts) -> Facts:
        """Takes the entries; returns the facts with what checks see of them. A value that another release wrote in a form that
        cannot be read is left out."""
        self.is_reached, self.generation = event.is_reached, event.generation
        types = {use.name: use.type for use in self.uses}
        self._entries = tuple(_read(entry, types[key.use]) for key, entry in zip(self.keys, event.entries, strict=True))
        for use in self.uses:
            facts = use.recalled(self, facts)
        return facts

    def values(self, use: MemoryUse[Value]) -> dict[str, Value]:
        """Returns the recalled values by member, those of each entry from the oldest to the newest."""
        found: dict[str, Value] = {}
        # Until `learn`, there are keys without entries.
        for key, entry in zip(self.keys, self._entries, strict=False):
            if key.use == use.name:
                found |= entry
        return found

    def put(
        self,
        use: MemoryUse[Value],
        name: str,
        member: str,
        value: Value,
        only: Literal["", "absent", "present"] = "",
        ttl_s: float | None = None,
    ) -> None:
        """Leaves a member in the entry `name`. `only`: see `MemoryPut`. `ttl_s`: another time than that of the use."""
        puts = self._puts.setdefault(use.key(name), {})
        if only == "absent" and member in puts:
            return
        text = msgspec.json.encode(value).decode()
        puts[member] = MemoryPut(member, text, use.ttl_s if ttl_s is None else ttl_s, only)

    def drop(self, use: MemoryUse[Any], name: str, member: str) -> None:
        """Removes a member of the entry `name`."""
        self._drops.setdefault(use.key(name), {})[member] = None

    def changes(self, ending: MemoryEnding) -> tuple[MemoryChange, ...]:
        """Returns what the exchange leaves."""
        for use in self.uses if not self._is_over else ():
            use.left(ending)
        self._is_over = True
        most = {use.name: use.most for use in self.uses}
        once = {use.name for use in self.uses if use.is_once}
        return tuple(
            MemoryChange(
                key,
                tuple(self._puts.get(key, {}).values()),
                tuple(self._drops.get(key, {})),
                most.get(key.use, 256),
                key.use in once,
            )
            for key in dict.fromkeys((*self._drops, *self._puts))
        )

    def recorded(self) -> dict[str, tuple[dict[str, str], ...]]:
        """Returns what the record says about the entries, by the names of their uses."""
        entries = list(zip(self.keys, self._entries, strict=False))
        return {
            use.name: tuple(_written(use.recorded(entry)) for key, entry in entries if key.use == use.name)
            for use in self.uses
        }


def _written(entry: Mapping[str, Any]) -> dict[str, str]:
    return {member: msgspec.json.encode(value).decode() for member, value in entry.items()}


def _read(entry: Mapping[str, str], type_of: Any) -> dict[str, Any]:
    found = {}
    for member, text in entry.items():
        try:
            found[member] = msgspec.json.decode(text, type=type_of)
        except msgspec.DecodeError:
            continue
    return found
