"""The place of an exchange in a distributed trace (W3C Trace Context).

In: the id of an exchange, and the `traceparent` header of a trusted client. Out: the ids of its spans, and the header for the
upstream. The ids follow from the id of the exchange, so a trace can be found from a record of the log.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

HEADER = "traceparent"
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.ASCII)
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED = 1
_SHARE = 2**64


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The ids of a trace in hexadecimal digits. `exchange`: the span of the whole exchange; `call`: the span of the request to
    the upstream; `parent`: the span of the client, empty if it has none. `is_sampled`: whether spans are exported."""

    trace: str
    exchange: str
    call: str
    parent: str
    is_sampled: bool

    @property
    def header(self) -> str:
        """Returns the `traceparent` for the upstream, whose spans belong below `call`."""
        return f"00-{self.trace}-{self.call}-{self.is_sampled:02x}"


def begin_trace(exchange_id: str, parent: str = "", share: float = 1.0) -> TraceContext:
    """Returns the trace of an exchange. `parent`: the `traceparent` of a trusted client, whose trace goes on; empty, or of
    another form, begins a trace. `share`: the share of new traces whose spans are exported."""
    digest = hashlib.blake2b(exchange_id.encode(), digest_size=32).hexdigest()
    trace, exchange, call = digest[:32], digest[32:48], digest[48:]
    known = _PARENT.fullmatch(parent)
    if known and known[1] != _NO_TRACE and known[2] != _NO_SPAN:
        return TraceContext(known[1], exchange, call, known[2], bool(int(known[3], 16) & _SAMPLED))
    return TraceContext(trace, exchange, call, "", int(trace[16:], 16) < share * _SHARE)


def part_id(trace: TraceContext, part: str) -> str:
    """Returns the id of the span of a part of the exchange, such as `request`."""
    return hashlib.blake2b(f"{trace.exchange} {part}".encode(), digest_size=8).hexdigest()
