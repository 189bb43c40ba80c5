"""Process settings: how models are run, and switches that are words in the environment."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit.proof import PrivateKey
from guardproxy.config import SETTINGS, Config, Declaration, load, loading
from guardproxy.errors import ConfigError
from guardproxy.inference.models import Settings, cores
from guardproxy.server.app import settings

UPSTREAM = {"upstream": ("https://api.example.com",)}


@pytest.mark.parametrize(
    ("word", "value"), [("true", True), ("1", True), ("Yes", True), ("false", False), ("0", False), ("no", False)]
)
def test_a_switch_is_a_word(word: str, value: bool) -> None:
    assert load(UPSTREAM, {"GUARDPROXY_SUPERVISOR_SHARED": word}).models.shared is value


def test_a_switch_of_the_file_and_a_flag_over_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("supervisor_shared = false\nsupervisor_queue = 7\nsupervisor_socket = '/run/models'\n")
    found = load(UPSTREAM, {}, file)
    assert (found.models.shared, found.models.queue, found.models.socket) == (False, 7, Path("/run/models"))
    assert load(UPSTREAM | {"supervisor_shared": True}, {}, file).models.shared


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
    assert settings(Config.of(**values)).workers == workers


def test_the_runtime_gets_what_was_set() -> None:
    given = Config.of(
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
            "`audit_copy_header` (--audit-copy-header, GUARDPROXY_AUDIT_COPY_HEADER) names b.example, but no URL of "
            "`audit_copy` has this host",
        ),
        ({"audit_retain_s": 60.0}, "`audit_retain_s` (--audit-retain-s, GUARDPROXY_AUDIT_RETAIN_S) needs `audit_key`"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(UPSTREAM | flags, {})
    assert message in str(caught.value)


def test_every_fault_is_found_at_once_with_the_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("upstraem = 1\nlimit-texts = 3\nlimit_depth = 0\nzzz = 1\n[network]\nport = 1\n")
    port = SETTINGS["port"].variable
    with pytest.raises(ConfigError) as refused:
        load({"port": "x"}, {f"{port}T": "1", "GUARDPROXY_LIMIT_TEXTS": "0"}, file)
    assert str(refused.value).splitlines() == [
        f"{port}T is not a setting; did you mean {port}?",
        f"{file}: unknown setting `upstraem`; did you mean `upstream`?",
        f"{file}: unknown setting `limit-texts`; did you mean `limit_texts`?",
        f"{file}: `limit_depth` must be at least 1 and at most 100",
        f"{file}: unknown setting `zzz`; `guardproxy serve --help` lists all",
        f"{file}: there is no section `network`: settings stand at the top of the file, before every `[section]`",
        "--port: `port` must be a whole number, at least 0 and at most 65535",
        "GUARDPROXY_LIMIT_TEXTS: `limit_texts` must be at least 1",
    ]
    with pytest.raises(ConfigError) as refused:
        load({"jwt_issuer": "https://i.example", "audit_retain_s": 1.0}, {})
    assert len(str(refused.value).splitlines()) == 3


def test_unknown_variables_are_one_warning() -> None:
    warnings: list[str] = []
    environ = {"GUARDPROXY_TEAM": "x", "GUARDPROXY_OWNERS": "y", "PATH": "/bin"}
    load(UPSTREAM, environ, warn=warnings.append)
    assert warnings == [
        "GUARDPROXY_TEAM, GUARDPROXY_OWNERS: no such settings, so without effect; `guardproxy serve --help` lists all"
    ]
    load(UPSTREAM, environ)  # nobody listens


# Values of the file that name the file `x`, `{}` stands before it; what else the settings need.
PATHS: dict[str, Any] = {
    "adapter_token": ["litellm=file:{}x", "portkey=a-token-of-16-characters"],
    "audit_copy": ["{}x", "stdout", "https://a.example/x", "s3://bucket/x"],
    "audit_copy_header": ["a.example=X-Key=file:{}x", "a.example=X-Key=env:x"],
    "audit_former_key": ["{}x", "name+0123abcd+Ab/c="],
    "seal_key": ["file:{}x", "env:x", "command:x x"],
    "mcp_token": ["files=@{}x", "files=token"],
    "tls_cert": ["{}x", "inner={}y"],
    "tls_key": ["{}x"],
    "upstream_ca": ["default={}x", "{}y"],
    "upstream_cert": ["{}x"],
    "upstream_cert_key": ["{}x"],
}
NEEDED: dict[str, dict[str, Any]] = {
    "audit_copy_header": {"audit_copy": ["https://a.example/x"]},
    "jwt_keys": {"jwt_issuer": "i", "jwt_audience": ["a"]},
    "tls_cert": {"tls_port": ["admin=inner"]},
    "tls_client_ca": {"tls_cert": ["/cert.pem"]},
    "tls_key": {"tls_cert": ["/cert.pem"]},
    "upstream_cert_key": {"upstream_cert": ["/cert.pem"]},
    "mcp_token": {"mcp": ["files=http://127.0.0.1:1/mcp"], "client_keys": "/keys"},
}
OF_FILES = [
    name
    for name, setting in SETTINGS.items()
    if setting.path or (setting.kind in (str, tuple) and re.search(r"\b(a|its) file\b|file:", setting.help))
]


@pytest.mark.parametrize("name", OF_FILES)
def test_paths_count_from_the_folder_of_the_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting that speaks of a file is one whose paths are known."""
    file = tmp_path / "conf" / "config.toml"
    file.parent.mkdir()
    value = json.dumps(PATHS.get(name, "{}x"))
    needed = "".join(f"{key} = {json.dumps(part)}\n" for key, part in NEEDED.get(name, {}).items())
    monkeypatch.chdir(tmp_path)
    for before, after in (("", "conf/"), ("sub/", "conf/sub/"), ("/abs/", "/abs/")):
        file.write_text(f"{needed}{name} = {value.replace('{}', before)}\n")
        found = SETTINGS[name].value_in(load(UPSTREAM, {}, Path("conf/config.toml")))
        assert found == SETTINGS[name].read(json.loads(value.replace("{}", after)), "")
        assert found == SETTINGS[name].value_in(load(UPSTREAM | NEEDED.get(name, {}) | {name: found}, {})), (
            "a flag stays as it is"
        )


@pytest.mark.parametrize("name", ["audit_key", "audit_public_key"])
def test_a_key_in_the_file_is_no_path(name: str, tmp_path: Path) -> None:
    key = PrivateKey.new("log.example/a")
    text = key.text if name == "audit_key" else str(key.public)
    (tmp_path / "config.toml").write_text(f'{name} = "{text}"\n')
    assert SETTINGS[name].value_in(load(UPSTREAM, {}, tmp_path / "config.toml")) == text


def test_a_path_that_counted_from_the_working_directory_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "conf" / "config.toml"
    file.parent.mkdir()
    file.write_text('audit = "log"\npolicies = "mine"\n')
    (tmp_path / "log").mkdir()
    warnings: list[str] = []
    load(UPSTREAM, {}, file, warnings.append)
    assert warnings == [
        f"{file}: `audit` counts from the folder of the file: it is {file.parent}/log, not {tmp_path}/log"
    ]
    (file.parent / "log").mkdir()
    load(UPSTREAM, {}, file, warnings.append)
    assert len(warnings) == 1


HOSTILE = [
    *("http://[", "https://[::1", "redis://[", "x=http://[", "http://a\u2100b/", "h=X=http://[", "[", "=", "@", "//"),
    *("a\nb", "\ud800", "https://h:x", "https://h:99999/"),
]


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.kind in (str, tuple)])
def test_no_text_of_a_setting_ends_in_an_unexpected_error(name: str) -> None:
    for text in HOSTILE:
        with suppress(ConfigError):
            load(UPSTREAM | {name: (text,) if SETTINGS[name].kind is tuple else text}, {})


@pytest.mark.parametrize("name", ["upstream", "state", "jwt_keys", "otel_endpoint", "alert_webhook", "supervisor_url"])
@pytest.mark.parametrize("rest", ["h:x", "h:99999", "h:0", "[", "h /x", "h\n/x"])
def test_an_address_that_no_request_can_use_is_refused(name: str, rest: str) -> None:
    address = f"{'redis' if name == 'state' else 'https'}://{rest}"
    with pytest.raises(ConfigError, match=f"`{name}` must be"):
        load(UPSTREAM | {name: (address,) if name == "upstream" else address}, {})


@pytest.mark.parametrize("name", ["audit", "policies"])
def test_a_path_that_no_disk_can_hold_is_for_the_part_that_reads_it(name: str, tmp_path: Path) -> None:
    file, path = tmp_path / "config.toml", "x" * 300
    file.write_text(f'{name} = "{path}"\n')
    assert SETTINGS[name].value_in(load(UPSTREAM, {}, file)) == tmp_path / path


@pytest.mark.parametrize("name", ["strict", "default", "strct"])
def test_the_name_of_a_shipped_policy_is_no_path_of_the_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'policies = "{name}"\n')
    assert load(UPSTREAM, {}, file).policies.folder == Path(name)
    monkeypatch.chdir(tmp_path.parent)
    (tmp_path.parent / "strct").mkdir(exist_ok=True)
    assert load(UPSTREAM, {}, file).policies.folder == (tmp_path / name if name == "strct" else Path(name))
    (tmp_path.parent / "strct").rmdir()
    (tmp_path / name).mkdir()
    assert load(UPSTREAM, {}, file).policies.folder == tmp_path / name


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
    assert found.upstreams.url_for("backup") == "https://backup.example.com"
    assert found.upstreams.url_for("openai") == "https://api.example.com"
    assert (found.upstreams.key_for("backup"), found.upstreams.key_for("openai")) == ("secret", "")
    only_named = load({"upstream": urls[1:]}, {})
    assert only_named.upstreams.url_for("openai") == "https://backup.example.com"


def test_a_tenant_with_two_credentials_has_one_name() -> None:
    tenants = (f"acme={DIGEST}", "acme=sha256:" + "1" * 64, "other=sha256:" + "2" * 64)
    assert load(UPSTREAM | {"tenants": tenants}, {}).tenants.names == ("acme", "other")


def test_what_ships_lies_inside_an_installed_package_and_beside_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "__file__", str(tmp_path / "guardproxy" / "config" / "loading.py"))
    assert loading.package_folder("policies") == tmp_path / "policies"
    inside = tmp_path / "guardproxy" / "_data" / "policies"
    inside.mkdir(parents=True)
    assert loading.package_folder("policies") == inside


SECRETS = [setting for setting in SETTINGS.values() if setting.is_secret]


@pytest.mark.parametrize("setting", SECRETS, ids=lambda setting: setting.name)
def test_a_secret_may_be_in_a_file_that_a_variable_names(setting: Declaration, tmp_path: Path) -> None:
    values: dict[str, str] = {
        "key": "k" * 16,
        "upstream_key": "backup=one\nother=two",
        "remote_check_key": "dlp.example=one",
        "mcp_token": "files=one",
        "adapter_token": "litellm=a-token-of-16-characters",
        "state": "redis://host:6379/0",
        "upstream_proxy": "http://user:secret@proxy:3128",
        "audit_key": "log.key",
    }
    text = values.get(setting.name, "https://hooks.example/x")
    base = {
        "upstream": ("https://a.example", "backup=https://b.example", "other=https://c.example"),
        "remote_check_host": ("dlp.example",),
        "mcp": ("files=https://files.example/mcp",),
        "client_keys": "/keys",
    }
    (tmp_path / "secret").write_text(f"  {text}\n\n")
    found = load(base, {setting.file_variable: str(tmp_path / "secret")})
    assert setting.value_in(found) == setting.read(text.replace("\n", ","), "")
    assert setting.value_in(load({**base, setting.name: setting.value_in(found)}, {})) == setting.value_in(found)


@pytest.mark.parametrize(
    ("content", "further", "message"),
    [
        (None, {}, "GUARDPROXY_UPSTREAM_KEY_FILE: cannot read .*secret: no such file"),
        (b" \n", {}, "GUARDPROXY_UPSTREAM_KEY_FILE: .*secret is empty"),
        (b"\xff\xfe", {}, "GUARDPROXY_UPSTREAM_KEY_FILE: cannot read .*secret: not a text"),
        (b"hunter2", {}, "GUARDPROXY_UPSTREAM_KEY_FILE: `upstream_key` must be like backup=KEY"),
        (b"backup=x", {"GUARDPROXY_UPSTREAM_KEY": "backup=y"}, "give the same setting: give one of them"),
    ],
)
def test_a_file_of_a_secret_that_cannot_be_used_is_refused(
    content: bytes | None, further: dict[str, str], message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    given = {"GUARDPROXY_UPSTREAM_KEY_FILE": str(tmp_path / "secret"), **further}
    with pytest.raises(ConfigError, match=message) as caught:
        load({"upstream": ("https://a.example", "backup=https://b.example")}, given)
    assert "hunter2" not in str(caught.value)


def test_only_a_secret_may_be_in_a_file() -> None:
    said: list[str] = []
    load({"upstream": ("https://a.example",)}, {"GUARDPROXY_ADMIN_PORT_FILE": "/x"}, warn=said.append)
    assert said
    assert "GUARDPROXY_ADMIN_PORT_FILE" in said[0]
