"""Pins of tools: fingerprints of the definitions that a person approved, and how a definition differs from them."""

from __future__ import annotations

from guardproxy.tool_pins.pins import (
    LABELS,
    PinFileError,
    ToolDefinition,
    ToolPin,
    ToolPins,
    name_key,
    pin_of,
    read_pins,
    without_comments,
)

__all__ = [
    "LABELS",
    "PinFileError",
    "ToolDefinition",
    "ToolPin",
    "ToolPins",
    "name_key",
    "pin_of",
    "read_pins",
    "without_comments",
]
