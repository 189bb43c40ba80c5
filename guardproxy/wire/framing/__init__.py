"""Framing of streams: server-sent events, lines of JSON, arrays of JSON. A module of this package is a `Framing`."""

from __future__ import annotations

from guardproxy.wire.framing import data_lines, json_array, ndjson, sse
from guardproxy.wire.framing.stream import Cutter, Framing, StreamEvent

__all__ = ["Cutter", "Framing", "StreamEvent", "data_lines", "json_array", "ndjson", "sse"]
