"""Writes Ollama Generate: requests, answers, streams and errors.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.families.ollama_writer import TextsAuthor, asked

_FIELDS: dict[str, str] = {"assistant": "response", "reasoning": "thinking", "unmapped": "x_unknown"}
_CONTEXT = (128006, 882, 128007, 271, 15339)  # the token ids of a conversation


class GenerateAuthor(TextsAuthor):
    """Writes the format."""

    ROUTE = "POST /api/generate"
    PROMPT_PATH = ("prompt",)
    PROMPT_TYPES = (str,)
    MAY_BE_EMPTY = True  # such a request loads the model
    NO_PROMPT = "prompt must be a string"
    TEXT = "response"

    def texts(self, tree: Any) -> Iterator[tuple[Kind, str]]:
        yield "system", str(tree.get("system") or "")
        yield "user", tree["prompt"]

    def request(self, prompt: Prompt) -> dict[str, Any]:
        system = {"system": prompt.system} if prompt.system else {}
        return {"model": prompt.model, "prompt": prompt.text, **system, **asked(prompt)}

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
        match kind:
            case "system":
                return {"prompt": "", "system": text}
            case "tool_definition":
                return {"prompt": "", "format": {"type": "object", "description": text}}
            case "metadata":
                return {"prompt": "", "options": {"stop": [text]}}
            case "unmapped":
                return {"prompt": "", "x_unknown": text}
        return {"prompt": text}

    def line(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return dict(fields)

    def said_with(self, kind: Kind, text: str) -> dict[str, Any]:
        if kind == "tool_arguments":
            return {"response": "", "tool_calls": [{"function": {"name": "tool", "arguments": {"note": text}}}]}
        return {"response": "", _FIELDS[kind]: text}

    def end(self, prompt: Prompt, reply: Reply) -> dict[str, Any]:
        return {**super().end(prompt, reply), "context": list(_CONTEXT)}


author = GenerateAuthor()
