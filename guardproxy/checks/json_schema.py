"""The check `json_schema`: a text must be JSON that matches a schema, and is validated while it grows.

In: windows of an answer, with the `Form` that the text must have. Out: at most one finding for a text, at the
character that proves it wrong, with an explanation. Kept between windows: the state of the parser, in the scan's
`state`.

Options: `schema`: `from_request` (the schemas in the request for its answer and for tool calls; calls of unknown tools
are findings), `{file: order.json}` in the policies' folder, or `{inline: {...}}` (a schema for every answer, except
for tool calls). `draft`: the draft of a schema that names none. `invented`: whether a call may have arguments that a
plain schema of its tool does not list: `refuse` (the default) or `allow` (as JSON Schema does without
`additionalProperties: false`). `repair`: broken JSON is repaired if `json-repair` can, and the repaired text is
checked like a new answer. Whether it can is known only at the end, so broken JSON is then not cut off early. A text of
more than `REPAIR_CHARS`, or one that takes the library too much work (it is squared for some texts), is not repaired.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.declared.own_schema import OWN_SCHEMA, own_schema
from guardproxy.concurrency import WorkLimitError, metered
from guardproxy.findings import Detail, Finding, Form, Kind, Scan, Traits, Window
from guardproxy.schemas import (
    DRAFTS,
    INCOMPLETE,
    LATEST,
    MALFORMED,
    Compiled,
    CostError,
    Prefix,
    SchemaError,
    alike,
    compile_schema,
    details,
    words,
)

VERSION = 1
UNKNOWN_TOOL = "unknown_tool"
REFUSED = "schema_refused"
OPTIONS: Options = {
    "schema": Option(
        "`from_request`, `{file: schemas/order.json}` below the policies' folder, or `{inline: ...}`.",
        {"anyOf": [{"const": "from_request"}, *OWN_SCHEMA]},
    ),
    "draft": Option(
        "The draft of a schema that does not name its draft, in quotes.", {"enum": list(DRAFTS)}, default=LATEST
    ),
    "repair": Option("Whether broken JSON is repaired where possible.", {"type": "boolean"}, default=False),
    "invented": Option(
        "Whether tool arguments that the schema does not list are errors: `refuse`, or `allow` them.",
        {"enum": ["refuse", "allow"]},
        default="refuse",
        tighter=("allow", "refuse"),
    ),
}
# A schema with one of these keywords defines by itself, or through other schemas, which keys are allowed.
_OPEN = (
    *("additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames", "$ref", "$dynamicRef"),
    *("allOf", "anyOf", "oneOf", "if", "dependentSchemas", "dependencies"),
)
_CACHE = 256
REPAIR_CHARS = 64 * 1024
# Measured: broken answers of models take 6 to 9 calls for a character.
_REPAIR_CALLS = 50_000
_REPAIR_CALLS_A_CHAR = 20
_NOTHING = object()


@dataclass(slots=True, eq=False)
class CheckedText:
    """The state of a text between its windows."""

    prefix: Prefix
    parts: list[str]


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """The check `json_schema`. `compiled(form)`: returns the schema of a form, from a cache."""

    name: str
    digest: str
    compiled: Callable[[Form], Compiled]
    traits: Traits

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        form, end = window.facts.form, window.start + len(window.text)
        if window.start and window.state is None:
            raise ValueError("the state of the previous window is missing")
        if form is None:
            return Scan((), end, end, state=_NOTHING)
        if window.channel.direction == "request":
            return Scan(self._refusal(form), end, end)
        if form.words is not None:
            return self._word(window, form.words)
        judging = window.state or CheckedText(Prefix(self.compiled(form)), [])
        prefix = judging.prefix
        new = window.text[prefix.at - window.start :]
        prefix.feed(new)
        if self.traits.offers_repairs:
            judging.parts.append(new)
        if window.last:
            prefix.close()
        settled = end if window.last or prefix.complete else max(window.settled, end - 1)
        findings: tuple[Finding, ...] = ()
        if prefix.wrong is not None and prefix.wrong.at >= window.settled:
            if self.traits.offers_repairs and prefix.wrong.label in (MALFORMED, INCOMPLETE) and not window.last:
                settled = prefix.wrong.at
            else:
                findings, settled = (self._finding(window, judging, form),), end
        return Scan(findings, settled, settled, state=judging)

    def _finding(self, window: Window, judging: CheckedText, form: Form) -> Finding:
        wrong = judging.prefix.wrong
        assert wrong is not None  # noqa: S101 - the caller has checked it
        finding = Finding(wrong.at, wrong.at + 1, self.name, wrong.label, 1.0, wrong.details)
        if wrong.label in (MALFORMED, INCOMPLETE):
            repaired = self._repair("".join(judging.parts), form) if self.traits.offers_repairs else None
            return replace(finding, repair=repaired)
        if window.last and not window.facts.streamed and window.start == 0:
            return replace(finding, details=self._all(window.text, form) or wrong.details)
        return finding

    def _all(self, text: str, form: Form) -> tuple[Detail, ...]:
        """Returns all errors of a whole answer, so that a retry can report all of them to the model."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return ()
        compiled = self.compiled(form)
        return details(compiled.judge(value, len(text)), ("", ""), compiled.names)

    def _repair(self, text: str, form: Form) -> str | None:
        """Returns the text that `json-repair` makes of it, if that fits the schema and its work is bounded."""
        from json_repair import repair_json  # noqa: PLC0415 - loaded only where a policy asks for it

        if len(text) > REPAIR_CHARS:
            return None
        try:
            with metered(_REPAIR_CALLS + _REPAIR_CALLS_A_CHAR * len(text)):
                mended = str(repair_json(text, ensure_ascii=False))
        except (ValueError, RecursionError, WorkLimitError):
            return None
        again = Prefix(self.compiled(form))
        again.feed(mended)
        again.close()
        return None if again.wrong else mended

    def _word(self, window: Window, allowed: tuple[str, ...]) -> Scan:
        """Checks a name that must be in a list of words."""
        end = window.start + len(window.text)
        text = (window.state or "")[: window.start] + window.text
        fits = any(word.startswith(text) for word in allowed)
        held = len(text) if fits else max((alike(text, word) for word in allowed), default=0)
        at = held if held < len(text) else end - 1 if window.last and text not in allowed else None
        if at is None or at < window.settled:
            done = window.last or at is not None or text in allowed
            settled = end if done else max(window.settled, end - 1)
            return Scan((), settled, settled, state=text)
        listed = f"one of {words(allowed)}" if allowed else "no tool call: the request declares no tool"
        detail = Detail("", "", f"the name of a tool: {listed}", "another name", text[: at + 1])
        return Scan((Finding(at, at + 1, self.name, UNKNOWN_TOOL, 1.0, (detail,)),), end, end, state=text)

    def _refusal(self, form: Form) -> tuple[Finding, ...]:
        """Returns a finding if the form's schema cannot be used."""
        try:
            if form.words is None:
                self.compiled(form)
        except SchemaError as error:
            return (Finding(0, 0, self.name, REFUSED, 1.0, (Detail("", "", "", str(error)),)),)
        return ()


def build(name: str, options: Mapping[str, Any], resources: Resources) -> JsonSchema:
    """Builds the check `name`. Raises `OptionError` for an invalid option, including a schema that is refused."""
    values = with_defaults(options, OPTIONS)
    draft, repair, invented = str(values["draft"]), values["repair"], values["invented"]
    own: Form | None = None
    documents: dict[str, Any] = {}
    if (chosen := values["schema"]) != "from_request":
        own, documents, ready = own_schema("schema", chosen, draft, resources, "from_request, ")

    @lru_cache(maxsize=_CACHE)
    def compiled(form: Form) -> Compiled:
        if form is own:
            return ready
        schema = close_schema(form.schema) if form.call and invented == "refuse" else form.schema
        return compile_schema(schema, default=draft)

    plain = {"schema": documents if own else chosen, "draft": draft, "repair": repair, "invented": invented}
    return JsonSchema(name, options_digest("json_schema", VERSION, plain), compiled, _traits(own, repair=repair))


def _traits(own: Form | None, *, repair: bool) -> Traits:
    """Returns the traits of a check for the policy's `own` form, or for the forms that requests demand, tool calls
    included."""
    kinds: tuple[Kind, ...] = ("assistant",) if own else ("assistant", "tool_arguments")
    return Traits(
        is_sensitive=False,
        is_raw=True,
        needs_form=True,
        own_form=own,
        judges_whole=True,
        offers_repairs=repair,
        looks_at=frozenset(("response", kind) for kind in kinds),
    )


def close_schema(schema: Any) -> Any:
    """Returns the schema of a tool without further arguments, if it is a plain schema."""
    plain = isinstance(schema, dict) and isinstance(schema.get("properties"), dict)
    return {**schema, "additionalProperties": False} if plain and not any(word in schema for word in _OPEN) else schema


__all__ = ["REFUSED", "UNKNOWN_TOOL", "CostError", "JsonSchema", "build"]
