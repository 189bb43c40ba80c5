"""The contract and the maps that follow from a declaration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.calls import CallMap, arguments_in
from guardproxy.wire.contract.contract import (
    NO_DEMAND,
    Contract,
    Demand,
    KeyHeader,
    MediaTypes,
    QuerySyntax,
    Signs,
    TelemetryNames,
    UsageFields,
    name_beside,
    unchanged,
)
from guardproxy.wire.contract.headers import NO_LIMIT_HEADERS, FormatHeaders
from guardproxy.wire.contract.request_facts import EVERY_SERVER, USER_FIELDS
from guardproxy.wire.declared.declaration import BY_ROLE, DeclaredFormat, Texts
from guardproxy.wire.declared.pointers import (
    EACH,
    ROLES,
    LeafOf,
    Pointer,
    PointerError,
    by_role,
    by_role_in_parts,
    is_of_part,
    map_of,
    put,
)
from guardproxy.wire.decoding.token_data import TOKENS
from guardproxy.wire.families.openai import DONE
from guardproxy.wire.framing import Framing, ndjson, sse
from guardproxy.wire.json import NAME, STRUCTURE, MapFields, MapLeaf, part_text, text, write
from guardproxy.wire.json.vocabulary import SHARED, Vocabulary
from guardproxy.wire.request.vllm_fields import DENIED

REPEATS = TOKENS | {"logprobs"}
"""The fields that a guarded answer does not keep: they could repeat a text that a rule removes."""
_HEADERS = FormatHeaders(
    credentials=("authorization",), meaning={}, single=frozenset(), client={}, account={}, answer={}, families=()
)


@dataclass(frozen=True, slots=True)
class Maps:
    """The maps of a declaration: of requests, answers, answers that are JSON, frames, and frames of a JSON answer."""

    request: MapFields
    answer: MapFields
    json_answer: MapFields
    frame: MapFields
    json_frame: MapFields


def framing_of(declaration: DeclaredFormat) -> Framing:
    """Returns the framing of streams; that of events if the format has no streams."""
    return ndjson if declaration.stream.framing == "ndjson" else sse


def maps_of(declaration: DeclaredFormat) -> Maps:
    """Returns the maps. Raises `PointerError` if two pointers contradict each other."""
    request, answer, stream = declaration.request, declaration.answer, declaration.stream
    switches = [request.stream] if request.stream else []
    asked = [*_texts(request.texts), *_words([*request.structure, *switches])]
    if request.model:
        asked.append((request.model, NAME))
    asked += [((name,), text("unmapped")) for name in _denied(declaration)]  # known, so that a policy can name them
    error = [(declaration.error, text("error"))]
    counts = [place for place in (answer.prompt_tokens, answer.answer_tokens) if place]
    ends = list(dict.fromkeys(place for place, _ in stream.ends))

    def reply(json: bool) -> MapFields:
        return map_of(
            _once([*_texts(answer.texts, json=json, answers=True), *_words([*answer.structure, *counts]), *error])
        )

    def frame(json: bool) -> MapFields:
        if not declaration.has_streams:
            return reply(json)
        words = [*stream.structure, *ends, *(place for place in counts if place not in stream.structure)]
        return map_of(_once([*_texts(stream.texts, json=json, answers=True), *_words(words), *error]))

    return Maps(map_of(_once(asked), request.role), reply(False), reply(True), frame(False), frame(True))


Leaves = list[tuple[Pointer, MapLeaf | LeafOf]]


def _once(leaves: Iterable[tuple[Pointer, MapLeaf | LeafOf]]) -> Mapping[Pointer, MapLeaf | LeafOf]:
    """Returns the leaves by their pointers. Raises `PointerError` for a pointer that is declared twice."""
    out: dict[Pointer, MapLeaf | LeafOf] = {}
    for pointer, leaf in leaves:
        if pointer in out:
            raise PointerError("this place is declared twice", pointer)
        out[pointer] = leaf
    return out


def _texts(texts: Texts, *, json: bool = False, answers: bool = False) -> Leaves:
    """The leaves of texts. `answers`: whether they are texts of answers, and not of a request; `json`: whether an answer is
    JSON."""

    def leaf(pointer: Pointer, kind: str) -> MapLeaf | LeafOf:
        joins = is_of_part(pointer, stands_alone=answers or kind == BY_ROLE)
        if kind == BY_ROLE:
            return by_role_in_parts if joins else by_role
        known: Any = kind
        if json and kind == "assistant":
            return MapLeaf("json", known)
        return part_text(known) if joins else text(known)

    return [(pointer, leaf(pointer, kind)) for pointer, kind in texts]


def _words(pointers: Iterable[Pointer]) -> Leaves:
    return [(pointer, STRUCTURE) for pointer in pointers]


def kinds_of(texts: Texts) -> set[Kind]:
    """Returns the kinds of these texts."""
    out: set[Kind] = set()
    for _, kind in texts:
        known: Any = kind
        out |= set(ROLES.values()) if kind == BY_ROLE else {known}
    return out


def concrete(pointer: Pointer) -> tuple[str | int, ...]:
    """Returns the path of the first place at a pointer."""
    return tuple(0 if step == EACH else step for step in pointer)


def _pattern(pointers: Iterable[Pointer]) -> re.Pattern[str]:
    """Matches the names of the channels at these pointers."""
    return re.compile("|".join(map(_channel, pointers)) or "(?!)")


def _channel(pointer: Pointer) -> str:
    parts = [r"\[\d+\]" if step == EACH else r"\." + re.escape(step) for step in pointer]
    return "".join(parts).removeprefix(r"\.")


def ending(declaration: DeclaredFormat) -> bytes:
    """Returns the event that ends a stream."""
    stream = declaration.stream
    if stream.end:
        return framing_of(declaration).frame(write(put({}, stream.end, stream.end_value)))
    return framing_of(declaration).frame(stream.end_text.encode()) if stream.end_text else DONE


def _vocabulary(declaration: DeclaredFormat) -> Vocabulary:
    """Returns the words of the format: the shared ones, the roles, and the words that end a stream."""
    ends = [last for _, last in declaration.stream.ends if isinstance(last, str)]
    return Vocabulary(SHARED.keys, SHARED.values.union(ROLES, ends))


def _may_act(tree: Mapping[str, Any]) -> bool:
    """Whether the endpoint may act for a request beyond answering it: that is unknown."""
    return True


def _denied(declaration: DeclaredFormat) -> Mapping[str, str]:
    """Returns the fields of self-hosted servers that bypass the checks, without those that the declaration names."""
    request = declaration.request
    places = [*(place for place, _ in request.texts), *request.structure]
    places += [place for place in (request.model, request.stream) if place]
    return {name: why for name, why in DENIED.items() if name not in {place[0] for place in places}}


_CALLS = CallMap(re.compile(r"(?P<call>.*)\.(?P<member>[^.]+)"), arguments_in("arguments", "input", "args"))
"""The name of a tool is the text `name` beside the arguments, if the declaration has one."""


def _no_demand(tree: Mapping[str, Any]) -> Demand:
    return NO_DEMAND


def contract_of(declaration: DeclaredFormat) -> Contract:
    """Returns the contract."""
    request, answer, stream = declaration.request, declaration.answer, declaration.stream
    lists = tuple(dict.fromkeys(place[0] for place, _ in request.texts if place[1:2] == (EACH,)))
    asked: set[Kind] = kinds_of(request.texts) | {"unmapped"}
    if request.structure or request.model:
        asked.add("metadata")
    said: set[Kind] = kinds_of(answer.texts) | kinds_of(stream.texts) | {"unmapped", "error"}
    if answer.structure or stream.structure:
        said.add("metadata")
    speaking = [place for place, kind in (*answer.texts, *stream.texts) if kind == "assistant"]
    return Contract(
        carries={"request": frozenset(asked), "response": frozenset(said)},
        words=_vocabulary(declaration),
        opaque=frozenset(("token_ids",)),
        repeats=REPEATS | {"numbers"},
        demand=_no_demand,
        parts={"answer": _pattern(speaking), "tool": None, "input": None},
        answer_path=concrete(next(place for place, kind in answer.texts if kind == "assistant")),
        calls=_CALLS,
        name_path=name_beside,
        choice=re.compile(""),
        usage=UsageFields(prompt=("prompt_tokens",), answer=("answer_tokens",)),
        lists=None,
        terminal=(ending(declaration),),
        error_path=concrete(declaration.error),
        media=MediaTypes("application/json", stream.media, ("application/json",)),
        unanswered=frozenset(),
        limits={"messages": lists, "tools": ()},
        serves_models=True,
        statements=EVERY_SERVER.of(maps_of(declaration).request),
        acts=_may_act,
        query=QuerySyntax(re.compile(""), "none"),
        signs=Signs(tuple(route.partition(" ")[2].partition("{")[0] for route in declaration.routes), ()),
        refused=(),
        denied=_denied(declaration),
        with_wait=unchanged,
        stored=None,
        key_header=KeyHeader("Authorization", "Bearer "),
        headers=_HEADERS,
        repeated=None,
        limit_headers=NO_LIMIT_HEADERS,
        user_fields=USER_FIELDS,
        telemetry=TelemetryNames(declaration.name, "chat"),
    )
