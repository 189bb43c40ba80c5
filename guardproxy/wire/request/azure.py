"""What Azure OpenAI adds to the formats of OpenAI: routes with the deployment in the path, the results of content filters, and
the data sources of "On Your Data".

The deployment is the model of a request; a field `model` in the body is ignored there. `/openai/v1/...` names the deployment as
`model`, as OpenAI does. Amazon Bedrock serves the same `/openai/v1/...` routes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

from guardproxy.wire.json import KEYS, OTHERS, SECRET, STRUCTURE, UNMAPPED, Map, MapFields, MapLeaf, naming, text

_DEPLOYMENT = re.compile(r"(/openai/deployments/)([^/]+)(/.*)")
_HOSTED = re.compile(r"([A-Z]+) (?:/openai/deployments/[^/]+/|/openai/(?:v1/)?|/anthropic/v1/)(.+)")


def hosted_routes(name: str) -> tuple[str, str]:
    """Returns the routes of Azure for an operation of OpenAI, such as `chat/completions`."""
    return f"POST /openai/v1/{name}", f"POST /openai/deployments/{{deployment}}/{name}"


@cache
def route_spellings(route: str) -> tuple[str, ...]:
    """Returns a route and, if it is a host's spelling of a route of OpenAI or Anthropic, that route: a client that can choose
    between both must not escape a policy that names one of them."""
    match = _HOSTED.fullmatch(route)
    return (route, f"{match[1]} /v1/{match[2]}") if match else (route,)


def model_of(path: str, tree: Mapping[str, Any]) -> str:
    """Returns the deployment that a path names, or else the model that the body names; empty if there is none."""
    match = _DEPLOYMENT.fullmatch(path)
    return match[2] if match else tree.get("model") or ""


def with_model(path: str, tree: Mapping[str, Any], model: str) -> tuple[str, dict[str, Any]]:
    """`Turns.with_model` of a format whose path or body names the model."""
    match = _DEPLOYMENT.fullmatch(path)
    if match is None:
        return path, {**tree, "model": model}
    body = {**tree, "model": model} if "model" in tree else dict(tree)
    return f"{match[1]}{quote(model, safe='')}{match[3]}", body


# Content filters.

_OFFSETS: MapFields = dict.fromkeys(
    ("check_offset", "start_offset", "end_offset", "completion_start_offset", "completion_end_offset"), STRUCTURE
)
_ERROR: MapFields = {"code": text("error"), "message": text("error"), OTHERS: UNMAPPED}
_VERDICT: MapFields = {
    **dict.fromkeys(("filtered", "detected", "severity", "redacted"), STRUCTURE),
    "citation": {"URL": text("metadata"), "license": text("metadata"), OTHERS: UNMAPPED},
    "details": [{"filtered": STRUCTURE, "id": text("metadata"), **_OFFSETS, OTHERS: UNMAPPED}],
    "reason": text("metadata"),
}
_FILTERS = (
    *("hate", "self_harm", "sexual", "violence", "profanity", "jailbreak", "indirect_attack", "task_adherence"),
    *("protected_material_text", "protected_material_code", "custom_blocklists", "ungrounded_material"),
    *("personally_identifiable_information", "custom_topics"),
)


def _verdict(value: Any) -> Map:
    """Returns the map of the result of one filter. An older version lists blocklists without an object around them."""
    return [{"filtered": STRUCTURE, "id": text("metadata")}] if isinstance(value, list) else _VERDICT


_RESULTS: MapFields = {**dict.fromkeys(_FILTERS, _verdict), "error": _ERROR}
_PROMPTS: list[Map] = [
    {"prompt_index": STRUCTURE, "content_filter_results": _RESULTS, "content_filter_result": _RESULTS}
]
PROMPT_FILTERS: MapFields = {"prompt_filter_results": _PROMPTS, "prompt_annotations": _PROMPTS}
"""The fields of an answer with the results of filters on the prompts."""
CHOICE_FILTERS: MapFields = {
    **dict.fromkeys(("content_filter_results", "content_filter_result"), _RESULTS),
    "content_filter_offsets": _OFFSETS,
}
"""The fields of a choice with the results of filters on its text."""

# On Your Data.

_KEYS = ("key", "api_key", "apiKey", "connection_string", "connectionString", "access_token", "accessToken")
_MORE_KEYS = ("encoded_api_key", "encodedApiKey", "key_id", "keyId", "embeddingKey", "embedding_key", "password")
_METADATA: MapLeaf = text("metadata")
_AUTHENTICATION: MapFields = {
    "type": STRUCTURE,
    **dict.fromkeys((*_KEYS, *_MORE_KEYS), SECRET),
    OTHERS: _METADATA,
    KEYS: _METADATA,
}
_DEPLOYMENTS = ("deployment_name", "deploymentName", "model_id", "modelId")
_DEPENDENCY: MapFields = {
    **_AUTHENTICATION,
    "authentication": _AUTHENTICATION,
    **dict.fromkeys(_DEPLOYMENTS, naming("model", _METADATA)),
}
_PARAMETERS: MapFields = {
    **_AUTHENTICATION,
    "authentication": _AUTHENTICATION,
    **dict.fromkeys(("embedding_dependency", "embeddingDependency"), _DEPENDENCY),
    **dict.fromkeys(("embedding_deployment_name", "embeddingDeploymentName"), naming("model", _METADATA)),
    **dict.fromkeys(("role_information", "roleInformation"), text("system")),
    **dict.fromkeys(("in_scope", "inScope", "strictness", "top_n_documents", "topNDocuments"), STRUCTURE),
    **dict.fromkeys(("query_type", "queryType", "include_contexts", "max_search_queries"), _METADATA),
}
_SOURCES: list[Map] = [{"type": _METADATA, "parameters": _PARAMETERS, OTHERS: _METADATA, KEYS: _METADATA}]
DATA_SOURCES: MapFields = {"data_sources": _SOURCES, "dataSources": _SOURCES}
"""The fields of a request that name the documents of an answer, with the credentials for them."""
CONTEXT: MapFields = {"context": {OTHERS: text("tool_result"), KEYS: text("tool_result")}}
"""The field of an answer that holds these documents."""
