"""The keys of a policy file: one table for the reader, which uses the names, and for the JSON Schema, which uses the
forms and descriptions.

A table maps a key to its description (`doc`), its form as JSON Schema, whether it is required, and the actions it
belongs to.

Decision: docs/decisions/0022-policies-name-operating-points.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from guardproxy.errors import ErrorCode
from guardproxy.findings import KINDS
from guardproxy.policy.file import formats
from guardproxy.policy.sections import SECTIONS
from guardproxy.policy.values import cases as trial
from guardproxy.policy.values import retrying
from guardproxy.policy.values.actions import ACTIONS, VERDICTS, actions_with
from guardproxy.policy.values.alerting import KEYS as ALERT
from guardproxy.policy.values.document import (
    ALERT_FORMATS,
    INTENT,
    KEEP,
    MEDIA,
    MODES,
    ON_ERROR,
    PASSES,
    SEVERITIES,
    UNMAPPED,
    WORDS_OF_ON,
)
from guardproxy.policy.values.fields import FIXED_FIELDS
from guardproxy.redaction import HASH_TYPES
from guardproxy.redaction import KINDS as OPERATORS

Schema = Mapping[str, Any]

NAME: Schema = {"type": "string", "pattern": "^[a-z0-9-]+$"}
TEXT: Schema = {"type": "string", "pattern": r"\S"}
WORDS: Schema = {"type": "array", "items": TEXT, "minItems": 1}
TEXT_OR_TEXTS: Schema = {"anyOf": [TEXT, WORDS]}
SHARE: Schema = {"type": "string", "pattern": r"^\s*[0-9]{1,3}(\.[0-9]{1,4})? ?%\s*$"}
BOOL: Schema = {"type": "boolean"}
CHECK_NAME = "[a-z][a-z0-9_-]*"
VARIABLE = "[a-z][a-z0-9_-]*"


def choice(options: Sequence[str]) -> Schema:
    return {"enum": list(options)}


def number(least: float, most: float, *, whole: bool = False) -> Schema:
    return {"type": "integer" if whole else "number", "minimum": least, "maximum": most}


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a policy file. `actions`: for a key of a rule, the actions that it belongs to; empty for all."""

    doc: str
    schema: Schema
    needed: bool = False
    actions: tuple[str, ...] = ()


Table = Mapping[str, Key]


def needed(table: Table) -> tuple[str, ...]:
    return tuple(name for name, key in table.items() if key.needed)


MATCH: Table = {
    "routes": Key(
        "Methods and paths, like `POST /v1/messages`; `*` is any text.",
        {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": r"^([A-Z]+|\*) /\S*$"}},
    ),
    "models": Key(
        "Names of models; `*` is any text, as in `gpt-*`. Case and a provider's prefix do not matter. A request whose "
        "model cannot be read matches.",
        WORDS,
    ),
    "tenants": Key(
        "Names of tenants, as `serve --tenant` gives them; `*` is any text, and matches a client without a name.", WORDS
    ),
    "headers": Key(
        "Headers and their values; `*` is any text. Case is ignored; a request without the header matches.",
        {"type": "object", "minProperties": 1, "additionalProperties": TEXT_OR_TEXTS},
    ),
    "when": Key('A condition in CEL, like `tenant.name == "acme" && request.model.startsWith("gpt-")`.', TEXT),
}

_OPERATOR: Schema = {
    "anyOf": [
        {"enum": [kind for kind in OPERATORS if kind != "replace"]},
        {
            "type": "object",
            "required": ["type"],
            "additionalProperties": False,
            "properties": {
                "type": {"enum": list(OPERATORS), "description": "What replaces the value."},
                "new_value": {**TEXT, "description": "For `replace`: the replacement."},
                "masking_char": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1,
                    "description": "For `mask`: the character that replaces others.",
                },
                "chars_to_mask": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "For `mask`: the number of characters; all by default.",
                },
                "from_end": {**BOOL, "description": "For `mask`: count from the end."},
                "hash_type": {"enum": list(HASH_TYPES), "description": "For `hash`, which is keyed."},
            },
        },
    ]
}

_RESTORE: Schema = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "in": {
            "type": "array",
            "minItems": 1,
            "items": choice(KINDS),
            "description": "The kinds of texts of an answer in which values are restored; all by default.",
        },
        "urls": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^\s*(\*\.)?[A-Za-z0-9.-]+(:[0-9]{1,5})?\s*$"},
            "description": "Hosts whose URLs may hold values, like `api.example.com`; none by default.",
        },
    },
}

_ALERT: Schema = {
    "type": "object",
    "required": ["webhook"],
    "additionalProperties": False,
    "properties": {
        "webhook": {"type": "string", "pattern": "^https?://[^/]+", "description": ALERT["webhook"]},
        "min_severity": {**choice(SEVERITIES), "description": ALERT["min_severity"]},
        "format": {**choice(ALERT_FORMATS), "description": ALERT["format"]},
    },
}

_RULE: Table = {
    "id": Key("The rule's name in records, headers and metrics.", NAME, needed=True),
    "on": Key(
        "The texts that the rule inspects: a direction, kinds, or both, like `request.assistant`. All texts by default.",
        {
            "anyOf": [
                choice([*WORDS_OF_ON]),
                {"type": "array", "minItems": 1, "items": choice([*WORDS_OF_ON])},
            ]
        },
    ),
    "when": Key(
        "Names of checks with `and`, `or` and parentheses; `check_error` holds if a check failed.", TEXT, needed=True
    ),
    "action": Key("What the rule does; the strongest action of all rules wins.", choice(ACTIONS), needed=True),
    "with": Key("Options for an action of another package.", {"type": "object"}),
    "operators": Key(
        "What replaces a value, by label; `DEFAULT` is every other label.",
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "patternProperties": {"^[A-Z][A-Z0-9_]*$": _OPERATOR},
        },
    ),
    "restore": Key(
        "Whether, and where, values are restored in the answer; never inside URLs of hosts that `urls` does not list.",
        {"anyOf": [BOOL, _RESTORE]},
    ),
    "mode": Key("`shadow` records what would happen and changes nothing.", choice(MODES)),
    "enforce": Key(
        "The share of conversations for which the rule is enforced, as in `10 %`; otherwise it is in shadow mode.",
        SHARE,
    ),
    "message": Key("The message for the client.", TEXT),
    "severity": Key("The severity for records and alerts.", choice(SEVERITIES)),
    "alert": Key("Where a message goes when the rule holds; it never contains a text.", _ALERT),
    "early": Key(
        "Stream the valid beginning of an answer; a later error then ends the answer.",
        BOOL,
    ),
    "parallel": Key(
        "Judge the request while the upstream already works on it; the answer waits for the verdict. `always`: also "
        "if the provider may act for the request, as by a tool that it runs.",
        {"anyOf": [BOOL, choice(("always",))]},
    ),
    **{name: Key(doc, schema) for name, (doc, schema) in retrying.TABLE.items()},
}
RULE: Table = {name: replace(key, actions=actions_with(name)) for name, key in _RULE.items()}

_VARIABLES: Schema = {
    "type": "object",
    "propertyNames": {"pattern": f"^{VARIABLE}$"},
    "additionalProperties": {
        "anyOf": [{"type": ["string", "number", "boolean"]}, {"type": "array", "items": {"type": ["string", "number"]}}]
    },
}
_LISTS: Schema = {
    "type": "object",
    "propertyNames": {"pattern": f"^{VARIABLE}$"},
    "additionalProperties": TEXT,
}

_OPAQUE: Schema = {
    "anyOf": [
        choice(PASSES),
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": {name: choice(PASSES) for name in MEDIA},
        },
    ]
}
_OPAQUE_KEY = Key("What happens to content that no check can read, such as images: all of it, or by kind.", _OPAQUE)
_TOKEN_IDS_KEY = Key("What happens to integers that stand for a text; refused by default.", choice(PASSES))

_FIELD: Schema = {"type": "string", "pattern": r"^[A-Za-z_$][A-Za-z0-9_$.*-]*$"}
_FIELDS: Schema = {"type": "array", "minItems": 1, "items": _FIELD}
_CHANGED: Schema = {**_FIELD, "not": {"enum": list(FIXED_FIELDS)}}
_ALLOW_FIELDS_KEY = Key(
    "Fields that bypass the checks, such as `chat_template`, and that are accepted all the same.",
    {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}},
)
_REFUSE_KEY = Key("Fields that a request may not have, like `background` or `tools.*.strict`.", _FIELDS)
_STRIP_KEY = Key("Fields that are removed from a request before it is sent.", {**_FIELDS, "items": _CHANGED})
_SET_KEY = Key(
    "Fields with the values that a request is sent with, like `{store: false}`.",
    {
        "type": "object",
        "minProperties": 1,
        "propertyNames": _CHANGED,
        "additionalProperties": {"not": {"type": "null"}},
    },
)

# The keys that the overrides of a tenant may change.
TENANT: Table = {
    "vars": Key("Variables with other values for this tenant.", _VARIABLES),
    "lists": Key("Lists from other files for this tenant.", _LISTS),
    "checks": Key("Stricter options of checks, or more checks.", {"type": "object"}),
    "rules": Key("Stricter rules by their `id`, or more rules.", {"type": "array"}),
    "on_error": Key("`block` if the policy says `flag`.", choice(ON_ERROR)),
    "unmapped": Key("`refuse` if the policy says `scan`.", choice(UNMAPPED)),
    "opaque": _OPAQUE_KEY,
    "token_ids": _TOKEN_IDS_KEY,
    "allow_fields": _ALLOW_FIELDS_KEY,
    "refuse": _REFUSE_KEY,
    "set": _SET_KEY,
    "strip": _STRIP_KEY,
    **{name: Key(section.doc, section.schema) for name, section in SECTIONS.items() if section.stacks},
}

SUBJECT = r"user|tenant|conversation|header:[A-Za-z0-9!#$%&'*+.^_`|~-]+"
WANTED_SUBJECT = "`user`, `tenant`, `conversation`, or a header like `header:x-user-id`"
AUDIT: Table = {
    "keep": Key("How much of the texts records keep.", choice(KEEP)),
    "subject": Key(
        "Whose key seals the texts: the user that the body names, the tenant, the conversation, or a header.",
        {"type": "string", "pattern": f"^(?:{SUBJECT})$"},
    ),
    "intent": Key("Whether the log records a request before its first byte goes upstream.", choice(INTENT)),
}

_TEXTS: Schema = {"anyOf": [TEXT, {"type": "object", "minProperties": 1, "additionalProperties": TEXT}]}
_FIND: Schema = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": dict.fromkeys(trial.FIND_KEYS, TEXT),
}
_EXPECTED: dict[str, Schema] = {
    **dict.fromkeys(trial.EXPECT_KEYS, TEXT_OR_TEXTS),
    "rule": TEXT,
    "decision": choice(VERDICTS),
    "upstream": _TEXTS,
    "client": _TEXTS,
    "routed": TEXT,
    "error": {"enum": [trial.NONE, *(code.value for code in ErrorCode)]},
    "refused": {
        "anyOf": [
            choice((trial.LIMIT, trial.NONE)),
            {
                "type": "object",
                "required": [trial.LIMIT],
                "additionalProperties": False,
                "properties": {trial.LIMIT: TEXT},
            },
        ]
    },
    "finds": {"anyOf": [{"const": trial.NONE}, _FIND, {"type": "array", "minItems": 1, "items": _FIND}]},
}
_ANSWERS: Schema = {"type": "array", "minItems": 1, "maxItems": trial.LIMIT_ANSWERS, "items": TEXT}
_SENT: dict[str, Schema] = {
    **dict.fromkeys(trial.KEYS, TEXT),
    "response": {"anyOf": [TEXT, _ANSWERS]},
    "exchange": {"type": "object", "required": ["request"]},
    "headers": {"type": "object", "additionalProperties": TEXT},
    "times": {
        **number(1, trial.LIMIT_TIMES, whole=True),
        "description": "For `refused`: how often the request is sent at once.",
    },
    "used": {
        "anyOf": [
            TEXT_OR_TEXTS,
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"anyOf": [{"const": trial.ALL}, {"type": "number", "minimum": 0}]},
            },
        ],
        "description": "For `refused`: limits that are used up, or what was taken of each.",
    },
    "judged": {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"anyOf": [TEXT, {"type": "integer"}]},
        "description": "What models say that checks ask (`use: llm`), by the name of the check.",
    },
    "chunkings": number(0, trial.LIMIT_CHUNKINGS, whole=True),
    "expect": {"type": "object", "minProperties": 1, "additionalProperties": False, "properties": _EXPECTED},
}
_TEST: Schema = {"type": "object", "required": ["name", "expect"], "additionalProperties": False, "properties": _SENT}

POLICY: Table = {
    "policy": Key("The policy's name.", NAME, needed=True),
    "description": Key("What the policy is for, in a sentence.", TEXT),
    "extends": Key(
        "A policy of the same folder whose checks and rules also apply here; they may only be tightened.", NAME
    ),
    "formats": Key("Wire formats of endpoints that guardproxy does not know, by JSON pointers.", formats.SCHEMA),
    "match": Key("Which requests the policy is for; everything by default.", {"type": "object"}),
    "vars": Key("Named values: `${name}` is replaced in match, checks and rules.", _VARIABLES),
    "lists": Key("Lists in files below this folder, one entry a line: `${name}` is replaced with them.", _LISTS),
    "checks": Key("The checks, each under a name of your own.", {"type": "object"}),
    "rules": Key("The rules: what happens when checks find something.", {"type": "array", "minItems": 1}, needed=True),
    "tenants": Key("Stricter settings for particular tenants.", {"type": "object"}),
    "on_error": Key("What happens when a check fails or takes too long.", choice(ON_ERROR)),
    "unmapped": Key("What happens to fields that guardproxy does not know.", choice(UNMAPPED)),
    "opaque": _OPAQUE_KEY,
    "token_ids": _TOKEN_IDS_KEY,
    "allow_fields": _ALLOW_FIELDS_KEY,
    "refuse": _REFUSE_KEY,
    "set": _SET_KEY,
    "strip": _STRIP_KEY,
    "mode": Key("`shadow` records what the policy would do; it changes and refuses nothing.", choice(MODES)),
    "enforce": Key("The share of conversations for which all rules are enforced, as in `10 %`.", SHARE),
    "audit": Key("What records keep, and when.", {"type": "object"}),
    **{name: Key(section.doc, section.schema) for name, section in SECTIONS.items()},
    "tests": Key("Examples with their expected results.", {"type": "array", "items": _TEST}),
}
