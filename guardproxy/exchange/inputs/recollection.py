"""What an exchange asks of the memory of earlier exchanges, and what it leaves there.

An entry of the memory is a map: a few members, each with a text of JSON that expires by itself. `MemoryKey` names an entry, in
the words of the exchange; the driver makes a name of it that says nothing without the key of the proxy, and seals the texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from guardproxy.audit import Owner

MemoryScope = Literal["client", "tenant", "all"]
"""Who shares an entry: the requests of a client, of a tenant, or all (`gateway.holder_of`)."""


class MemoryKey(msgspec.Struct, frozen=True):
    """The name of an entry. `use`: what it is for (`MemoryUse.name`). `name`: tells the entries of a scope apart, such as the
    id of a conversation or the name of a server."""

    use: str
    scope: MemoryScope
    name: str


class RecallMemory(msgspec.Struct, frozen=True):
    """Read these entries, then give them to the exchange as `MemoryRecalled`. Comes before the request is judged, at most once,
    and only if a policy in force needs it. `owner`: whose erasure ends what the exchange reads and leaves; `None` if policies
    seal no texts."""

    keys: tuple[MemoryKey, ...]
    owner: Owner | None = None


class MemoryRecalled(msgspec.Struct, frozen=True):
    """The entries of a `RecallMemory`, in its order: texts of JSON by member, the oldest first. An entry that does not exist is
    empty. `is_reached`: false if the store is away and settings let the exchange go on without it (`state_down`).
    `generation`: is another one after an erasure of the owner; empty without an owner."""

    entries: tuple[Mapping[str, str], ...]
    at_s: float = 0.0
    is_reached: bool = True
    generation: str = ""


class MemoryClaim(msgspec.Struct, frozen=True):
    """A member that one exchange alone may use."""

    key: MemoryKey
    member: str


class ClaimMemory(msgspec.Struct, frozen=True):
    """Take these members out of their entries, then give their texts to the exchange as `MemoryClaimed`. Of several exchanges
    that claim a member, one gets it."""

    claims: tuple[MemoryClaim, ...]


class MemoryClaimed(msgspec.Struct, frozen=True):
    """The texts of the claimed members, in their order; `None` for a member that another exchange got, or that has expired."""

    values: tuple[str | None, ...]
    at_s: float = 0.0


class MemoryPut(msgspec.Struct, frozen=True):
    """A member to keep for `ttl_s` seconds. `value`: a text of JSON. `only`: it is kept only if the entry does not have the
    member yet (`absent`: what was first stays), or only if it has it (`present`)."""

    member: str
    value: str
    ttl_s: float
    only: Literal["", "absent", "present"] = ""


class MemoryChange(msgspec.Struct, frozen=True):
    """What the driver writes once the record is durable. Changes of several exchanges unite, since each names only its own
    members. `most`: the number of members that the entry may have; the oldest go first. `is_once`: a store that does not answer
    is not asked again, and the change is lost: a repeated change could bring back what another exchange has claimed since."""

    key: MemoryKey
    puts: tuple[MemoryPut, ...] = ()
    drops: tuple[str, ...] = ()
    most: int = 256
    is_once: bool = False


MemoryCommand = RecallMemory | ClaimMemory


def nothing_remembered(command: MemoryCommand) -> MemoryRecalled | MemoryClaimed:
    """Answers a command as an empty memory does."""
    match command:
        case RecallMemory():
            return MemoryRecalled(({},) * len(command.keys))
        case ClaimMemory():  # pragma: no branch - a command is one of these two
            return MemoryClaimed((None,) * len(command.claims))
