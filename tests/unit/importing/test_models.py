"""Models, aliases and fallbacks of LiteLLM become upstreams, and policies with `route`."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from guardproxy.importing.draft import DraftUpstream, ImportDraft
from guardproxy.importing.models import convert_models
from guardproxy.importing.report import ImportReport
from guardproxy.importing.source import read_source


def converted(**config: Any) -> tuple[ImportDraft, dict[str, tuple[str, str]]]:
    """The draft, and result and text of each note by its path."""
    source = read_source(yaml.safe_dump(config).encode(), "f")
    draft, report = ImportDraft(), ImportReport(source, {})
    convert_models(source, draft, report)
    return draft, {note.path: (note.result, note.text) for note in report.notes()}


def model(name: str, full: str, **params: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": full, **params}}


def route_of(draft: ImportDraft, policy: str) -> Any:
    return draft.policies[policy]["route"]


def test_deployments_of_a_model_share_its_requests_by_weight() -> None:
    draft, notes = converted(
        model_list=[
            model("gpt", "openai/gpt-5", api_key="os.environ/A", rpm=100, tpm=5),
            model("gpt", "gpt-5", api_key="os.environ/B", weight=3, rpm=100),
            model("gpt", "openai/gpt-5", api_key="os.environ/A", tpm=0),
        ]
    )
    assert draft.upstreams == {
        "openai": DraftUpstream("https://api.openai.com", "", "A"),
        "openai-2": DraftUpstream("https://api.openai.com", "", "B"),
    }
    assert draft.policies["route-gpt"]["match"] == {"models": ["gpt"]}
    assert route_of(draft, "route-gpt") == {
        "upstreams": [
            {"upstream": "openai", "model": "gpt-5"},
            {"upstream": "openai-2", "model": "gpt-5", "weight": 3},
        ],
        "sticky": "none",
        "fallback": {"on": ["error", "timeout", 429], "attempts": 1},
    }
    assert notes["model_list[0].litellm_params.rpm"][0] == "changed"
    assert notes["model_list[1].litellm_params.weight"][0] == "taken"
    assert notes["model_list[2].litellm_params.tpm"][1] == (
        "the deployments of this model are weighed by `weight` alone; it is no limit"
    )
    assert notes["model_list[2].litellm_params.model"] == (
        "changed",
        "a destination with the weight 1, as it has no `weight`",
    )


@pytest.mark.parametrize(
    ("params", "weights"),
    [
        (({"rpm": 600}, {"rpm": 100}), (600, 100)),
        (({"rpm": 600, "weight": 1}, {"rpm": 100, "weight": 2}), (1, 2)),
        (({"rpm": 600, "weight": 2}, {"rpm": 100}), (2, 1)),
        (({"rpm": 600, "tpm": 5}, {"tpm": 9}), (600, 1)),
        (({"tpm": 500}, {"tpm": 900}), (500, 900)),
        (({"weight": 0.9}, {"weight": 0.1}), (9, 1)),
        (({"weight": 0}, {"weight": 0}), (1, 1)),
        (({"weight": True, "rpm": 3}, {"rpm": "7"}), (3, 1)),
        (({"weight": 1e-9}, {"weight": 1}), (1, 1_000_000)),
        (({"weight": 5e-324}, {"weight": 1}), (1, 1_000_000)),
        (({"rpm": 600},), (1,)),
    ],
)
def test_deployments_are_weighed_by_one_key(params: tuple[dict[str, Any], ...], weights: tuple[int, ...]) -> None:
    draft, notes = converted(model_list=[model("gpt", f"openai/m{at}", **own) for at, own in enumerate(params)])
    assert tuple(row.get("weight", 1) for row in route_of(draft, "route-gpt")["upstreams"]) == weights
    for at, own in enumerate(params):
        for key in own:
            assert notes[f"model_list[{at}].litellm_params.{key}"][0] != "not possible"


def test_a_key_in_the_file_is_not_copied() -> None:
    draft, notes = converted(
        model_list=[model(name, "groq/m", api_key=key) for name, key in (("a", "sk-one"), ("b", "sk-two"))]
    )
    assert [upstream.key_variable for upstream in draft.upstreams.values()] == ["GROQ_API_KEY", "GROQ_API_KEY_2"]
    assert notes["model_list[1].litellm_params.api_key"] == (
        "changed",
        "a key in the file is not copied: set GROQ_API_KEY_2",
    )
    assert not [text for _, text in notes.values() if "sk-" in text]


@pytest.mark.parametrize(
    ("full", "params", "url"),
    [
        ("azure/gpt-eu", {"api_base": "https://r.openai.azure.com/"}, "https://r.openai.azure.com/openai"),
        ("azure/gpt-eu", {"api_base": "https://r.openai.azure.com/openai/v1"}, "https://r.openai.azure.com/openai"),
        ("hosted_vllm/q", {"api_base": "http://vllm:8000/v1"}, "http://vllm:8000"),
        ("hosted_vllm/q", {"base_url": "http://vllm:8000"}, "http://vllm:8000"),
        ("openrouter/a/b", {}, "https://openrouter.ai/api"),
        ("q", {"custom_llm_provider": "ollama"}, "http://127.0.0.1:11434"),
        ("ollama/q", {"custom_llm_provider": "ollama"}, "http://127.0.0.1:11434"),
    ],
)
def test_the_address_of_an_upstream(full: str, params: dict[str, str], url: str) -> None:
    draft, _ = converted(model_list=[model("m", full, **params)])
    (upstream,) = draft.upstreams.values()
    assert upstream == DraftUpstream(url, "", "")


def test_an_address_in_a_variable_stays_there() -> None:
    draft, _ = converted(model_list=[model("m", "vllm/q", api_base="os.environ/BASE", api_key="os.environ/KEY")])
    assert draft.upstreams == {"vllm": DraftUpstream("", "BASE", "KEY")}


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (model("m", "bedrock/c"), "does not translate"),
        (model("m", "no_such/c"), "unknown here"),
        (model("m", "vllm/c"), "api_base"),
        (model("m", "azure/c", api_base="os.environ/BASE"), "api_base"),
        (model("m", "vllm/c", api_base="http://user:secret@h"), "api_base"),
        (model("m", "vllm/c", api_base='http://h/";id;"'), "api_base"),
        (model("m", "vllm/c", api_base=7), "api_base"),
        (model("", "gpt-5"), "no name"),
        (model("a\nb", "gpt-5"), "no name"),
        ({"model_name": "m"}, "missing"),
        (model("m", "a\x00b"), "missing"),
        (3, "no name"),
    ],
)
def test_what_cannot_be_taken_is_said(entry: Any, why: str) -> None:
    draft, notes = converted(model_list=[entry])
    assert not draft.policies
    assert not draft.upstreams
    assert notes["model_list[0]"][0] == "not possible"
    assert why in notes["model_list[0]"][1]


def test_wildcards_come_last_and_keep_the_name_of_the_client() -> None:
    draft, notes = converted(model_list=[model("*", "openai/*"), model("anthropic/*", "openai/gpt-*"), model("z", "z")])
    assert sorted(draft.policies) == ["route-z", "wildcard-anthropic", "wildcard-imported"]
    assert route_of(draft, "wildcard-imported")["upstreams"] == [{"upstream": "openai"}]
    assert notes["model_list[0].litellm_params.model"][0] == "taken"
    assert "unchanged" in notes["model_list[1].litellm_params.model"][1]


def test_prices_are_for_a_million_tokens() -> None:
    entry = {**model("m", "gpt-5", output_cost_per_token=1e-5), "model_info": {"input_cost_per_token": 2.5e-6}}
    draft, notes = converted(model_list=[entry, model("w", "openai/*", input_cost_per_token=1e-6), model("x", "x")])
    assert draft.prices == {"gpt-5": (2.5, 10.0)}
    assert notes["model_list[0].model_info.input_cost_per_token"][0] == "taken"


def test_the_highest_price_of_a_model_counts() -> None:
    first = model("a", "gpt-5", input_cost_per_token=2e-6, output_cost_per_token=1e-6)
    second = model("b", "gpt-5", input_cost_per_token=1e-6)
    for deployments in ([first, second], [second, first]):
        assert converted(model_list=deployments)[0].prices == {"gpt-5": (2.0, 1.0)}


def test_aliases_and_fallbacks() -> None:
    draft, notes = converted(
        model_list=[
            model("big", "gpt-5", order=2),
            model("big", "groq/m", order=1),
            model("small", "gpt-5-mini"),
            model("spare", "mistral/m"),
        ],
        router_settings={
            "model_group_alias": {"gpt-4": "big", "hidden": {"model": "small", "hidden": True}, "gone": "none"},
            "fallbacks": [{"big": ["small", "no-such"]}, {"none": ["big"]}],
            "num_retries": 50,
            "max_fallbacks": 3,
        },
        litellm_settings={
            "default_fallbacks": ["spare"],
            "context_window_fallbacks": [{"small": ["big"]}],
            "fallbacks": [{"small": "big"}],
            "num_retries": True,
        },
    )
    assert draft.policies["route-big"]["match"] == {"models": ["big", "gpt-4"]}
    assert draft.policies["route-small"]["match"] == {"models": ["small", "hidden"]}
    assert route_of(draft, "route-big") == {
        "upstreams": [
            {"upstream": "openai", "model": "gpt-5", "priority": 1},
            {"upstream": "groq", "model": "m"},
            {"upstream": "openai", "model": "gpt-5-mini", "priority": 2},
            {"upstream": "mistral", "model": "m", "priority": 3},
        ],
        "sticky": "none",
        "fallback": {"on": ["error", "timeout", 429], "attempts": 3},
    }
    assert notes["router_settings.model_group_alias.gone"][0] == "not possible"
    assert notes["router_settings.fallbacks[1].none"][0] == "not possible"
    assert notes["litellm_settings.context_window_fallbacks[0].small"][0] == "not possible"
    assert notes["litellm_settings.default_fallbacks"][0] == "taken"
    assert notes["router_settings.num_retries"][0] == "changed"
