"""Where an exchange may be sent: the URL and the headers for each upstream, and which upstreams cannot be asked now.

In: the head of a request, the states of the circuit breakers, answers with status 429. Out: a URL with headers by the name of
the upstream, and the names of unavailable upstreams. Kept: until when each upstream that answered 429 is not asked.

A 429 says nothing about the health of an upstream, so it does not trip its breaker. What counts is its `Retry-After`: until
then policies route elsewhere. A 429 for the key of a client concerns this client only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from multidict import CIMultiDict

from guardproxy.errors import ErrorCode, UpstreamError
from guardproxy.server.upstream.repeated_headers import RepeatedValues
from guardproxy.server.upstream.request_headers import fallback_headers
from guardproxy.server.upstream.upstream import OVERLOADED, Breakers
from guardproxy.wire.contract import KeyHeader

LIMIT_REST_S = 3600.0
LIMIT_RESTS = 4096  # pairs of an upstream and a holder of a key
_clock = time.monotonic


class FoundUpstream(NamedTuple):
    """A configured upstream: its name, its base URL, empty if it has none, and the proxy's key for it, empty without one.
    `is_whole`: whether the URL is the whole address of requests, and no other upstream can answer them."""

    name: str
    url: str
    key: str
    is_whole: bool = False


class Availability:
    """Which upstreams can be asked. `breakers`: their circuit breakers; `None`: always closed."""

    def __init__(self, breakers: Breakers | None = None) -> None:
        self._breakers = breakers
        self._rests: dict[tuple[str, str], float] = {}  # base URL and holder of the key -> the end of the rest

    def is_resting(self, url: str, holder: str) -> bool:
        """Whether an upstream must not be asked now. `url`: its base URL; `holder`: the tenant whose own key it gets, empty
        for a key of the proxy."""
        now_s = _clock()
        if self._breakers is not None and self._breakers.of(url).state(now_s) == "open":
            return True
        until_s = self._rests.get((url, holder))
        return until_s is not None and now_s < until_s

    def note(self, url: str, holder: str, headers: Mapping[str, str]) -> None:
        """Notes the head of an answer that refuses a request for its number: how long the upstream wants to rest."""
        if rest_s := rest_of(headers, time.time()):
            now_s = _clock()
            if len(self._rests) >= LIMIT_RESTS:
                self._rests = {place: until_s for place, until_s in self._rests.items() if until_s > now_s}
            # A full table keeps the rests that run and takes no new one: that upstream is only asked too early.
            if len(self._rests) < LIMIT_RESTS:
                self._rests[url, holder] = now_s + rest_s


def rest_of(headers: Mapping[str, str], unix_s: float) -> float:
    """Returns the seconds that `Retry-After` or `retry-after-ms` asks for, at most `LIMIT_REST_S`; 0 without a readable
    value."""
    value, unit = headers.get("retry-after-ms", ""), 1000.0
    if not value:
        value, unit = headers.get("Retry-After", ""), 1.0
    if value.isascii() and value.replace(".", "", 1).isdecimal() and len(value) <= 12:
        return min(float(value) / unit, LIMIT_REST_S)
    try:
        at: datetime = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # a year of twenty digits
        return 0.0
    return max(0.0, min(at.timestamp() - unix_s, LIMIT_REST_S))


class Targets:
    """The places where an exchange may be sent. `find`: returns an upstream by its name; `own`: the upstream of the request;
    `where`: path and query; `headers`: those for the own upstream; `holder`: the tenant whose key they hold, empty for a key
    of the proxy.

    Only the own upstream gets the key of the client, also under its name. Every other upstream gets the key of the proxy. An
    upstream whose URL is the whole address is asked in any case."""

    def __init__(
        self,
        find: Callable[[str], FoundUpstream],
        availability: Availability,
        own: FoundUpstream,
        where: str,
        headers: CIMultiDict[str],
        key_header: KeyHeader,
        holder: str,
    ) -> None:
        self._find = find
        self._availability = availability
        self._own = own
        self._where = "" if own.is_whole else where
        self._headers = headers
        self._key_header = key_header
        self._holder = holder
        self._asked = own.url, holder
        self._is_own = True
        self._added: dict[str, str] = {}
        self.repeated: RepeatedValues | None = None
        """What headers of the request repeat of its body."""

    def ask(self, name: str) -> tuple[str, CIMultiDict[str]]:
        """Returns the URL and the headers for an upstream, which is asked next. An empty name is the request's own upstream."""
        if not name or name == self._own.name or self._own.is_whole:
            self._asked, self._is_own = (self._own.url, self._holder), True
            return self._own.url + self._where, self._headers
        found = self._find(name)
        self._asked, self._is_own = (found.url, ""), False
        # Built from an allow-list: another provider must not see the account, the ids or the key of the client.
        headers = fallback_headers(self._headers, self._key_header, found.key)
        headers.update(self._added)
        return found.url + self._where, headers

    def add(self, name: str, value: str) -> None:
        """Adds a header for every upstream."""
        self._headers[name] = self._added[name] = value

    def note(self, status: int, headers: Mapping[str, str]) -> None:
        """Notes the head of the answer of the upstream that was asked last. Raises `UpstreamError` if another upstream than the
        own refuses its key: the answer is about the key of the proxy, and may quote it."""
        if status in (401, 403) and not self._is_own:
            message = f"the upstream refused the key of the proxy with status {status}"
            raise UpstreamError(ErrorCode.UPSTREAM_KEY_REFUSED, message)
        if status in (429, OVERLOADED):
            url, holder = self._asked
            self._availability.note(url, holder, headers)

    def unavailable(self, names: Iterable[str]) -> tuple[str, ...]:
        """Returns the names of the upstreams that cannot be asked now."""
        return tuple(name for name in names if self._is_resting(name))

    def _is_resting(self, name: str) -> bool:
        if name in ("", self._own.name) or self._own.is_whole:
            return self._availability.is_resting(self._own.url, self._holder)
        return self._availability.is_resting(self._find(name).url, "")
