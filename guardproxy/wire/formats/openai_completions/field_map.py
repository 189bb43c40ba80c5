"""The maps of OpenAI Completions: the meaning of each place of a request and of an answer."""

from __future__ import annotations

from guardproxy.wire.families.openai import PADDINGS
from guardproxy.wire.json import NAME, PADDING, STRUCTURE, TOKENS, UNMAPPED, MapFields, MapLeaf, text
from guardproxy.wire.request.azure import CHOICE_FILTERS, PROMPT_FILTERS
from guardproxy.wire.request.prompts import texts_or_tokens
from guardproxy.wire.request.vllm_fields import ANSWER, CHOICE, OPTIONS

REQUEST: MapFields = {
    **OPTIONS,
    **dict.fromkeys(
        (
            *("stream", "n", "best_of", "echo", "logprobs", "seed", "temperature", "top_p", "max_tokens"),
            *("frequency_penalty", "presence_penalty"),
        ),
        STRUCTURE,
    ),
    "model": NAME,
    "prompt": texts_or_tokens,
    "suffix": text("user"),
    "logit_bias": text("metadata"),
    "stream_options": {"include_usage": STRUCTURE, "include_obfuscation": STRUCTURE},
    "stop": text("metadata"),
    "user": text("metadata"),
}

_TOKENS = ("token_ids", "prompt_token_ids", "prompt_logprobs")


def _response(answer: MapLeaf) -> MapFields:
    choice: MapFields = {
        **{"index": STRUCTURE, "text": answer, "finish_reason": STRUCTURE, "logprobs": TOKENS},
        **CHOICE_FILTERS,
        **CHOICE,
    }
    return {
        **dict.fromkeys(("id", "object", "created", "system_fingerprint", "service_tier"), STRUCTURE),
        **dict.fromkeys(PADDINGS, PADDING),
        "model": NAME,
        **dict.fromkeys(_TOKENS, TOKENS),
        "choices": [{**choice, **dict.fromkeys(_TOKENS, TOKENS)}],
        "error": text("error"),
        "usage": UNMAPPED,
        **PROMPT_FILTERS,
        **ANSWER,
    }


RESPONSE = _response(text("assistant"))
JSON_RESPONSE = _response(MapLeaf("json", "assistant"))
