"""What the admin port shows as JSON: what is wrong with the settings that mend it, and what limits leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guardproxy.config import SETTINGS
from guardproxy.errors import ErrorCode, UpstreamCause
from guardproxy.gateway.clients import FILE_NAME, ClientFile, StoredClient, new_key, write_client_file
from guardproxy.gateway.clients.client_file import with_new_client
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.process_metrics import Siblings
from guardproxy.server.observing.status import admin_app
from guardproxy.server.processes.probes import AdminPort
from guardproxy.server.processes.standing import CALLS_AT_ONCE, limits_of, readings, status_of
from tests.kit.serving import listening
from tests.kit.valkey import valkey
from tests.unit.server.processes.test_probes import get
from tests.unit.server.test_limited import Rig, serving

KEYS = {name: new_key(f"{number:012x}", "s" * 43) for number, name in enumerate(("bot", "app", "gone"))}
LIMITS = """
[[limit]]
name = "calls"
unit = "requests"
rate = "4/1h"
per = ["client"]

[[limit]]
name = "spend"
unit = "cost"
budget = "50.00/day"
per = ["tenant"]

[[limit]]
name = "whole"
unit = "parallel"
most = 7

[[limit]]
name = "models"
unit = "requests"
rate = "9/1h"
per = ["model"]
tenants = ["acme"]

[price."*"]
input = 10
output = 100
"""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    file = ClientFile()
    for name, key in KEYS.items():
        client = StoredClient(name, "acme" if name == "bot" else "beta")
        file = with_new_client(file, client, key, datetime.now(UTC), None)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / FILE_NAME).write_bytes(write_client_file(file))
    (tmp_path / "limits.toml").write_text(LIMITS)
    return {
        "client_keys": tmp_path / "keys",
        "limits": tmp_path / "limits.toml",
        "upstream_key": ("default=up-secret",),
    }


async def left(rig: Rig, *query: tuple[str, str]) -> dict[tuple[str, str], tuple[int, int]]:
    """What limits leave: `(limit, whose)` -> `(left, most)`."""
    shown = await limits_of(rig.server, query)
    json.dumps(shown)
    return {
        (row["limit"], row["client"] or row["model"] or row["tenant"]): (row["left"], row["most"])
        for row in shown["left"]
    }


BOTH = (("client", "bot"), ("client", "app"))


async def test_what_is_left_is_what_requests_have_not_taken(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with serving(tmp_path, **settings) as rig:
        before = await left(rig, *BOTH)
        assert before["calls", "bot"] == before["calls", "app"] == (4, 4)
        assert before["whole", ""] == (7, 7)
        for _ in range(2):
            assert (await rig.ask(KEYS["bot"]))[0] == 200
        await rig.server._admission.settling.close(5)
        after = await left(rig, *BOTH, ("model", "Scripted"), ("tenant", "beta"), ("tenant", "new"))
        assert after["calls", "bot"] == (2, 4), "a client by the pseudonym under which its requests are counted"
        assert after["calls", "app"] == (4, 4)
        assert after["spend", "acme"][0] < after["spend", "acme"][1] == after["spend", "beta"][0] == 50_000_000
        assert after["models", "Scripted"] == (7, 9), "names of models are read as the limit reads them"
        assert after["spend", "new"] == (50_000_000, 50_000_000)
        assert await left(rig, *BOTH) == await left(rig, *BOTH), "to look takes nothing"
        assert (await left(rig, ("client", "nobody"), ("client", "<script>"))).keys() == {("whole", "")} | {
            key for key in after if key[0].startswith("limited/none")
        }


async def test_limits_of_policies_are_shown_with_their_mode(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with serving(tmp_path, **settings) as rig:
        shown = await limits_of(rig.server, BOTH)
    rows = {(row["limit"], row["client"]): row for row in shown["left"]}
    assert rows["limited/two", "bot"]["left"] == 2
    assert [rows["limited/none", ""][name] for name in ("is_shadow", "most")] == [True, 0]
    assert [row["limit"] for row in shown["limits"]] == [
        "calls",
        "whole",
        "spend",
        "models",
        "limited/two",
        "limited/none",
    ]


async def test_a_store_that_is_away_is_said(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with serving(tmp_path, **settings, state=f"unix://{tmp_path / 'nobody.sock'}") as rig:
        shown = await limits_of(rig.server, BOTH)
        assert (shown["ok"], shown["left"], len(shown["limits"])) == (False, [], 6)
        troubles = [trouble for trouble in status_of(rig.server, 1)["troubles"] if "state" in trouble["settings"]]
        assert [trouble["code"] for trouble in troubles] == ["store_unavailable"]


async def test_a_shared_store_is_looked_at_and_not_changed(tmp_path: Path, settings: dict[str, Any]) -> None:
    (tmp_path / "store").mkdir()
    with valkey(tmp_path / "store") as address:
        async with serving(tmp_path, **settings, state=address) as rig:
            assert (await rig.ask(KEYS["bot"]))[0] == 200
            await rig.server._admission.settling.close(5)
            first = await left(rig, *BOTH)
            assert first["calls", "bot"] == (3, 4)
            assert first["calls", "app"] == (4, 4)
            assert first["spend", "acme"][0] < 50_000_000
            assert first["whole", ""] == (7, 7)
            assert await left(rig, *BOTH) == first


async def test_the_loop_runs_between_the_calls(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, **settings) as rig:
        sizes: list[int] = []
        perform = rig.server.state.store.perform

        async def counted(calls: Any) -> Any:
            sizes.append(len(calls))
            return await perform(calls)

        monkeypatch.setattr(rig.server.state.store, "perform", counted)
        tenants = [("tenant", f"t{number}") for number in range(1000)]
        await limits_of(rig.server, tenants)
        assert max(sizes) == CALLS_AT_ONCE
        assert sum(sizes) == 102, "100 of 1000 tenants, and two limits that all share"


async def test_the_status_names_what_is_wrong_and_what_mends_it(tmp_path: Path) -> None:
    more = {"breaker_failures": 1, "readyz_upstreams": True, "confirm_key": "s" * 40}
    async with serving(tmp_path, **more) as rig:
        assert status_of(rig.server, 8080)["troubles"] == []
        await rig.upstream.close()
        assert (await rig.ask())[0] >= 500
        (tmp_path / "policies" / "limited.yaml").write_text("policy: [<script>")
        await rig.server.reload()
        shown = status_of(rig.server, 8080)
        serious = [trouble for trouble in shown["troubles"] if trouble["is_serious"]]
        assert [trouble["text"] for trouble in serious] == ["no upstream answers (refused)"]
        assert serious[0]["settings"] == ErrorCode.UPSTREAM_UNAVAILABLE.settings
        breaker = next(trouble for trouble in shown["troubles"] if "circuit breaker" in trouble["text"])
        assert breaker["settings"] == UpstreamCause.REFUSED.settings == ("upstream",)
        assert any(trouble["settings"] == ("policies",) for trouble in shown["troubles"])
        texts = [trouble["text"] for trouble in shown["troubles"]]
        assert texts == [*rig.server.readiness_errors(), *rig.server.readiness_warnings()]
        assert shown["upstreams"] == {"default": "open"}
        assert "s" * 40 not in json.dumps(shown)


async def test_the_status_says_where_to_send_a_request(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with serving(tmp_path, **settings) as rig:
        shown = status_of(rig.server, 8123)
        assert (shown["url"], shown["is_shared"]) == ("http://127.0.0.1:8123", False)
        assert status_of(rig.server, 0)["url"] == "", "a process without a port for clients"
        assert "up-secret" not in json.dumps(shown)
        assert all(key not in json.dumps(shown) for key in KEYS.values())


async def test_the_status_says_which_rules_and_models_are_in_force(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        (tmp_path / "policies" / "attacks.yaml").write_text(ATTACKS)
        assert (await rig.server.reload())["ok"] is True
        shown = status_of(rig.server, 8080)
        json.dumps(shown)
    guard = {guard["policy"]: guard for guard in shown["guards"]}["attacks"]
    assert (guard["description"], guard["mode"]) == ("No orders from strangers.", "enforce")
    assert guard["rules"] == [
        {"id": "none", "action": "block", "mode": "shadow", "severity": "high", "message": "not here"}
    ]
    (scorer,) = shown["scorers"]
    assert (scorer["model"], scorer["policies"]) == ("supervisor", ["attacks"])
    assert 0.1 < scorer["least"]["injection"] < 1
    assert shown["folders"]["supervisor"].endswith("/supervisor")


ATTACKS = """
policy: attacks
description: No orders from strangers.
match: {models: [never]}
checks: {attack: {use: supervisor, label: injection, threshold: 1%}}
rules:
  - {id: none, on: request, when: attack, action: block, mode: shadow, severity: high, message: not here}
"""


async def test_the_admin_port_shows_both_for_all_workers(tmp_path: Path, settings: dict[str, Any]) -> None:
    async with serving(tmp_path, **settings) as rig:
        loop = asyncio.get_running_loop()
        for own in (Siblings(), Siblings("1", ("0", "1", "models"), tmp_path)):
            app = admin_app(rig.server, rig.server, siblings=own, shown=readings(rig.server, 8080, loop))
            port = AdminPort(app, [listening()], own.socket)
            try:
                asked: Callable[[str], Any] = lambda path: asyncio.to_thread(get, port.port, path)  # noqa: B023, E731
                code, text = await asked("/limits?client=bot")
                assert (code, json.loads(text)["left"][0]["client"]) == (200, "bot")
                code, text = await asked("/all/limits?client=bot")
                worker = json.loads(text)[f"worker {own.own}"]
                assert (code, worker["left"][0]["client"]) == (200, "bot"), "the query goes to every worker"
                status = json.loads((await asked("/all/status"))[1])
                assert status[f"worker {own.own}"]["gauges"]["open"] == 0
                assert "models" not in status
                if own.own == "1":
                    assert status["worker 0"] is None, "it does not answer"
            finally:
                port.close()


def test_what_mends_is_a_setting() -> None:
    named = [setting for cause in UpstreamCause for setting in cause.settings]
    named += [setting for count in Metrics().troubles() for setting in count.settings]
    named += [setting for code in ErrorCode for setting in code.settings]
    assert set(named) <= SETTINGS.keys()
    assert all(cause.settings for cause in UpstreamCause)


def test_only_what_fails_counts_as_trouble() -> None:
    metrics = Metrics()
    assert {count.value for count in metrics.troubles()} == {0}
    metrics.alerts.labels("sent").inc(3)
    metrics.alerts.labels("failed").inc(2)
    metrics.observer_dropped.labels("sink a").inc(4)
    metrics.observer_dropped.labels("log").inc()
    values = {count.name: count.value for count in metrics.troubles() if count.value}
    assert values == {"alerts": 2, "observer_dropped": 5}
