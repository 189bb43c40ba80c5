"""Streams of Gemini for tests, and how a client reads them back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from guardproxy.wire.formats.gemini_generate.writer import author
from tests.kit.play import events

GEMINI = author.ROUTE


def chunk(*parts: Any, finish: str = "", **more: Any) -> dict[str, Any]:
    """A frame with these parts of one candidate."""
    candidate = {"content": {"parts": list(parts), "role": "model"}, "index": 0, **more}
    return {"candidates": [{**candidate, "finishReason": finish} if finish else candidate]}


def partial_args(piece: str) -> dict[str, Any]:
    given = {"jsonPath": "$.to", "stringValue": piece, "willContinue": True}
    return {"functionCall": {"partialArgs": [given], "willContinue": True}}


def gemini_frames(parts: Iterable[str], kind: str = "text") -> list[bytes]:
    """A stream whose text, thought or argument comes in these parts. It begins with an empty part, as a stop in the first frame
    of a stream is an error without any text."""
    made: dict[str, Any] = {
        "text": lambda part: {"text": part},
        "thought": lambda part: {"text": part, "thought": True},
        "argument": partial_args,
        "unknown": lambda part: {"text": "", "novelty": part},
    }
    trees = [chunk({"text": ""}), *(chunk(made[kind](part)) for part in parts)]
    ends: dict[str, dict[str, Any]] = {"thought": {"text": "So."}, "argument": {"functionCall": {}}}
    last = ends.get(kind, {"text": ""})
    return [author.event(tree) for tree in (*trees, chunk(last, finish="STOP"))]


def gemini_texts(data: bytes) -> dict[str, str]:
    """What a client has of a stream: its texts, thoughts, arguments, and why it ended."""
    out: dict[str, str] = {}
    for _, tree in events(data):
        if "error" in tree:
            out["error"] = tree["error"]["details"][0]["reason"]
        for candidate in tree.get("candidates", []):
            for part in candidate["content"]["parts"]:
                call: dict[str, Any] = part.get("functionCall", {})
                found: dict[str, str] = {
                    "thought" if part.get("thought") else "text": part.get("text", ""),
                    "unknown": part.get("novelty", ""),
                    "argument": "".join(partial["stringValue"] for partial in call.get("partialArgs", [])),
                }
                for name, text in found.items():
                    out[name] = out.get(name, "") + text
            if "finishReason" in candidate:
                out["finish"] = candidate["finishReason"]
    return out
