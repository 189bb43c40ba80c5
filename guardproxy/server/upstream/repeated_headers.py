"""Writes the headers of a request that repeat values of its body, for the body that goes upstream.

In: the headers that the client sent, and its body; later the body to send, which policies may have changed. Out: the headers to
send. A header whose value the body does not have refuses the request. No log shows these headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDict

from guardproxy.events import Path
from guardproxy.wire import Contract

SMALL_BYTES = 16 * 1024  # a larger body is read in a thread
_NONE: tuple[tuple[str, str], ...] = ()


def sent_headers(headers: Iterable[tuple[str, str]], contract: Contract) -> Sequence[tuple[str, str]]:
    """Returns the names and values of the headers that repeat values of the body, by the format."""
    if contract.repeated is None:
        return _NONE
    names = contract.repeated.names
    return [(name, value) for name, value in headers if names.fullmatch(name.lower())]


@dataclass(frozen=True, slots=True)
class RepeatedValues:
    """The places of a body that headers of its request repeat. `read`: reads a body; `values`: of the format
    (`RepeatedHeaders`)."""

    places: Mapping[str, Sequence[Path]]
    read: Callable[[bytes], Any]
    values: Callable[[Any, Mapping[str, Sequence[Path]]], Mapping[str, str]]

    async def written(self, headers: CIMultiDict[str], body: bytes) -> CIMultiDict[str]:
        """Returns the headers with those that repeat values of this body."""
        reading = self._of(body) if len(body) <= SMALL_BYTES else await asyncio.to_thread(self._of, body)
        own: CIMultiDict[str] = CIMultiDict(
            (name, value) for name, value in headers.items() if name.lower() not in self.places
        )
        own.extend(reading)
        return own

    def _of(self, body: bytes) -> Mapping[str, str]:
        return self.values(self.read(body), self.places)
