"""Starts the proxy with one policy in front of an upstream, asks both, and returns the figures.

Every second request goes to the upstream itself, so both paths see the machine in the same state.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter
from typing import NamedTuple

import aiohttp

from guardproxy.errors import GuardproxyError
from guardproxy.sizing.figures import PROMPT_WORDS, STREAM_CHUNKS, Added, Sizes, per_core, streams_per_core
from guardproxy.sizing.traffic import Agent, prompt

LEAST = 12
"""The requests of a path that are measured at least, however slow they are."""
CONNECTIONS = 16
STREAMS = 8
START_S = 120.0
NO_RULES = "none"
_NO_RULES = """\
policy: none
match: {models: [nothing-asks-for-this]}
checks: {word: {use: pattern, words: [word]}}
rules: [{id: watch, when: word, action: flag}]
"""
_CHAT = "/v1/chat/completions"
_TEXT = re.compile(rb'"content": ?"[^"]')


class _Proxy(NamedTuple):
    url: str
    process: int


class SizingError(GuardproxyError):
    """The proxy did not start, or does not answer."""


async def measure(policies: Path | str, seconds: float, step: Callable[[str], None]) -> Sizes:
    """Measures one policy. `policies`: a folder, the name of a shipped policy, or `none`; `seconds`: for each of the
    seven measurements; `step`: is told what begins. Raises `SizingError`."""
    with tempfile.TemporaryDirectory(prefix="guardproxy-bench-") as folder:
        async with (
            _upstream() as bare_url,
            _proxy(policies, bare_url, Path(folder)) as proxy,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            return await _Measurement(session, bare_url, proxy, seconds, step).run(str(policies))


class _Measurement:
    """The measurement of one policy."""

    def __init__(
        self, session: aiohttp.ClientSession, bare_url: str, proxy: _Proxy, seconds: float, step: Callable[[str], None]
    ) -> None:
        self._session = session
        self._urls = bare_url, proxy.url
        self._proxy = proxy
        self._seconds = seconds
        self._step = step
        self._random = Random(11)  # noqa: S311 - texts to measure with
        self._refused = 0

    async def run(self, policy: str) -> Sizes:
        prompts = {}
        for count in PROMPT_WORDS:
            self._step(f"prompts of {count:,} words")
            prompts[count] = await self._compared(partial(self._prompt, count))
        self._step("turns of an agent")
        agents = Agent(self._random), Agent(self._random)
        turn = await self._compared(lambda path: agents[path].turn(), warm=3)
        self._step("first text of a stream")
        first = await self._compared(lambda _: prompt(self._random, PROMPT_WORDS[0], stream=True), is_stream=True)
        self._step("requests at once")
        requests, cpu_s = await self._load(lambda: prompt(self._random, PROMPT_WORDS[0]), CONNECTIONS)
        self._step("streams at once")
        streams, stream_cpu_s = await self._load(lambda: prompt(self._random, PROMPT_WORDS[0], stream=True), STREAMS)
        _, memory = used(self._proxy.process)
        return Sizes(
            policy=policy,
            prompts=prompts,
            turn=turn,
            first_text=first,
            requests_s=per_core(requests, cpu_s),
            streams=streams_per_core(streams * STREAM_CHUNKS, stream_cpu_s),
            memory_mib=round(memory / 2**20, 1),
            refused=self._refused,
        )

    def _prompt(self, count: int, _: int) -> bytes:
        return prompt(self._random, count)

    async def _compared(self, body: Callable[[int], bytes], *, is_stream: bool = False, warm: int = 2) -> Added:
        """Asks both paths in turn. `body`: returns the next request of path 0, the upstream itself, or 1, through the proxy."""
        took_s: tuple[list[float], list[float]] = ([], [])
        end_s = perf_counter() + self._seconds
        while perf_counter() < end_s or len(took_s[1]) < LEAST + warm:
            for path, url in enumerate(self._urls):
                took_s[path].append(await self._ask(url, body(path), is_stream=is_stream))
        return Added.of(took_s[0][warm:], took_s[1][warm:])

    async def _ask(self, url: str, body: bytes, *, is_stream: bool = False) -> float:
        """Returns the seconds to the whole answer, or to the first text of a stream."""
        began_s, first_s = perf_counter(), 0.0
        headers = {"Content-Type": "application/json", "Authorization": "Bearer sizing"}
        try:
            async with self._session.post(url + _CHAT, data=body, headers=headers) as answer:
                async for data, _ in answer.content.iter_chunks():
                    if not first_s and is_stream and _TEXT.search(data):
                        first_s = perf_counter() - began_s
                self._refused += answer.status >= 400
        except aiohttp.ClientError as error:
            raise SizingError(f"no answer: {error}") from None
        return first_s or perf_counter() - began_s

    async def _load(self, body: Callable[[], bytes], connections: int) -> tuple[int, float]:
        """Asks the proxy on many connections at once. Returns the answers and the processor time that they took."""
        count = 0
        before_s, _ = used(self._proxy.process)
        end_s = perf_counter() + self._seconds

        async def one() -> None:
            nonlocal count
            while perf_counter() < end_s:
                await self._ask(self._proxy.url, body())
                count += 1

        await asyncio.gather(*(one() for _ in range(connections)))
        after_s, _ = used(self._proxy.process)
        return count, after_s - before_s


def used(process: int, system: Path = Path("/proc")) -> tuple[float, int]:
    """Returns the processor time of a process in seconds and its memory in bytes; 0 where the system does not say."""
    try:
        # The name of the program is in brackets and may hold blanks.
        fields = (system / str(process) / "stat").read_text().rpartition(")")[2].split()
        pages = int((system / str(process) / "statm").read_text().split()[1])
    except OSError:
        return 0.0, 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def _upstream() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "guardproxy.sizing.upstream", stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    assert process.stdout is not None  # noqa: S101 - a pipe
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        await _end(process)


@asynccontextmanager
async def _proxy(policies: Path | str, upstream_url: str, folder: Path) -> AsyncIterator[_Proxy]:
    """Starts the proxy. Raises `SizingError` with what it says if it cannot start."""
    if str(policies) == NO_RULES:
        policies = folder / "policies"
        policies.mkdir()
        (policies / "none.yaml").write_text(_NO_RULES, "utf-8")
    settings = ("--upstream", upstream_url, "--policies", str(policies), "--audit", str(folder / "audit"))
    ports = ("--port", "0", "--admin-port", "0", "--log-format", "json")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GUARDPROXY_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "guardproxy", "serve", *settings, *ports), stderr=PIPE, stdout=DEVNULL, env=environment
    )
    assert process.stderr is not None  # noqa: S101 - a pipe
    said: list[str] = []
    reading = None
    try:
        async with asyncio.timeout(START_S):
            port = await _listening(process.stderr, said)
        if port is None:
            raise SizingError(" ".join(said) or "the proxy did not start")
        reading = asyncio.create_task(process.stderr.read())  # a full pipe would hold the proxy
        yield _Proxy(f"http://127.0.0.1:{port}", process.pid)
    except TimeoutError:
        raise SizingError(f"the proxy did not start within {START_S:.0f} s") from None
    finally:
        await _end(process)
        if reading is not None:
            await reading


async def _listening(stderr: asyncio.StreamReader, said: list[str]) -> int | None:
    """Returns the port of the proxy once it listens; `None` if it ends before. Other lines are added to `said`."""
    async for line in stderr:
        try:
            entry = json.loads(line)
        except ValueError:
            said.append(line.decode(errors="replace").strip())
            continue
        if entry.get("event") == "listening":
            return int(entry["port"])
    return None


async def _end(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    with suppress(ProcessLookupError):
        process.terminate()
    await process.wait()
