"""Telemetry: a finished exchange in OpenTelemetry's terms, its measurements, the export to a collector, and the
operational log."""

from __future__ import annotations

from guardproxy.telemetry.attributes import Attribute, gen_ai_attributes, model_name
from guardproxy.telemetry.labels import OTHER, BoundedLabels
from guardproxy.telemetry.logs import configure_logs
from guardproxy.telemetry.measures import measures_of
from guardproxy.telemetry.spans import spans_of
from guardproxy.telemetry.trace import TraceContext, begin_trace

__all__ = [
    "OTHER",
    "Attribute",
    "BoundedLabels",
    "TraceContext",
    "begin_trace",
    "configure_logs",
    "gen_ai_attributes",
    "measures_of",
    "model_name",
    "spans_of",
]
