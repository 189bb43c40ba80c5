"""The maps of Ollama Generate: the meaning of each place of a request and of an answer."""

from __future__ import annotations

from typing import Any

from guardproxy.wire import ollama
from guardproxy.wire.json import STRUCTURE, TOKENS, Map, MapLeaf, opaque, text

REQUEST: dict[Any, Map] = {
    **ollama.ASKING,
    **dict.fromkeys(("raw", "width", "height", "steps"), STRUCTURE),
    "prompt": text("user"),
    "suffix": text("user"),
    "system": text("system"),
    "template": text("system"),  # takes the place of the model's own template, which holds the operator's text
    "context": ollama.CONTEXT,
    "images": [opaque("image", "user")],
}


def _response(answer: MapLeaf) -> dict[Any, Map]:
    return {
        **ollama.RESPONSE,
        "response": answer,
        "thinking": text("reasoning"),
        "tool_calls": ollama.CALLS,
        "context": TOKENS,  # the conversation so far as token ids
        "image": opaque("image", "assistant"),
        "completed": STRUCTURE,
        "total": STRUCTURE,
    }


RESPONSE = _response(text("assistant"))
JSON_RESPONSE = _response(MapLeaf("json", "assistant"))
