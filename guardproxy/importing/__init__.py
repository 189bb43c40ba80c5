"""Importing: turns the configuration of another gateway into settings, policies and limits, and reports every key of it."""

from __future__ import annotations

from guardproxy.importing.conversion import Conversion, convert_litellm
from guardproxy.importing.draft import ImportDraft
from guardproxy.importing.files import files_of
from guardproxy.importing.report import ImportNote

__all__ = [
    "Conversion",
    "ImportDraft",
    "ImportNote",
    "convert_litellm",
    "files_of",
]
