"""Reads the section `formats` of a policy file: wire formats without code, by JSON pointers to their texts.

In: the nodes of the section. Out: declarations (`DeclaredFormat`) with the places of their routes, and errors with
their places. A declaration that the reader accepts makes a codec.

Decision: docs/decisions/0036-policies-declare-wire-formats.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import FilePlace, YamlNode
from guardproxy.wire import Formats, Route, installed
from guardproxy.wire.declared import (
    BY_ROLE,
    FRAMINGS,
    REQUEST_KINDS,
    RESPONSE_KINDS,
    AnswerPlaces,
    DeclaredCodec,
    DeclaredFormat,
    Pointer,
    PointerError,
    RequestPlaces,
    StreamPlaces,
    pointer,
)

Schema = Mapping[str, Any]
_POINTER: Schema = {"type": "string", "pattern": r"^/[^*/]"}
_ONE_PLACE: Schema = {"type": "string", "pattern": r"^/[^*]+$"}
_POINTERS: Schema = {"type": "array", "items": _POINTER}
_WORD: Schema = {"type": "string", "pattern": r"\S"}
_MEDIA = {"sse": "text/event-stream", "ndjson": "application/x-ndjson", "none": "text/event-stream"}
_FORMAT = ("routes", "request", "answer", "stream", "error")
_REQUEST = ("texts", "structure", "role", "model", "stream", "stream_default")
_ANSWER = ("texts", "structure", "usage")
_STREAM = ("framing", "texts", "structure", "end", "events", "content_type")
_USAGE = ("prompt", "answer")
_END = ("pointer", "equals")
_WANTED_END = "a mapping like `{pointer: /done, equals: true}`"
_WANTED_TEXTS = "a mapping of pointers to kinds, like `{/messages/*/content: user}`"


def _mapping(properties: Schema, needed: Sequence[str]) -> Schema:
    return {"type": "object", "additionalProperties": False, "required": list(needed), "properties": properties}


def _texts_schema(kinds: Sequence[str]) -> Schema:
    entries = {"propertyNames": {"pattern": _POINTER["pattern"]}, "additionalProperties": {"enum": list(kinds)}}
    return {"type": "object", "minProperties": 1, **entries}


_END_SCHEMA = _mapping({"pointer": _ONE_PLACE, "equals": {"type": ["string", "boolean", "integer"]}}, _END)
_STREAM_SCHEMA: Schema = {
    **_mapping(
        {
            "framing": {"description": "Server-sent events, lines of JSON, or no streams.", "enum": list(FRAMINGS)},
            "texts": {"description": "Pointers to the parts of texts in a frame.", **_texts_schema(RESPONSE_KINDS)},
            "structure": {"description": "Pointers to words of the format.", **_POINTERS},
            "end": {
                "description": "What ends a stream: the data of an event, or a frame with a value at one of these pointers.",
                "anyOf": [_WORD, _END_SCHEMA, {"type": "array", "minItems": 1, "items": _END_SCHEMA}],
            },
            "events": {
                "description": "Names of events that pass; other names are left out.",
                "type": "array",
                "items": _WORD,
            },
            "content_type": {
                "description": "The content type of a stream.",
                **_WORD,
                "not": {"const": "application/json"},
            },
        },
        ("framing",),
    ),
    "if": {"required": ["framing"], "properties": {"framing": {"const": "none"}}},
    "then": {"maxProperties": 1},
    "else": {
        "if": {
            "required": ["framing"],
            "properties": {"framing": {"enum": list(FRAMINGS)}},
            "propertyNames": {"enum": list(_STREAM)},
        },
        "then": {
            "required": ["texts", "end"],
            "if": {"properties": {"framing": {"const": "ndjson"}}},
            "then": {"properties": {"end": {"not": {"type": "string"}}}},
        },
    },
}
SCHEMA: Schema = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"pattern": "^[a-z0-9-]+$"},
    "additionalProperties": _mapping(
        {
            "routes": {
                "description": "The methods and paths that the format reads, like `POST /v2/talk`.",
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "pattern": r"^[A-Z]+ /\S*$"},
            },
            "request": _mapping(
                {
                    "texts": {
                        "description": "Pointers to the texts of a request, each with its kind; `by_role`: the role decides.",
                        **_texts_schema((*REQUEST_KINDS, BY_ROLE)),
                    },
                    "structure": {"description": "Pointers to words of the format.", **_POINTERS},
                    "role": {"description": "The field with the role of a message; `role` by default.", **_WORD},
                    "model": {"description": "The pointer to the name of the model.", **_ONE_PLACE},
                    "stream": {"description": "The pointer to the switch that asks for a stream.", **_ONE_PLACE},
                    "stream_default": {
                        "description": "Whether a request without that switch asks for a stream.",
                        "type": "boolean",
                    },
                },
                ("texts",),
            ),
            "answer": _mapping(
                {
                    "texts": {"description": "Pointers to the texts of an answer.", **_texts_schema(RESPONSE_KINDS)},
                    "structure": {"description": "Pointers to words of the format.", **_POINTERS},
                    "usage": {
                        "description": "Pointers to the counts of tokens.",
                        **_mapping(dict.fromkeys(_USAGE, _ONE_PLACE), ()),
                    },
                },
                ("texts",),
            ),
            "stream": _STREAM_SCHEMA,
            "error": {"description": "The pointer to the message of an error.", **_ONE_PLACE},
        },
        _FORMAT,
    ),
}
"""The form of the section, as JSON Schema."""


@dataclass(frozen=True, slots=True)
class FormatSection:
    """A declaration. `routes`: the place of each of its routes. `place`: that of its name."""

    declaration: DeclaredFormat
    routes: tuple[FilePlace, ...]
    place: FilePlace


def read_formats(reading: FileReading, node: YamlNode | None) -> tuple[FormatSection, ...]:
    """Returns the declarations of a file that have no error."""
    if node is None:
        return ()
    entries = reading.mapping(node, "a mapping of names of formats, like `acme: {routes: [POST /talk], ...}`") or {}
    sections = (_Section(reading).read(name, value) for name, value in entries.items())
    return tuple(section for section in sections if section)


def join_formats(files: Iterable[tuple[FileReading, Sequence[FormatSection]]]) -> Formats:
    """Returns the installed formats together with those of all files. Adds an error for a route that another format reads."""
    formats = installed()
    names = {name for codec in formats.codecs for name in (codec.name, codec.provider)}
    for reading, sections in files:
        for section in sections:
            name, fine = section.declaration.name, True
            if name in names:
                reading.fail(section.place, f"another format has the name `{name}`; give this format a name of its own")
                continue
            names.add(name)
            for text, place in zip(section.declaration.routes, section.routes, strict=True):
                if earlier := formats.overlapping(Route(text)):
                    other = earlier.codec.name.partition("@")[0]
                    reading.fail(place, f"the format `{other}` reads this route, as `{earlier.route.text}`")
                    fine = False
            if fine:
                formats = formats.with_more([DeclaredCodec(section.declaration)], "a policy")
    return formats


class _Section:
    """The reader of one format. `places`: where each pointer was written."""

    def __init__(self, reading: FileReading) -> None:
        self._reading = reading
        self._places: dict[Pointer, FilePlace] = {}

    def read(self, name: str, node: YamlNode) -> FormatSection | None:
        reading, before = self._reading, len(self._reading.errors)
        if not _is_name(name):
            reading.fail(node.key, "the name of a format has only the characters a-z, 0-9 and `-`")
        keys = reading.entries(
            node, "a mapping with `routes`, `request`, `answer`, `stream` and `error`", _FORMAT, _FORMAT
        )
        routes = self._routes(keys.get("routes"))
        request, answer = self._request(keys.get("request")), self._answer(keys.get("answer"))
        stream = self._stream(keys.get("stream"))
        error = self._single(keys.get("error"))
        if stream and stream.framing != "none" and request and not (request.stream or request.streams):
            message = (
                "no request could ask for a stream; add `stream` or `stream_default: true`, or use `framing: none`"
            )
            reading.fail(keys["request"].place, message)
        if len(reading.errors) > before or not (request and answer and stream and error):
            return None
        declaration = DeclaredFormat(name, tuple(text for text, _ in routes), request, answer, stream, error)
        try:
            DeclaredCodec(declaration)
        except PointerError as wrong:
            place = next((self._places[at] for at in wrong.pointers if at in self._places), node.key)
            reading.fail(place, str(wrong))
            return None
        return FormatSection(declaration, tuple(place for _, place in routes), node.key)

    def _routes(self, node: YamlNode | None) -> list[tuple[str, FilePlace]]:
        out: list[tuple[str, FilePlace]] = []
        for item in self._reading.items(node, "a list of routes, like `[POST /v2/talk]`") if node else ():
            text = self._reading.word(item)
            try:
                route = Route(text) if text else None
            except ValueError as wrong:
                self._reading.fail(item.place, str(wrong))
                continue
            if route and any(route.overlaps(Route(other)) for other, _ in out):
                self._reading.fail(item.place, f"the route `{text}` overlaps another route of this format")
            elif text:
                out.append((text, item.place))
        if node is not None and node.value == ():
            self._reading.fail(node.place, "a format without a route reads nothing")
        return out

    def _request(self, node: YamlNode | None) -> RequestPlaces | None:
        if node is None:
            return None
        reading = self._reading
        keys = reading.entries(node, "a mapping with `texts`", _REQUEST, ("texts",))
        texts = self._texts(keys.get("texts"), (*REQUEST_KINDS, BY_ROLE))
        if texts and not any(kind in ("user", BY_ROLE) for _, kind in texts):
            reading.fail(
                keys["texts"].place, "no pointer names a text of the user, so the model's input would be unmapped"
            )
        return RequestPlaces(
            texts,
            self._pointers(keys.get("structure")),
            reading.word(keys.get("role")) or "role",
            self._single(keys.get("model")),
            self._single(keys.get("stream")),
            bool(reading.boolean(keys.get("stream_default"))),
        )

    def _answer(self, node: YamlNode | None) -> AnswerPlaces | None:
        if node is None:
            return None
        keys = self._reading.entries(node, "a mapping with `texts`", _ANSWER, ("texts",))
        texts = self._texts(keys.get("texts"), RESPONSE_KINDS)
        self._needs_answer(keys.get("texts"), texts)
        usage = keys.get("usage")
        counts = self._reading.entries(usage, "a mapping like `{prompt: /usage/in}`", _USAGE) if usage else {}
        structure = self._pointers(keys.get("structure"))
        return AnswerPlaces(texts, structure, self._single(counts.get("prompt")), self._single(counts.get("answer")))

    def _stream(self, node: YamlNode | None) -> StreamPlaces | None:
        if node is None:
            return None
        reading = self._reading
        keys = reading.entries(node, "a mapping with `framing`", _STREAM, ("framing",))
        framing = reading.choice(keys.get("framing"), FRAMINGS)
        if framing is None:
            return None
        if framing == "none":
            for name in (name for name in keys if name != "framing"):
                reading.fail(keys[name].key, f"a format without streams has no `{name}`; remove it, or name a framing")
            return StreamPlaces(framing)
        for name in ("texts", "end"):
            if name not in keys:
                reading.fail(node.place, f"`{name}` is missing")
        texts = self._texts(keys.get("texts"), RESPONSE_KINDS)
        self._needs_answer(keys.get("texts"), texts)
        text, ends = self._end(keys.get("end"), framing)
        end, value = ends[0] if ends else (None, None)
        events = reading.words(keys["events"]) if "events" in keys else ()
        media = reading.word(keys.get("content_type")) or _MEDIA[framing]
        if media == "application/json":
            reading.fail(
                keys["content_type"].place, "this is the content type of a whole answer; streams need another one"
            )
        return StreamPlaces(
            framing, texts, self._pointers(keys.get("structure")), text, end, value, events, media, ends[1:]
        )

    def _end(self, node: YamlNode | None, framing: str) -> tuple[str, tuple[tuple[Pointer, Any], ...]]:
        """Reads what ends a stream: the data of an event, or the places and values of frames."""
        if node is None:
            return "", ()
        reading = self._reading
        if not isinstance(node.value, Mapping | tuple):
            text = reading.word(node, f"a word, or {_WANTED_END}, or a list of such mappings") or ""
            if text and framing == "ndjson":
                reading.fail(node.place, "a line of JSON is no word; write `end: {pointer: /done, equals: true}`")
            return text, ()
        nodes = [node] if isinstance(node.value, Mapping) else reading.items(node, _WANTED_END)
        ends = [self._end_frame(item) for item in nodes]
        return "", tuple(end for end in ends if end)

    def _end_frame(self, node: YamlNode) -> tuple[Pointer, Any] | None:
        reading = self._reading
        keys = reading.entries(node, _WANTED_END, _END, _END)
        value = keys["equals"].plain() if "equals" in keys else None
        if "equals" in keys and not isinstance(value, str | bool | int):
            reading.unexpected(keys["equals"], "a word, a whole number, true or false")
        place = self._single(keys.get("pointer"))
        return None if place is None else (place, value)

    def _needs_answer(self, node: YamlNode | None, texts: Sequence[tuple[Pointer, str]]) -> None:
        if node is not None and texts and not any(kind == "assistant" for _, kind in texts):
            self._reading.fail(node.place, "no pointer names a text of the assistant, so the answer would be unmapped")

    def _texts(self, node: YamlNode | None, kinds: tuple[str, ...]) -> tuple[tuple[Pointer, str], ...]:
        entries = (self._reading.mapping(node, _WANTED_TEXTS) if node else None) or {}
        if node is not None and node.value == {}:
            self._reading.fail(node.place, "a format without texts guards nothing")
        out = []
        for text, value in entries.items():
            kind, place = self._reading.choice(value, kinds), self._pointer(text, value.key)
            if kind and place:
                out.append((place, kind))
        return tuple(out)

    def _pointers(self, node: YamlNode | None) -> tuple[Pointer, ...]:
        items = self._reading.items(node, "a list of pointers, like `[/id, /choices/*/index]`") if node else ()
        read = (self._pointer(text, item.place) for item in items if (text := self._reading.word(item)))
        return tuple(place for place in read if place)

    def _single(self, node: YamlNode | None) -> Pointer | None:
        """A pointer to one place."""
        text = self._reading.word(node, "a pointer, like `/model`")
        place = self._pointer(text, node.place) if node and text else None
        if node and place and "*" in place:
            self._reading.fail(node.place, "this pointer names one place, so it has no `*`")
            return None
        return place

    def _pointer(self, text: str, at: FilePlace) -> Pointer | None:
        try:
            place = pointer(text)
        except PointerError as wrong:
            self._reading.fail(at, str(wrong))
            return None
        self._places[place] = at
        return place


def _is_name(name: str) -> bool:
    return bool(name) and all(char in "abcdefghijklmnopqrstuvwxyz0123456789-" for char in name)
