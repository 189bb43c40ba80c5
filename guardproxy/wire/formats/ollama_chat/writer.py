"""Writes Ollama Chat: requests, answers, streams and errors.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.writing import Prompt, chat_fields
from guardproxy.wire.families.ollama_writer import TextsAuthor, asked

_KINDS: dict[Any, Kind] = {"system": "system", "user": "user", "tool": "tool_result"}


class OllamaChatAuthor(TextsAuthor):
    """Writes the format."""

    ROUTE = "POST /api/chat"
    PROMPT_PATH = ("messages", 0, "content")
    PROMPT_TYPES = (list,)
    TEXT = "content"

    def texts(self, tree: Any) -> Iterator[tuple[Kind, str]]:
        for message in tree["messages"]:
            if isinstance(message, dict):
                yield _KINDS.get(message.get("role"), "assistant"), str(message.get("content") or "")

    def request(self, prompt: Prompt) -> dict[str, Any]:
        return {**chat_fields(prompt), **asked(prompt)}

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
        empty = {"messages": [{"role": "user", "content": ""}]}
        match kind:
            case "tool_result":
                calling = {"role": "assistant", "content": "", "tool_calls": [_call("")]}
                return {"messages": [calling, {"role": "tool", "tool_name": "tool", "content": text}]}
            case "tool_arguments" | "reasoning":
                return {"messages": [self.line(self.said_with(kind, text))["message"]]}
            case "tool_definition":
                return {**empty, "tools": [{"type": "function", "function": {"name": "tool", "description": text}}]}
            case "metadata":
                return {**empty, "options": {"stop": [text]}}
            case "unmapped":
                return {**empty, "x_unknown": text}
        return {"messages": [{"role": kind, "content": text}]}

    def line(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {"message": {"role": "assistant", **fields}}

    def said_with(self, kind: Kind, text: str) -> dict[str, Any]:
        match kind:
            case "tool_arguments":
                return {"content": "", "tool_calls": [_call(text)]}
            case "reasoning":
                return {"content": "", "thinking": text}
            case "unmapped":
                return {"content": "", "x_unknown": text}
        return {"content": text}


def _call(text: str) -> dict[str, Any]:
    return {"function": {"name": "tool", "arguments": {"note": text}}}


author = OllamaChatAuthor()
