"""Process settings: how models are run, and switches that are words in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardproxy.config import Config, load, loading
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
        ({"SUPERVISOR_DEVICE": "gpu"}, "`supervisor_device` must be auto or cpu or cuda"),
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
        supervisor_device="cuda", supervisor_threads=2, supervisor_workers=3, supervisor_queue=4, supervisor_remembered=5,
        timeout_scan_s=6.0,
    )  # fmt: skip
    assert settings(given) == Settings(threads=2, workers=3, queue=4, remembered=5, timeout_s=6.0, device="cuda")


DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"upstream": ()}, "no upstream: give --upstream https://api.openai.com, or GUARDPROXY_UPSTREAM"),
        (
            {"limit_body_bytes": 1000, "limit_bodies_bytes": 1999},
            "`limit_bodies_bytes` (--limit-bodies-bytes, GUARDPROXY_LIMIT_BODIES_BYTES) must be at least 2000",
        ),
        ({"remote_check_key": ("dlp.example=k",)}, "must be like dlp.example=KEY, for a host given as"),
        ({"upstream_key": ("backup=k",)}, "must be like backup=KEY, for an upstream given as backup=URL"),
        (
            {"unknown_tenant": "refuse"},
            "`unknown_tenant: refuse` without a tenant refuses everything: give --tenant NAME=sha256:HEX",
        ),
        (
            {"tenants": (f"acme={DIGEST}", f"other={DIGEST.upper().replace('SHA', 'sha')}")},
            "the tenants `acme` and `other` have the same credential",
        ),
        (
            {"tenants": (f"acme={DIGEST}", "Acme=sha256:" + "1" * 64)},
            "the tenants `acme` and `Acme` differ only in case, which policies ignore",
        ),
        (
            {"audit_copy": ("https://a.example/x",), "audit_copy_header": ("b.example=X-Key=env:KEY",)},
            "`audit_copy_header` (--audit-copy-header, GUARDPROXY_AUDIT_COPY_HEADER): no `audit_copy` goes to b.example",
        ),
        ({"audit_retain_s": 60.0}, "`audit_retain_s` (--audit-retain-s, GUARDPROXY_AUDIT_RETAIN_S) needs `audit_key`"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(UPSTREAM | flags, {})
    assert message in str(caught.value)


def test_a_setting_that_the_file_misspells_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("upstraem = 1\n")
    with pytest.raises(ConfigError, match=r"unknown setting `upstraem` \(known: .*\bupstream\b"):
        load({}, {}, file)


@pytest.mark.parametrize("text", [None, "upstream = ["])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "config.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=r"cannot read .*config.toml"):
        load({}, {}, file)


def test_an_upstream_and_its_key_go_by_the_name_of_the_provider() -> None:
    urls = ("https://api.example.com/v1/", "backup=https://backup.example.com")
    found = load({"upstream": urls, "upstream_key": ("backup=secret",)}, {})
    assert found.upstream_for("backup") == "https://backup.example.com"
    assert found.upstream_for("openai") == "https://api.example.com"
    assert (found.key_for("backup"), found.key_for("openai")) == ("secret", "")
    only_named = load({"upstream": urls[1:]}, {})
    assert only_named.upstream_for("openai") == "https://backup.example.com"


def test_a_tenant_with_two_credentials_has_one_name() -> None:
    tenants = (f"acme={DIGEST}", "acme=sha256:" + "1" * 64, "other=sha256:" + "2" * 64)
    assert load(UPSTREAM | {"tenants": tenants}, {}).tenant_names == ("acme", "other")


def test_what_ships_lies_inside_an_installed_package_and_beside_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "__file__", str(tmp_path / "guardproxy" / "config" / "loading.py"))
    assert loading.package_folder("policies") == tmp_path / "policies"
    inside = tmp_path / "guardproxy" / "_data" / "policies"
    inside.mkdir(parents=True)
    assert loading.package_folder("policies") == inside
