"""Framing of streams: server-sent events, lines of JSON. A module of this package is a `Framing`."""

from __future__ import annotations

from guardproxy.wire.framing import ndjson, sse
from guardproxy.wire.framing.stream import Cutter, Framing, StreamEvent

__all__ = ["Cutter", "Framing", "StreamEvent", "ndjson", "sse"]
