"""A client cannot leave a policy by the spelling of its request.

Each condition of a policy has spellings of a request that upstreams may treat as equal. The policy applies to each of them, or
the request is refused. The conditions are read from the code, so a new condition without spellings fails here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from multidict import CIMultiDict

from guardproxy.errors import DownstreamError
from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.inputs.transcript import Finish, RequestReceived, SendUpstream
from guardproxy.gateway.clients.credentials import digest, read_credential
from guardproxy.gateway.duties.tenants import TenantNames
from guardproxy.policy.conditions.cel import NAMES
from guardproxy.policy.conditions.matching import KEYS
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.server.intake.headers import condition_headers
from guardproxy.wire.registry import installed
from tests.kit.play import CHAT, policy_set, setting

LEAST = 30
POLICY = """\
policy: p
match: {match}
checks: {{w: {{use: pattern, words: [falcon]}}}}
rules: [{{id: r, on: request, when: w, action: block}}]
"""
KEY = "sk-acme-1"
Spelling = tuple[str, list[tuple[str, str]], dict[str, Any]]  # a route, headers, what differs in the body
AUTH = [("Authorization", f"Bearer {KEY}")]


def model(*values: Any) -> list[Spelling]:
    return [(CHAT, AUTH, {"model": value}) for value in values]


def body(*more: dict[str, Any]) -> list[Spelling]:
    return [(CHAT, AUTH, each) for each in more]


def sent(*headers: list[tuple[str, str]]) -> list[Spelling]:
    return [(CHAT, each, {}) for each in headers]


def with_key(*headers: list[tuple[str, str]]) -> list[Spelling]:
    return sent(*([*AUTH, *each] for each in headers))


ZERO_WIDTH = [
    "\u200b",
    "\u200c",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u180e",
    "\U000e0061",
    "\u202e",
    "\x00",
    "\x08",
    "\x7f",
]
MODELS = [
    *model("gpt-4", "GPT-4", "Gpt-4", " gpt-4", "gpt-4 ", "\tgpt-4", "gpt-4\n", "\u00a0gpt-4", "\u3000gpt-4", "", None),
    *model(*(f"g{mark}pt-4" for mark in ZERO_WIDTH)),
    *model(
        "openai/gpt-4",
        "azure/gpt-4",
        "models/gpt-4",
        "accounts/a/models/gpt-4",
        "openrouter/openai/gpt-4",
        "openai:gpt-4",
    ),
    *model(
        "openai--gpt-4",
        "openai.gpt-4",
        "us.openai.gpt-4-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/openai.gpt-4",
    ),
    *model(
        "gpt-4:free",
        "gpt-4@2024-06-01",
        "gpt-4-2024-06-01",
        "gpt-4-0613",
        "gpt-4-latest",
        "ft:gpt-4:org::id",
        "~openai/gpt-4",
    ),
    *model(
        "\uff47\uff50\uff54-4",
        "g\u0440t-4",
        "gp\u0442-4",
        "g\u0334pt-4",
        "gpt%2D4",
        "gpt\u20114",
        "openrouter/auto",
        "auto",
    ),
    *model("@preset/mine", "\ud835\udc88pt-4", ["gpt-4"], 4, True, {"name": "gpt-4"}),
    *body({"model": "x", "models": ["gpt-4"]}, {"model": "x", "models": ["y", "OpenAI/GPT-4"]}, {"models": ["gpt-4"]}),
    *body({"model": "x", "models": [4]}, {"model": "x", "models": {"a": 1}}, {"model": "x", "fallbacks": ["gpt-4"]}),
    *body({"model": "x", "fallbacks": [{"model": "gpt-4"}]}, {"model": "x", "fallbacks": [{"x": ["gpt-4"]}]}),
    *body({"model": "x", "models": [f"y{number}" for number in range(65)]}),
]
SPACES = ["", " ", "  ", "\t", " \t "]
VALUES = [
    "red",
    "RED",
    "Red",
    "rEd",
    " red",
    "red ",
    "\tred",
    "red\t",
    "blue, red",
    "red, blue",
    "blue,red",
    "a, b, RED",
    "red,",
    ",red",
]
HEADERS = [
    *with_key(*([(name, value)] for name in ("x-team", "X-Team", "X-TEAM") for value in VALUES)),
    *with_key([], [("x-tea", "red")], [("x-team", "red"), ("X-Team", "blue")], [("x-team", "blue"), ("x-team", "red")]),
    *with_key([("x-team", ""), ("x-team", "red")], [("x-team", "red"), ("x-team", "red")]),
]
TOKENS = ["Bearer", "bearer", "BEARER", "BeArEr"]
TENANTS = [
    *sent(*([("Authorization", f"{scheme}{space} {KEY}")] for scheme in TOKENS for space in ("", " ", "\t"))),
    *sent(*([(name, KEY)] for name in ("x-api-key", "X-API-KEY", "api-key", "Api-Key", "x-goog-api-key", "X-Goog-Api-Key"))),
    *sent(*([("AUTHORIZATION", value), *AUTH] for value in ("Bearer other", "", "x"))),
    *sent(*([*AUTH, pair] for pair in (
        ("authorization", "Bearer other"), ("x-api-key", "other"), ("api-key", "other"), ("x-goog-api-key", "other"),
        ("x-api-key", ""), ("x-api-key", KEY), ("cookie", "key=other"), ("proxy-authorization", "Bearer other"),
    ))),
    *sent([("x-api-key", KEY), ("x-api-key", "other")], [("x-api-key", "other"), ("x-api-key", KEY)]),
    *sent([("x-api-key", f"other, {KEY}")], [("authorization", f"Bearer {KEY}, Bearer other")], [("authorization", KEY)]),
    *sent([("authorization", f'Bearer "{KEY}"')], [("authorization", f"Token {KEY}")], [("x-api-key", f"Bearer {KEY}")]),
]  # fmt: skip
ROUTES: list[Spelling] = [
    (f"{method} {path}", AUTH, {})
    for method in ("POST", "post", "Post", "PUT")
    for path in (
        *("/v1/chat/completions", "/v1/chat/completions/", "/v1//chat/completions", "/V1/chat/completions"),
        *("/v1/chat/Completions", "/v1/chat/completions%20", "/v1/chat/%63ompletions", "/v1/./chat/completions"),
        *("/v1/chat/completions;a=b", "/v1/chat/completions.json", "/openai/v1/chat/completions"),
    )
]
STREAMS = body(*({"stream": value} for value in (True, 1, "true", "True", 1.0, [True], {"a": 1}, "yes", "1", 2)))
STREAMS += [
    (CHAT, AUTH, {"stream": True, "stream_options": value}) for value in (None, {}, {"include_usage": True}, {"a": 1})
]
STREAMS += [
    (CHAT, [*AUTH, ("accept", value)], {"stream": True})
    for value in ("", "*/*", "text/event-stream", "application/json")
]
STREAMS += [(CHAT, AUTH, {"stream": True, "n": value}) for value in range(1, 13)]
NO_LIMITS: tuple[Any, ...] = (None, 0, -1, 1.5, "1", False, [], {})
LIMITS = body(
    {}, {"max_tokens": None}, *({"max_tokens": value} for value in (5000, 5e3, "5000", 10**30, True, [5000], 5000.5, {"a": 1})),
    *({"max_completion_tokens": value} for value in (5000, "5000", 10**30, 5e3)),
    *({"max_tokens": 1, name: 5000} for name in ("max_completion_tokens", "max_output_tokens", "max_new_tokens")),
    *({"max_completion_tokens": 1, name: 5000} for name in ("max_tokens", "max_output_tokens", "max_tokens_to_sample")),
    *({"max_completion_tokens": value, "max_tokens": 5000} for value in NO_LIMITS),
    *({"max_completion_tokens": 5000, "max_tokens": value} for value in NO_LIMITS),
)  # fmt: skip
MESSAGES = body(*(
    {"messages": [{"role": "user", "content": "falcon"}, *[{"role": role, "content": text}] * count]}
    for role in ("user", "assistant", "system", "developer", "User") for text in ("a", "", "b ") for count in (1, 2)
))  # fmt: skip
NAMED = [
    "shell",
    "SHELL",
    "Shell",
    " shell",
    "she\u200bll",
    "files__shell",
    "functions.shell",
    "mcp:shell",
    "\u0455hell",
    "\uff53hell",
]
TOOLS = body(
    *({"tools": [{"type": "function", "function": {"name": name}}]} for name in NAMED),
    *({"functions": [{"name": name}]} for name in NAMED),
    *({"tools": [{"type": "custom", "custom": {"name": name}}]} for name in NAMED[:4]),
    *({"tools": [{"type": kind, "name": "shell"}]} for kind in ("function", "custom", "bash_20250124", "local_shell")),
    {"tools": [{"type": "shell"}]}, {"tools": [{"type": "shell", "name": "x"}]}, {"tools": [{"name": "x"}, {"name": "shell"}]},
    {"tools": [{"type": "mcp", "server_label": "a", "allowed_tools": ["shell"]}]}, {"tools": [{"function": "shell"}]},
    {"tools": [{"type": "mcp", "server_label": "a", "allowed_tools": {"tool_names": ["shell"]}}]}, {"tools": ["shell"]},
    {"tools": [{"type": "namespace", "name": "a", "tools": [{"name": "shell"}]}]}, {"tools": {"name": "shell"}},
    {"mcp_servers": [{"name": "shell", "url": "https://a.example"}]}, {"tools": [{"name": ["shell"]}]},
)  # fmt: skip
MESSAGE: dict[str, Any] = {"jsonrpc": "2.0", "id": 1}
SERVERS: list[Spelling] = [
    (f"{method} /{base}/{name}", AUTH, {**MESSAGE, "method": "tools/list"})
    for method in ("POST", "post")
    for base in ("mcp", "MCP", "./mcp", "mcp/")
    for name in (
        "shop",
        "SHOP",
        "Shop",
        "sh%6Fp",
        "%73hop",
        "shop/",
        "shop//",
        "shop;a=b",
        "sh\u200bop",
        "\u0455hop",
        "shop%20",
    )
]
METHODS: list[dict[str, Any]] = [
    *(
        {"method": text}
        for text in ("tools/call", "TOOLS/CALL", "Tools/Call", "tools/CALL", "TOOLS/call", "tOOLS/call")
    ),
    *({"method": f"tools{mark}/call"} for mark in ZERO_WIDTH),
    *({"method": f"{space}tools/call"} for space in (" ", "\t", "\n", "\u00a0", "\u3000")),
    *({"method": f"tools/call{space}"} for space in (" ", "\t", "\n", "\u00a0", "\u3000")),
    *({"method": value} for value in ("tool\uff53/call", None, 1, ["tools/call"], {"a": "tools/call"})),
    *({"Method": "tools/call", "method": value} for value in ("ping", "tools/call")),
    *({key: "tools/call"} for key in ("Method", "METHOD", "method ")),
]
OPERATIONS: list[Spelling] = [("POST /mcp/shop", AUTH, {**MESSAGE, **more}) for more in METHODS]

# For each condition: how it is written, and the ways to spell a request that it is for.
CONDITIONS: dict[str, list[tuple[str, list[Spelling]]]] = {
    "routes": [('{routes: ["POST /v1/chat/completions"]}', ROUTES)],
    "models": [("{models: ['gpt-4*']}", MODELS), ("{models: [GPT-4]}", MODELS)],
    "tenants": [("{tenants: [acme]}", TENANTS), ("{tenants: ['A*']}", TENANTS)],
    "headers": [("{headers: {x-team: red}}", HEADERS), ("{headers: {x-team: 'RED*'}}", HEADERS)],
    "when": [],  # below, for each name
    "request.route": [("{when: 'request.route == \"POST /v1/chat/completions\"'}", ROUTES)],
    "request.method": [("{when: 'request.method == \"POST\"'}", ROUTES)],
    "request.path": [("{when: 'request.path.startsWith(\"/v1/chat\")'}", ROUTES)],
    "request.model": [
        (f"{{when: '{text}'}}", MODELS)
        for text in (
            'request.model == "gpt-4"', 'request.model.startsWith("GPT-")', 'request.model in ["gpt-4"]',
            'request.model.matches("^gpt-")', 'request.model != "other"', '!(request.model == "other")',
            'request.model == "gpt-4" && tenant.name == "acme"',
        )
    ],
    "request.stream": [("{when: request.stream}", STREAMS)],
    "request.max_tokens": [
        (f"{{when: '{text}'}}", LIMITS) for text in ("request.max_tokens > 4000", "!(request.max_tokens <= 4000)")
    ],
    "request.messages": [("{when: 'request.messages > 1'}", MESSAGES)],
    "request.tools": [
        (f"{{when: '{text}'}}", TOOLS)
        for text in ('request.tools.exists(t, t == "shell")', '"Shell" in request.tools', '!request.tools.all(t, t != "shell")')
    ],
    "request.server": [
        (f"{{when: '{text}'}}", SERVERS) for text in ('request.server == "shop"', 'request.server.startsWith("sh")')
    ],
    "request.operation": [
        (f"{{when: '{text}'}}", OPERATIONS)
        for text in ('request.operation == "tools/call"', 'request.operation != "tools/list"')
    ],
    "request.headers": [
        (f"{{when: '{text}'}}", HEADERS)
        for text in (
            'request.headers["x-team"] == "red"', 'request.headers["x-team"].startsWith("Red")',
            'request.headers["x-team"] != "green"',
        )
    ],
    "tenant.name": [
        (f"{{when: '{text}'}}", TENANTS)
        for text in ('tenant.name == "acme"', 'tenant.name.startsWith("ac")', 'tenant.name != "other"')
    ],
}  # fmt: skip


def applies(policies: PolicySet, spelling: Spelling) -> bool:
    """Whether the policy applies to the request, or the proxy would refuse the request."""
    route, headers, more = spelling
    codec = installed().codec_for(route)
    if codec is None:
        return True  # 404 or 405
    every = CIMultiDict((name, value.strip(" \t")) for name, value in headers)  # as the HTTP parser gives them
    tree = {"model": "gpt-4", "messages": [{"role": "user", "content": "falcon"}], **more}
    try:
        secret = read_credential(every).secret
        asked = condition_headers(every, policies.headers)
    except DownstreamError as error:
        return error.status == 400
    name = TenantNames([f"acme={digest(KEY)}"]).name(secret)
    exchange = Exchange(setting(policies, route, tenant="pseudonym", tenant_name=name))
    done = exchange.receive(RequestReceived(json.dumps(tree).encode(), headers=asked))
    if isinstance(done[-1], (Finish, SendUpstream)):
        return isinstance(done[-1], Finish) and done[-1].record.status == 400
    assert exchange.bound is not None
    return [policy.name for policy in exchange.bound.policies] == ["p"]


def cases() -> Iterator[tuple[str, str, list[Spelling]]]:
    for condition, ways in CONDITIONS.items():
        for match, spellings in ways:
            yield condition, match, spellings


def test_every_condition_has_spellings() -> None:
    assert set(CONDITIONS) == {*KEYS, *NAMES}
    assert all(ways for condition, ways in CONDITIONS.items() if condition != "when")
    for condition, match, spellings in cases():
        assert len(spellings) >= LEAST, (condition, match, len(spellings))


@pytest.mark.parametrize(
    ("condition", "match", "spellings"), list(cases()), ids=[f"{name} {match}" for name, match, _ in cases()]
)
def test_no_spelling_leaves_a_policy(condition: str, match: str, spellings: list[Spelling]) -> None:
    policies = policy_set(POLICY.format(match=match))
    left = [spelling for spelling in spellings if not applies(policies, spelling)]
    assert not left, left


def test_a_request_that_a_policy_is_not_for_is_left_alone() -> None:
    """No condition is simply always true."""
    plain = (CHAT, [("x-api-key", "other"), ("x-team", "green")], {"model": "other", "max_tokens": 5})
    for condition, match, _ in cases():
        if condition in ("routes", "request.route", "request.method", "request.path"):
            continue
        never = ('!= "other"' in match and condition == "tenant.name") or "tenant" not in condition
        assert never or not applies(policy_set(POLICY.format(match=match)), plain), match
    for match in (
        "{models: ['gpt-*']}",
        "{headers: {x-team: red}}",
        "{tenants: [acme]}",
        "{when: 'request.max_tokens > 10'}",
    ):
        assert not applies(policy_set(POLICY.format(match=match)), plain), match
