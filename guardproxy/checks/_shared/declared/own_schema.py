"""A JSON Schema that a policy states: in a file of its folder, or in the policy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import options_digest
from guardproxy.errors import OptionError
from guardproxy.findings import Form
from guardproxy.schemas import Compiled, SchemaError, compile_schema, with_types

VERSION = 1
OWN_SCHEMA: tuple[Mapping[str, Any], ...] = (
    {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {"file": {"type": "string", "minLength": 1}},
    },
    {
        "type": "object",
        "required": ["inline"],
        "additionalProperties": False,
        "properties": {"inline": {"type": ["object", "boolean"]}},
    },
)
"""The forms of the option, as JSON Schema."""


def own_schema(
    option: str, chosen: Any, draft: str, resources: Resources, others: str = "", *, typed: bool = False
) -> tuple[Form, dict[str, Any], Compiled]:
    """Returns the schema that an option of a policy holds: its form, every document that it consists of, and the compiled
    schema. `others`: other values of the option, for the message. `typed`: whether its keywords imply types (`with_types`).
    Raises `OptionError`."""
    documents: dict[str, Any] = {}

    def read(path: str) -> Any:
        if resources.read is None:
            raise SchemaError("schema files cannot be read here")
        try:
            documents[path] = json.loads(resources.read(path))
        except (OSError, ValueError) as error:
            reason = str(error.strerror).lower() if isinstance(error, OSError) else "it is not JSON"
            raise SchemaError(f"cannot read the schema file `{path}`: {reason}") from None
        return with_types(documents[path]) if typed else documents[path]

    match chosen:
        case {"file": str() as path, **more} if not more:
            pass
        case {"inline": (dict() | bool()) as schema, **more} if not more:
            path = ""
        case _:
            raise OptionError(option, f"`{option}` must be {others}{{file: PATH}} or {{inline: SCHEMA}}")
    try:
        if path:
            ready = compile_schema(read(path), default=draft, path=path, read=read)
        else:
            documents[path] = schema
            ready = compile_schema(with_types(schema) if typed else schema, default=draft, path=path, read=read)
    except SchemaError as error:
        raise OptionError(option, str(error)) from None
    key = options_digest("schema", VERSION, documents, draft)
    return Form(documents[path], key=key), documents, ready
