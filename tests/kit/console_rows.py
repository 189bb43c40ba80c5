"""Rows of the index, for tests of view models."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from guardproxy.console.index import Row

_PLAIN = {"float": 0.0, "str": "", "int": 0, "bool": False, "tuple[str, ...]": ()}


def row(name: str = "x", **members: Any) -> Row:
    """A row of an exchange in which nothing happened, with other `members`."""
    usual = {
        part.name: None if "None" in str(part.type) else _PLAIN[str(part.type)]
        for part in fields(Row)
        if part.default is MISSING
    }
    return Row(**{**usual, "intact": True, "keep": "kept", "id": name, **members})
