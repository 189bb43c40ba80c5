"""Importing: turns the configuration of another gateway into settings, policies and limits, and reports every key of it."""

from __future__ import annotations

from guardproxy.importing.conversion import convert_litellm
from guardproxy.importing.files import files_of

__all__ = [
    "convert_litellm",
    "files_of",
]
