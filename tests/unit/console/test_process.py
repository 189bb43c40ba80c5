"""How the process of the console starts, what it gets of the proxy, and how it watches the file of logins."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from guardproxy.config import SETTINGS, Config
from guardproxy.console import Login, LoginFile, new_token, starting, write_logins
from guardproxy.console.process import WatchedLogins, console_of, is_https, is_near
from guardproxy.console.proxy_client import ProxyClient
from guardproxy.console.starting import ConsoleStart, starter
from guardproxy.errors import ConfigError
from tests.kit.console import FakeProxy

ONE = LoginFile().having(Login("ann", "auditor"), new_token(), "")


def written(path: Path, file: LoginFile = ONE, mode: int = 0o600) -> Path:
    new = path.with_suffix(".new")
    new.touch(0o600)
    new.write_bytes(write_logins(file))
    new.chmod(mode)
    new.replace(path)
    return path


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, False),
        ({"tls_cert": ("c.pem",)}, False),
        ({"tls_cert": ("c.pem",), "tls_port": ("admin",)}, True),
        ({"tls_cert": ("c.pem",), "tls_port": ("admin",), "console_url": "http://guard.example"}, False),
        ({"console_url": "https://guard.example"}, True),
    ],
)
def test_people_use_https_at_the_address_or_at_the_port_itself(values: dict[str, object], expected: bool) -> None:
    assert is_https(Config.of(**values)) == expected


def test_secrets_of_the_proxy_are_not_in_the_line_and_the_rest_is(tmp_path: Path) -> None:
    secret = "s3cret-of-the-proxy"
    values: dict[str, object] = {"policies": tmp_path, "workers": 2, "console": "write", "console_oidc_secret": "own"}
    for setting in SETTINGS.values():
        if setting.is_secret and setting.part != "console":
            values[setting.name] = (f"x={secret}",) if setting.kind is tuple else secret
    config = Config.of(**values)
    start = ConsoleStart(config, tmp_path / "console", tmp_path / "admin", tmp_path)
    line = start.line()
    assert line.endswith(b"\n")
    assert secret.encode() not in line
    again = ConsoleStart.read(line)
    assert (again.socket, again.proxy, again.folder) == (start.socket, start.proxy, start.folder)
    assert again.config.policies.folder == tmp_path
    assert again.config.workers.count == 2
    assert again.config.console.oidc_secret == "own"
    alone = ConsoleStart.read(ConsoleStart(Config(), tmp_path / "console").line())
    assert (alone.config, alone.proxy, alone.folder) == (Config(), None, None)


def test_the_command_has_no_setting_of_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDPROXY_UPSTREAM_KEY", "default=secret")
    logins = written(tmp_path / "logins.json")
    command, environment, line = starter(Config.of(console="read", console_logins=logins))(
        tmp_path / "c", tmp_path / "a", None
    )
    assert command == (sys.executable, "-m", "guardproxy.console")
    assert environment == {name: value for name, value in os.environ.items() if not name.startswith("GUARDPROXY_")}
    assert json.loads(line)["settings"] == {"console": "read", "console_logins": str(logins)}


def test_a_start_that_cannot_be_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logins = written(tmp_path / "logins.json", LoginFile())
    for path, said in ((None, "console_logins"), (logins, "nobody could come in"), (tmp_path / "no", "cannot read")):
        with pytest.raises(ConfigError, match=said):
            starter(Config.of(console="read", console_logins=path))
    starter(Config.of(console="read", console_oidc_issuer="https://login.example"))
    monkeypatch.setattr(starting, "find_spec", lambda name: None if name == "jwt" else name)
    with pytest.raises(ConfigError, match=r"guardproxy\[jwt\]"):
        starter(Config.of(console="read", console_oidc_issuer="https://login.example"))
    monkeypatch.setattr(starting, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"guardproxy\[console\]"):
        starter(Config.of(console="read", console_logins=written(tmp_path / "logins.json")))


def test_a_changed_file_is_read_again_and_a_wrong_one_lets_nobody_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "logins.json")
    watched = WatchedLogins(path)
    assert watched() is watched()
    two = ONE.having(Login("bob", "viewer"), new_token(), "")
    written(path, two)
    assert watched() == two
    for wrong in (
        lambda: path.chmod(0o644),
        path.unlink,
        lambda: path.write_text("{}"),
        lambda: path.write_bytes(b"\xff"),
    ):
        written(path, two)
        assert watched() == two
        wrong()
        assert watched() == LoginFile()
        assert watched() == LoginFile()
    assert len([record for record in caplog.records if "cannot be used" in record.message]) == 4


async def test_the_proxy_is_asked_once_for_many_pages() -> None:
    now = [0.0]
    proxy = ProxyClient(None, lambda: now[0])
    asked: list[str] = []

    async def ask(method: str, path: str) -> str:
        asked.append(f"{method} {path}")
        return '{"ok": true}'

    proxy._ask = ask  # type: ignore[method-assign]
    assert await proxy.get("/a") == {"ok": True}
    assert await proxy.text("/a") == '{"ok": true}'
    now[0] += 2
    await proxy.get("/a")
    assert await proxy.post("/reload") == {"ok": True}
    await proxy.get("/a")
    assert asked == ["GET /a", "GET /a", "POST /reload", "GET /a"]


def test_what_the_console_knows_comes_from_the_settings(tmp_path: Path) -> None:
    console = console_of(Config.of(audit=tmp_path / "log", policies=tmp_path), "read", FakeProxy())
    assert console.audit == tmp_path / "log"
    assert console.policies == (tmp_path,)
    console.index.close()
    console.threads.shutdown()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.7", False), ("a.example", False)],
)  # fmt: skip
def test_other_machines_are_told_from_this_one(host: str, expected: bool) -> None:
    assert is_near(host) is expected
