"""Gemini generateContent: `POST /{version}/models/{model}:generateContent` and the routes beside it.

Fields follow the public API and the types of python-genai. The path names the model and says whether the answer is a stream. A
stream is events of whole answers, or a JSON array of them: the query chooses. It ends with its body, and is complete when every
candidate has a `finishReason`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Count, Frame, Text
from guardproxy.redaction import Shapes
from guardproxy.wire.contract.codec import Codec, Decoder, Request
from guardproxy.wire.contract.contract import Contract, MediaTypes
from guardproxy.wire.contract.turns import Turns
from guardproxy.wire.contract.writing import Author
from guardproxy.wire.decoding.json_codec import Grammar, JsonCodec
from guardproxy.wire.formats.gemini_generate import field_case as spelling
from guardproxy.wire.formats.gemini_generate import turns
from guardproxy.wire.formats.gemini_generate.contract import CONTRACT, ROUTES
from guardproxy.wire.formats.gemini_generate.derived_fields import drop_logprobs, offsets, withhold
from guardproxy.wire.formats.gemini_generate.field_case import snake, value
from guardproxy.wire.formats.gemini_generate.field_map import JSON_RESPONSE, REQUEST, RESPONSE
from guardproxy.wire.formats.gemini_generate.schemas import shape_of, shapes_of
from guardproxy.wire.formats.gemini_generate.stream import ArrayDecoder, GenerateDecoder, notice
from guardproxy.wire.formats.gemini_generate.writer import array_author, author, status_of
from guardproxy.wire.framing import Framing, json_array
from guardproxy.wire.json import dotted, objects, write
from guardproxy.wire.request.requests import expect_type

_STREAMED = ":streamGenerateContent"
_CONTENTS = frozenset(("contents", "content", "requests", "generateContentRequest", "generate_content_request"))
Types = type | tuple[type, ...]


def _in_both(types: Mapping[str, Types]) -> Mapping[str, Types]:
    """Returns the types of fields by both spellings of their names."""
    return {spelled: known for name, known in types.items() for spelled in (name, snake(name))}


_TYPES = _in_both(
    {
        **dict.fromkeys(("contents", "tools", "requests", "safetySettings"), (list, dict)),
        **dict.fromkeys(("generationConfig", "toolConfig", "content", "generateContentRequest", "labels"), dict),
        "systemInstruction": (dict, str),
    }
)
_CONFIG_TYPES = _in_both({"candidateCount": int, "maxOutputTokens": int})
_ENDINGS = ("finishReason", "finishMessage")
_MOST_CANDIDATES = 128


def _name_text(at: int, part: int) -> str:
    """Returns the path of the text of a part in a plain answer."""
    return dotted(("candidates", at, "content", "parts", part, "text"))


def _counts_of(shapes: Shapes, tree: Any) -> tuple[Count, ...]:
    return tuple(offsets(tree, _name_text))


class GeminiGenerate(JsonCodec[GenerateDecoder]):
    """The codec of plain answers, and of streams of events."""

    name = "gemini_generate"
    provider = "gemini"
    routes = ROUTES
    contract: Contract = CONTRACT
    turns: Turns = turns
    author: Author = author

    stream: type[GenerateDecoder] = GenerateDecoder
    grammar = Grammar(
        request=REQUEST,
        answer=RESPONSE,
        json_answer=JSON_RESPONSE,
        error=RESPONSE,
        shapes_of=shapes_of,
        shape_of=shape_of,
        notice=notice,
        withhold=withhold,
        counts_of=_counts_of,
    )

    # Requests.

    def for_request(self, path: str, query: str) -> Codec:
        return ARRAYS if path.endswith(_STREAMED) and "alt=sse" not in query.split("&") else self

    def model_of(self, path: str, tree: dict[str, Any]) -> str:
        return turns.model_of(path)

    def is_streamed(self, path: str, tree: dict[str, Any]) -> bool:
        return path.endswith(_STREAMED)

    def read_request(self, path: str, query: str, body: bytes) -> Request:
        request = super().read_request(path, query, body)
        _check_models(request.frame.tree, request.model, "")
        return request

    def check(self, tree: dict[str, Any]) -> None:
        spelling.check(tree)
        if _CONTENTS.isdisjoint(tree):
            raise DownstreamError(ErrorCode.INVALID_TYPE, "`contents` is missing", "contents")
        _expect(tree, _TYPES)
        config = value(tree, "generationConfig")
        if config is None:
            return
        _expect(config, _CONFIG_TYPES, "generationConfig")
        if not 1 <= (value(config, "candidateCount") or 1) <= _MOST_CANDIDATES:
            message = f"`generationConfig.candidateCount` must be 1 to {_MOST_CANDIDATES}"
            raise DownstreamError(ErrorCode.INVALID_VALUE, message, "generationConfig.candidateCount")

    # Answers.

    def edited_tree(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> Any:
        tree = super().edited_tree(frame, texts)
        for old, new in texts:
            if old.path[0] == "candidates" and len(old.path) > 2 and (old.altered or old.text != new):
                drop_logprobs(tree["candidates"][old.path[1]])
        return tree

    def without_end(self, frame: Frame, tree: Any) -> Any:
        for candidate in objects(value(tree, "candidates")):
            for name in _ENDINGS:
                candidate.pop(name, None)
                candidate.pop(snake(name), None)
        tree.pop("usageMetadata", None)
        tree.pop("usage_metadata", None)
        return tree

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        about = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code, "domain": "guardproxy"}
        details: list[dict[str, Any]] = [about]
        if field:
            violation = {"field": field, "description": message}
            details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
        error = {"code": status, "message": message, "status": status_of(status), "details": details}
        return write({"error": error})

    # A filtered stream ends with an error too: the official SDK raises it, and drops the message of a `finishReason`.
    def error_event(self, code: str, message: str, decoder: Decoder | None = None) -> bytes:
        known = ErrorCode.__members__.get(code.upper())
        # The first element opens the array, any other needs a comma.
        is_first = not isinstance(decoder, GenerateDecoder) or not decoder.shown
        body = self.error(known.status if known else 500, code, message)
        framing: Framing = self.stream.framing
        return framing.frame(body, "[]" if is_first else ",]")


class GeminiGenerateArrays(GeminiGenerate):
    """The codec of streams that are a JSON array. An error before the stream is an array or an object."""

    contract = replace(
        CONTRACT,
        media=MediaTypes(CONTRACT.media.whole, CONTRACT.media.whole, CONTRACT.media.requests),
        terminal=(json_array.CLOSE,),
    )
    author: Author = array_author
    stream = ArrayDecoder


def _expect(tree: Any, types: Mapping[str, Types], where: str = "") -> None:
    """Raises `DownstreamError` (400) if a field has another type."""
    for name in tree:
        if name in types:
            expect_type(tree, name, types[name], where)


def _check_models(tree: Any, model: str, where: str) -> None:
    """Raises `DownstreamError` (400) if a body names another model than the path: policies match the model of the path."""
    own = tree.get("model")
    if own not in (None, model) and not f"/{own}".endswith(f"/{turns.resource_of(model)}"):
        field = f"{where}model"
        raise DownstreamError(ErrorCode.INVALID_VALUE, f"`{field}` must be the model of the path", field)
    for name in ("generateContentRequest", "generate_content_request"):
        if isinstance(tree.get(name), dict):
            _check_models(tree[name], model, f"{where}{name}.")
    requests = tree.get("requests", ())
    for number, request in enumerate(requests if isinstance(requests, list) else [requests]):
        if isinstance(request, dict):
            _check_models(request, model, f"{where}requests[{number}].")


CODEC = GeminiGenerate()
ARRAYS = GeminiGenerateArrays()
