"""The maps of a content and its parts, which requests and answers share."""

from __future__ import annotations

from functools import cache
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.formats.gemini_generate.field_case import both, value
from guardproxy.wire.json import (
    KEYS,
    OTHERS,
    STRUCTURE,
    TOKEN_IDS,
    UNMAPPED,
    Map,
    MapFields,
    MapLeaf,
    opaque,
    part_text,
    text,
    unknown,
)

_ROLES: dict[str, Kind] = {
    "user": "user",
    "model": "assistant",
    "function": "tool_result",
    "tool": "tool_result",
    "system": "system",
}
_ARGUMENTS, _RESULT, _METADATA = text("tool_arguments"), text("tool_result"), text("metadata")
_TIMES = both(dict.fromkeys(("startOffset", "endOffset", "fps"), STRUCTURE))
_LAYERS = both(
    {**_TIMES, **dict.fromkeys(("startPage", "endPage", "sheetIndex"), STRUCTURE), "contentLayers": [STRUCTURE]}
)


def several(how: Map) -> Map:
    """Returns the map of a list. Google's servers read a single item as a list of one."""
    return lambda given: [how] if isinstance(given, list) else how


@cache
def _blob(kind: Kind) -> Map:
    """Returns the map of media: base64 in the part, or the address of a file."""

    def choose(given: Any) -> Map:
        declared = value(given, "mimeType")
        return both(
            {
                "mimeType": STRUCTURE,
                "displayName": _METADATA,
                "data": opaque("file", kind, declared if isinstance(declared, str) else None, url_safe=True),
                "fileUri": opaque("url", kind),
                OTHERS: unknown(kind),
            }
        )

    return choose


@cache
def _attached(kind: Kind) -> MapFields:
    """Returns the fields of a part with media."""
    return {
        "inlineData": _blob(kind),
        "fileData": _blob(kind),
        "mediaResolution": both({"level": STRUCTURE, "numTokens": STRUCTURE}),
        "mediaProcessing": STRUCTURE,
        **dict.fromkeys(("videoMetadata", "documentMetadata", "audioMetadata"), _LAYERS),
        "spreadsheetMetadata": {**_LAYERS, **both({"visibleCells": _METADATA})},
    }


_PARTIAL = both(
    {
        **dict.fromkeys(("jsonPath", "stringValue", "numberValue"), _ARGUMENTS),
        **dict.fromkeys(("boolValue", "nullValue", "willContinue"), STRUCTURE),
    }
)
_CALL = both(
    {
        **dict.fromkeys(("id", "toolType", "willContinue"), STRUCTURE),
        "name": _ARGUMENTS,
        "args": _ARGUMENTS,
        "partialArgs": [_PARTIAL],
    }
)
_RESPONSE = both(
    {
        **dict.fromkeys(("id", "toolType", "willContinue", "scheduling"), STRUCTURE),
        "name": _RESULT,
        "response": _RESULT,
        "parts": several({**both(_attached("tool_result")), OTHERS: unknown("tool_result")}),
    }
)


@cache
def _fields(kind: Kind, others: MapLeaf, said: MapLeaf) -> MapFields:
    """Returns the fields of a part. `said`: the map of its text; `others`: that of unknown fields."""
    transcribed = both({"word": text(kind), "startOffset": STRUCTURE, "endOffset": STRUCTURE})
    return both(
        {
            **_attached(kind),
            "text": said,
            "thought": STRUCTURE,
            "thoughtSignature": opaque("signature", "reasoning", url_safe=True),
            **dict.fromkeys(("functionCall", "toolCall"), _CALL),
            **dict.fromkeys(("functionResponse", "toolResponse"), _RESPONSE),
            "executableCode": {"id": STRUCTURE, "language": STRUCTURE, "code": _ARGUMENTS},
            "codeExecutionResult": {"id": STRUCTURE, "outcome": STRUCTURE, "output": _RESULT},
            "partMetadata": _METADATA,
            "audioTranscription": both(
                {
                    "text": text(kind),
                    "words": [transcribed],
                    "speakerLabel": text(kind),
                    **dict.fromkeys(("finished", "languageCode", "startOffset", "endOffset"), STRUCTURE),
                }
            ),
            "speechMetadata": {"speaker": text(kind), "style": text(kind)},
            OTHERS: others,
        }
    )


@cache
def part(kind: Kind, others: MapLeaf = UNMAPPED, said: MapLeaf | None = None) -> Map:
    """Returns the map of a part of a content. `said`: the map of its text, if it is not plain text of the kind."""

    plain, thought = (_fields(kind, others, its) for its in (said or part_text(kind), part_text("reasoning")))

    def choose(given: Any) -> Map:
        if isinstance(given, dict):
            return thought if given.get("thought") is True else plain
        is_number = isinstance(given, (int, float, list)) and not isinstance(given, bool)
        return TOKEN_IDS if is_number else others

    return choose


@cache
def content_of(kind: Kind, *, is_known: bool = True, said: MapLeaf | None = None) -> Map:
    """Returns the map of a content whose texts have this kind. `is_known`: whether its role is known."""
    others = UNMAPPED if is_known else unknown(kind)
    fields: MapFields = {"role": STRUCTURE, "parts": several(part(kind, others, said)), OTHERS: others, KEYS: others}
    return lambda given: fields if isinstance(given, dict) else text(kind)


def turn(given: Any) -> Map:
    """Returns the map of a content of a conversation, by its role. A content without a role is the user's."""
    role = given.get("role") if isinstance(given, dict) else None
    kind = "user" if role is None else _ROLES.get(role) if isinstance(role, str) else None
    return content_of(kind) if kind else content_of("user", is_known=False)
