"""The JSON Schema (draft 2020-12) of a policy file, for completion and inline errors in editors.

In: the tables that the reader uses too (`keys.py`, and `OPTIONS` of each check). Out: a document of plain values. A
schema cannot express everything; `policy lint` reports the rest: names of checks in `when`, options that exclude each
other, overrides that are not stricter. A mistake has one error: a value is compared with the one alternative that fits its
type, and a missing key is no further error beside a misspelt one.

`# yaml-language-server: $schema=PATH` as a file's first line, or an editor's settings, bind it to policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from guardproxy import checks
from guardproxy.policy.conditions.expression import RESERVED
from guardproxy.policy.file import keys as tables
from guardproxy.policy.file.keys import Table
from guardproxy.policy.file.variables import PLACES
from guardproxy.policy.sections import SECTIONS
from guardproxy.policy.values import acting
from guardproxy.policy.values.document import ON_ERROR
from guardproxy.policy.values.fields import FIELD_KEYS

Schema = dict[str, Any]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_ON_ERROR: Schema = {
    "description": "What happens when this check fails or takes too long, if it differs from the policy's `on_error`.",
    **tables.choice(ON_ERROR),
}
_VARIABLE: Schema = {"type": "string", "pattern": r"\$\{" + tables.VARIABLE + r"\}"}
_OF_NAMES = ("properties", "patternProperties", "$defs")  # keywords whose value has schemas by name
_OF_SCHEMAS = ("additionalProperties", "items", "then", "else")  # not `if` and `not`, whose errors nobody sees


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
    needed = [name for name in tables.needed(tables.RULE) if name != "id"]  # every rule has its id
    whole = {
        "properties": {
            "checks": {"additionalProperties": {"required": ["use"]}},
            "rules": {"items": {"if": _known(tables.RULE), "then": {"required": needed}}},
        },
        "if": {"anyOf": [{"required": [key]} for key in (*FIELD_KEYS, *SECTIONS)]},
        "else": {"if": _known(tables.POLICY), "then": {"required": ["rules"]}},
    }
    made = {
        "$schema": _DRAFT,
        "title": "A policy of guardproxy",
        **document,
        "required": ["policy"],
        "not": {"type": "object", "required": ["mode", "enforce"], "properties": {"mode": {"const": "shadow"}}},
        "if": {"not": {"required": ["extends"]}},
        "then": whole,
        "$defs": {"check": _check(), "rule": _rule()},
    }
    return cast(Schema, _decided(made))


def _known(keys: Iterable[str]) -> Schema:
    """Returns the schema of mappings that have only known keys. What they lack is no second error beside a misspelt key."""
    return {"propertyNames": {"enum": list(keys)}}


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
    names = {"enum": list(acting.action_names())}
    belong = [
        {
            "if": {"required": [name, "action"], "properties": {"action": names}},
            "then": {"properties": {"action": tables.choice(key.actions)}},
        }
        for name, key in tables.RULE.items()
        if key.actions
    ]
    rule = _mapping(tables.RULE)
    rule["properties"]["action"] = {"description": tables.RULE["action"].doc, **with_variables(names)}
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
    form = {**option.schema, "items": {"enum": list(option.words())}} if option.words else option.schema
    return {"description": option.help, **default, **with_variables(form)}


def with_variables(form: Mapping[str, Any]) -> Schema:
    """Returns the schema, extended so that `${name}` is allowed instead of any value."""
    inner = _inside(form)
    if form.get("type") == "object" or (form.get("type") == "string" and form.get("pattern") == r"\S"):
        return inner
    if "anyOf" in form:
        return {**inner, "anyOf": [*inner["anyOf"], _VARIABLE]}
    notes = {key: form[key] for key in ("description",) if key in form}
    return {**notes, "anyOf": [{key: value for key, value in inner.items() if key not in notes}, _VARIABLE]}


def _inside(form: Mapping[str, Any]) -> Schema:
    """Returns the schema, extended so that `${name}` is allowed instead of any value inside of a value."""
    inner = dict(form)
    for key in ("properties", "patternProperties"):
        if key in form:
            inner[key] = {name: with_variables(schema) for name, schema in form[key].items()}
    for key in ("additionalProperties", "items"):
        if isinstance(form.get(key), Mapping):
            inner[key] = with_variables(form[key])
    if "anyOf" in form:
        inner["anyOf"] = [_inside(option) for option in form["anyOf"]]
    return inner


# One error for one mistake.


def _decided(form: Any) -> Any:
    """Returns the schema with decisions instead of alternatives, so that a value has the errors of one; with keys that are
    required only beside known keys, and limits of integers for integers only."""
    if not isinstance(form, Mapping):
        return form
    made = dict(form)
    more: list[Schema] = []
    is_closed = made.get("additionalProperties") is False
    if "anyOf" in made:
        decision = _decision(made.pop("anyOf"))
        more.append({"if": _known(made["properties"]), "then": decision} if is_closed else decision)
    if "required" in made and is_closed:
        more.append({"if": _known(made["properties"]), "then": {"required": made.pop("required")}})
    if made.get("type") == "integer":  # half a number is not a number that is too small, too
        limits = {key: made.pop(key) for key in ("minimum", "maximum") if key in made}
        more += [{"if": {"type": "integer"}, "then": limits}] if limits else []
    for part in more:
        if made.keys().isdisjoint(("if", "then", "else")):
            made |= part
        else:
            made["allOf"] = [*made.get("allOf", ()), part]
    for key in _OF_NAMES:
        if key in made:
            made[key] = {name: _decided(schema) for name, schema in made[key].items()}
    for key in _OF_SCHEMAS:
        if key in made:
            made[key] = _decided(made[key])
    if "allOf" in made:
        made["allOf"] = [_decided(part) for part in made["allOf"]]
    return made


def _decision(options: Sequence[Schema]) -> Schema:
    """Returns the schema that compares a value with the option of its type; a value of no option's type with the text, or the
    last one."""
    if _VARIABLE in options:
        return {"if": _VARIABLE, "else": _alternatives([option for option in options if option != _VARIABLE])}
    if all(option.keys() == {"required"} for option in options):
        return _chain([(option, {}) for option in options[1:]], options[0])
    by_type: dict[tuple[str, ...], list[Schema]] = {}
    for option in (inner for outer in options for inner in outer.get("anyOf", (outer,))):
        for types, part in _by_type(option):
            by_type.setdefault(types, []).append(part)
    last = next((types for types in by_type if "string" in types), [*by_type][-1])
    cases = [({"type": list(types)}, _alternatives(parts)) for types, parts in by_type.items() if types != last]
    return _chain(cases, _alternatives(by_type[last]))


def _alternatives(options: Sequence[Schema]) -> Schema:
    """Returns the schema of options, of which objects are told apart by the keys that they require."""
    if len(options) == 1:
        return options[0]
    if all(option.get("type") == "object" and "required" in option for option in options):
        return _chain([({"required": option["required"]}, option) for option in options[:-1]], options[-1])
    return {"anyOf": list(options)}


def _chain(cases: Sequence[tuple[Schema, Schema]], last: Schema) -> Schema:
    """Returns the schema of the first case whose condition holds, or the last one."""
    made = last
    for condition, then in reversed(cases):
        made = {"if": condition, **({"then": then} if then else {}), "else": made}
    return made


def _by_type(option: Schema) -> list[tuple[tuple[str, ...], Schema]]:
    """Returns the parts of an option by the types of their values."""
    if "type" in option:
        return [(tuple([option["type"]] if isinstance(option["type"], str) else option["type"]), option)]
    words = option.get("enum", [option.get("const")])
    parts: dict[tuple[str, ...], list[Any]] = {}
    for word in words:
        parts.setdefault(("string",) if isinstance(word, str) else ("integer",), []).append(word)
    return [(types, {**option, "enum": values} if "enum" in option else option) for types, values in parts.items()]
