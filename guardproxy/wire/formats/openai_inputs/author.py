"""Writes OpenAI Embeddings and Moderations: requests, answers and errors.

Field names follow the types of the official SDK; vectors and scores are functions of the texts.
https://platform.openai.com/docs/api-reference/embeddings and https://platform.openai.com/docs/api-reference/moderations
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire import openai, prompts
from guardproxy.wire.authoring import CutText, Prompt, Reply
from guardproxy.wire.formats.openai_inputs.contract import EMBEDDINGS, MODERATIONS
from guardproxy.wire.formats.openai_inputs.places import CATEGORIES
from guardproxy.wire.framing.sse import frame
from guardproxy.wire.json import write

ROUTE = EMBEDDINGS
ID_HEADER = "x-request-id"
PROMPT_PATH = ("input", 0)
DIMENSIONS = 8
_MOST_DIMENSIONS = 4096


models = openai.models
error = openai.upstream_error


# Requests.


def read(tree: Any) -> Prompt:
    """The prompt of a request. Raises `ValueError` when it is no request."""
    if not is_request(tree):
        raise ValueError("input must be a string, or a list of strings, parts or token ids")
    texts = list(prompts.texts(tree["input"]))
    words = sum(len(text.split()) for text in texts)
    return Prompt(str(tree.get("model") or ""), texts[-1] if texts else "", prompt_words=words)


def is_request(tree: Any) -> bool:
    """Whether a tree looks like a request."""
    return isinstance(tree, dict) and isinstance(tree.get("input"), (str, list)) and bool(tree["input"])


def request(prompt: Prompt) -> dict[str, Any]:
    """A request."""
    return {"model": prompt.model, "input": [prompt.text]}


def request_with(kind: Kind, text: str) -> dict[str, Any]:
    """A request with one text of a kind."""
    match kind:
        case "metadata":
            return {"input": [""], "user": text}
        case "unmapped":
            return {"input": [""], "x_unknown": text}
    return {"input": [text]}


# Answers.


def answer(prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
    """An answer. The reply is not in it."""
    return _vectors({"model": prompt.model, "input": [prompt.text]})


def answer_with(kind: Kind, text: str) -> dict[str, Any] | None:
    """An answer with one text of a kind. There is no place for a text of a model."""
    match kind:
        case "error":
            return error(500, text)
        case "metadata":
            return {**_vectors({"input": [""]}), "model": text}
    return {**_vectors({"input": [""]}), "x_unknown": text}


def unanswered(route: str, tree: Any, ident: str) -> dict[str, Any]:
    """The answer of a route."""
    return _results(tree, ident) if route == MODERATIONS else _vectors(tree)


def _vectors(tree: Any) -> dict[str, Any]:
    words = sum(len(text.split()) for text in prompts.texts(tree["input"]))
    count = min(int(tree.get("dimensions") or DIMENSIONS), _MOST_DIMENSIONS)
    data = [
        {"object": "embedding", "index": number, "embedding": _vector(item, count, tree.get("encoding_format"))}
        for number, item in enumerate(_inputs(tree["input"]))
    ]
    usage = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "data": data, "model": str(tree.get("model") or ""), "usage": usage}


def _vector(item: Any, count: int, encoding: str | None) -> list[float] | str:
    numbers = [level / 128 - 1 for level in _noise(item, count)]
    return base64.b64encode(struct.pack(f"<{count}f", *numbers)).decode() if encoding == "base64" else numbers


def _noise(item: Any, count: int) -> bytes:
    """Returns bytes that depend on an input alone."""
    return hashlib.shake_256(write(item)).digest(count)


def _inputs(value: Any) -> list[Any]:
    """The inputs of a request. A list of parts, or of token ids, is one input."""
    is_one = not isinstance(value, list) or not isinstance(value[0], (str, list))
    return [value] if is_one else list(value)


def _results(tree: Any, ident: str) -> dict[str, Any]:
    results = []
    for item in _inputs(tree["input"]):
        scores = dict(zip(CATEGORIES, (level / 997 for level in _noise(item, len(CATEGORIES))), strict=True))
        kinds = ["image", "text"] if isinstance(item, list) else ["text"]
        results.append(
            {
                "flagged": any(score > _FLAGGED for score in scores.values()),
                "categories": {category: score > _FLAGGED for category, score in scores.items()},
                "category_scores": scores,
                "category_applied_input_types": dict.fromkeys(CATEGORIES, kinds),
            }
        )
    return {"id": f"modr-{ident}", "model": str(tree.get("model") or "omni-moderation-latest"), "results": results}


_FLAGGED = 0.2


# Streams.


def frames(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
    """Nothing: there are no streams."""
    return iter(())


def frames_with(kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
    """Nothing: there are no streams."""
    return None


def event(item: Any) -> bytes:
    """One event: an object as JSON, a string as it is."""
    return frame(item.replace("\n", " ").encode() if isinstance(item, str) else write(item))


def ending(items: Sequence[Any]) -> list[Any]:
    """Writes the end of a stream of these items."""
    return [] if "[DONE]" in items else ["[DONE]"]


def error_event(message: str) -> bytes:
    """An error in the middle of a stream, and its end."""
    return event(error(500, message)) + openai.DONE
