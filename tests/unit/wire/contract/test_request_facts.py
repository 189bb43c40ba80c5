"""What a request states of itself, in every dialect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire import Codec, codecs, installed
from guardproxy.wire.contract.request_facts import (
    EVERY_SERVER,
    LARGEST,
    LIMIT_NAMES,
    RequestStatement,
    answers_of,
    brief_statement_of,
    statement_of,
)
from guardproxy.wire.json import NAME, naming
from tests.kit.codec_cost import calls

OF_MODELS = [codec for codec in codecs() if codec.contract.serves_models]
TWO = frozenset(("max_tokens", "tools"))


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({}, RequestStatement()),
        ([], RequestStatement()),
        ({"model": "m"}, RequestStatement(models=("m",))),
        ({"max_tokens": 5, "messages": [{}, {}]}, RequestStatement(5, 2, limits=(5,), counts=(2,))),
        ({"max_completion_tokens": 7, "max_tokens": 5}, RequestStatement(7, limits=(7, 5))),
        ({"max_output_tokens": 9, "input": "hello"}, RequestStatement(9, 1, limits=(9,), counts=(1,))),
        ({"messages": [{}], "input": "hello"}, RequestStatement(0, 1, counts=(1,))),
        ({"max_tokens": True, "messages": "x", "tools": {}}, RequestStatement(0, 1, counts=(1,), unclear=TWO)),
        ({"max_tokens": -1}, RequestStatement(limits=(0,))),
        ({"max_tokens": 10**30}, RequestStatement(2**63 - 1, limits=(2**63 - 1,))),
        ({"messages": 3, "max_tokens": 1.5}, RequestStatement(unclear=frozenset(("messages", "max_tokens")))),
        ({"model": "a", "models": ["b", "a"]}, RequestStatement(models=("a", "b"))),
        ({"models": "b"}, RequestStatement(models=("b",))),
        ({"model": "a", "fallbacks": [{"model": "c"}, "d"]}, RequestStatement(models=("a", "c", "d"))),
        ({"model": "a", "models": ["b", 3, ""]}, RequestStatement(models=("a", "b"), unclear=frozenset(("model",)))),
        ({"model": "a", "models": ["a"] * 17}, RequestStatement(models=("a",))),
        (
            {"models": [f"m{at}" for at in range(17)]},
            RequestStatement(models=tuple(f"m{at}" for at in range(16)), unclear=frozenset(("model",))),
        ),
        ({"model": "a", "x": {"base_model": "b"}}, RequestStatement(models=("a",))),
    ],
)
def test_everything_that_a_request_states_is_given(tree: Any, said: RequestStatement) -> None:
    assert statement_of(tree) == said


def test_every_name_and_kind_of_a_tool_is_given() -> None:
    tools = [
        {"type": "function", "function": {"name": "a"}},
        {"type": "custom", "custom": {"name": "b"}},
        {"name": "c", "type": "custom"},
        {"type": "web_search"},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "mcp", "server_label": "files", "allowed_tools": ["read", 3]},
        {"type": "namespace", "name": "n", "tools": [{"name": "inner"}]},
    ]
    said = statement_of({"tools": tools, "functions": [{"name": "old"}], "mcp_servers": [{"name": "s", "url": "u"}]})
    assert said.tools == ("a", "b", "c", "web_search", "bash", "mcp", "n")
    names = ("a", "b", "c", "web_search", "bash", "bash_20250124", "files", "read", "mcp", "n", "inner", "old", "s")
    assert said.offered == names
    assert said.unclear == frozenset()


def test_tools_that_a_message_brings_are_offered_too() -> None:
    items = [{"role": "user", "tools": [{"name": "a"}]}, {"type": "additional_tools", "tools": [{"type": "shell"}]}, 5]
    said = statement_of({"input": items, "tools": [{"name": "b"}]})
    assert (said.tools, said.offered, said.unclear) == (("b",), ("b", "a", "shell"), frozenset())
    assert statement_of({"messages": [{"tools": "x"}]}).unclear == frozenset({"tools"})


def test_more_tools_than_are_read_are_unclear() -> None:
    many = [f"a{at}" for at in range(LIMIT_NAMES + 1)]
    for tools in (
        [{"name": name} for name in many],
        [{"name": "b", "allowed_tools": many}],
        [{"name": "b", "tools": [{"name": "c"}] * 999}],
    ):
        said = statement_of({"tools": tools})
        assert (len(said.offered) <= LIMIT_NAMES, said.unclear) == (True, frozenset({"tools"}))
    assert statement_of({"tools": [{"name": name} for name in many[1:]]}).unclear == frozenset()


@pytest.mark.parametrize("tool", [3, {}, {"name": 4}, {"function": "d"}, {"type": "function"}, None])
def test_a_tool_without_a_name_is_unclear(tool: Any) -> None:
    assert statement_of({"tools": [tool]}).unclear == {"tools"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["max_tokens", "messages", "input", "tools", "name", "function", "custom", "type"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "part",
    [
        lambda n: {"fallbacks": [{"model": "m"}] * n},
        lambda n: {"fallbacks": [{"m": {"model": "m"}}] * n},
        lambda n: {"models": [[]] * n},
        lambda n: {"unknown": [{"model": "m"}] * n},
        lambda n: {"unknown": {f"model{at}": {} for at in range(n)}},
        lambda n: {f"unknown{at}": {} for at in range(n)},
        lambda n: {"unknown": [{}] * n},
        lambda n: {"tools": [{"model": "m"}] * n},
        lambda n: {"tools": [{}] * n},
        lambda n: {"messages": [{"tools": [{}]}] * n},
        lambda n: {"messages": [{}] * n},
    ],
)
def test_the_work_on_a_request_is_bounded(part: Callable[[int], dict[str, Any]]) -> None:
    codec = installed().codec_for("POST /v1/chat/completions")
    assert codec is not None
    spent: list[int] = []
    for number in (20_000, 80_000):
        read = partial(statement_of, {"model": "a", **part(number)}, codec.contract.statements)
        assert read().unclear & {"model", "tools"}, "what is not read is not clear"
        assert "a" in read().models
        spent.append(calls(read))
    assert spent[1] < 1.1 * spent[0]


@given(JSON)
def test_any_tree_is_read(tree: Any) -> None:
    said = statement_of(tree)
    assert 0 <= said.max_tokens < 2**63
    assert said.messages >= 0
    assert all(isinstance(name, str) for name in said.tools)


@pytest.mark.parametrize(
    "tree",
    [{}, [], {"model": "a", "models": ["b"], "max_tokens": 5, "tools": 7}, {"max_tokens": "x", "messages": [{}]}],
)
def test_a_brief_statement_has_the_models_and_limits_of_the_whole(tree: Any) -> None:
    whole, brief = statement_of(tree), brief_statement_of(tree, EVERY_SERVER)
    assert (brief.max_tokens, brief.limits, brief.models) == (whole.max_tokens, whole.limits, whole.models)
    assert brief.unclear == whole.unclear & {"model", "max_tokens"}
    assert (brief.messages, brief.tools) == (0, ())


def test_a_router_makes_the_model_unclear() -> None:
    fields = EVERY_SERVER.of({"model": NAME, "routing": naming("router"), "answer": naming("answer")})
    assert statement_of({"model": "a", "routing": {}, "answer": "resp_1"}, fields) == RequestStatement(
        models=("a",), unclear=frozenset(("model",))
    )
    assert statement_of({"models": ["a", None], "answer": "x"}, fields).models == ("a",)


@pytest.mark.parametrize(
    ("config", "models"),
    [
        ({"routingConfig": {"autoMode": {}}}, ()),
        ({"routing_config": {"auto_mode": {"model_routing_preference": "PRIORITIZE_COST"}}}, ()),
        ({"modelSelectionConfig": {"featureSelectionPreference": "PRIORITIZE_COST"}}, ()),
        ({"routingConfig": {"manualMode": {"modelName": "other"}}}, ("other",)),
    ],
)
def test_the_routing_of_gemini_is_stated(config: dict[str, Any], models: tuple[str, ...]) -> None:
    codec = installed().codec_for("POST /v1beta/models/m:generateContent")
    assert codec is not None
    said = statement_of({"contents": [], "generationConfig": config}, codec.contract.statements)
    assert (said.models, "model" in said.unclear) == (models, not models)


@pytest.mark.parametrize(
    ("tree", "answers"),
    [
        ({"n": 3}, 3),
        ({"n": 1, "best_of": 8}, 8),
        ({"n": None, "best_of": ""}, 1),
        ({"n": 0}, 1),
        ({"n": -4}, 1),
        ({"n": 2.0}, 2),
        ({"n": 2.5}, 3),
        ({"n": "7"}, 7),
        ({"candidate_count": 4, "candidateCount": 5}, 5),
        ({"n": "many"}, LARGEST),
        ({"n": float("inf")}, LARGEST),
        ({"n": float("nan")}, LARGEST),
        ({"n": [8]}, LARGEST),
        ({"n": 10**400}, LARGEST),
        ({"prompt": ["a", "b"], "n": 3}, 3),
    ],
)
def test_the_number_of_answers_is_the_largest_that_a_server_may_read(tree: Any, answers: int) -> None:
    assert answers_of(tree, EVERY_SERVER).number == answers


@pytest.mark.parametrize(
    ("tree", "longest"),
    [
        ({}, 0),
        ([], 0),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": -1}, 0),
        ({"max_tokens": "50"}, 50),
        ({"max_tokens": 50.5}, 51),
        ({"max_tokens": "1" * 40}, LARGEST),
        ({"max_tokens": {"a": 1}}, LARGEST),
    ],
)
def test_the_length_of_an_answer_is_the_largest_that_a_server_may_read(tree: Any, longest: int) -> None:
    assert answers_of(tree, EVERY_SERVER).longest == longest


@pytest.mark.parametrize(
    ("prompt", "answers"),
    [("a", 3), ([], 3), ([1, 2, 3], 3), (["a", "b"], 6), ([[1], [2]], 6), ([1, "b"], 6), ({"a": 1}, 3)],
)
def test_each_prompt_of_a_list_is_answered(prompt: Any, answers: int) -> None:
    fields = replace(EVERY_SERVER, prompts=("prompt",))
    assert answers_of({"prompt": prompt, "n": 3}, fields).number == answers


def test_every_format_whose_route_gives_several_answers_declares_how_they_are_asked_for() -> None:
    """Each field of a shipped map that could number answers is one that its contract declares."""
    for codec in OF_MODELS:
        declared = codec.contract.statements.answers
        assert {"n", "best_of", "candidateCount"} <= {name.rpartition(".")[2] for name in declared}, codec.name
    gemini = installed().codec_for("POST /{version}/models/{model}:generateContent")
    assert gemini
    tree = {"contents": [], "generationConfig": {"candidateCount": 4, "maxOutputTokens": 9}}
    assert answers_of(tree, gemini.contract.statements) == (4, 9, True)
    ollama = installed().codec_for("POST /api/chat")
    assert ollama
    assert answers_of({"options": {"num_predict": 50}}, ollama.contract.statements) == (1, 50, True)
    assert answers_of({"options": {"num_predict": -1}}, ollama.contract.statements) == (1, 0, False)


@pytest.mark.parametrize("codec", OF_MODELS, ids=lambda codec: codec.name)
def test_a_limit_that_the_format_does_not_have_shortens_no_answer(codec: Codec) -> None:
    fields = codec.contract.statements
    others = {name: 1 for name in fields.tokens if name not in fields.binding}
    assert answers_of(others, fields).tokens(100) == 100
    assert (
        answers_of({**others, "max_new_tokens": 300}, fields).tokens(100) == 300 or "max_new_tokens" in fields.binding
    )
    for name in fields.binding:
        tree: Any = 5
        for step in reversed(name.split(".")):
            tree = {step: tree}
        assert answers_of({**others, **tree}, fields).tokens(100) == 5
