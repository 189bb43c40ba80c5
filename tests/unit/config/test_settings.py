"""Every setting is a flag, a variable and a key, and means the same in each place."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from guardproxy import server
from guardproxy.cli import app
from guardproxy.cli import serve as command
from guardproxy.config import SETTINGS, Config, Declaration
from guardproxy.config.settings import DEPTH_MOST, is_upstream
from guardproxy.wire.json import DEPTH_LIMIT

DIGEST = "sha256:" + "0" * 64
BASE = f"""
upstream = ["https://api.example.com", "backup=https://backup.example.com"]
remote_check_host = ["dlp.example"]
tenants = ["acme={DIGEST}"]
audit_key = "log.key"
audit_copy = ["https://a.example/x"]
"""
MCP = """
mcp = ["files=https://api.example.com/mcp", "time=http://127.0.0.1/mcp"]
client_keys = "keys"
"""
CLIENTS = """
upstream = ["https://api.example.com"]
jwt_keys = "keys.json"
jwt_issuer = "https://login.example"
jwt_audience = ["guardproxy"]
"""
CONSOLE = """
upstream = ["https://api.example.com"]
console = "write"
console_logins = "logins.json"
console_url = "https://console.example"
console_oidc_client = "guardproxy"
console_oidc_role = ["other=viewer"]
"""
SAMPLES: dict[str, Any] = {
    "adapters": "0.0.0.0:8090",
    "adapters_grpc": "0.0.0.0:8091",
    "adapter_token": ["litellm=a-token-of-16-characters", "portkey=file:/run/token"],
    "alert_webhook": "https://hooks.example/x",
    "confirm_webhook": "https://hooks.example/confirm",
    "seal_key": ["env:SEAL"],
    "pass_through": ["GET /v1/models", "GET /v1/files"],
    "pass_through_query": ["limit", "include[]"],
    "admin_allowed_host": ["guardproxy.monitoring.svc", "*.svc.cluster.local"],
    "trusted_hop": ["10.0.0.0/8", "fd00::/8"],
    "request_header": ["x-team", "x-user"],
    "answer_header": ["x-team"],
    "upstream": ["https://other.example.com", "backup=https://b.example.com"],
    "upstream_key": ["backup=secret"],
    "ext_proc": "unix:/run/guardproxy.sock",
    "remote_check_host": ["dlp.example", "other.example:8443"],
    "remote_check_key": ["dlp.example=secret"],
    "tenants": [f"other={DIGEST}", "more=sha256:" + "1" * 64],
    "duty": ["first", "second"],
    "key": "k" * 16,
    "audit_ship": ["-", "s3://bucket/prefix"],
    "audit_copy_header": ["a.example=X-Key=env:KEY", "A.example=X-Other=file:/run/key"],
    "jwt_audience": ["other", "more"],
    "state": "redis://host:6379/0",
    "audit_rotate_s": 3600.0,
    "audit_retain_s": 86400.0,
    "supervisor_url": "http://triton:8000",
    "log_level": "debug",
    "otel_endpoint": "http://collector:4318",
    "otel_guardrails": "on",
    "otel_share": 0.5,
    "mcp": ["files=https://files.example/mcp", "time=http://127.0.0.1:8000/"],
    "mcp_token": ["files=secret", "time=@/run/token"],
    "mcp_origin": ["https://app.example", "http://[fd00::1]:8080"],
    "mcp_address": "https://guard.example",
    "console_url": "https://guard.example",
    "console": "read",
    "console_oidc_issuer": "https://login.example",
    "console_oidc_role": ["security=auditor", "team=x=viewer"],
    "console_oidc_scope": ["openid", "groups"],
    "tls_cert": ["/cert.pem"],
    "tls_key": ["/cert.key", "inner=/inner.key"],
    "tls_port": ["adapters", "admin"],
    "upstream_proxy": "environment",
    "upstream_no_proxy": ["llm.internal:8443", "10.0.0.0/8", "[::1]:443"],
}
NEEDED = {  # what a setting makes no sense without
    "tls_key": 'tls_cert = ["/cert.pem", "inner=/inner.pem"]\ntls_port = ["admin=inner"]\n',
    "tls_port": 'tls_cert = ["/cert.pem"]\n',
    "tls_client_ca": 'tls_cert = "/cert.pem"\n',
    "upstream_cert_key": 'upstream_cert = ["/cert.pem"]\n',
}


def sample(setting: Declaration) -> Any:
    """A value that is right and not the default."""
    if setting.name in SAMPLES:
        return SAMPLES[setting.name]
    if setting.allowed.choices:
        return setting.allowed.choices[1]
    if setting.kind is bool:
        return not setting.default
    if setting.kind is int:
        return setting.default + (-1 if setting.allowed.most == setting.default else 1)
    return setting.default / 2 if setting.kind is float else "/other/place"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command with flags, variables and lines of the file; gives its settings, or what it says instead."""
    found: list[Config] = []
    monkeypatch.setattr(command, "_serve_alone", found.append)
    monkeypatch.setattr(server, "several", lambda config, *_: found.append(config))

    def started(flags: list[str], variables: dict[str, str], lines: str, base: str = BASE) -> Config | str:
        file = tmp_path / "guardproxy.toml"
        names = {line.partition(" = ")[0] for line in lines.splitlines()}
        file.write_text(
            "\n".join(line for line in base.splitlines() if line.partition(" = ")[0] not in names) + "\n" + lines
        )
        done = CliRunner().invoke(app, ["serve", "--config", str(file), *flags], env=variables)
        assert done.exit_code == (0 if found else 2), done.output
        return found.pop() if found else done.output

    return started


def as_flags(setting: Declaration, value: Any) -> list[str]:
    if setting.kind is bool:
        return [setting.flag if value else setting.off_flag]
    return [word for item in (value if isinstance(value, list) else [value]) for word in (setting.flag, str(item))]


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
def test_a_setting_means_the_same_in_each_place(run: Any, setting: Declaration) -> None:
    value = sample(setting)
    text = ",".join(value) if isinstance(value, list) else str(value)
    base = {"Clients": CLIENTS, "MCP": MCP, "Console": CONSOLE}.get(setting.group, BASE) + NEEDED.get(setting.name, "")
    by_flag = run(as_flags(setting, value), {}, "", base)
    by_variable = run([], {setting.variable: text}, "", base)
    by_file = run([], {}, f"{setting.name} = {json.dumps(value)}\n", base)
    assert by_flag == by_variable == by_file
    assert setting.value_in(by_flag) not in (setting.default, setting.value_in(run([], {}, "", base)))


def test_a_flag_wins_over_the_environment_and_that_over_the_file(run: Any) -> None:
    variables = {"GUARDPROXY_LIMIT_TEXTS": "2"}
    assert run(["--limit-texts", "3"], variables, "limit_texts = 1").limits.texts == 3
    assert run([], variables, "limit_texts = 1").limits.texts == 2
    assert run([], {}, "limit_texts = 1").limits.texts == 1
    assert run([], {}, "").limits.texts == SETTINGS["limit_texts"].default


def test_a_switch_of_the_file_is_turned_off_by_a_flag(run: Any) -> None:
    assert run([], {}, "allow_code = true").policies.allow_code
    assert not run(["--no-code"], {}, "allow_code = true").policies.allow_code
    assert not run(["--supervisor-each"], {"GUARDPROXY_SUPERVISOR_SHARED": "yes"}, "").models.shared


def test_an_error_names_the_place_and_says_what_is_right(run: Any) -> None:
    right = "`limit_depth` must be at least 1 and at most 100"
    assert f"--limit-depth: {right}" in run(["--limit-depth", "101"], {}, "")
    assert f"GUARDPROXY_LIMIT_DEPTH: {right}" in run([], {"GUARDPROXY_LIMIT_DEPTH": "101"}, "")
    assert f"guardproxy.toml: {right}" in run([], {}, "limit_depth = 101")


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
def test_a_declaration_is_a_sentence_and_fits_its_default(setting: Declaration) -> None:
    assert setting.help.endswith(".")
    assert setting.default is None or setting.allowed.accepts(setting.default)
    assert setting.variable == f"GUARDPROXY_{setting.name.upper()}"
    assert not setting.is_secret or setting.default in ("", ()), "a secret has no default"


def test_settings_are_given_by_name() -> None:
    config = Config.of(port=1, limit_texts=2)
    assert config == Config.of(limit_texts=2).having(port=1)
    assert (config.network.port, config.limits.texts, config.limits.values) == (1, 2, 1_000_000)
    assert Config.of() == Config()
    with pytest.raises(KeyError):
        Config.of(texts=2)


def test_secrets_are_not_shown() -> None:
    shown = repr(
        Config.of(key="very-secret-words", upstream_key=("a=very-secret",), remote_check_key=("b=very-secret",))
    )
    assert "very-secret" not in shown
    assert {setting.name for setting in SETTINGS.values() if setting.is_secret} == {
        *(
            "key",
            "audit_key",
            "upstream_key",
            "remote_check_key",
            "state",
            "alert_webhook",
            "confirm_webhook",
            "confirm_key",
            "adapter_token",
            "mcp_token",
            "console_oidc_secret",
            "upstream_proxy",
        )
    }


def test_every_field_is_a_setting_and_groups_hold_together() -> None:
    places = [(part.name, field.name) for part in fields(Config) for field in fields(getattr(Config(), part.name))]
    assert [(setting.part, setting.attribute) for setting in SETTINGS.values()] == places, "two settings have one name"
    groups = [setting.group for setting in SETTINGS.values()]
    assert len(dict.fromkeys(groups)) == 15
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index), "the settings of a group stand together"
    assert len({setting.flag for setting in SETTINGS.values()}) == len(SETTINGS)


def test_the_help_shows_every_flag_in_its_group() -> None:
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    for setting in SETTINGS.values():
        section = shown[shown.index(f"\n{setting.group}:\n") :].partition("\n\n")[0]
        assert f"{setting.flag} " in section, setting.name


def test_the_depth_of_a_body_is_bounded_by_the_parser() -> None:
    assert DEPTH_MOST == DEPTH_LIMIT


@pytest.mark.parametrize(
    "address", ["http://user:word@a.example", "http://user@a.example", "http://:word@a.example", "ftp://a.example"]
)
def test_an_upstream_has_no_credential_in_its_address(address: str) -> None:
    assert not is_upstream(address)
    assert not is_upstream(f"backup={address}")
    assert is_upstream("backup=https://a.example/v1")


def test_clients_have_a_port_unless_envoy_alone_asks() -> None:
    assert Config.of(upstream=("http://u.example",)).has_client_port
    envoy = {"ext_proc": "unix:/run/g.sock"}
    assert Config.of(upstream=("http://u.example",), **envoy).has_client_port
    assert Config.of(mcp=("files=http://u.example/mcp",), **envoy).has_client_port
    assert not Config.of(upstream=("judge=http://u.example",), **envoy).has_client_port
    assert Config.of(upstream=("judge=http://u.example",)).has_client_port
