"""Caches scans of whole texts, so that the history of a conversation is scanned once and not at every turn.

In: windows and their scans. Out: the cached scans of an equal window, by check. Kept: for a bounded number of texts, a keyed
digest and the scans; no text, and no digest that another process could compute. The digest covers all inputs of a check
(every member of `Window`, `Channel` and `Facts`, future members included) and the tenant. So a tenant learns nothing about
the texts of another tenant, not even from response times. All checks of a text share its digest.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from guardproxy.checks import Check
from guardproxy.findings import Channel, Scan, Window

TEXTS = 20_000
MOST_SHARED = 64  # members whose words a command keeps: many of its windows have the same ones
MOST_CHECKS = 64  # whose scans of a text are kept: a text that comes for ever outlives the checks of earlier policies
MOST_CHARS = 200_000  # hashing a longer text would hold the event loop for too long
_PLAIN = frozenset((str, int, float, bool, type(None)))
_encode = msgspec.msgpack.Encoder().encode  # says types and lengths, so different values never give the same bytes

CheckKey = tuple[str, str, str]
"""What identifies a check: its class, its name and the digest of its options."""


def key_of(check: Check) -> CheckKey:
    """What identifies a check."""
    return f"{type(check).__module__}.{type(check).__qualname__}", check.name, check.digest


@dataclass(slots=True)
class KnownText:
    """A text that was scanned as a whole, by its digest, and the scans of the checks that read it."""

    digest: bytes
    scans: dict[CheckKey, Scan]


class ScanCache:
    """A cache of scans. `texts`: the number of texts whose scans are kept; the least recently used are dropped first."""

    def __init__(self, texts: int = TEXTS) -> None:
        self._most = texts
        self._key = secrets.token_bytes(32)
        self._texts: OrderedDict[bytes, KnownText] = OrderedDict()

    def known(self, window: Window, tenant: str, written: Written) -> KnownText | None:
        """The cached scans of a window, which may be none yet; `None` for a window whose scans must not be cached. `written`:
        what the windows of a command share, empty before its first one.

        Only the scan of a whole text in a single window is cached. The last window of a stream may hold all of the text, but
        its scan leaves out what earlier windows reported, so it is not cached. A text is not cached either if an input of the
        check has no written form.
        """
        whole = window.start == 0 and window.settled == 0 and window.last and window.state is None
        if not whole or len(window.text) > MOST_CHARS:
            return None
        try:
            # The tenant is a part of the key: a hit is faster than a miss, so a shared entry would tell one tenant what
            # another one sent.
            data = _encode((tenant, _plain(window, written)))
        except (TypeError, ValueError, OverflowError):  # also half of a surrogate pair, and a huge number
            return None
        digest = hashlib.blake2b(data, digest_size=24, key=self._key).digest()
        known = self._texts.get(digest)
        if known is None:
            return KnownText(digest, {})
        self._texts.move_to_end(digest)
        return known

    def put(self, known: KnownText, check: CheckKey, scan: Scan) -> None:
        """Caches a scan of a text, unless it is a failure or a missing verdict."""
        if scan.error or scan.no_capacity is not None:
            return
        if len(known.scans) >= MOST_CHECKS:
            known.scans.clear()
        known.scans[check] = scan
        self._texts[known.digest] = known
        while len(self._texts) > self._most:
            self._texts.popitem(last=False)


@lru_cache(64)
def _members(kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """The names of the members of a record, and a function that returns their values in one call. Raises `TypeError` for
    another class."""
    is_struct = issubclass(kind, Struct)
    if not (is_struct or is_dataclass(kind)):
        raise TypeError(f"a {kind.__name__} cannot be part of a key")
    names: tuple[str, ...] = kind.__struct_fields__ if is_struct else tuple(kind.__dataclass_fields__)
    # `attrgetter` of a single name returns the value itself, not a tuple.
    return names, attrgetter(*names) if len(names) > 1 else lambda value: tuple(getattr(value, name) for name in names)


Written = dict[int, tuple[Any, bytes]]
"""Members of windows by their ids, each with the digest of its plain form. The entry keeps the member alive, so that no other
gets its id."""


def _plain(value: Any, written: Written) -> Any:
    """Returns a value as lists of plain values and digests, with the names of its class and of its members, so that different
    values give different lists. Raises `TypeError` for a value that cannot be written out, such as a `Form`."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, tuple):
        return ["tuple", *[_plain(item, written) for item in value]]
    names, values_of = _members(kind)
    plain: list[Any] = [kind.__name__, names]
    for member in values_of(value):
        if type(member) in _PLAIN:  # most are, and a call for each would cost more than the rest of the look-up
            plain.append(member)
        elif type(member) is Channel:  # every text has its own
            plain.append(_plain(member, written))
        elif (known := written.get(id(member))) is not None:
            plain.append(known[1])
        else:
            if len(written) >= MOST_SHARED:
                written.clear()
            # A digest, as the facts about a text may hold all other texts of its request.
            digest = hashlib.blake2b(_encode(_plain(member, written)), digest_size=24).digest()
            written[id(member)] = member, digest
            plain.append(digest)
    return plain
