"""What Anthropic Messages requests demand of their answers, and the parts of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.findings import Channel, Form
from guardproxy.wire.contract.headers import Remaining
from guardproxy.wire.formats.anthropic_messages.contract import CONTRACT

S = {"type": "string"}
T = {"type": "object", "properties": {"a": S}}


@pytest.mark.parametrize(
    ("tree", "schema"),
    [
        ({"output_config": {"format": {"type": "json_schema", "schema": S}}}, S),
        ({"output_format": {"type": "json_schema", "schema": S}}, S),
        ({"output_config": {"effort": "low"}}, None),
    ],
)
def test_the_schema_of_the_answer(tree: Any, schema: Any) -> None:
    assert CONTRACT.demand(tree).answer == (None if schema is None else Form(schema))


@pytest.mark.parametrize(
    ("tool", "tools"),
    [
        ({"name": "f", "input_schema": T}, {"f": T}),
        (
            {"type": "code_execution_1", "name": "code_execution"},
            {"code_execution": None, "bash_code_execution": None, "text_editor_code_execution": None},
        ),
    ],
)
def test_the_tools(tool: Any, tools: Any) -> None:
    demand = CONTRACT.demand({"tools": [tool]})
    assert demand.tools == {name: None if schema is None else Form(schema, call=True) for name, schema in tools.items()}
    assert demand.tool_names is not None
    assert demand.tool_names.words == tuple(sorted(tools))


@pytest.mark.parametrize(
    ("kind", "path", "part"),
    [
        ("assistant", "content[0].text", "answer"),
        ("tool_arguments", "content[3].name", "tool"),
        ("tool_arguments", "content[3].input", "input"),
        ("tool_arguments", "content[3].input.city", None),
    ],
)
def test_the_parts_of_an_answer(kind: Any, path: str, part: str | None) -> None:
    assert CONTRACT.part(Channel("response", kind, path)) == part
    assert CONTRACT.part(Channel("request", kind, path)) is None


def test_arguments_that_are_an_object() -> None:
    written = CONTRACT.calls.written
    assert written({"name": "f", "input": {"é": 1}}, streamed=False) == ("input", '{"é": 1}')
    assert written({"name": "f", "input": {}}, streamed=False) == ("input", "{}")
    assert written({"name": "f", "input": {}}, streamed=True) is None, "they come in later events"
    assert written({"name": "f", "input": "x"}, streamed=False) is None
    assert CONTRACT.name_path("content[3].input") == "content[3].name"


def test_a_count_of_tokens_is_no_answer() -> None:
    assert CONTRACT.is_answered("POST /v1/messages")
    assert not CONTRACT.is_answered("POST /v1/messages/count_tokens")


def test_clients_are_known_by_path_and_header() -> None:
    assert CONTRACT.signs.match("/v1/messages/batches", ())
    assert CONTRACT.signs.match("/", ("Anthropic-Version",))
    assert not CONTRACT.signs.match("/v1/models", ("authorization",))


def test_headers_tell_the_time_of_a_reset() -> None:
    assert CONTRACT.limit_headers.write(Remaining("requests", 10, 1, 360.0), 1_000_000_000.5) == {
        "anthropic-ratelimit-requests-limit": "10",
        "anthropic-ratelimit-requests-remaining": "1",
        "anthropic-ratelimit-requests-reset": "2001-09-09T01:52:40Z",
    }
