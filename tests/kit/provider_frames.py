"""Events of streams as providers write them: with what they count, with the times they note, and with random padding.

The authors of the formats write simpler ones. Our own writing, after the public API references of the providers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_CHAT = {"id": "chatcmpl-CXyzAbc123dEfGhIjKlMnOpQrStUv", "object": "chat.completion.chunk", "created": 1_760_000_000}
_NULLS = {"logprobs": None, "finish_reason": None}


def _openai_chat(texts: Sequence[str], random: Random) -> Iterator[dict[str, Any]]:
    for text in texts:
        choice = {"index": 0, "delta": {"content": text}, **_NULLS}
        about = {"model": "gpt-4o-mini-2024-07-18", "service_tier": "default", "system_fingerprint": "fp_560af6e559"}
        yield {**_CHAT, **about, "choices": [choice], "usage": None, "obfuscation": padding(random)}


def _mistral_chat(texts: Sequence[str], random: Random) -> Iterator[dict[str, Any]]:
    for text in texts:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        yield {**_CHAT, "model": "mistral-small-latest", "choices": [choice], "p": padding(random)}


def _calls(texts: Sequence[str], random: Random) -> Iterator[dict[str, Any]]:
    for text in texts:
        call = {"index": 0, "function": {"arguments": text}}
        choice = {"index": 0, "delta": {"tool_calls": [call]}, **_NULLS}
        yield {**_CHAT, "model": "gpt-4o-mini-2024-07-18", "choices": [choice], "obfuscation": padding(random)}


def _vllm_chat(texts: Sequence[str], random: Random) -> Iterator[dict[str, Any]]:
    for text in texts:
        choice = {"index": 0, "delta": {"content": text}, **_NULLS}
        yield {**_CHAT, "model": "meta-llama/Llama-3.1-8B-Instruct", "choices": [choice]}


def _openai_completions(texts: Sequence[str], random: Random) -> Iterator[dict[str, Any]]:
    for text in texts:
        choice = {"index": 0, "text": text, **_NULLS}
        about = {"object": "text_completion", "model": "gpt-3.5-turbo-instruct:20230824-v2"}
        yield {**_CHAT, **about, "id": "cmpl-7QyqpwdfhqwajicIEznoc6Q47XAyW", "choices": [choice]}


def _openai_responses(texts: Sequence[str], random: Random) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(texts, 4):
        where = {"item_id": "msg_67c9a81dea8c8190b79651a2b3adf91e", "output_index": 0, "content_index": 0}
        about = {"type": "response.output_text.delta", "sequence_number": number}
        yield {**about, **where, "delta": text, "logprobs": [], "obfuscation": padding(random)}


def _anthropic_messages(texts: Sequence[str], random: Random) -> Iterator[dict[str, Any]]:
    for text in texts:
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def _gemini_generate(texts: Sequence[str], random: Random) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(texts, 3):
        details = [{"modality": "TEXT", "tokenCount": 9}]
        counts = {"promptTokenCount": 9, "candidatesTokenCount": number, "totalTokenCount": 509 + number}
        usage = {**counts, "promptTokensDetails": details, "thoughtsTokenCount": 500}
        content = {"parts": [{"text": text}], "role": "model"}
        about = {"usageMetadata": usage, "modelVersion": "gemini-2.5-flash", "responseId": "x3vfaKmWDNqPkdUPh7"}
        yield {"candidates": [{"content": content, "index": 0}], **about}


def _ollama_chat(texts: Sequence[str], random: Random) -> Iterator[dict[str, Any]]:
    for text in texts:
        at = f"2025-10-01T12:00:{random.randrange(60):02}.{random.randrange(10**9)}Z"
        yield {"model": "llama3.2", "created_at": at, "message": {"role": "assistant", "content": text}, "done": False}


def _ollama_generate(texts: Sequence[str], random: Random) -> Iterator[dict[str, Any]]:
    for text in texts:
        at = f"2025-10-01T12:00:{random.randrange(60):02}.{random.randrange(10**9)}Z"
        yield {"model": "llama3.2", "created_at": at, "response": text, "done": False}


_EVENTS = {
    "openai_chat": _openai_chat,
    "openai_chat by vLLM": _vllm_chat,
    "openai_chat by Mistral": _mistral_chat,
    "openai_chat of a call": _calls,
    "openai_completions": _openai_completions,
    "openai_responses": _openai_responses,
    "anthropic_messages": _anthropic_messages,
    "gemini_generate": _gemini_generate,
    "ollama_chat": _ollama_chat,
    "ollama_generate": _ollama_generate,
}
PROVIDERS = tuple(_EVENTS)
"""Names of formats; for further streams of a format, with more words."""


def padding(random: Random) -> str:
    """Random characters that hide the length of a text."""
    return "".join(random.choice(_LETTERS) for _ in range(random.randint(1, 16)))


def provider_frames(provider: str, texts: Sequence[str], seed: int = 0) -> list[bytes]:
    """The frames of a stream that add the texts, without its beginning and its end."""
    frames = []
    for event in _EVENTS[provider](texts, Random(seed)):
        data = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
        if provider.startswith("ollama"):
            frames.append(data + b"\n")
        else:
            named = b"event: " + event["type"].encode() + b"\n" if "type" in event else b""
            frames.append(named + b"data: " + data + b"\n\n")
    return frames
