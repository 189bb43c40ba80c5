"""The options of all checks, as tables in `docs/policies/checks.md`, made of what the checks declare."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from guardproxy.checks import Option, options

HEAD = "| option | type | meaning | default | tighter |\n|---|---|---|---|---|\n"
BLOCK = re.compile(r"(?<=<!-- generated: options-)(?P<use>\w+) -->\n.*?(?=<!-- end -->)", re.DOTALL)
TIGHTER = {"longer": "more", "shorter": "fewer", "lower": "lower"}


def with_tables(page: str) -> str:
    """The page with the table of each check in its place."""
    return BLOCK.sub(lambda match: f"{match['use']} -->\n{table(match['use'])}", page)


def table(use: str) -> str:
    """The options of a check."""
    return HEAD + "".join(_row(key, option) for key, option in options(use).items())


def _row(key: str, option: Option) -> str:
    meaning = option.help.removesuffix(".")
    cells = (f"`{key}`", type_of(option.schema), meaning, _default(option), _tighter(option))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _default(option: Option) -> str:
    if option.default is None:
        return option.default_words or "required"
    return "none" if option.default == [] else _value(option.default)


def _value(value: Any) -> str:
    """A value as a policy writes it."""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _tighter(option: Option) -> str:
    if option.tighter is None:
        return "fixed"
    return " < ".join(map(_value, option.tighter)) if isinstance(option.tighter, tuple) else TIGHTER[option.tighter]


def type_of(schema: Mapping[str, Any]) -> str:
    """The type of a value in words."""
    if "const" in schema:
        return _value(schema["const"])
    if "enum" in schema:
        return ", ".join(map(_value, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(map(type_of, schema["anyOf"]))
    match schema["type"]:
        case "array":
            return f"list of {_plural(schema['items'])}"
        case "object" if isinstance(schema.get("additionalProperties"), Mapping):
            return "mapping"
        case "object":
            return f"mapping with {', '.join(f'`{key}`' for key in schema['properties'])}"
        case "number" | "integer" as kind:
            return f"{kind}{_range(schema)}"
        case kind:
            return str(kind)


def _plural(schema: Mapping[str, Any]) -> str:
    """The type of the items of a list in words."""
    one = type_of(schema)
    return one if "enum" in schema else one.replace("mapping", "mappings") if "mapping" in one else f"{one}s"


def _range(schema: Mapping[str, Any]) -> str:
    if "maximum" not in schema:
        return ""
    least = f"above {schema['exclusiveMinimum']}" if "exclusiveMinimum" in schema else f"from {schema['minimum']}"
    return f" {least} to {schema['maximum']}"
