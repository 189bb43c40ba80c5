"""Streams of OpenAI Completions for tests, and how a client reads them back.

The reader fails if the offset of a token is not that of the token in the text that the client has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from guardproxy.wire.formats.openai_completions.writer import author
from tests.kit.play import events

COMPLETIONS = author.ROUTE
ORIGIN = 40  # servers count from the beginning of the prompt
HEAD = {"id": "c", "object": "text_completion", "created": 1, "model": "m"}


def completion_frames(parts: Iterable[str], field: str = "text") -> list[bytes]:
    """A stream whose choice holds these parts in a field. Parts of the text are tokens, with their probabilities. It begins
    with an empty part, as a stop in the first frame of a stream is an error without any text."""
    choices: list[dict[str, Any]] = [{"text": ""}]
    begin = ORIGIN
    for part in parts:
        if field != "text":
            choices.append({"text": "", field: part})
            continue
        lists = {"tokens": [part], "token_logprobs": [-0.5], "top_logprobs": [{part: -0.5}], "text_offset": [begin]}
        choices.append({"text": part, "logprobs": lists})
        begin += len(part)
    return author.chunks(choices, HEAD)


def completion_texts(data: bytes) -> dict[str, str]:
    """What a client has of a stream: the text and other fields of choices by name and index, and why it ended."""
    out: dict[str, str] = {}
    for _, tree in events(data):
        if tree == "[DONE]":
            out["done"] = out.get("done", "") + "!"
            continue
        if "error" in tree:
            out["error"] = tree["error"]["code"]
        for choice in tree.get("choices", []):
            index = choice["index"]
            for name in choice.keys() - {"index", "logprobs", "finish_reason"}:
                out[f"{name}{index}"] = out.get(f"{name}{index}", "") + choice[name]
            lists = choice.get("logprobs") or {"tokens": [], "text_offset": []}
            for token, offset in zip(lists["tokens"], lists["text_offset"], strict=True):
                assert out[f"text{index}"].startswith(token, offset - ORIGIN), (token, offset, out)
            if choice.get("finish_reason"):
                out[f"finish{index}"] = choice["finish_reason"]
    return out
