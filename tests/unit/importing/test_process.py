"""The settings of LiteLLM's process become settings, limits and policies."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from guardproxy.importing.draft import DraftUpstream, ImportDraft
from guardproxy.importing.process import NEEDLESS, REASONS, convert_process
from guardproxy.importing.report import ImportReport
from guardproxy.importing.source import read_source


def converted(draft: ImportDraft | None = None, **config: Any) -> tuple[ImportDraft, dict[str, tuple[str, str]]]:
    source = read_source(yaml.safe_dump(config).encode(), "f")
    draft, report = draft or ImportDraft(), ImportReport(source, REASONS)
    convert_process(source, draft, report)
    return draft, {note.path: (note.result, note.text) for note in report.notes()}


def test_a_master_key_asks_for_keys_of_clients() -> None:
    draft, notes = converted(general_settings={"master_key": "sk-secret", "database_url": "x"})
    assert draft.settings == {"client_keys": "keys"}
    assert "guardproxy keys" in notes["general_settings.master_key"][1]
    assert notes["general_settings.database_url"] == ("not possible", REASONS["general_settings.database_url"])


def test_a_key_for_an_upstream_asks_for_keys_of_clients() -> None:
    draft = ImportDraft(upstreams={"a": DraftUpstream("https://a", "", "KEY")})
    assert converted(draft, x=1)[0].settings == {"client_keys": "keys"}


def test_times_and_breakers() -> None:
    draft, notes = converted(
        litellm_settings={"request_timeout": 60, "allowed_fails": True},
        router_settings={"timeout": 30, "allowed_fails": 3, "cooldown_time": -1},
    )
    assert draft.settings == {"timeout_first_byte_s": 30.0, "breaker_failures": 3}
    assert notes["router_settings.cooldown_time"][0] == "not possible"


def test_limits() -> None:
    draft, notes = converted(
        ImportDraft(prices={"m": (1.0, 2.0)}),
        general_settings={"max_parallel_requests": 5, "global_max_parallel_requests": 50},
        router_settings={"max_parallel_requests": True},
        litellm_settings={"max_budget": 10, "budget_duration": "30d"},
    )
    assert draft.limits == [
        {"name": "general-settings-max-parallel-requests", "unit": "parallel", "most": 5, "per": ["client"]},
        {"name": "general-settings-global-max-parallel-requests", "unit": "parallel", "most": 50},
        {"name": "max-budget", "unit": "cost", "budget": "10.000000/month"},
    ]
    assert notes["router_settings.max_parallel_requests"][0] == "not possible"


@pytest.mark.parametrize(("duration", "prices"), [("7d", {"m": (1.0, 1.0)}), ("1d", {}), (None, {"m": (1.0, 1.0)})])
def test_a_budget_needs_a_window_and_prices(duration: str | None, prices: dict[str, tuple[float, float]]) -> None:
    draft, notes = converted(
        ImportDraft(prices=prices), litellm_settings={"max_budget": 10, "budget_duration": duration}
    )
    assert not draft.limits
    assert notes["litellm_settings.max_budget"][0] == "not possible"


def test_a_cache_in_redis_is_a_shared_state() -> None:
    params = {
        "type": "redis",
        "host": "os.environ/HOST",
        "port": 6380,
        "password": "secret",
        "ttl": 60,
        "namespace": "n",
    }
    draft, notes = converted(litellm_settings={"cache": True, "cache_params": params})
    assert draft.policies["cache"]["cache"] == {"mode": "exact", "ttl_s": 60}
    assert draft.variables == {"state": "redis://:${REDIS_PASSWORD}@${HOST}:6380/0"}
    assert notes["litellm_settings.cache_params.password"][0] == "changed"
    assert notes["litellm_settings.cache_params.namespace"][0] == "not possible"
    params = {"type": "redis", "host": "h;id", "password": "os.environ/PW"}
    draft, _ = converted(litellm_settings={"cache": True, "cache_params": params})
    assert draft.variables == {"state": "redis://:${PW}@localhost:6379/0"}
    draft, _ = converted(litellm_settings={"cache": True, "cache_params": {"type": "redis"}})
    assert draft.variables == {"state": "redis://localhost:6379/0"}


@pytest.mark.parametrize("kind", ["redis-semantic", "qdrant-semantic"])
def test_a_semantic_cache_stays_one_and_reads_questions(kind: str) -> None:
    params = {"type": kind, "similarity_threshold": 0.8, "host": "h"}
    draft, notes = converted(litellm_settings={"cache": True, "cache_params": params})
    assert draft.policies["cache"]["cache"] == {"mode": "semantic"}
    (rule,) = draft.policies["cache"]["rules"]
    assert (rule["on"], rule["action"]) == ("user", "flag")
    assert not draft.guards
    result, text = notes["litellm_settings.cache_params.type"]
    assert (result, "GUARDPROXY_STATE" in text) == ("changed", kind == "redis-semantic")
    assert ("each process has a cache of its own" in text) == (kind == "qdrant-semantic")
    assert notes["litellm_settings.cache_params.similarity_threshold"][0] == "not possible"
    assert ("state" in draft.variables) == (kind == "redis-semantic")


def test_other_caches_hold_equal_requests_of_a_process() -> None:
    draft, notes = converted(litellm_settings={"cache": True, "cache_params": {"type": "local", "ttl": "long"}})
    assert draft.policies["cache"]["cache"] == {"mode": "exact"}
    assert notes["litellm_settings.cache_params.type"][0] == "changed"
    assert not draft.variables


def test_callbacks() -> None:
    draft, notes = converted(
        litellm_settings={
            "callbacks": ["prometheus", "otel", "hide_secrets"],
            "success_callback": "langfuse",
            "cache": False,
            "turn_off_message_logging": True,
            "set_verbose": True,
            "json_logs": True,
        }
    )
    assert sorted(draft.policies) == ["hide-secrets", "no-texts-in-records"]
    assert draft.variables == {"otel_endpoint": "${OTEL_EXPORTER_OTLP_ENDPOINT}"}
    results = {path.removeprefix("litellm_settings."): result for path, (result, _) in notes.items()}
    assert results == {
        "callbacks[0]": "taken",
        "callbacks[1]": "changed",
        "callbacks[2]": "taken",
        "success_callback": "not possible",
        "cache": "taken",
        "turn_off_message_logging": "taken",
        "set_verbose": "changed",
        "json_logs": "taken",
    }


@pytest.mark.parametrize(
    ("place", "kind", "is_loss"),
    [
        ("callbacks", "guards.handler_instance", True),
        ("callbacks", ["banned_keywords"], True),
        ("callbacks", "hide_secrets", False),
        ("callbacks", None, False),
        ("success_callback", ["langfuse"], False),
        ("failure_callback", "sentry", False),
    ],
)
def test_a_callback_that_may_change_requests_is_a_loss(place: str, kind: object, is_loss: bool) -> None:
    source = read_source(yaml.safe_dump({"litellm_settings": {place: kind}}).encode(), "f")
    report = ImportReport(source, REASONS, NEEDLESS)
    convert_process(source, ImportDraft(), report)
    assert [note.is_loss for note in report.notes()] == [is_loss]


def test_what_is_needless_has_a_reason() -> None:
    assert set(REASONS) >= NEEDLESS
