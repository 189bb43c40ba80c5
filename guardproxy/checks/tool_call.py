"""The check `tool_call`: calls of tools that a policy names, by the tool, its server and the arguments.

In: the texts of a call, each with the call (`Facts.call`), once they are complete. Out: a finding in the arguments if the call
is one of those that the policy names. It lies in the member at fault if that is a text, otherwise at the beginning of the
arguments, and its details name the place. A call without arguments has its finding in the name of the tool. Calls in the
history of a request are over, and have no findings.

A call fails closed. A tool without a clear name may be any tool. Arguments that cannot be read are a finding, and so is a
condition that cannot be evaluated: a member is missing or has another type. JSON with two members of the same name is not read,
as readers differ in which of them counts.

Options: `tools` and `servers`: globs of names. `when`: a condition on the call, in CEL. `schema`: a JSON Schema for the
arguments, narrower than that of the tool; its keywords also imply types, as servers convert values (`with_types`). A call of
these tools is a finding if the condition holds or if the arguments do not fit the schema; without both, each call is.

Decision: docs/decisions/0069-a-call-is-judged-as-a-whole.md
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from guardproxy.checks._shared.declared.call_condition import CallCondition, compile_condition
from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import TEXTS, Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.declared.own_schema import OWN_SCHEMA, own_schema
from guardproxy.conditions import is_named
from guardproxy.errors import OptionError
from guardproxy.findings import DIRECTIONS, Detail, Finding, Scan, Sources, Spot, ToolCall, Traits, ValueOrigin, Window
from guardproxy.schemas import LATEST, Compiled, CostError, details

if TYPE_CHECKING:
    from guardproxy.checks._shared.taint.origins import CallOrigins, TaintedMember

VERSION = 1
_CONVERSATION = "tool_call"  # in `Sources.made`
CALL, CONDITION, SCHEMA, UNCLEAR, UNREADABLE = "CALL", "CONDITION", "SCHEMA", "UNCLEAR", "UNREADABLE"
TAINTED = "TAINTED"
_ANY = ["*"]
_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}
_MOST_DETAILS = 64  # of a finding
OPTIONS: Options = {
    "tools": Option("Globs of names of tools.", TEXTS, default=_ANY, tighter="longer"),
    "servers": Option("Globs of names of the tools' servers.", TEXTS, default=_ANY, tighter="longer"),
    "when": Option(
        "A condition in CEL over `call.name`, `call.server` and `call.arguments`.", _TEXT, default_words="none"
    ),
    "schema": Option(
        "A JSON Schema that the arguments must fit: `{inline: ...}`, or `{file: schemas/refund.json}` below the policies' "
        "folder.",
        {"anyOf": list(OWN_SCHEMA)},
        default_words="none",
    ),
}


class CallFault(NamedTuple):
    """Why a call is a finding. `place`: the member of the arguments at fault, if it is known; `span`: the part of it."""

    label: str
    detail: Detail
    place: tuple[str | int, ...] | None = None
    span: tuple[int, int] | None = None


class _ReadError(Exception):
    """Arguments cannot be read. The message says why."""


_TRAITS = Traits(
    is_sensitive=False,
    needs_call=True,
    labels=frozenset((CALL, CONDITION, SCHEMA, UNCLEAR, UNREADABLE, TAINTED)),
    looks_at=frozenset((direction, "tool_arguments") for direction in DIRECTIONS),
)


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """The check `tool_call`. `schemas`: that of the policy, and the same with the types that it implies; arguments must fit
    both."""

    name: str
    digest: str
    tools: tuple[str, ...]
    servers: tuple[str, ...]
    condition: CallCondition | None
    schemas: tuple[Compiled, ...] = ()
    traits: Traits = _TRAITS

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """See `Check.scan`."""
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        end, call = window.start + len(window.text), window.facts.call
        if call is None or not call.is_made or call.arguments is None or not self._names(call):
            return Scan((), end, end)
        found: dict[tuple[int, int, str], list[Detail]] = {}
        spots = {spot.path: spot for spot in call.spots}
        for fault in self._faults(call, window.facts.sources):
            if (span := _span(call, fault, spots, len(window.text))) is not None:
                found.setdefault((*span, fault.label), []).append(fault.detail)
        findings = [
            Finding(low, high, self.name, label, 1.0, tuple(told[:_MOST_DETAILS]))
            for (low, high, label), told in found.items()
        ]
        return Scan(tuple(sorted(findings)), end, end)

    def _names(self, call: ToolCall) -> bool:
        """Whether the policy names a call. A name that cannot be read may be any name."""
        return (not call.is_clear or is_named(call.name, self.tools)) and is_named(call.server, self.servers)

    def _faults(self, call: ToolCall, sources: Sources | None) -> Iterable[CallFault]:
        """Returns why a text of a call is a finding. The call is judged once, whatever the number of its texts."""
        if call.role in ("server", "piece", "other"):
            return ()
        if self.digest not in call.made:
            found: dict[tuple[str | int, ...] | None, list[CallFault]] = {}
            for fault in self._judged(call, sources):
                found.setdefault(fault.place, []).append(fault)
            call.made[self.digest] = found
        faults: Mapping[tuple[str | int, ...] | None, Sequence[CallFault]] = call.made[self.digest]
        return faults.get(call.place, ()) if call.role == "member" else chain.from_iterable(faults.values())

    def _judged(self, call: ToolCall, sources: Sources | None) -> Iterator[CallFault]:
        if not call.is_clear:
            yield CallFault(UNCLEAR, Detail("", "", "a call that names its tool clearly", "another call"))
            return
        try:
            arguments = arguments_of(call)
        except _ReadError as error:
            yield CallFault(UNREADABLE, Detail("", "", "arguments in JSON", str(error)))
            return
        if self.condition is None and not self.schemas:
            yield CallFault(CALL, Detail("", "", "no call of this tool", "a call"))
        if self.condition is not None:
            yield from self._condition_faults(self.condition, call, arguments, sources)
        yield from self._schema_faults(call, arguments)

    def _condition_faults(
        self, condition: CallCondition, call: ToolCall, arguments: Any, sources: Sources | None
    ) -> Iterator[CallFault]:
        asks = condition.asks_origins and sources is not None
        origins = _origins(sources, call, arguments) if asks and sources is not None else None
        holds = condition.holds(call, arguments, origins)
        if holds and origins is not None and origins.found:
            yield from map(_tainted, origins.found.values())
        elif holds is None:
            told = Detail("", "", "arguments for which the condition of the policy can be evaluated", "other arguments")
            yield CallFault(UNREADABLE, told)
        elif holds:
            shown = ".".join(map(str, condition.place or ()))
            told = Detail(shown, shown, "a call that the policy lets pass", "a call that its condition names")
            yield CallFault(CONDITION, told, condition.place)

    def _schema_faults(self, call: ToolCall, arguments: Any) -> Iterator[CallFault]:
        """Yields the faults of the first schema, and those of the second at other places. A redaction must reach all."""
        known = set[tuple[str | int, ...]]()
        for schema in self.schemas:
            try:
                errors = schema.judge(arguments, len(call.arguments or ""))
            except (CostError, RecursionError):
                told = Detail("", "", "arguments that can be compared with the schema", "other arguments")
                yield CallFault(UNREADABLE, told)
                return
            faults = [(tuple(error.absolute_path), error) for error in errors]
            for place, error in faults:
                if place not in known:
                    for told in details([error], ("", ""), schema.names):
                        yield CallFault(SCHEMA, told, place)
            known |= {place for place, _ in faults}


def _origins(sources: Sources, call: ToolCall, arguments: Any) -> CallOrigins:
    """Returns where the arguments of a call came from. All calls of an exchange share what was made of its texts."""
    from guardproxy.checks._shared.taint.conversation import Conversation  # noqa: PLC0415 - loaded only where a policy asks
    from guardproxy.checks._shared.taint.origins import CallOrigins  # noqa: PLC0415

    conversation = sources.made.get(_CONVERSATION)
    if conversation is None:
        conversation = sources.made.setdefault(_CONVERSATION, Conversation(sources.passages, sources.earlier))
    return CallOrigins(conversation, arguments, call.name)


def _tainted(member: TaintedMember) -> CallFault:
    from guardproxy.checks._shared.taint.origins import shown_place  # noqa: PLC0415

    taint, place = member.taint, member.place
    origin = ValueOrigin(taint.kind, taint.path, taint.low, taint.high, taint.is_earlier)
    shown = shown_place(place)
    what = taint.kind.replace("_", " ")
    told = Detail(shown, shown, f"a value that did not come from a {what}", f"a text of a {what}", origin=origin)
    return CallFault(TAINTED, told, place, None if member.high is None else (member.low, member.high))


def arguments_of(call: ToolCall) -> Any:
    """Returns the arguments of a call, parsed if they are JSON. No arguments are an empty object. Raises `_ReadError`."""
    text = call.arguments or ""
    if not call.is_json:
        return text
    if not text.strip():
        return {}
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise _ReadError("JSON that is nested too deeply") from None
    except ValueError:
        raise _ReadError("a text that is not JSON") from None


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) < len(members):
        raise _ReadError("an object with two members of the same name")
    return value


def _constant(word: str) -> Any:
    raise _ReadError(f"the word {word}, which is not JSON")


def _span(
    call: ToolCall, fault: CallFault, spots: Mapping[tuple[str | int, ...], Spot], chars: int
) -> tuple[int, int] | None:
    """Returns where a fault lies in the text of a window; `None` if it lies in another text of the call. In JSON, it lies in a
    string or a long number, or at the beginning: then nothing can take its place. `spots`: of the call, by their paths."""
    if call.role == "member":
        return fault.span or (0, chars)
    if fault.place is not None and (spot := spots.get(fault.place)) is not None:
        low, high = fault.span or (0, spot.end - spot.start)
        return spot.start + low, min(spot.start + high, spot.end)
    if fault.place in call.apart:
        return None
    if call.is_json and call.role == "arguments":
        return 0, 0
    return fault.span or (0, chars)


def build(name: str, options: Mapping[str, Any], resources: Resources) -> ToolCalls:
    """Builds the check `name`. Raises `OptionError` for an invalid option."""
    values = with_defaults(options, OPTIONS)
    documents: dict[str, Any] = {}
    schemas: tuple[Compiled, ...] = ()
    if values["schema"] is not None:
        _, documents, plain_schema = own_schema("schema", values["schema"], LATEST, resources)
        schemas = plain_schema, own_schema("schema", values["schema"], LATEST, resources, typed=True)[2]
    when = values["when"]
    if when is not None and not isinstance(when, str):
        raise OptionError("when", "`when` must be a condition, written as text")
    condition = None if when is None else compile_condition("when", when)
    tools, servers = _globs(values, "tools"), _globs(values, "servers")
    plain = {"tools": tools, "servers": servers, "when": when, "schema": documents}
    if condition is not None and condition.asks_origins:
        from guardproxy.checks._shared.taint.conversation import prepare  # noqa: PLC0415 - loaded only where a policy asks

        prepare()
    traits = replace(_TRAITS, needs_sources=condition is not None and condition.asks_origins)
    return ToolCalls(name, options_digest("tool_call", VERSION, plain), tools, servers, condition, schemas, traits)


def _globs(values: Mapping[str, Any], option: str) -> tuple[str, ...]:
    globs = values[option]
    if not isinstance(globs, list) or not globs or not all(isinstance(glob, str) and glob.strip() for glob in globs):
        raise OptionError(option, f'`{option}` must be a non-empty list of names, such as `[refund, "mail_*"]`')
    return tuple(globs)
