"""The calls that keep maps in a store: a few members under a key, each a text that expires by itself.

Changes of several callers unite, since each names only its own members. Of too many members, the oldest go.
"""

from __future__ import annotations

from typing import Literal

import msgspec

MOST_MAP_BYTES = 64 * 1024


class GetMap(msgspec.Struct, frozen=True):
    """Returns the members of a map, as JSON: a list of pairs of a member and its value, the oldest first; `None` if it has
    none."""

    key: str


Condition = Literal["", "absent", "present"]


class PutMember(msgspec.Struct, frozen=True):
    """A member of a map to store for `ttl_s` seconds. It becomes the newest. `only`: it is stored only if the map does not have
    it yet (`absent`; one that it has lives longer and keeps its value and its place), or only if it has it (`present`)."""

    member: str
    value: str
    ttl_s: float
    only: Condition = ""


class ChangeMap(msgspec.Struct, frozen=True):
    """Removes members of a map, then stores others. Returns how many it has then. `most`, `most_bytes`: the number of members
    and the bytes of their names and values that it may have; the oldest go first."""

    key: str
    puts: tuple[PutMember, ...]
    drops: tuple[str, ...] = ()
    most: int = 1000
    most_bytes: int = MOST_MAP_BYTES


class ClaimMember(msgspec.Struct, frozen=True):
    """Removes a member of a map and returns its value; `None` if the map does not have it. Of several calls that claim a
    member, one gets it."""

    key: str
    member: str
