"""Writes OpenAI Embeddings and Moderations: requests, answers and errors. Vectors and scores are functions of the texts.

https://platform.openai.com/docs/api-reference/embeddings and https://platform.openai.com/docs/api-reference/moderations
"""

from __future__ import annotations

import base64
import struct
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.writing import Prompt, Reply, VectorsAuthor, noise, vector
from guardproxy.wire.families.openai import OpenAIAuthor
from guardproxy.wire.formats.openai_inputs.contract import EMBEDDINGS, MODERATIONS
from guardproxy.wire.formats.openai_inputs.field_map import CATEGORIES
from guardproxy.wire.request import prompts

_FLAGGED = 0.2


class InputsAuthor(VectorsAuthor, OpenAIAuthor):
    """Writes the format."""

    ROUTE = EMBEDDINGS
    NO_PROMPT = "input must be a string, or a list of strings, parts or token ids"

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
        name = {"metadata": "user", "unmapped": "x_unknown"}.get(kind)
        return {"input": [""], name: text} if name else {"input": [text]}

    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
        return _vectors(self.request(prompt))

    def whole_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        return {**_vectors({"input": [""]}), "model" if kind == "metadata" else "x_unknown": text}

    def unanswered(self, route: str, tree: Any, ident: str) -> dict[str, Any]:
        """The answer of a route."""
        return _results(tree, ident) if route == MODERATIONS else _vectors(tree)


def _vectors(tree: Any) -> dict[str, Any]:
    words = sum(len(text.split()) for text in prompts.texts(tree["input"]))
    data = [
        {"object": "embedding", "index": number, "embedding": _encoded(vector(item, tree.get("dimensions")), tree)}
        for number, item in enumerate(_inputs(tree["input"]))
    ]
    usage = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "data": data, "model": str(tree.get("model") or ""), "usage": usage}


def _encoded(numbers: list[float], tree: Any) -> list[float] | str:
    is_packed = tree.get("encoding_format") == "base64"
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode() if is_packed else numbers


def _inputs(value: Any) -> list[Any]:
    """The inputs of a request. A list of parts, or of token ids, is one input."""
    is_one = not isinstance(value, list) or not isinstance(value[0], (str, list))
    return [value] if is_one else list(value)


def _results(tree: Any, ident: str) -> dict[str, Any]:
    results = []
    for item in _inputs(tree["input"]):
        scores = dict(zip(CATEGORIES, (level / 997 for level in noise(item, len(CATEGORIES))), strict=True))
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


author = InputsAuthor()
