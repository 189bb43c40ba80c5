"""The section `prompt`: what a policy adds to the system prompt, and how it marks texts that the user did not write.

`exchange/inputs/prompts.py` carries it out.

Decision: docs/decisions/0051-a-prompt-is-changed-after-the-checks.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from guardproxy.findings import Kind
from guardproxy.policy.sections.section import Section
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.templating import FILTERS, NAMES, PromptTemplate, TemplateError, compile_template
from guardproxy.policy.yaml.tree import YamlNode

Marking = Literal["delimit", "datamark", "base64"]
MARKINGS: tuple[Marking, ...] = get_args(Marking)
"""The ways to mark a text, from the weakest to the strongest."""
WRAPPED: tuple[Kind, ...] = ("tool_result", "document")
"""The kinds of texts that can be marked."""
LIMIT_CHARS = 20_000
"""The characters of each text of a section."""
_WANTED = "a mapping like `{prepend: Answer in English., canary: true}`"
_WRAP = "a mapping like `{kinds: [tool_result], how: delimit}`"


@dataclass(frozen=True, slots=True)
class Wrap:
    """Texts to mark: their kinds, and the way."""

    kinds: frozenset[Kind]
    how: Marking


@dataclass(frozen=True, slots=True)
class PromptSection:
    """The section. `prepend`, `append`: texts before and after the system prompt. `template`: writes the text instead of the
    client's. `canary`: whether the system prompt gets a word that only this proxy and the model know."""

    prepend: str = ""
    append: str = ""
    template: PromptTemplate | None = None
    wrap: Wrap | None = None
    canary: bool = False


def _read(reading: FileReading, node: YamlNode) -> PromptSection | None:
    before = len(reading.errors)
    keys = reading.entries(node, _WANTED, tuple(_KEYS))
    if not keys and len(reading.errors) == before:
        reading.fail(node.place, f"expected {_WANTED}, found an empty mapping")
    section = PromptSection(
        _text(reading, keys.get("prepend")),
        _text(reading, keys.get("append")),
        _template(reading, keys.get("template")),
        _wrap(reading, keys.get("wrap")),
        bool(reading.boolean(keys.get("canary"))),
    )
    return section if len(reading.errors) == before else None


def _text(reading: FileReading, node: YamlNode | None) -> str:
    text = reading.word(node, "a text")
    if node is None or text is None:
        return ""
    if len(text) > LIMIT_CHARS:
        reading.fail(node.place, f"a text has at most {LIMIT_CHARS} characters")
    return text.strip("\n")


def _template(reading: FileReading, node: YamlNode | None) -> PromptTemplate | None:
    source = _text(reading, node)
    if node is None or not source or len(source) > LIMIT_CHARS:
        return None
    try:
        return compile_template(source)
    except TemplateError as error:
        reading.fail(node.place, f"line {error.line} of the template: {error}")
    except ImportError:
        reading.fail(node.place, "templates need the package `jinja2`; install the extra `templates`")
    return None


def _wrap(reading: FileReading, node: YamlNode | None) -> Wrap | None:
    if node is None:
        return None
    keys = reading.entries(node, _WRAP, ("kinds", "how"), needed=("kinds",))
    kinds: set[Kind] = set()
    listed = keys.get("kinds")
    for item in reading.items(listed, "a list of kinds, like `[tool_result]`") if listed else ():
        if kind := reading.choice(item, cast("tuple[str, ...]", WRAPPED)):
            kinds.add(cast(Kind, kind))
    if listed and listed.value == ():
        reading.fail(listed.place, "`kinds` must not be empty")
    how = reading.choice(keys.get("how"), MARKINGS) or "delimit"
    return Wrap(frozenset(kinds), how)


_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1, "maxLength": LIMIT_CHARS, "pattern": r"\S"}
_KEYS: Mapping[str, Mapping[str, Any]] = {
    "prepend": {**_TEXT, "description": "A text before the client's system prompt."},
    "append": {**_TEXT, "description": "A text after the client's system prompt."},
    "template": {
        **_TEXT,
        "description": "A Jinja template of the text that takes the place of the client's system prompt. "
        f"Values: {', '.join(NAMES)}. Filters: {', '.join(FILTERS)}.",
    },
    "wrap": {
        "type": "object",
        "description": "Marks texts that the user did not write, and tells the model about the marks.",
        "required": ["kinds"],
        "additionalProperties": False,
        "properties": {
            "kinds": {"type": "array", "minItems": 1, "items": {"enum": list(WRAPPED)}},
            "how": {"enum": list(MARKINGS)},
        },
    },
    "canary": {"type": "boolean", "description": "Puts a secret word into the system prompt, for the check `canary`."},
}

PROMPT = Section(
    "prompt",
    "What is added to the system prompt, and how texts that the user did not write are marked.",
    {"type": "object", "minProperties": 1, "additionalProperties": False, "properties": _KEYS},
    _read,
)
