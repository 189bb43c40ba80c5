"""Caches scans of whole texts, so that the history of a conversation is scanned once and not at every turn.

In: jobs and their scans. Out: the cached scan of an equal job, if there is one. Kept: for a bounded number of jobs, a keyed
digest and the scan; no text, and no digest that another process could compute. The digest covers all inputs of the check
(every member of `Window`, `Channel` and `Facts`, future members included) and the tenant. So a tenant learns nothing about
the texts of another tenant, not even from response times.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

from msgspec import Struct

from guardproxy.exchange import Job
from guardproxy.findings import Scan

ENTRIES = 20_000
LEAST_CHARS = 40  # scanning a shorter text is faster than a look-up
MOST_SHARED = 64  # members whose words a command keeps: the jobs of a text follow each other
MOST_CHARS = 200_000  # hashing a longer text would hold the event loop for too long
_PLAIN = (str, int, float, bool, type(None))


class ScanCache:
    """A cache of scans. `entries`: the number of scans that are kept; the least recently used are dropped first."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries = entries
        self._key = secrets.token_bytes(32)
        self._scans: OrderedDict[bytes, Scan] = OrderedDict()

    def key(self, job: Job, tenant: str, written: Written) -> bytes | None:
        """A key that identifies the job; `None` for a job that must not be cached. `written`: what the jobs of a command
        share, empty before its first job.

        Only the scan of a whole text in a single window is cached. The last window of a stream may hold all of the text, but
        its scan leaves out what earlier windows reported, so it is not cached. A text is not cached either if an input of the
        check has no written form.
        """
        window = job.window
        whole = window.start == 0 and window.settled == 0 and window.last and window.state is None
        if not whole or not LEAST_CHARS <= len(window.text) <= MOST_CHARS:
            return None
        check = job.check
        words = ["", tenant, f"{type(check).__module__}.{type(check).__qualname__}", check.name, check.digest]
        try:
            _write(window, words, written)
        except TypeError:
            return None
        # Each word follows its length, so that different words never give the same bytes.
        words[0] = ",".join(map(str, map(len, words)))
        data = "\n".join(words).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, digest_size=24, key=self._key).digest()

    def get(self, key: bytes) -> Scan | None:
        """The scan of an equal job."""
        scan = self._scans.get(key)
        if scan is not None:
            self._scans.move_to_end(key)
        return scan

    def put(self, key: bytes, scan: Scan) -> None:
        """Caches a scan, unless it is a failure or a missing verdict."""
        if scan.error or scan.no_capacity is not None:
            return
        self._scans[key] = scan
        while len(self._scans) > self._entries:
            self._scans.popitem(last=False)


@lru_cache(64)
def _members(kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """The names of the members of a record, and a function that returns their values in one call."""
    is_struct = issubclass(kind, Struct)
    names: tuple[str, ...] = kind.__struct_fields__ if is_struct else tuple(kind.__dataclass_fields__)
    return names, attrgetter(*names) if len(names) > 1 else lambda value: tuple(getattr(value, name) for name in names)


Written = dict[int, tuple[Any, list[str]]]
"""Members of windows by their ids, each with its words. The entry keeps the member alive, so that no other gets its id."""


def _write(value: Any, words: list[str], written: Written) -> None:
    """Adds a value to `words`, member by member, so that different values give different words. Raises `TypeError` for a
    value that cannot be written out, such as a `Form`. `written`: takes and gives the words of members."""
    kind = type(value)
    if isinstance(value, _PLAIN):
        words += kind.__name__, str(value)
    elif isinstance(value, tuple):
        words.append(f"tuple {len(value)}")
        for item in value:
            _write(item, words, written)
    elif is_dataclass(kind) or issubclass(kind, Struct):
        names, values_of = _members(kind)
        words += kind.__name__, *names
        for member in values_of(value):
            if type(member) in _PLAIN:  # most are, and a call for each would cost more than the rest of the look-up
                words += type(member).__name__, str(member)
            elif (known := written.get(id(member))) is not None:
                words += known[1]
            else:
                own: list[str] = []
                _write(member, own, written)
                if len(written) >= MOST_SHARED:
                    written.clear()
                written[id(member)] = member, own
                words += own
    else:
        raise TypeError(f"a {kind.__name__} cannot be part of a key")
