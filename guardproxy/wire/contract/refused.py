"""Routes of the APIs of OpenAI, Azure, Anthropic, Amazon Bedrock and self-hosted servers that are refused, each with advice.

They carry content in a way that no check reads, give stored content back, or administer a server. A setting can pass a route
through unread (`pass_through`).
"""

from __future__ import annotations

import re

from guardproxy.wire.contract.contract import RefusedRoutes

_OPENAI = r"[A-Z]+ (?:/v1|/openai|/openai/v1|/openai/deployments/[^/]+)/"
_ANTHROPIC = r"[A-Z]+ (?:/anthropic)?/v1/"


def _routes(prefix: str, names: str, advice: str) -> RefusedRoutes:
    """Returns the routes whose path begins with the prefix and one of the names, which spaces separate."""
    return RefusedRoutes(re.compile(rf"{prefix}(?:{'|'.join(names.split())})(?:[/:].*)?", re.ASCII), advice)


OPENAI_REFUSED: tuple[RefusedRoutes, ...] = (
    _routes(
        _OPENAI,
        "files uploads vector_stores containers skills content_provenance_checks",
        "files are not guarded: no check reads what they hold, and a request could name them later. Put the text into the "
        "request itself, in `messages` or `input`",
    ),
    _routes(
        _OPENAI,
        "batches batch",
        "batches are not guarded: no check reads the file with their requests. Send the requests one by one to POST "
        "/v1/chat/completions or POST /v1/responses",
    ),
    _routes(
        _OPENAI,
        "realtime live",
        "Realtime is not guarded: no check reads its audio and its events. Use POST /v1/responses or POST "
        "/v1/chat/completions with `stream: true`",
    ),
    _routes(
        _OPENAI,
        "audio images videos extensions",
        "audio, images and videos are not guarded: no check reads them. Use a model for texts by POST /v1/chat/completions, "
        "or have the operator pass the route through unread",
    ),
    _routes(
        _OPENAI,
        "assistants threads agents chatkit decisions evals",
        "assistants, threads, agents and evaluations are not guarded: their texts are stored at the provider, where no check "
        "reads them. Keep the conversation in the client and send it to POST /v1/responses with `store: false`",
    ),
    _routes(
        _OPENAI,
        "fine_tuning fine-tunes fine-tuning organization safety vaults projects dashboard engines edits",
        "administration is not guarded: use the provider's own address for it, with a key that the proxy does not know",
    ),
    _routes(
        _OPENAI,
        "chat/completions",
        "stored answers are not guarded: no check reads what this route gives back. Keep the answer of POST "
        "/v1/chat/completions",
    ),
    _routes(
        r"[A-Z]+ /",
        "model async-invoke guardrail prompts",
        "Converse and InvokeModel of Amazon Bedrock are not guarded. Use its endpoints in the format of OpenAI (POST "
        "/openai/v1/chat/completions, POST /openai/v1/responses) or of Anthropic (POST /anthropic/v1/messages), with a "
        "Bedrock API key as `Authorization: Bearer KEY`",
    ),
    _routes(
        r"[A-Z]+ (?:/v1|/v2|/inference/v1)?/",
        "tokenize detokenize pooling embed rerank score classify generative_scoring encode chat_tokenize generate "
        "generate_stream invocations vertex render collective_rpc sleep wake_up is_sleeping reset_prefix_cache "
        "reset_mm_cache reset_encoder_cache "
        "load_lora_adapter unload_lora_adapter flush_cache update_weights_from_disk update_weights_from_tensor "
        "update_weights_from_distributed open_session close_session start_profile stop_profile slots lora-adapters infill "
        "completion props",
        "this route of a model server is not guarded: no check reads it, or it administers the server. Use POST "
        "/v1/chat/completions, POST /v1/completions or POST /v1/embeddings",
    ),
)

ANTHROPIC_REFUSED: tuple[RefusedRoutes, ...] = (
    _routes(
        _ANTHROPIC,
        "messages/batches",
        "batches are not guarded: their answers are stored at the provider, where no check reads them. Send the requests one "
        "by one to POST /v1/messages",
    ),
    _routes(
        _ANTHROPIC,
        "files skills",
        "files are not guarded: no check reads what they hold, and a request could name them later. Put the text into the "
        "request itself, in `messages`",
    ),
    _routes(
        _ANTHROPIC,
        "agents sessions environments memory_stores vaults tunnels dreams deployments",
        "agents and sessions are not guarded: their texts are stored at the provider, where no check reads them. Keep the "
        "conversation in the client and send it to POST /v1/messages",
    ),
    _routes(
        _ANTHROPIC,
        "organizations complete experimental",
        "this route is not guarded. Use POST /v1/messages, or the provider's own address for administration",
    ),
)
