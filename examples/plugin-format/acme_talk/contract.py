"""What of the format is guarded, and how."""

from __future__ import annotations

import re

from guardproxy.wire import Contract
from guardproxy.wire.contract import (
    EVERY_SERVER,
    IDENTIFIER,
    NO_CALLS,
    NO_LIMIT_HEADERS,
    SHARED,
    USER_FIELDS,
    FormatHeaders,
    KeyHeader,
    MediaTypes,
    QuerySyntax,
    Signs,
    TelemetryNames,
    UsageFields,
    Vocabulary,
    demand_of,
    header_form,
    name_beside,
    never_acts,
    unchanged,
)

CONTRACT = Contract(
    carries={
        "request": frozenset(("user", "assistant", "system", "tool_definition", "metadata", "unmapped")),
        "response": frozenset(("assistant", "error", "metadata", "unmapped")),
    },
    words=Vocabulary(SHARED.keys | {"in", "out"}, frozenset(("user", "model", "system", "done", "filtered", ""))),
    opaque=frozenset(("token_ids",)),
    repeats=frozenset(),
    demand=lambda tree: demand_of(tree.get("answer_schema"), {}),
    parts={"answer": re.compile("text"), "tool": None, "input": None},
    answer_path=("text",),
    calls=NO_CALLS,
    name_path=name_beside,
    choice=re.compile(""),
    usage=UsageFields(prompt=("in",), answer=("out",)),
    lists=None,
    terminal=(b'{"end":"done"}\n', b'{"end":"filtered"}\n'),
    error_path=("error", "message"),
    media=MediaTypes("application/json", "application/x-ndjson", ("application/json",)),
    unanswered=frozenset(),
    limits={"messages": ("turns",), "tools": ()},
    serves_models=True,
    statements=EVERY_SERVER,
    acts=never_acts,
    query=QuerySyntax(re.compile(""), "none"),
    signs=Signs(paths=("/acme/",), headers=()),
    denied={},
    refused=(),
    with_wait=unchanged,
    stored=None,
    key_header=KeyHeader("x-acme-key", ""),
    headers=FormatHeaders(
        credentials=("x-acme-key",),
        meaning={"x-acme-version": header_form(r"v\d{1,2}")},
        single=frozenset(("x-acme-version",)),
        client={},
        account={},
        answer={"x-acme-request": IDENTIFIER},
        families=(),
    ),
    repeated=None,
    limit_headers=NO_LIMIT_HEADERS,
    user_fields=USER_FIELDS,
    telemetry=TelemetryNames("acme", "chat"),
)
