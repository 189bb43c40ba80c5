"""The admin port answers while the event loop is blocked, and says that it is."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.status import AdminHosts, LoopLag, admin_app, on_loop
from guardproxy.server.processes import probes
from guardproxy.server.processes.probes import AdminPort, AdminTls
from guardproxy.server.trust.contexts import TlsFiles, build
from tests.kit.certificates import Authority
from tests.kit.serving import listening


class State:
    """A server whose loop counts as stalled as soon as it has not run for any time at all."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.loop_lag = LoopLag(self.metrics)
        self.limit_s = 0.0
        self.reloads = 0

    def liveness_errors(self) -> list[str]:
        return ["the event loop has not run"] if self.loop_lag.stalled_s() > self.limit_s else []

    def readiness_errors(self) -> list[str]:
        return []

    def readiness_warnings(self) -> list[str]:
        return ["a warning"]

    def liveness_warnings(self) -> list[str]:
        return ["a fault"]

    def version(self) -> dict[str, object]:
        return {"engine": "test"}

    async def reload(self) -> dict[str, object]:
        self.reloads += 1
        return {"ok": True, "loop": id(asyncio.get_running_loop())}


def get(port: int, path: str, data: bytes | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_every_route_answers_while_the_loop_is_blocked() -> None:
    """`get` blocks the loop of this test, which is the one that is measured."""
    state, loop = State(), asyncio.get_running_loop()
    port = AdminPort(admin_app(state, state, on_loop(loop, state.reload)), [listening()])
    try:
        assert get(port.port, "/livez") == (200, "ok\na fault\n"), "before the start nothing is stuck"
        state.loop_lag.start(loop)
        assert get(port.port, "/livez") == (503, "the event loop has not run\na fault\n")
        assert get(port.port, "/readyz") == (200, "ready\na warning\n")
        assert get(port.port, "/metrics")[0] == 200
        assert json.loads(get(port.port, "/version")[1]) == {"engine": "test"}
        state.limit_s = 60.0
        assert get(port.port, "/livez") == (200, "ok\na fault\n")
        state.loop_lag.stop()
    finally:
        port.close()


async def test_a_reload_runs_on_the_loop_of_the_proxy() -> None:
    state, loop = State(), asyncio.get_running_loop()
    port = AdminPort(admin_app(state, state, on_loop(loop, state.reload)), [listening()])
    try:
        status, said = await asyncio.to_thread(get, port.port, "/reload", b"")
    finally:
        port.close()
    assert (status, json.loads(said)["loop"], state.reloads) == (200, id(loop), 1)


@pytest.mark.parametrize(("is_ok", "status"), [(True, 200), (False, 503)])
async def test_the_cache_is_purged_on_the_loop_of_the_proxy(is_ok: bool, status: int) -> None:
    async def purge() -> dict[str, object]:
        return {"ok": is_ok, "loop": id(asyncio.get_running_loop())}

    loop = asyncio.get_running_loop()
    port = AdminPort(admin_app(State(), purge=on_loop(loop, purge)), [listening()])
    try:
        told, said = await asyncio.to_thread(get, port.port, "/cache/purge", b"")
    finally:
        port.close()
    assert (told, json.loads(said)["loop"]) == (status, id(loop))


@pytest.mark.parametrize(
    ("own", "host", "is_answered"),
    [
        *(
            ("127.0.0.1", host, True)
            for host in ("127.0.0.1:9090", "127.0.0.1", "LOCALHOST:9090", "localhost.", "[::1]:9090")
        ),
        *(("127.0.0.1", host, True) for host in ("127.9.9.9", "[::ffff:127.0.0.1]:9090", "::1", None)),
        *(
            ("127.0.0.1", host, False)
            for host in ("evil.example", "evil.example:9090", "10.0.0.7:9090", "", "localhost.evil.example")
        ),
        *(
            ("127.0.0.1", host, False)
            for host in ("127.0.0.1.evil.example", "127.0.0.1@evil.example", "[", "a:b:c", "*", "*.svc")
        ),
        *((own, "10.0.0.7:9090", True) for own in ("0.0.0.0", "::", "", "10.0.0.7")),
        *((own, "[2001:db8::7]:9090", own != "10.0.0.7") for own in ("0.0.0.0", "::", "", "10.0.0.7")),
        *((own, "evil.example:9090", False) for own in ("0.0.0.0", "::", "", "10.0.0.7", "admin.example")),
        ("admin.example", "Admin.Example:9090", True),
        ("10.0.0.7", "10.0.0.8", False),
    ],
)
def test_the_port_answers_only_for_hosts_that_nobody_else_can_name(
    own: str, host: str | None, is_answered: bool
) -> None:
    assert AdminHosts(own).accept(host) == is_answered


@pytest.mark.parametrize(
    ("named", "host", "is_answered"),
    [
        ("guardproxy", "guardproxy:9090", True),
        ("guardproxy", "a.guardproxy", False),
        ("Guard.Example.", "guard.example", True),
        ("*.svc.cluster.local", "guard.prod.svc.cluster.local:9090", True),
        ("*.svc.cluster.local", "svc.cluster.local", False),
        ("*.svc.cluster.local", "evilsvc.cluster.local", False),
        ("*", "evil.example", True),
    ],
)
def test_a_setting_names_further_hosts(named: str, host: str, is_answered: bool) -> None:
    assert AdminHosts("127.0.0.1", (named,)).accept(host) == is_answered


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/version", "/all/livez", "/nothing"])
def test_no_path_answers_for_a_strange_host(path: str) -> None:
    port = AdminPort(admin_app(State()), [listening()])
    request = urllib.request.Request(f"http://127.0.0.1:{port.port}{path}", headers={"Host": "evil.example"})
    try:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)
        with caught.value as error:
            assert error.code == 403
            assert b"--admin-allowed-host" in error.read()
    finally:
        port.close()


class Encrypted:
    """The admin port over TLS, with a certificate that can be replaced. `failed`: why handshakes failed."""

    def __init__(self, folder: Path, handshake_s: float = 30.0) -> None:
        self.authority, self.failed = Authority(folder), list[str]()
        self.context = self.made("localhost")
        tls = AdminTls(lambda: self.context, handshake_s, self.failed.append)
        self.own = folder / "own"
        self.admin = AdminPort(admin_app(State()), [listening()], self.own, tls)

    def made(self, name: str) -> ssl.SSLContext:
        pair = self.authority.pair(name, [("CN", name)], host="localhost")
        files = TlsFiles(pair.cert, pair.key, is_server=True)
        return build(files, files.read(), time.time()).context

    def renew(self, name: str) -> None:
        self.context = self.made(name)

    def connection(self) -> http.client.HTTPSConnection:
        trusting = ssl.create_default_context(cafile=self.authority.file)
        made = http.client.HTTPSConnection("localhost", self.admin.port, timeout=30, context=trusting)
        made.connect()
        return made


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Encrypted]:
    found = Encrypted(tmp_path)
    yield found
    found.admin.close()


def name_of(connection: http.client.HTTPSConnection) -> str:
    encrypted: Any = connection.sock
    (((_, name),),) = encrypted.getpeercert()["subject"]
    return str(name)


def asked(connection: http.client.HTTPConnection, path: str = "/readyz") -> tuple[int, bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def test_open_connections_of_the_admin_port_go_on_with_their_certificate(encrypted: Encrypted) -> None:
    before = encrypted.connection()
    assert asked(before) == (200, b"ready\n")
    encrypted.renew("new")
    after = encrypted.connection()
    assert [name_of(connection) for connection in (before, after)] == ["localhost", "new"]
    assert [asked(connection)[0] for connection in (before, after)] == [200, 200]
    for connection in (before, after):
        connection.close()
    with socket.socket(socket.AF_UNIX) as own:  # other processes of the server need no certificate
        own.connect(str(encrypted.own))
        own.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert own.recv(100).startswith(b"HTTP/1.0 200 OK")


def test_the_certificate_of_the_admin_port_changes_under_load(encrypted: Encrypted) -> None:
    def load() -> set[str]:
        names = set[str]()
        while not is_over.is_set():
            connection = encrypted.connection()
            assert asked(connection)[0] == 200
            names.add(name_of(connection))
            connection.close()
        return names

    is_over = threading.Event()
    contexts = [encrypted.made(f"c{number}") for number in range(4)]
    with ThreadPoolExecutor(2) as threads:
        loads = [threads.submit(load) for _ in range(2)]
        for number in range(50):
            encrypted.context = contexts[number % 4]
            connection = encrypted.connection()
            assert name_of(connection) == f"c{number % 4}"
            connection.close()
        is_over.set()
        assert all(done.result(30) for done in loads)
    assert encrypted.failed == []


def test_who_speaks_plain_http_to_the_encrypted_port_gets_nothing(encrypted: Encrypted) -> None:
    with socket.create_connection(("127.0.0.1", encrypted.admin.port), 30) as plain:
        plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"HTTP" not in plain.recv(4096)
    connection = encrypted.connection()
    assert asked(connection)[0] == 200
    connection.close()
    assert encrypted.failed == ["tls"]


def test_handshakes_that_hold_the_admin_port_end_in_time(tmp_path: Path) -> None:
    encrypted = Encrypted(tmp_path, handshake_s=0.1)
    try:
        for sent in (b"", b"\x16\x03\x01\x02\x00\x01"):
            with socket.create_connection(("127.0.0.1", encrypted.admin.port), 30) as held:
                held.sendall(sent)
                assert held.recv(100) == b""
    finally:
        encrypted.admin.close()
    assert set(encrypted.failed) == {"timeout"}


def test_handshakes_of_one_address_leave_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MOST_HANDSHAKES", 5)
    encrypted = Encrypted(tmp_path)
    held = [socket.create_connection(("127.0.0.1", encrypted.admin.port), 30) for _ in range(5)]
    try:
        assert held[-1].recv(1) == b"", "four of five are the share of an address"
        held.pop(0).close()
    finally:
        for opened in held:
            opened.close()
        encrypted.admin.close()


def test_who_speaks_tls_to_the_plain_port_is_told_so_in_http() -> None:
    port = AdminPort(admin_app(State()), [listening()])
    try:
        with socket.create_connection(("127.0.0.1", port.port), 30) as opened, pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(opened, server_hostname="localhost")
        assert get(port.port, "/readyz")[0] == 200
    finally:
        port.close()


def test_a_certificate_of_another_name_is_for_new_connections_alone(encrypted: Encrypted) -> None:
    before = encrypted.connection()
    pair = encrypted.authority.pair("other.example")
    files = TlsFiles(pair.cert, pair.key, is_server=True)
    encrypted.context = build(files, files.read(), time.time()).context
    with pytest.raises(ssl.SSLCertVerificationError):
        encrypted.connection()
    assert asked(before)[0] == 200
    before.close()


def test_a_name_that_the_certificate_does_not_have_changes_nothing(encrypted: Encrypted) -> None:
    """The port has one certificate, whatever name a client asks for; which it is, the client decides."""
    trusting = ssl.create_default_context(cafile=encrypted.authority.file)
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    trusting.check_hostname = False
    for name in ("other.example", "localhost", None):
        with (
            socket.create_connection(("127.0.0.1", encrypted.admin.port), 30) as opened,
            trusting.wrap_socket(opened, server_hostname=name) as client,
        ):
            assert client.selected_alpn_protocol() == "http/1.1"
            found: Any = client.getpeercert()
            assert found["subject"] == ((("commonName", "localhost"),),)


SMUGGLED = b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
LENGTH = str(len(SMUGGLED)).encode()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n",
        b"POST /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n",
        b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: evil.example\r\nContent-Length: %s\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: %s\r\n\r\n0\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\nContent-Length: 0\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0, %s\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length : %s\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: +%s\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length:\r\n %s\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nAB\r\n0\r\n\r\n",
        b"GET /readyz HTTP/1.1\nHost: localhost\n\n",
        b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: %s\r\n\r\n",
    ],
)
async def test_no_part_of_a_request_is_taken_for_another_one(head: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """What follows the head is its body, or nothing at all: it never reloads the policies."""
    state = State()
    port = AdminPort(admin_app(state, state), [listening()])
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.port)
        writer.write(head.replace(b"%s", LENGTH) + SMUGGLED)
        writer.write_eof()
        async with asyncio.timeout(30):
            answers = await reader.read()
        writer.transport.abort()
    finally:
        port.close()
    assert state.reloads == 0
    assert answers.count(b"HTTP/1.1 ") + answers.count(b"HTTP/1.0 ") <= 1
    assert caplog.records == [], "nobody who reaches the port writes into the log"
