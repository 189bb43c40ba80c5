"""Routes that the supported APIs have: each is guarded, passed through, or refused with advice."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from guardproxy.config import Config
from guardproxy.errors import ConfigError, DownstreamError, ErrorCode
from guardproxy.gateway import UNKNOWN, Head, Routes

GUARDED = """
POST /v1/chat/completions
POST /v1/responses
POST /v1/responses/compact
POST /v1/responses/input_tokens
POST /v1/completions
POST /v1/embeddings
POST /v1/moderations
POST /v1/messages
POST /v1/messages/count_tokens
POST /openai/v1/chat/completions
POST /openai/v1/completions
POST /openai/v1/embeddings
POST /openai/v1/responses
POST /openai/v1/responses/compact
POST /openai/v1/responses/input_tokens
POST /openai/responses
POST /openai/deployments/gpt-4o/chat/completions
POST /openai/deployments/gpt-4o/completions
POST /openai/deployments/text-embedding-3-small/embeddings
POST /anthropic/v1/messages
POST /anthropic/v1/messages/count_tokens
"""
PASSED = """
GET /v1/models
GET /v1/models/gpt-4o
GET /v1/models/claude-sonnet-4-20250514
GET /openai/v1/models
GET /openai/v1/models/gpt-4o
"""
REFUSED = """
DELETE /v1/responses/resp_1: stored responses
POST /v1/responses/resp_1/cancel: stored responses
POST /v1/conversations: stored responses
DELETE /openai/v1/responses/resp_1: stored responses
DELETE /openai/responses/resp_1: stored responses
GET /v1/chat/completions/chatcmpl-1: stored answers
GET /v1/chat/completions/chatcmpl-1/messages: stored answers
POST /v1/decisions: assistants, threads, agents
POST /v1/agents: assistants, threads, agents
POST /v1/assistants: assistants, threads, agents
POST /v1/threads/thread_1/runs: assistants, threads, agents
POST /v1/chatkit/sessions: assistants, threads, agents
POST /v1/evals: assistants, threads, agents
POST /v1/audio/transcriptions: audio, images and videos
POST /v1/audio/speech: audio, images and videos
POST /v1/images/generations: audio, images and videos
POST /openai/deployments/dall-e/images/generations: audio, images and videos
POST /v1/videos: audio, images and videos
POST /v1/batches: batches are not guarded
GET /v1/batches/batch_1: batches are not guarded
POST /v1/files: files are not guarded
GET /v1/files/file-1/content: files are not guarded
POST /openai/files: files are not guarded
POST /v1/uploads: files are not guarded
POST /v1/vector_stores/vs_1/search: files are not guarded
POST /v1/containers: files are not guarded
POST /v1/skills: files are not guarded
POST /v1/content_provenance_checks: files are not guarded
POST /v1/vaults: administration
POST /v1/fine_tuning/jobs: administration
POST /v1/safety/reports: administration
GET /v1/organization/usage/completions: administration
POST /v1/live/sessions: Realtime
GET /v1/realtime: Realtime
POST /v1/realtime/client_secrets: Realtime
POST /v1/messages/batches: batches are not guarded
GET /v1/messages/batches/msgbatch_1/results: batches are not guarded
POST /v1/environments: agents and sessions
POST /v1/sessions/s_1/events: agents and sessions
POST /v1/memory_stores: agents and sessions
POST /v1/tunnels: agents and sessions
POST /v1/dreams: agents and sessions
POST /v1/deployments: agents and sessions
GET /v1/organizations/usage: administration
POST /v1/complete: POST /v1/messages
POST /model/anthropic.claude-v2%3A1/converse: Amazon Bedrock
POST /model/anthropic.claude-v2/converse-stream: Amazon Bedrock
POST /model/anthropic.claude-v2/invoke: Amazon Bedrock
POST /model/anthropic.claude-v2/invoke-with-response-stream: Amazon Bedrock
POST /model/anthropic.claude-v2/count-tokens: Amazon Bedrock
POST /model/amazon.nova-sonic-v1/invoke-with-bidirectional-stream: Amazon Bedrock
POST /async-invoke: Amazon Bedrock
POST /guardrail/g/version/1/apply: Amazon Bedrock
POST /inference/v1/generate: model server
POST /tokenize: model server
POST /detokenize: model server
POST /pooling: model server
POST /v2/embed: model server
POST /rerank: model server
POST /v1/rerank: model server
POST /v2/rerank: model server
POST /score: model server
POST /classify: model server
POST /generative_scoring: model server
POST /invocations: model server
POST /collective_rpc: model server
POST /sleep: model server
POST /wake_up: model server
POST /reset_prefix_cache: model server
POST /v1/load_lora_adapter: model server
POST /generate: model server
POST /generate_stream: model server
POST /encode: model server
POST /flush_cache: model server
POST /update_weights_from_disk: model server
POST /open_session: model server
POST /start_profile: model server
POST /chat_tokenize: model server
POST /vertex: model server
GET /metrics: guardproxy reads
GET /v1/something/else: guardproxy reads
"""
DUTY = Routes(Config().network.pass_through)


def refusal(route: str, **headers: str) -> DownstreamError:
    method, _, path = route.partition(" ")
    head = Head("1", method, path, headers=CIMultiDict(headers), route=DUTY.route_of(method, path))
    with pytest.raises(DownstreamError) as caught:
        DUTY.admit(head)
    return caught.value


@pytest.mark.parametrize("route", [*GUARDED.strip().splitlines(), *PASSED.strip().splitlines()])
def test_a_route_is_guarded_or_passes(route: str) -> None:
    assert DUTY.route_of(*route.split(" ")) != UNKNOWN


@pytest.mark.parametrize("line", REFUSED.strip().splitlines())
def test_a_route_is_refused_with_advice(line: str) -> None:
    route, _, words = line.partition(": ")
    error = refusal(route)
    assert (error.status, error.code) == (404, ErrorCode.UNKNOWN_ROUTE)
    assert words in str(error)


@pytest.mark.parametrize("route", ["GET /v1/chat/completions", "DELETE /v1/models/gpt-4o", "GET /v1/messages"])
def test_a_path_with_another_method_is_refused(route: str) -> None:
    assert refusal(route).status == 405


def test_the_advice_is_that_of_the_api_that_the_client_speaks() -> None:
    assert "`messages` or `input`" in str(refusal("POST /v1/files"))
    assert "in `messages`" in str(refusal("POST /v1/files", **{"anthropic-version": "2023-06-01"}))


def test_a_pattern_passes_and_a_wrong_one_is_an_error() -> None:
    duty = Routes(["GET /v1/files/{id}", "GET /v1/files"])
    assert duty.route_of("GET", "/v1/files/file-1") == "GET /v1/files/{id}"
    assert duty.route_of("GET", "/v1/files") == "GET /v1/files"
    assert duty.route_of("POST", "/v1/files") == UNKNOWN
    with pytest.raises(ConfigError, match="pass_through"):
        Routes(["GET /v1/files/{id"])


@pytest.mark.parametrize("model", ["a/b", "a%2Fb", "1234567890", "a b", "", ".", "a:b"])
def test_a_name_that_could_hold_a_text_does_not_pass(model: str) -> None:
    assert DUTY.route_of("GET", f"/v1/models/{model}") == UNKNOWN
