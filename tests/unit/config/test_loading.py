"""Process settings: how models are run, and switches that are words in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardproxy.config import Config, load
from guardproxy.errors import ConfigError
from guardproxy.inference.models import Settings, cores
from guardproxy.server.app import settings

UPSTREAM = {"upstream": ("https://api.example.com",)}


@pytest.mark.parametrize(
    ("word", "value"), [("true", True), ("1", True), ("Yes", True), ("false", False), ("0", False), ("no", False)]
)
def test_a_switch_is_a_word(word: str, value: bool) -> None:
    assert load(UPSTREAM, {"GUARDPROXY_SUPERVISOR_SHARED": word}).supervisor_shared is value


def test_a_switch_of_the_file_and_a_flag_over_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("supervisor_shared = false\nsupervisor_queue = 7\nsupervisor_socket = '/run/models'\n")
    found = load(UPSTREAM, {}, file)
    assert (found.supervisor_shared, found.supervisor_queue, found.supervisor_socket) == (False, 7, Path("/run/models"))
    assert load(UPSTREAM | {"supervisor_shared": True}, {}, file).supervisor_shared


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SUPERVISOR_SHARED": "perhaps"}, "GUARDPROXY_SUPERVISOR_SHARED: `supervisor_shared` must be true or false"),
        ({"SUPERVISOR_QUEUE": "0"}, "`supervisor_queue` must be at least 1"),
        ({"SUPERVISOR_THREADS": "-1"}, "`supervisor_threads` must be at least 0"),
        ({"SUPERVISOR_REMEMBERED": "-1"}, "`supervisor_remembered` must be at least 0"),
        ({"SUPERVISOR_URL": "triton:8000"}, "`supervisor_url` must be like http://triton:8000"),
        ({"SUPERVISOR_URL": "grpc://triton:8001"}, "`supervisor_url` must be like http://triton:8000"),
    ],
)
def test_wrong_settings_are_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(UPSTREAM, {f"GUARDPROXY_{name}": value for name, value in environment.items()})


@pytest.mark.parametrize(
    ("values", "workers"),
    [
        ({}, cores()),
        ({"workers": 4}, cores()),
        ({"workers": 4, "supervisor_shared": False}, max(1, cores() // 4)),
        ({"workers": 4, "supervisor_url": "http://triton:8000"}, max(1, cores() // 4)),
        ({"workers": 4, "supervisor_workers": 3}, 3),
    ],
)
def test_models_that_each_worker_runs_share_the_cores(values: dict[str, Any], workers: int) -> None:
    assert settings(Config(**values)).workers == workers


def test_the_runtime_gets_what_was_set() -> None:
    given = Config(
        supervisor_threads=2, supervisor_workers=3, supervisor_queue=4, supervisor_remembered=5, timeout_scan_s=6.0
    )
    assert settings(given) == Settings(threads=2, workers=3, queue=4, remembered=5, timeout_s=6.0)
