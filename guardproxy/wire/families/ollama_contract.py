"""What the contracts of Ollama's formats share: the vocabulary, headers, signs of a client, and routes that are refused."""

from __future__ import annotations

import re
from dataclasses import replace

from guardproxy.wire.contract.calls import CallMap, arguments_in, calls_in, calls_of_all
from guardproxy.wire.contract.contract import KeyHeader, MediaTypes, QuerySyntax, RefusedRoutes, Signs, UsageFields
from guardproxy.wire.contract.headers import FormatHeaders
from guardproxy.wire.contract.request_facts import EVERY_SERVER
from guardproxy.wire.framing import ndjson
from guardproxy.wire.json import write
from guardproxy.wire.json.vocabulary import SHARED, Vocabulary

RENDERED = "returns the rendered prompt, which holds the operator's text"
TEMPLATE = "replaces the template that turns the texts into the prompt"
"""What denied fields do."""
WORDS = Vocabulary(SHARED.keys, SHARED.values | {"json", "load", "unload", "control"})
MEDIA = MediaTypes("application/json", "application/x-ndjson", ("application/json",))
TERMINAL = (ndjson.frame(b'{"done":true}'),)
USAGE = UsageFields(prompt=("prompt_eval_count",), answer=("eval_count",))
STATEMENTS = replace(EVERY_SERVER, lengths=("options.num_predict",))
CALLS = CallMap(
    re.compile(r"(?P<call>(?:messages\[\d+\]\.|message\.)?tool_calls\[\d+\]\.function)\.(?P<member>name|arguments)"),
    arguments_in("arguments", write=lambda value: write(value).decode()),
    named=calls_of_all(
        calls_in(("message", "tool_calls", None, "function")), calls_in(("tool_calls", None, "function"))
    ),
)
NO_QUERY = QuerySyntax(re.compile(""), "none")
KEY_HEADER = KeyHeader("Authorization", "Bearer ")
HEADERS = FormatHeaders(
    credentials=("authorization",), meaning={}, single=frozenset(), client={}, account={}, answer={}, families=()
)
_OWN = "chat|generate|embed|embeddings|tags|version|ps|show|create|pull|push|copy|delete|blobs|web_search|web_fetch"
SIGNS = Signs(paths=tuple(f"/api/{name}" for name in _OWN.split("|")), headers=())
REFUSED = (
    RefusedRoutes(
        re.compile(r"[A-Z]+ /api/(?:create|pull|push|copy|delete|blobs/.*)"),
        "routes that change the models of a server are refused: a model can hold a system prompt and a template that no check "
        "reads. Manage models on the server itself, not through guardproxy",
    ),
    RefusedRoutes(
        re.compile(r"POST /api/show"),
        "the description of a model is refused, as it holds the operator's system prompt and template. To pass it through "
        "unread, start guardproxy with --pass-through 'POST /api/show'",
    ),
    RefusedRoutes(
        re.compile(r"[A-Z]+ /api/web_(?:search|fetch)"),
        "searches of the web are not guarded: no check reads what these routes give back. Search outside of guardproxy and "
        "send the results as messages with the role `tool` to POST /api/chat",
    ),
)
