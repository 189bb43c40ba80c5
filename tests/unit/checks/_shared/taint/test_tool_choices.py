"""Which words the definition of a tool lets its arguments have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.checks._shared.taint.tool_choices import MOST_CHARS, tool_choices
from guardproxy.events import Text
from guardproxy.findings import Passage
from tests.kit.play import policy_set
from tests.kit.tainting import TAINT_SCENES, TaintScene

_NONE = policy_set("policy: m\nchecks: {w: {use: pattern, words: [x]}}\nrules: [{id: r, when: w, action: block}]")


def schema(*words: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"way": {"enum": list(words)}}}


def definitions(scene: str, tools: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the definitions of tools with these schemas, as a format writes them."""
    match scene:
        case "chat" | "ollama":
            return [{"type": "function", "function": {"name": name, "parameters": its}} for name, its in tools.items()]
        case "messages":
            return [{"name": name, "input_schema": its} for name, its in tools.items()]
        case "responses":
            first, *others = [{"type": "function", "name": name, "parameters": its} for name, its in tools.items()]
            return [first, {"type": "namespace", "name": "more", "tools": others}]
        case _:
            return [{"functionDeclarations": [{"parameters": its, "name": name} for name, its in tools.items()]}]


@pytest.mark.parametrize("scene", TAINT_SCENES, ids=lambda scene: scene.name)
def test_each_tool_has_the_words_of_its_own_definition(scene: TaintScene) -> None:
    path = scene.route.partition(" ")[2].replace("{version}", "v1").replace("{model}", "m")
    tools = definitions(scene.name, {"send": schema("By-Mail", "by_hand"), "pay": schema("later")})
    body = json.dumps({**scene.request("hi", "page"), "tools": tools}).encode()
    codec = _NONE.formats.codec_for(scene.route)
    assert codec is not None
    request = codec.for_request(path, "").read_request(path, "", body)
    texts = [event for event in request.events() if isinstance(event, Text)]
    passages = [Passage(text.channel.kind, text.channel.path, text.text, text.key) for text in texts]
    found = tool_choices(passages)
    assert {name: len(words) for name, words in found.items()} == {"send": 2, "pay": 1}
    assert found == tool_choices(reversed(passages)), "the order of members says nothing"


def text(path: str, text: str) -> Passage:
    return Passage("tool_definition", path, text)


@pytest.mark.parametrize(
    "passages",
    [
        [text("tools[0].properties.way.enum[0]", "word")],  # of a definition without a name
        [text("tools[0].name", "pay"), text("tools[1].properties.way.enum[0]", "word")],
        [text("tools[0].properties.way.name", "pay"), text("tools[0].properties.way.enum[0]", "word")],
        [text("tools[0].name", "pay"), text("tools[0].properties.way.title", "word")],
        [text("tools[0].name", "pay"), text("tools[0].properties.way.enum[0]", "w" * (MOST_CHARS + 1))],
        [text("name", "pay"), text("properties.way.enum[0]", "word")],
        [Passage("user", "tools[0].name", "pay"), text("tools[0].properties.way.enum[0]", "word")],
        [text("tools[0].name", "pay"), Passage("tool_result", "tools[0].properties.way.enum[0]", "word")],
    ],
)
def test_other_texts_declare_nothing(passages: list[Passage]) -> None:
    assert tool_choices(passages) == {}


def test_tools_of_one_name_share_their_words() -> None:
    both = [text(f"tools[{at}].{end}", said) for at in (0, 1) for end, said in (("name", "pay"), ("const", f"w{at}"))]
    assert [len(words) for words in tool_choices(both).values()] == [2]
