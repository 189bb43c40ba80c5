"""A start that the system refuses says so in words, with the setting's name, before it loads a model."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy import telemetry
from guardproxy.cli import app as commands
from guardproxy.config import SETTINGS, Config
from guardproxy.errors import ConfigError, PolicyError
from guardproxy.server import app, opening
from guardproxy.server.opening import admin_address, bound, check_ports, client_address, listen, naming, starting
from tests.kit.serving import listening

# What a setting needs beside it, and how its value names a file.
FILES = {
    "adapter_token": "litellm=file:{} --adapters 0",
    "audit": "{}",
    "audit_key": "{}",
    "audit_former_key": "{}",
    "audit_public_key": "{} --audit-sign-command cat",
    "client_keys": "{}",
    "console_logins": "{} --console read",
    "jwt_keys": "{} --jwt-issuer x --jwt-audience y",
    "limits": "{}",
    "mcp_token": "files=@{} --mcp files=http://127.0.0.1:9/mcp --client-keys KEYS",
    "models": "{}",
    "policies": "{}",
    "seal_key": "file:{}",
    "tls_cert": "{}",
    "tls_key": "{0} --tls-cert {0}",
    "tls_client_ca": "{0} --tls-cert {0}",
    "upstream_ca": "{} --upstream backup=https://127.0.0.1:9",
    "upstream_cert": "{} --upstream backup=https://127.0.0.1:9",
    "upstream_cert_key": "{0} --upstream-cert {0} --upstream backup=https://127.0.0.1:9",
    "seal_store": "{} --seal-key env:SEAL",
}
# These name files too, and a start goes on without them: what fails is retried, and `/readyz` names it.
LATER = {"audit_copy", "audit_copy_header", "supervisor_socket"}
KINDS = ("missing", "below a file", "a loop", "too long", "a folder", "no text", "not there at all", "no folder")
# These can be used, or are made.
FITTING = {
    *(("a folder", name) for name in ("audit", "models")),
    *(("missing", name) for name in ("audit", "seal_store")),
    ("no folder", "limits"),
}
HOSTS = ("no.such.host.invalid", "a..b", "x" * 70, "203.0.113.7", "2001:db8::1", "127.0.0.1:80", "-", "1.2.3.4.5")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keeps what a process sets for itself out of this one."""
    monkeypatch.setattr(telemetry, "configure_logs", lambda level, log_format: None)
    monkeypatch.setenv("SEAL", "guardproxy-seal-key:AAAA")
    interval_s = sys.getswitchinterval()
    yield
    sys.setswitchinterval(interval_s)


def start(tmp_path: Path, words: str, monkeypatch: pytest.MonkeyPatch | None = None) -> str:
    """Runs the command, which must refuse, and returns what it says. `monkeypatch`: fails if a model is loaded."""
    if monkeypatch is not None:
        monkeypatch.setattr(app.Server, "_load", lambda self: pytest.fail("the policies were loaded"))
    fixed = "serve --core-files --upstream http://127.0.0.1:9 --port 0 --admin-port 0"
    more = [] if "--audit " in words else ["--audit", str(tmp_path / "log")]
    done = CliRunner().invoke(commands, [*fixed.split(), *more, *words.split()])
    assert done.exit_code == 2, (done.exit_code, done.output, done.exception)
    assert "unexpected error" not in done.output
    assert ".py" not in done.output
    return done.output


def broken(tmp_path: Path, kind: str) -> Path:
    """A path that no setting can use."""
    file, folder, loop = tmp_path / "file", tmp_path / "folder", tmp_path / "loop"
    file.write_bytes(b"\xff\xfe\x00\x01")
    folder.mkdir()
    loop.symlink_to(loop)
    return {
        "missing": tmp_path / "none" / "deep",
        "below a file": file / "below",
        "a loop": loop,
        "too long": tmp_path / ("n" * 300),
        "a folder": folder,
        "no text": file,
        "not there at all": Path("/proc/none"),
        "no folder": Path("/dev/null"),
    }[kind]


def test_every_setting_that_may_name_a_file_is_broken_here() -> None:
    named = {name for name, setting in SETTINGS.items() if setting.path}
    assert named == FILES.keys() | LATER, "say what a start does if it cannot be used"


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in FILES for kind in KINDS if (kind, name) not in FITTING]
)
def test_a_file_that_cannot_be_used_is_named_with_its_setting(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = SETTINGS[name]
    path = broken(tmp_path, kind)
    words = FILES[name].format(path)
    if "KEYS" in words:
        keys = tmp_path / "keys"
        assert CliRunner().invoke(commands, ["keys", "create", str(keys), "client"]).exit_code == 0
        words = words.replace("KEYS", str(keys))
    said = start(tmp_path, f"{setting.flag} {words}", None if name == "policies" else monkeypatch)
    assert setting.flag in said or (name == "policies" and str(path) in said)


@pytest.mark.parametrize("name", ["host", "admin_host"])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_not_this_machine_is_named_with_its_setting(
    host: str, workers: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = SETTINGS[name]
    said = start(tmp_path, f"{setting.flag}={host} --workers {workers}", monkeypatch)
    assert setting.names in said
    assert "127.0.0.1" in said, "it says what to give"


@pytest.mark.parametrize(("workers", "taken"), [(1, 0), (3, 0), (3, 2), (3, 3)])
def test_an_admin_port_in_use_is_found_for_every_process(
    workers: int, taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last process is the one that runs the models."""
    with listening() as other:
        first = other.getsockname()[1] - taken
        said = start(tmp_path, f"--admin-port {first} --workers {workers}", monkeypatch)
    assert SETTINGS["admin_port"].names in said
    found = re.search(r": port (\d+) .* in use", said)
    assert found is not None
    assert first <= int(found[1]) <= first + taken, "another process may have a port before it"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("is_shared", [False, True])
def test_a_port_in_use_is_found_even_if_its_owner_shares_it(
    is_shared: bool, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        if is_shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = start(tmp_path, f"--port {port} --workers {workers}", monkeypatch)
    assert f"{SETTINGS['port'].names}: port {port} of 127.0.0.1 is in use" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--port 9090 --admin-port 9090", "is that for clients too"),
        ("--port 9092 --admin-port 9090 --workers 2", "is that for clients too"),
        ("--port 9090 --admin-port 9090 --admin-host 0.0.0.0", "is that for clients too"),
        ("--admin-port 65534 --workers 2", "process 2 would have the port 65536, and the highest is 65535"),
    ],
)
def test_ports_that_do_not_fit_together(words: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told in start(tmp_path, words, monkeypatch)


def test_a_port_that_only_the_administrator_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as the administrator, so the system's answer is given here."""

    def refuse(self: socket.socket, place: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with (
        ExitStack() as stack,
        pytest.raises(ConfigError, match="may not listen on port 80: choose a port from 1024 on"),
    ):
        bound(client_address(Config.of(port=80)), stack)


def test_another_error_of_the_system_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, place: object) -> None:
        raise OSError(105, "No buffer space available")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with ExitStack() as stack, pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1:80: no buffer"):
        bound(client_address(Config.of(port=80)), stack)


def test_two_processes_that_start_at_once_are_told_apart_when_the_second_listens() -> None:
    with ExitStack() as stack:
        first = bound(admin_address(Config.of(admin_port=0)), stack)
        port = first[0].getsockname()[1]
        address = admin_address(Config.of(admin_port=port))
        second = bound(address, stack)
        listen(first, address)
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is in use"):
            listen(second, address)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::", ""])
@pytest.mark.parametrize("of", [client_address, admin_address])
def test_everywhere_is_both_kinds_of_addresses(of: Callable[[Config], opening.ListenAddress], host: str) -> None:
    with ExitStack() as stack:
        address = of(Config.of(host=host, admin_host=host, port=0, admin_port=0))
        sockets = bound(address, stack)
        listen(sockets, address)
        for family, own in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as client:
                client.connect((own, sockets[0].getsockname()[1]))


def test_without_ipv6_everywhere_is_every_address_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("0.0.0.0", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: found if host is None else pytest.fail(host))
    with ExitStack() as stack:
        assert [opened.family for opened in bound(client_address(Config.of(host="", port=0)), stack)] == [
            socket.AF_INET
        ]


def test_a_name_with_an_address_that_the_machine_lacks_listens_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` is 127.0.0.1 and ::1, and many containers have no IPv6."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("203.0.113.7", "127.0.0.1", "127.0.0.2")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *rest, **more: found)
    with ExitStack() as stack:
        places = [opened.getsockname() for opened in bound(client_address(Config.of(host="localhost", port=0)), stack)]
    assert [host for host, _ in places] == ["127.0.0.1", "127.0.0.2"]
    assert len({port for _, port in places}) == 1


def test_an_unexpected_error_of_the_system_names_the_setting_of_its_path(tmp_path: Path) -> None:
    config = Config.of(audit=tmp_path / "log", seal_key=(f"file:{tmp_path}/keys/seal",), audit_copy=("stdout",))
    for path, told in (
        (tmp_path / "log" / "audit-0.jsonl", "`audit` (--audit, GUARDPROXY_AUDIT): cannot start"),
        (tmp_path / "keys" / "seal", "`seal_key` (--seal-key, GUARDPROXY_SEAL_KEY): cannot start"),
        (tmp_path / "other", "cannot start: "),
    ):
        with pytest.raises(ConfigError, match=re.escape(told)), starting(config):
            path.read_bytes()
    with pytest.raises(ConfigError, match=r"^cannot start: too many open files$"), starting(config):
        raise OSError(24, "Too many open files")


def test_an_error_in_a_policy_names_its_file_only() -> None:
    with pytest.raises(PolicyError, match=r"^rules\.yaml:1:2: wrong$"), naming("policies"):
        raise PolicyError("wrong", "rules.yaml", 1, 2)


def test_ports_that_are_free_are_left_free() -> None:
    with listening() as one, listening() as other:
        ports = one.getsockname()[1], other.getsockname()[1]
    config = Config.of(port=ports[0], admin_port=ports[1])
    with suppress(ConfigError):  # the next number may be taken
        check_ports(config)
    check_ports(config)
