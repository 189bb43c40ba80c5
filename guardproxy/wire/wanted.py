"""What a request asks its answer to look like, in each dialect: a schema for the answer, the tools and their arguments.

In: the tree of a request as it goes upstream, and the places of an answer's texts. Out: the `Form` of each text. A dialect
that is not listed asks for nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from guardproxy.events import Path
from guardproxy.findings import Channel, Form
from guardproxy.wire.json import dotted

Part = Literal["answer", "tool", "input"]
"""A text of an answer: the answer itself, the name of a tool that is called, the arguments of a call."""

_ANY_OBJECT = {"type": "object"}
# Names that a server's own tool may call itself by, beside the one that the request declares.
_ALIASES = {"code_execution": ("bash_code_execution", "text_editor_code_execution")}


@dataclass(frozen=True, slots=True)
class Asked:
    """`answer`: what the answer must be, if anything is asked. `tools`: of each tool that may be called what its arguments
    must be (`None`: anything); `None` when the request declares no tools."""

    answer: Form | None = None
    tools: Mapping[str, Form | None] | None = None

    @property
    def tool_names(self) -> Form | None:
        """What the name of a called tool must be."""
        if self.tools is None:
            return None
        return Form(words=tuple(sorted(self.tools)))

    def forms(self) -> Iterator[tuple[str, Form]]:
        """Every schema that was asked for, and what it is for."""
        if self.answer:
            yield "the answer", self.answer
        for name, form in (self.tools or {}).items():
            if form:
                yield f"the tool `{name}`", form


NOTHING = Asked()


def is_answered(route: str) -> bool:
    """Whether what comes back is an answer of a model: a count of tokens is none."""
    return not route.endswith("/count_tokens")


def read(codec: str, tree: Mapping[str, Any]) -> Asked:
    """What the request asks for. What has another type than the dialect says asks for nothing."""
    reader = _READERS.get(codec)
    if reader is None:
        return NOTHING
    schema, tools = reader(tree)
    listed = dict(tools)
    for name, aliases in _ALIASES.items():
        if name in listed:
            listed |= dict.fromkeys(aliases)
    forms = {name: None if one is None else Form(one, call=True) for name, one in listed.items()}
    return Asked(None if schema is None else Form(schema), forms or None)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


Read = tuple[Any, list[tuple[str, Any]]]


def _format(shape: Mapping[str, Any], inside: Mapping[str, Any]) -> Any:
    """The schema of a `response_format`, a `text.format` or an `output_config.format`."""
    match shape.get("type"):
        case "json_schema":
            return inside.get("schema", _ANY_OBJECT)
        case "json_object":
            return shape.get("schema", _ANY_OBJECT)
    return None


def _named(name: Any, schema: Any) -> list[tuple[str, Any]]:
    return [(name, schema)] if isinstance(name, str) else []


def _chat(tree: Mapping[str, Any]) -> Read:
    shape = _dict(tree.get("response_format"))
    tools: list[tuple[str, Any]] = []
    for tool in _dicts(tree.get("tools")):
        function, custom = _dict(tool.get("function")), _dict(tool.get("custom"))
        tools += _named(function.get("name"), function.get("parameters", {}))
        tools += _named(custom.get("name"), None)
    for function in _dicts(tree.get("functions")):
        tools += _named(function.get("name"), function.get("parameters", {}))
    return _format(shape, _dict(shape.get("json_schema"))), tools


def _responses(tree: Mapping[str, Any]) -> Read:
    shape = _dict(_dict(tree.get("text")).get("format"))
    tools: list[tuple[str, Any]] = []
    for tool in _dicts(tree.get("tools")):
        tools += _named(tool.get("name"), tool.get("parameters", {}) if tool.get("type") == "function" else None)
    return _format(shape, shape), tools


def _messages(tree: Mapping[str, Any]) -> Read:
    shape = _dict(_dict(tree.get("output_config")).get("format")) or _dict(tree.get("output_format"))
    tools: list[tuple[str, Any]] = []
    for tool in _dicts(tree.get("tools")):
        tools += _named(tool.get("name"), tool.get("input_schema"))
    return _format(shape, shape), tools


_READERS: dict[str, Callable[[Mapping[str, Any]], Read]] = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "anthropic_messages": _messages,
}

_PARTS: dict[str, list[tuple[re.Pattern[str], Part]]] = {
    "openai_chat": [
        (re.compile(r"choices\[\d+\]\.message\.content"), "answer"),
        (
            re.compile(r"choices\[\d+\]\.message\.(?:tool_calls\[\d+\]\.(?:function|custom)|function_call)\.name"),
            "tool",
        ),
        (re.compile(r"choices\[\d+\]\.message\.(?:tool_calls\[\d+\]\.function|function_call)\.arguments"), "input"),
    ],
    "openai_responses": [
        (re.compile(r"output\[\d+\]\.content\[\d+\]\.text"), "answer"),
        (re.compile(r"output\[\d+\]\.name"), "tool"),
        (re.compile(r"output\[\d+\]\.arguments"), "input"),
    ],
    "anthropic_messages": [
        (re.compile(r"content\[\d+\]\.text"), "answer"),
        (re.compile(r"content\[\d+\]\.name"), "tool"),
        (re.compile(r"content\[\d+\]\.input"), "input"),
    ],
}
_KIND_OF: dict[Part, str] = {"answer": "assistant", "tool": "tool_arguments", "input": "tool_arguments"}


def part(codec: str, channel: Channel) -> Part | None:
    """Which part of an answer a text is, if any."""
    for pattern, name in _PARTS.get(codec, ()):
        if channel.direction == "response" and channel.kind == _KIND_OF[name] and pattern.fullmatch(channel.path):
            return name
    return None


def name_path(path: str) -> str:
    """Where the name of the tool stands whose arguments are at `path`."""
    return path.rpartition(".")[0] + ".name"


def inputs(codec: str, tree: Any) -> Iterator[tuple[Path, str, str]]:
    """Arguments that an answer holds as an object instead of a text: their path as steps and as words, and the text."""
    if codec == "anthropic_messages" and isinstance(tree, dict):
        for index, block in enumerate(tree["content"] if isinstance(tree.get("content"), list) else []):
            if isinstance(block, dict) and block.get("type") == "tool_use" and isinstance(block.get("input"), dict):
                path: Path = ("content", index, "input")
                yield path, dotted(path), json.dumps(block["input"], ensure_ascii=False)


ANSWERS: Mapping[str, str] = {
    "openai_chat": "choices[0].message.content",
    "openai_responses": "output[0].content[0].text",
    "anthropic_messages": "content[0].text",
}
"""Where an answer's text stands."""
