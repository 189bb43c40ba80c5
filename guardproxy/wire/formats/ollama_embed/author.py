"""Writes Ollama's embeddings: requests, answers and errors. Vectors are functions of the texts.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire import ollama, ollama_author, prompts
from guardproxy.wire.authoring import CutText, Prompt, Reply
from guardproxy.wire.formats.ollama_embed.contract import EMBED, EMBEDDINGS
from guardproxy.wire.json import write

ROUTE = EMBED
ID_HEADER = ollama_author.ID_HEADER
PROMPT_PATH = ("input", 0)
DIMENSIONS = 8
_MOST_DIMENSIONS = 4096

models = ollama.models
error = ollama.upstream_error
error_event = ollama_author.error_event
event = ollama_author.event
ending = ollama_author.ending


# Requests.


def read(tree: Any) -> Prompt:
    """The prompt of a request. Raises `ValueError` when it is no request."""
    if not is_request(tree):
        raise ValueError("input must be a string or a list of strings")
    texts = list(prompts.texts(_input(tree)))
    words = sum(len(text.split()) for text in texts)
    return Prompt(str(tree.get("model") or ""), texts[-1] if texts else "", prompt_words=words)


def _input(tree: Any) -> Any:
    return tree["input"] if "input" in tree else tree.get("prompt")


def is_request(tree: Any) -> bool:
    """Whether a tree looks like a request."""
    return isinstance(tree, dict) and isinstance(_input(tree), (str, list)) and bool(_input(tree))


def request(prompt: Prompt) -> dict[str, Any]:
    """A request."""
    return {"model": prompt.model, "input": [prompt.text]}


def request_with(kind: Kind, text: str) -> dict[str, Any]:
    """A request with one text of a kind."""
    match kind:
        case "metadata":
            return {"input": [""], "options": {"stop": [text]}}
        case "unmapped":
            return {"input": [""], "x_unknown": text}
    return {"input": [text]}


# Answers.


def answer(prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
    """An answer. The reply is not in it."""
    return unanswered(EMBED, {"model": prompt.model, "input": [prompt.text]}, ident)


def answer_with(kind: Kind, text: str) -> dict[str, Any] | None:
    """An answer with one text of a kind. There is no place for a text of a model."""
    match kind:
        case "error":
            return error(500, text)
        case "metadata":
            return {"model": text, "embeddings": [[0.5]]}
    return {"embeddings": [[0.5]], "x_unknown": text}


def unanswered(route: str, tree: Any, ident: str) -> dict[str, Any]:
    """The answer of a route."""
    value = _input(tree)
    count = min(int(tree.get("dimensions") or DIMENSIONS), _MOST_DIMENSIONS)
    if route == EMBEDDINGS:
        return {"embedding": _vector(value, count)}
    inputs = value if isinstance(value, list) else [value]
    words = sum(len(text.split()) for text in prompts.texts(value))
    counted = {"total_duration": 14_143_917, "load_duration": 1_019_500, "prompt_eval_count": words}
    vectors = [_vector(item, count) for item in inputs]
    return {"model": str(tree.get("model") or ""), "embeddings": vectors, **counted}


def _vector(item: Any, count: int) -> list[float]:
    """Returns a vector that depends on an input alone."""
    return [level / 128 - 1 for level in hashlib.shake_256(write(item)).digest(count)]


# Streams.


def frames(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
    """Nothing: there are no streams."""
    return iter(())


def frames_with(kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
    """Nothing: there are no streams."""
    return None
