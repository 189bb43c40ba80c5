"""Log probabilities of a response after an edit."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.events import Frame, Text
from guardproxy.findings import Channel
from guardproxy.wire.formats.openai_responses.token_data import trim

CHANNEL = Channel("response", "assistant", "a")


def entry(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": -0.5}


def text(value: str, *path: str | int, **more: Any) -> Text:
    return Text(CHANNEL, value, Frame(b""), path, **more)


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        (text("ab", "part", "text"), "ab", ["a", "b"]),
        (text("ab", "part", "text"), "aX", ["a"]),
        (text("other", "part", "text"), "other", []),
        (text("ab", "part", "text", altered=True), "ab", []),
        (text("ab", "part", "title"), "X", ["a", "b"]),
        (text("text", "part", "text", key=True), "X", ["a", "b"]),
        (text("ab", "renamed", "text"), "X", []),
        (text("ab", "part", 0, "text"), "X", []),
    ],
)
def test_the_entries_of_what_an_edit_removed_go(old: Text, new: str, left: list[str]) -> None:
    tree = {"part": {"text": new, "logprobs": [entry("a"), entry("b")]}, "more": [5]}
    trim(tree, [(old, new)])
    logprobs: Any = tree["part"]
    assert [kept["token"] for kept in logprobs["logprobs"]] == left
