"""The admin port answers while the event loop is blocked, and says that it is."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request

import pytest

from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.status import AdminHosts, LoopLag, admin_app, on_loop
from guardproxy.server.processes.probes import AdminPort
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
