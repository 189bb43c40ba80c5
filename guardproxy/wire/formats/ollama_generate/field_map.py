"""The maps of Ollama Generate: the meaning of each place of a request and of an answer."""

from __future__ import annotations

from guardproxy.wire.families import ollama
from guardproxy.wire.json import STRUCTURE, TOKENS, MapFields, MapLeaf, opaque, text

REQUEST: MapFields = {
    **ollama.ASKING,
    **dict.fromkeys(("raw", "width", "height", "steps"), STRUCTURE),
    "prompt": text("user"),
    "suffix": text("user"),
    "system": text("system"),
    "template": text("system"),  # takes the place of the model's own template, which holds the operator's text
    "context": ollama.CONTEXT,
    "images": [opaque("image", "user")],
}


def _response(answer: MapLeaf) -> MapFields:
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
