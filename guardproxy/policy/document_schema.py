"""The JSON Schema (draft 2020-12) of a policy file, for completion and inline errors in editors.

In: the tables that the reader uses too (`keys.py`, and `OPTIONS` of each check). Out: a document of plain values. A
schema cannot express everything; `policy lint` reports the rest: names of checks in `when`, options that exclude each
other, overrides that are not stricter.

`# yaml-language-server: $schema=PATH` as a file's first line, or an editor's settings, bind it to policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy import checks
from guardproxy.policy import acting
from guardproxy.policy import keys as tables
from guardproxy.policy.document import ON_ERROR
from guardproxy.policy.expression import RESERVED
from guardproxy.policy.fields import FIELD_KEYS
from guardproxy.policy.keys import Table
from guardproxy.policy.sections import SECTIONS
from guardproxy.policy.variables import PLACES

Schema = dict[str, Any]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_ON_ERROR: Schema = {
    "description": "What happens when this check fails or takes too long, if it differs from the policy's `on_error`.",
    **tables.choice(ON_ERROR),
}
_VARIABLE: Schema = {"type": "string", "pattern": r"\$\{" + tables.VARIABLE + r"\}"}


def schema() -> Schema:
    """Returns the schema of a policy file, with all installed checks."""
    entries = {"propertyNames": {"pattern": f"^{tables.CHECK_NAME}$", "not": {"enum": list(RESERVED)}}}
    schemas: dict[str, Schema] = {
        "checks": {"type": "object", **entries, "additionalProperties": {"$ref": "#/$defs/check"}},
        "rules": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/rule"}},
        "match": _mapping(tables.MATCH),
        "audit": _mapping(tables.AUDIT),
    }
    tenant = {**_mapping(tables.TENANT, {key: schemas[key] for key in ("checks", "rules")}), "minProperties": 1}
    schemas["tenants"] = {"type": "object", "additionalProperties": tenant}
    document = _mapping(tables.POLICY, schemas)
    # A policy that extends another states only the stricter parts of a check or rule; any other policy states all of
    # it.
    whole = {
        "anyOf": [{"required": [key]} for key in ("rules", *FIELD_KEYS, *SECTIONS)],
        "properties": {
            "checks": {"additionalProperties": {"required": ["use"]}},
            "rules": {"items": {"required": list(tables.needed(tables.RULE))}},
        },
    }
    return {
        "$schema": _DRAFT,
        "title": "A policy of guardproxy",
        **document,
        "required": ["policy"],
        "not": {"required": ["mode", "enforce"], "properties": {"mode": {"const": "shadow"}}},
        "if": {"not": {"required": ["extends"]}},
        "then": whole,
        "$defs": {"check": _check(), "rule": _rule()},
    }


def _mapping(table: Table, schemas: Mapping[str, Schema] | None = None) -> Schema:
    """Returns the schema of a mapping with the keys of a table. `schemas`: the schemas of keys that hold mappings or
    lists."""
    schemas = schemas or {}
    properties = {}
    for name, key in table.items():
        form = schemas.get(name, key.schema)
        properties[name] = {"description": key.doc, **(with_variables(form) if _counts(table, name) else form)}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _counts(table: Table, name: str) -> bool:
    """Whether variables are replaced in the value of this key."""
    return name in PLACES if table in (tables.POLICY, tables.TENANT) else True


def _rule() -> Schema:
    belong = [
        {
            "if": {"required": [name, "action"]},
            "then": {"properties": {"action": with_variables(tables.choice(key.actions))}},
        }
        for name, key in tables.RULE.items()
        if key.actions
    ]
    rule = _mapping(tables.RULE)
    rule["properties"]["action"] |= with_variables(tables.choice(acting.action_names()))
    shadow = {
        "if": {"required": ["mode", "enforce"]},
        "then": {"properties": {"mode": {"not": {"const": "shadow"}}}},
    }
    return {**rule, "required": ["id"], "allOf": [*belong, shadow]}


def _check() -> Schema:
    names = checks.check_names()
    use = {"description": "The type of check.", "enum": names}
    return {
        "type": "object",
        "properties": {"use": with_variables(use), "on_error": with_variables(_ON_ERROR)},
        "allOf": [_options(name) for name in names],
    }


def _options(name: str) -> Schema:
    declared = checks.options(name)
    properties = {key: _option(option) for key, option in declared.items()}
    then: Schema = {"properties": properties}
    if declared:  # a check of another package may declare no options
        then |= {"properties": {"use": True, "on_error": True, **properties}, "additionalProperties": False}
    return {"if": {"required": ["use"], "properties": {"use": {"const": name}}}, "then": then}


def _option(option: checks.Option) -> Schema:
    default: Schema = {} if option.default is None else {"default": option.default}
    return {"description": option.help, **default, **with_variables(option.schema)}


def with_variables(form: Mapping[str, Any]) -> Schema:
    """Returns the schema, extended so that `${name}` is allowed in place of any value."""
    if form.get("type") == "object":
        inner = dict(form)
        for key in ("properties", "patternProperties"):
            if key in form:
                inner[key] = {name: with_variables(schema) for name, schema in form[key].items()}
        if isinstance(form.get("additionalProperties"), Mapping):
            inner["additionalProperties"] = with_variables(form["additionalProperties"])
        return inner
    if form.get("type") == "array":
        items = {key: with_variables(value) if key == "items" else value for key, value in form.items()}
        return _or_variable(items)
    if "anyOf" in form:
        return {**form, "anyOf": [*(with_variables(option) for option in form["anyOf"]), _VARIABLE]}
    return dict(form) if form.get("type") == "string" and form.get("pattern") == r"\S" else _or_variable(form)


def _or_variable(form: Mapping[str, Any]) -> Schema:
    notes = {key: form[key] for key in ("description",) if key in form}
    return {**notes, "anyOf": [{key: value for key, value in form.items() if key not in notes}, _VARIABLE]}
