"""Reads the keys of a rule with `action: retry`: its budget, its template, and what happens when no attempt is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from guardproxy.decisions import Retry, Then
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import YamlNode

THEN: tuple[Then, ...] = get_args(Then)
LIMIT_ATTEMPTS = 10
LIMIT_TEMPLATE_CHARS = 4000
LIMIT_S = (0.1, 3600)
LIMIT_TOKENS = 10**9
LIMIT_PRICE = 10**6
_TEXT = {"type": "string", "minLength": 1}

# Each key with its description and its form as JSON Schema.
TABLE: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "attempts": (
        "The number of further answers that the model may give; 0 asks the fallback at once.",
        {"type": "integer", "minimum": 0, "maximum": LIMIT_ATTEMPTS},
    ),
    "then": ("What happens when no attempt is left.", {"enum": list(THEN)}),
    "fallback": (
        "For `then: fallback`: the model or upstream that answers instead.",
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": {
                "model": {**_TEXT, "description": "The name of a model."},
                "upstream": {**_TEXT, "description": "The name of an upstream, as `--upstream NAME=URL` gives it."},
            },
        },
    ),
    "template": (
        "The message to the model; `{errors}` is replaced with the list of errors.",
        {**_TEXT, "maxLength": LIMIT_TEMPLATE_CHARS},
    ),
    "total_s": (
        "Seconds after which no further attempt begins.",
        {"type": "number", "minimum": LIMIT_S[0], "maximum": LIMIT_S[1]},
    ),
    "total_tokens": (
        "Total tokens of all attempts after which no further attempt begins.",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_TOKENS},
    ),
    "price": (
        "The price of a million output tokens, for the metric of savings.",
        {"type": "number", "minimum": 0, "maximum": LIMIT_PRICE},
    ),
}
KEYS = tuple(TABLE)
_PLAIN = Retry("")


def read_retry(reading: FileReading, keys: Mapping[str, YamlNode], rule: str, message: str) -> Retry:
    """Returns the retry that the keys of a rule describe."""
    attempts = reading.number(keys.get("attempts"), 0, LIMIT_ATTEMPTS, whole=True)
    total_s = reading.number(keys.get("total_s"), *LIMIT_S)
    tokens = reading.number(keys.get("total_tokens"), 1, LIMIT_TOKENS, whole=True)
    price = reading.number(keys.get("price"), 0, LIMIT_PRICE)
    then = reading.choice(keys.get("then"), THEN, place="then")
    model, upstream = _fallback(reading, keys.get("fallback"))
    if then == "fallback" and "fallback" not in keys:
        reading.fail(
            keys["then"].place, "`fallback` is missing: name a model, an upstream or both, like {model: gpt-5}"
        )
    elif then != "fallback" and "fallback" in keys:
        reading.fail(keys["fallback"].key, "`fallback` is used when no attempt is left: it needs `then: fallback`")
    if attempts == 0 and then != "fallback":
        reading.fail(keys["attempts"].place, "`attempts: 0` asks the model no more: it needs `then: fallback`")
    template = reading.word(keys.get("template"), "a text, written as words") or ""
    if len(template) > LIMIT_TEMPLATE_CHARS:
        reading.fail(keys["template"].place, f"a template has at most {LIMIT_TEMPLATE_CHARS} characters")
    return Retry(
        rule,
        attempts=int(_PLAIN.attempts if attempts is None else attempts),
        total_s=_PLAIN.total_s if total_s is None else total_s,
        total_tokens=None if tokens is None else int(tokens),
        then=then or "block",
        template=template,
        model=model,
        upstream=upstream,
        price=price or 0.0,
        message=message,
    )


def _fallback(reading: FileReading, node: YamlNode | None) -> tuple[str, str]:
    if node is None:
        return "", ""
    keys = reading.entries(node, "a mapping like {model: gpt-5}", ("model", "upstream"))
    if node.value == {}:
        reading.fail(node.place, "name a model, an upstream or both, like {model: gpt-5}")
    model = reading.word(keys.get("model"), "the name of a model") or ""
    return model, reading.word(keys.get("upstream"), "the name of an upstream") or ""
