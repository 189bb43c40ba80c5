"""Every place of the types of the installed SDKs is a place that chat, the small formats of OpenAI and those of Ollama know. A
field that a newer SDK adds fails with its path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ollama
import pytest
from ollama._types import ChatRequest, EmbeddingsRequest, EmbedRequest, GenerateRequest
from openai.types import (
    Completion,
    CreateEmbeddingResponse,
    ModerationCreateResponse,
    completion_create_params,
    embedding_create_params,
    moderation_create_params,
)
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import completion_create_params as chat_create_params

from guardproxy.wire.contract.codec import Codec
from guardproxy.wire.decoding.json_codec import JsonCodec
from guardproxy.wire.formats.ollama_chat import field_map as ollama_chat
from guardproxy.wire.formats.ollama_chat.codec import CODEC as OLLAMA_CHAT
from guardproxy.wire.formats.ollama_embed import field_map as ollama_embed
from guardproxy.wire.formats.ollama_embed.codec import CODEC as OLLAMA_EMBED
from guardproxy.wire.formats.ollama_generate import field_map as ollama_generate
from guardproxy.wire.formats.ollama_generate.codec import CODEC as OLLAMA_GENERATE
from guardproxy.wire.formats.openai_chat import field_map as chat
from guardproxy.wire.formats.openai_chat.codec import CODEC as CHAT
from guardproxy.wire.formats.openai_completions import field_map as completions
from guardproxy.wire.formats.openai_completions.codec import CODEC as COMPLETIONS
from guardproxy.wire.formats.openai_inputs import field_map as inputs
from guardproxy.wire.formats.openai_inputs.codec import CODEC as INPUTS
from guardproxy.wire.json import TreeLeaf, members, objects, walk
from tests.kit.sdk_types import Place, places

MARK = "zanzibar-quokka"
SENTENCE = "call mara at mara@example.com now"
OPAQUE = ("opaque", "tokens")
FREE = {".messages[].{key}", ".messages[].*"}
"""Ollama's SDK takes any mapping as a message, beside its own type of messages."""
ROOTS: dict[str, tuple[Any, JsonCodec[Any], Any, set[str]]] = {
    "chat request": (
        chat_create_params.CompletionCreateParamsNonStreaming,
        CHAT,
        chat.REQUEST,
        {
            *(
                ".messages[].content",
                ".messages[].content[]<text>.text",
                ".messages[].tool_calls[]<function>.function.arguments",
            ),
            *(".tools[]<function>.function.description", ".tool_choice<custom>.custom.name"),
            *(".web_search_options.user_location<approximate>.approximate.city", ".prediction<content>.content"),
        },
    ),
    "chat stream": (chat_create_params.CompletionCreateParamsStreaming, CHAT, chat.REQUEST, {".messages[].content"}),
    "chat completion": (
        ChatCompletion,
        CHAT,
        chat.RESPONSE,
        {
            *(".choices[].message.content", ".choices[].message.refusal", ".choices[].message.audio.transcript"),
            *(".choices[].logprobs.content[].token", ".moderation.input<error>.message", ".metadata.*"),
        },
    ),
    "JSON chat completion": (ChatCompletion, CHAT, chat.JSON_RESPONSE, {".choices[].message.content"}),
    "chat chunk": (
        ChatCompletionChunk,
        CHAT,
        chat.RESPONSE,
        {".choices[].delta.content", ".choices[].delta.tool_calls[].function.arguments"},
    ),
    "completion request": (
        completion_create_params.CompletionCreateParamsNonStreaming,
        COMPLETIONS,
        completions.REQUEST,
        {".prompt", ".prompt[]", ".suffix", ".stop", ".stop[]", ".user", ".logit_bias.{key}", ".model"},
    ),
    "completion stream": (
        completion_create_params.CompletionCreateParamsStreaming,
        COMPLETIONS,
        completions.REQUEST,
        {".prompt"},
    ),
    "completion": (
        Completion,
        COMPLETIONS,
        completions.RESPONSE,
        {".choices[].text", ".choices[].logprobs.tokens[]", ".choices[].logprobs.top_logprobs[].{key}"},
    ),
    "JSON completion": (Completion, COMPLETIONS, completions.JSON_RESPONSE, {".choices[].text"}),
    "embedding request": (
        embedding_create_params.EmbeddingCreateParams,
        INPUTS,
        inputs.REQUEST,
        {".input", ".input[]", ".model", ".encoding_format", ".user"},
    ),
    "embeddings": (CreateEmbeddingResponse, INPUTS, inputs.RESPONSE, {".model", ".object", ".data[].object"}),
    "moderation request": (
        moderation_create_params.ModerationCreateParams,
        INPUTS,
        inputs.REQUEST,
        {".input", ".input[]<text>.text", ".input[]<image_url>.image_url.url"},
    ),
    "moderations": (
        ModerationCreateResponse,
        INPUTS,
        inputs.RESPONSE,
        {".id", ".results[].category_applied_input_types.self-harm/intent[]"},
    ),
    "Ollama chat request": (
        ChatRequest,
        OLLAMA_CHAT,
        ollama_chat.REQUEST,
        {
            *(".model", ".format", ".keep_alive", ".options.stop[]", ".messages[].content", ".messages[].thinking"),
            *(".messages[].images[]", ".messages[].tool_name", ".messages[].tool_calls[].function.arguments.*"),
            *(".tools[].function.description", ".think"),
        },
    ),
    "Ollama chat": (
        ollama.ChatResponse,
        OLLAMA_CHAT,
        ollama_chat.RESPONSE,
        {".message.content", ".message.tool_calls[].function.name", ".done_reason", ".logprobs[].top_logprobs[].token"},
    ),
    "Ollama generate request": (
        GenerateRequest,
        OLLAMA_GENERATE,
        ollama_generate.REQUEST,
        {".prompt", ".suffix", ".system", ".template", ".images[]", ".format.*"},
    ),
    "Ollama generate": (
        ollama.GenerateResponse,
        OLLAMA_GENERATE,
        ollama_generate.RESPONSE,
        {".response", ".thinking", ".image", ".created_at"},
    ),
    "Ollama embed request": (EmbedRequest, OLLAMA_EMBED, ollama_embed.REQUEST, {".input", ".input[]"}),
    "Ollama embeddings request": (EmbeddingsRequest, OLLAMA_EMBED, ollama_embed.REQUEST, {".prompt"}),
    "Ollama embed": (ollama.EmbedResponse, OLLAMA_EMBED, ollama_embed.RESPONSE, {".model", ".done_reason"}),
}


def leaves(place: Place, text: str, codec: Codec, how: Any) -> list[TreeLeaf]:
    tree = place.build(text)
    for message in objects(members(tree).get("messages")):
        message.setdefault("role", "user")  # Ollama's type of a message does not say its roles
    return list(walk(tree, how, words=codec.contract.words))


def unclassified(place: Place, codec: Codec, how: Any) -> Iterator[str]:
    """What is wrong with a place: its text is not read, or the format does not know it."""
    read = [leaf for leaf in leaves(place, SENTENCE, codec, how) if SENTENCE in leaf.text or leaf.leaf.how in OPAQUE]
    if not read:
        yield f"{place.path} is not read"
    marked = [leaf for leaf in leaves(place, MARK, codec, how) if MARK in leaf.text or leaf.leaf.how in OPAQUE]
    if not marked or any(leaf.leaf.unmapped for leaf in marked):
        yield f"{place.path} is not classified"


def unknown(place: Place, codec: Codec, how: Any) -> Iterator[str]:
    """The words of a place that would be scanned as if they were text."""
    if not place.path.endswith(".model"):  # names of models are scanned
        for word in place.words:
            found = leaves(place, word, codec, how)
            # The definition of a tool is text as a whole, as is the schema in it.
            if any(leaf.text == word and leaf.leaf.kind != "tool_definition" for leaf in found):
                yield f"{place.path} does not know {word}"


@pytest.mark.parametrize("name", ROOTS)
def test_every_place_of_a_type_is_classified(name: str) -> None:
    type_, codec, how, least = ROOTS[name]
    walked = [place for place in places(type_) if place.path not in FREE]
    assert least <= {place.path for place in walked}, "the walk of the types reaches what the reference lists"
    wrong = [line for place in walked for line in (unknown if place.words else unclassified)(place, codec, how)]
    assert wrong == []


@pytest.mark.parametrize("name", ROOTS)
def test_every_kind_is_in_the_contract(name: str) -> None:
    type_, codec, how, _ = ROOTS[name]
    carries = codec.contract.carries["request" if how is codec.grammar.request else "response"]
    found = {
        leaf.leaf.kind
        for place in places(type_)
        for leaf in leaves(place, SENTENCE, codec, how)
        if leaf.text and leaf.leaf.how not in OPAQUE
    }
    assert found <= carries


def test_a_field_that_nobody_classified_is_named() -> None:
    type_, codec, how, _ = ROOTS["completion request"]
    less = {key: value for key, value in how.items() if key != "suffix"}
    wrong = [line for place in places(type_) if not place.words for line in unclassified(place, codec, less)]
    assert wrong == [".suffix is not classified"]
