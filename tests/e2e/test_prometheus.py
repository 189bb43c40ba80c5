"""A real Prometheus scrapes the proxy, evaluates the alert rules, and runs every query of the dashboard.

`.ci/run` unpacks its package into build/prometheus; without it, and without one on the path, the tests are skipped.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from guardproxy.server.observing.metrics import Metrics
from tests.kit.serving import CHAT, chat, serving
from tools.pages import dashboard

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "monitoring"
UNPACKED = ROOT / "build" / "prometheus" / "usr" / "bin"
PROMETHEUS, PROMTOOL = (
    shutil.which(name) or (str(UNPACKED / name) if (UNPACKED / name).exists() else "")
    for name in ("prometheus", "promtool")
)
# `.ci/run` unpacks Prometheus where it is missing. Without packages for this system there is no other way to it.
pytestmark = pytest.mark.skipif(not (PROMETHEUS and PROMTOOL), reason="no Prometheus here")
WAIT_S = 30
POLICY = """
policy: guard
checks: {word: {use: pattern, label: WORD, words: [umbrella-corp]}}
rules: [{id: no-such-word, on: request, when: word, action: block}]
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "--lint-fatal", "alerts.yml"),
        ("test", "rules", "alerts.test.yml"),
    ],
    ids=" ".join,
)
def test_the_files_are_right(arguments: tuple[str, ...]) -> None:
    ran = subprocess.run([PROMTOOL, *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


class Scraped:
    """The metrics of a process, served to Prometheus. Each scrape is counted."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._count = 0
        self._came = asyncio.Condition()

    async def show(self, _: web.BaseRequest) -> web.Response:
        async with self._came:
            self._count += 1
            self._came.notify_all()
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def stored(self) -> None:
        """Returns when Prometheus has stored a scrape that began after this call."""
        async with asyncio.timeout(WAIT_S), self._came:
            wanted = self._count + 2  # one scrape is stored before the next begins
            await self._came.wait_for(lambda: self._count >= wanted)


@asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[str]:
    """Runs a Prometheus with the alert rules. Gives its URL."""
    config: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "50ms", "scrape_timeout": "50ms", "evaluation_interval": "100ms"}
    config["rule_files"] = [str(FOLDER / "alerts.yml")]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        PROMETHEUS,
        *(f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
        *("--web.listen-address=127.0.0.1:0", "--log.format=json"),
        stderr=PIPE,
    )
    reading: asyncio.Task[None] | None = None
    try:
        url = await _url(process)
        reading = asyncio.create_task(_drain(process))
        yield url
    finally:
        process.kill()
        await process.wait()
        if reading:
            await reading


async def _url(process: Process) -> str:
    assert process.stderr
    said = b""
    async with asyncio.timeout(WAIT_S):
        while line := await process.stderr.readline():
            said += line
            if found := re.search(
                rb'"Listening on".*?"(127\.0\.0\.1:\d+)"|"address":"(127\.0\.0\.1:\d+)".*Listening', line
            ):
                return f"http://{(found[1] or found[2]).decode()}"
    raise AssertionError(said.decode())


async def _drain(process: Process) -> None:
    assert process.stderr
    while await process.stderr.readline():
        pass


async def test_prometheus_reads_the_metrics_and_runs_every_query(tmp_path: Path) -> None:
    async with serving(tmp_path, POLICY) as rig:
        assert await rig.post(CHAT, chat("words: 5", stream=True, stream_options={"include_usage": True})) == 200
        assert await rig.post(CHAT, chat("of umbrella-corp")) == 400
        scraped = Scraped(rig.server.metrics)
        runner = web.ServerRunner(web.Server(scraped.show))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        try:
            async with prometheus(tmp_path, f"127.0.0.1:{port}") as url, aiohttp.ClientSession(url) as client:
                await scraped.stored()

                async def query(expression: str) -> list[Any]:
                    async with client.get("/api/v1/query", params={"query": expression}) as answer:
                        said = await answer.json()
                        assert said["status"] == "success", (expression, said)
                        return list(said["data"]["result"])

                (blocked,) = await query('guardproxy_decisions_total{decision="stop"}')
                assert blocked["value"][1] == "1"
                assert await query('guardproxy_tokens_total{model="scripted",direction="output"} > 0')
                assert await query('guardproxy_time_to_first_token_seconds_count{model="scripted"} == 1')
                for expression in dashboard.queries().values():
                    await query(expression)
                async with client.get("/api/v1/rules") as answer:
                    rules = (await answer.json())["data"]["groups"][0]["rules"]
                assert [rule["state"] for rule in rules] == ["inactive"] * len(rules)
                assert all(rule["health"] in ("ok", "unknown") for rule in rules)
        finally:
            await runner.cleanup()
