"""Changes of system prompts: what the client wrote stays, part by part."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.wire.declared.codec import DeclaredCodec
from guardproxy.wire.registry import installed
from guardproxy.wire.request.system import SystemChange, changed_content, changed_messages, text_in, text_of_messages
from tests.kit.play import policy_set

BOTH = SystemChange("A", "B")
PART = {"type": "text"}


def says(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("content", "text", "changed"),
    [
        (None, "", "A\n\nB"),
        ("own", "own", "A\n\nown\n\nB"),
        ([{"type": "text", "text": "own"}, "x", 3], "own\n\nx", None),
        ({"odd": 1}, "", None),
    ],
)
def test_a_content_is_changed(content: Any, text: str, changed: Any) -> None:
    assert text_in(content) == text
    own = content if isinstance(content, list) else [content]
    expected = changed or [{"type": "text", "text": "A"}, *own, {"type": "text", "text": "B"}]
    assert changed_content(content, BOTH, PART) == expected
    assert changed_content(content, SystemChange(instead="new"), PART) == "new"
    assert changed_content([], SystemChange(after="B"), PART) == [{"type": "text", "text": "B"}]


@pytest.mark.parametrize(
    ("messages", "changed", "replaced"),
    [
        ([], [says("system", "A\n\nB")], [says("system", "new")]),
        (
            [says("user", "u")],
            [says("system", "A\n\nB"), says("user", "u")],
            [says("system", "new"), says("user", "u")],
        ),
        ([says("developer", "d")], [says("developer", "A\n\nd\n\nB")], [says("developer", "new")]),
        (
            [says("system", "s"), says("developer", "d"), says("user", "u"), says("system", "late")],
            [says("system", "A\n\ns"), says("developer", "d\n\nB"), says("user", "u"), says("system", "late")],
            [says("system", "new"), says("user", "u"), says("system", "late")],
        ),
        (["odd", says("system", "s")], [says("system", "A\n\nB"), "odd", says("system", "s")], None),
    ],
)
def test_the_messages_of_a_conversation_are_changed(messages: list[Any], changed: Any, replaced: Any) -> None:
    before = repr(messages)
    assert changed_messages(messages, BOTH, PART) == changed
    if replaced:
        assert changed_messages(messages, SystemChange(instead="new"), PART) == replaced
    assert repr(messages) == before
    assert text_of_messages("no list") == ""


@pytest.mark.parametrize(
    ("path", "tree", "own", "changed"),
    [
        (
            "/v1beta/models/m:generateContent",
            {"contents": [], "system_instruction": {"role": "x", "parts": {"text": "own"}}},
            "own",
            {
                "contents": [],
                "system_instruction": {"role": "x", "parts": [{"text": "A"}, {"text": "own"}, {"text": "B"}]},
            },
        ),
        (
            "/v1beta/models/m:generateContent",
            {"contents": [], "systemInstruction": "own"},
            "own",
            {"contents": [], "systemInstruction": "A\n\nown\n\nB"},
        ),
        (
            "/v1beta/models/m:countTokens",
            {"generateContentRequest": {"contents": []}},
            "",
            {
                "generateContentRequest": {
                    "contents": [],
                    "systemInstruction": {"parts": [{"text": "A"}, {"text": "B"}]},
                }
            },
        ),
        (
            "/v1beta/models/m:countTokens",
            {"generate_content_request": {"contents": [], "systemInstruction": "own"}},
            "own",
            {"generate_content_request": {"contents": [], "systemInstruction": "A\n\nown\n\nB"}},
        ),
        ("/v1beta/models/m:generateContent", {"contents": [], "cachedContent": "cachedContents/x"}, None, None),
        ("/v1beta/models/m:embedContent", {"content": {"parts": []}}, None, None),
        ("/api/generate", {"prompt": "p", "raw": True}, None, None),
        ("/api/generate", {"prompt": "p", "system": None}, "", {"prompt": "p", "system": "A\n\nB"}),
        ("/v1/completions", {"prompt": "p"}, None, None),
        ("/v1/messages", {"system": None}, "", {"system": "A\n\nB"}),
        ("/v1/responses", {"instructions": "own"}, "own", {"instructions": "A\n\nown\n\nB"}),
        ("/v1/responses", {"instructions": 3}, "", {"instructions": "A\n\nB"}),
        ("/api/generate", {"prompt": "p", "system": 3}, "", {"prompt": "p", "system": "A\n\nB"}),
        ("/v1/chat/completions", {"messages": "odd"}, None, None),
        ("/v1/chat/completions", "odd", None, None),
        ("/v1/messages", "odd", None, None),
        ("/v1/responses", "odd", None, None),
        ("/api/generate", "odd", None, None),
    ],
)
def test_the_system_prompt_of_a_format(path: str, tree: Any, own: str | None, changed: Any) -> None:
    codec = installed().codec_for(f"POST {path}")
    assert codec
    assert codec.turns.system_of(tree) == own
    if own is not None:
        assert codec.turns.with_system(tree, BOTH) == changed


def test_a_format_without_a_system_prompt_changes_nothing() -> None:
    codec = installed().codec_for("POST /v1/embeddings")
    assert codec
    assert codec.turns.with_system({"input": "x"}, BOTH) == {"input": "x"}


FORMAT = """\
policy: p
formats:
  acme:
    routes: [POST /acme]
    request: {texts: TEXTS}
    answer: {texts: {/reply: assistant}}
    stream: {framing: none}
    error: /error
checks: {bad: {use: pattern, words: [x]}}
rules: [{id: r, on: user, when: bad, action: block}]
"""


def declared(texts: str) -> Any:
    (declaration,) = policy_set(FORMAT.replace("TEXTS", texts)).policies[0].formats
    return DeclaredCodec(declaration).turns


@pytest.mark.parametrize(
    ("texts", "tree", "own", "changed"),
    [
        ("{/system: system, /ask: user}", {"ask": "u"}, "", {"ask": "u", "system": "A\n\nB"}),
        ("{/system: system, /ask: user}", {"ask": "u", "system": ["odd"]}, None, None),
        ("{/a/system: system, /ask: user}", {"ask": "u"}, None, None),
        ("{/a/system: system, /ask: user}", {"a": {"system": "s"}}, "s", {"a": {"system": "A\n\ns\n\nB"}}),
        ("{/turns/*/said: by_role}", {"turns": []}, "", {"turns": [{"role": "system", "said": "A\n\nB"}]}),
        ("{/turns/*/said: by_role}", {"turns": "odd"}, None, None),
        ("{/turns/*/parts/*/said: by_role}", {"turns": []}, None, None),
        ("{/ask: user}", {"ask": "u"}, None, None),
        ("{/ask: user}", "odd", None, None),
    ],
)
def test_the_system_prompt_of_a_declared_format(texts: str, tree: Any, own: str | None, changed: Any) -> None:
    turns = declared(texts)
    assert turns.system_of(tree) == own
    if own is not None:
        assert turns.with_system(tree, BOTH) == changed
