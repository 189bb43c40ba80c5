"""The JSON Schema of a line of the audit log, generated from the types of the entries."""

from __future__ import annotations

from typing import Any

import msgspec

from guardproxy.audit.record.chain import FORMAT
from guardproxy.audit.record.document import ENTRY_VERSION
from guardproxy.audit.record.entries import AnyEntry

_HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_CHAIN: dict[str, Any] = {
    "seq": {"type": "integer", "minimum": 0, "description": "The number of the entry in its log, from 0."},
    "prev": {**_HASH, "description": "The hash of the previous line."},
    "hash": {**_HASH, "description": "SHA-256 of 0x00 and the line in canonical JSON without `hash`."},
}
_HEADER: dict[str, Any] = {
    "title": "Header",
    "description": "The first line of a log.",
    "type": "object",
    "properties": {
        "log": {"type": "string", "description": "A random id that no other log has."},
        "format": {"const": FORMAT, "description": "The format of the chain."},
        "engine": {"type": "string", "description": "The name and version of the program that started the log."},
        "at": {"type": "number", "description": "The time at which the file began: Unix time in seconds."},
        "follows": {
            "type": "object",
            "description": "The previous file of this log, its last entry, and why it ended.",
        },
        "hash": _CHAIN["hash"],
    },
    "required": ["log", "format", "hash"],
    "additionalProperties": False,
}


def log_schema() -> dict[str, Any]:
    """Returns the schema (JSON Schema 2020-12) of every line that this version writes: the header, and entries with the
    members of the chain."""
    (root,), definitions = msgspec.json.schema_components([AnyEntry], ref_template="#/$defs/{name}")
    for definition in definitions.values():
        # Python and msgspec differ by version in the indentation that they leave in a docstring.
        definition["description"] = " ".join(definition["description"].split())
    entries = [choice["$ref"].removeprefix("#/$defs/") for choice in root["anyOf"]]
    for name in entries:
        entry = definitions[name]
        entry["properties"] |= {**_CHAIN, "v": {"const": ENTRY_VERSION, "description": "The version of the format."}}
        entry["required"] = [*entry["required"], *_CHAIN]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A line of the guardproxy audit log, version {ENTRY_VERSION}",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in ("Header", *entries)],
        "$defs": {"Header": _HEADER, **definitions},
    }
