"""Writes Ollama's embeddings: requests, answers and errors. Vectors are functions of the texts.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.writing import Prompt, Reply, VectorsAuthor, vector
from guardproxy.wire.families.ollama_writer import OllamaAuthor
from guardproxy.wire.formats.ollama_embed.contract import EMBED, EMBEDDINGS
from guardproxy.wire.request import prompts


class EmbedAuthor(VectorsAuthor, OllamaAuthor):
    """Writes the format."""

    ROUTE = EMBED
    NO_PROMPT = "input must be a string or a list of strings"

    def prompt_of(self, tree: Mapping[str, Any]) -> Any:
        """Returns `input`, or `prompt` as the older route has it."""
        return tree["input"] if "input" in tree else tree.get("prompt")

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
        match kind:
            case "metadata":
                return {"input": [""], "options": {"stop": [text]}}
            case "unmapped":
                return {"input": [""], "x_unknown": text}
        return {"input": [text]}

    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
        return self.unanswered(EMBED, self.request(prompt), ident)

    def whole_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        return {"embeddings": [[0.5]], "model" if kind == "metadata" else "x_unknown": text}

    def unanswered(self, route: str, tree: Any, ident: str) -> dict[str, Any]:
        """The answer of a route."""
        value = self.prompt_of(tree)
        dimensions = tree.get("dimensions")
        if route == EMBEDDINGS:
            return {"embedding": vector(value, dimensions)}
        inputs = value if isinstance(value, list) else [value]
        words = sum(len(text.split()) for text in prompts.texts(value))
        counted = {"total_duration": 14_143_917, "load_duration": 1_019_500, "prompt_eval_count": words}
        vectors = [vector(item, dimensions) for item in inputs]
        return {"model": str(tree.get("model") or ""), "embeddings": vectors, **counted}


author = EmbedAuthor()
