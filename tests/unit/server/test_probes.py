"""The admin port answers while the event loop is blocked, and says that it is."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request

import pytest

from guardproxy.server.probes import AdminPort
from guardproxy.server.status import Metrics, Pulse, admin_app, on_loop
from tests.kit.serving import listening


class State:
    """A server whose loop counts as stuck as soon as it has not run for any time at all."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.pulse = Pulse(self.metrics)
        self.limit_s = 0.0
        self.reloads = 0

    def stuck(self) -> list[str]:
        return ["the event loop has not run"] if self.pulse.still_s() > self.limit_s else []

    def trouble(self) -> list[str]:
        return []

    def remarks(self) -> list[str]:
        return ["a remark"]

    def ailments(self) -> list[str]:
        return ["an ailment"]

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
        assert get(port.port, "/livez") == (200, "ok\nan ailment\n"), "before the start nothing is stuck"
        state.pulse.start(loop)
        assert get(port.port, "/livez") == (503, "the event loop has not run\nan ailment\n")
        assert get(port.port, "/readyz") == (200, "ready\na remark\n")
        assert get(port.port, "/metrics")[0] == 200
        assert json.loads(get(port.port, "/version")[1]) == {"engine": "test"}
        state.limit_s = 60.0
        assert get(port.port, "/livez") == (200, "ok\nan ailment\n")
        state.pulse.stop()
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
