"""The parts of which entries of the audit log are built, and their conversion to JSON objects.

In: values. Out: JSON objects.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec


class RecordPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of an entry."""

    def document(self) -> dict[str, Any]:
        """Returns the JSON object of this part. Long lists are converted in steps, so that other threads run in
        between."""
        tag = {"kind": self.__struct_config__.tag} if self.__struct_config__.tag else {}
        members = {
            key: _json(value)
            for name, key, default in _members(type(self))
            if (value := getattr(self, name)) is not default and value != default
        }
        return {**tag, **members}


@cache
def _members(kind: type[RecordPart]) -> tuple[tuple[str, str, Any], ...]:
    """Returns the attribute, the key and the default of every member of `kind`."""
    return tuple(
        (field.name, field.encode_name, {} if field.default_factory is dict else field.default)
        for field in msgspec.structs.fields(kind)
    )


def _json(value: Any) -> Any:
    if isinstance(value, RecordPart):
        return value.document()
    if type(value) is tuple and value and isinstance(value[0], RecordPart):
        return [part.document() for part in value]
    if type(value) is tuple and value and isinstance(value[0], msgspec.Struct):  # of a room below this one
        return [msgspec.to_builtins(part) for part in value]
    return value


class RecordLeaf(RecordPart, frozen=True, kw_only=True):
    """A small part, which is converted in one call."""

    def document(self) -> dict[str, Any]:
        members: dict[str, Any] = msgspec.to_builtins(self)
        return members
