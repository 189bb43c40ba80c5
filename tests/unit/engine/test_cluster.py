"""Work on a Ray cluster of two nodes on this machine: the reports of one process, also when an actor is killed."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from guardproxy.batch import LogReplay, ReplayWork, SharedPolicies
from guardproxy.cli import app
from guardproxy.engine import HERE, Work, WorkEngine, parts_of
from guardproxy.engine import cluster as of_ray
from guardproxy.engine.cluster import RayEngine, _sizes
from guardproxy.errors import ConfigError, EngineError
from tests.kit.logs import write_log
from tests.kit.records import plain_record, plain_text

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("default")]  # Ray leaves sockets and files open

POLICY = """
policy: p
checks: {word: {use: pattern, label: WORD, words: [plain]}}
rules: [{id: word, when: word, action: flag}]
"""
STORE_BYTES = 80 << 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A head and another node, each for one actor."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("RAY_worker_niceness", "0")  # by default, actors give way to the other tests
        node = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        both = cluster_utils.Cluster(initialize_head=True, head_node_args=node)
        try:
            both.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
            patched.setenv("RAY_ADDRESS", both.address)
            yield
        finally:
            both.shutdown()


@dataclass(frozen=True)
class Dying:
    """Work whose worker ends before a task, once for each file in `lives`."""

    work: Any
    lives: Path
    task: int = 3
    uses_models: bool = False

    @contextmanager
    def open(self) -> Iterator[Callable[[Any], Any]]:
        done = 0

        def die_and_do(task: Any) -> Any:
            nonlocal done
            done += 1
            if done == self.task and (left := sorted(self.lives.iterdir())):
                left[0].unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            return do(task)

        with self.work.open() as do:
            yield die_and_do


@dataclass(frozen=True)
class DyingEngine:
    """An engine whose first worker that gets three tasks is killed at the third one."""

    engine: WorkEngine
    lives: Path

    def each(self, work: Work[Any, Any], tasks: Any) -> Iterator[Any]:
        return self.engine.each(Dying(work, self.lives), tasks)


def lives(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / str(number)).touch()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "p.yaml").write_text(POLICY)
    for file in range(2):
        records = [
            plain_record(None, plain_text(text="a plain word"), id=f"x{file}{number}", rules=("gone",))
            for number in range(20)
        ]
        write_log(tmp_path / "audit", f"audit-{file}", *records)
    (tmp_path / "texts.jsonl").write_text('{"id": 1, "text": "a plain word"}\n' * 30)
    return tmp_path


def replayed(folder: Path, engine: WorkEngine) -> tuple[Any, ...]:
    files = sorted((folder / "audit").glob("*.jsonl"))
    parts = list(parts_of(((file, file.stat().st_size) for file in files), 2000))
    assert len(parts) > 8
    run = LogReplay(ReplayWork(SharedPolicies(folder / "p"), None, all_rows=True), parts, engine)
    return run.remarks(), list(run.rows()), run.counts, run.traffic.groups


def test_a_replay_reports_the_same_although_an_actor_is_killed(cluster: None, folder: Path) -> None:
    engine = DyingEngine(RayEngine(), lives(folder / "lives", 1))
    assert replayed(folder, engine) == replayed(folder, HERE)
    assert not any(engine.lives.iterdir()), "an actor was killed"


def test_commands_print_the_same(cluster: None, folder: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, words)
        return result.exit_code, result.stdout

    for words in (
        ("audit", "verify", str(folder / "audit"), "--json"),
        ("scan", str(folder / "texts.jsonl"), "--policies", str(folder / "p")),
    ):
        code, out = run(*words)
        assert run(*words, "--engine", "ray", "--workers", "1") == (code, out), words
        assert out


@pytest.mark.parametrize(
    ("workers", "uses_models", "resources", "sizes"),
    [
        (0, False, {"CPU": 8.0}, (8, 0.0)),
        (0, False, {}, (1, 0.0)),
        (0, True, {"CPU": 8.0}, (8, 0.0)),
        (0, False, {"CPU": 8.0, "GPU": 2.0}, (8, 0.0)),
        (0, True, {"CPU": 8.0, "GPU": 2.0}, (2, 1.0)),
        (1, True, {"CPU": 8.0, "GPU": 2.0}, (1, 1.0)),
        (6, True, {"CPU": 8.0, "GPU": 2.0}, (6, 0.3333)),
        (3, False, {"CPU": 8.0}, (3, 0.0)),
    ],
)
def test_workers_share_the_gpus_if_they_run_models(
    workers: int, uses_models: bool, resources: dict[str, float], sizes: tuple[int, float]
) -> None:
    assert _sizes(workers, uses_models, resources) == sizes


def test_without_the_package_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"guardproxy\[ray\]"):
        RayEngine()


def answering(data: bytes | None) -> Iterator[str]:
    """The address of a server that answers each connection with `data`, or with nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.sendall(data or b"")
                    if data is not None:
                        connection.recv(100)
                    else:
                        connection.recv(1000), connection.recv(1000)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers there is not a cluster"), (None, "no answer in 0.2 s")],
)
def test_what_is_no_cluster_is_said_at_once(data: bytes | None, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_ray, "REACH_S", 0.2)
    for address in answering(data):
        with pytest.raises(EngineError, match=rf"no Ray cluster at {address} \(RAY_ADDRESS\): {message}"):
            of_ray._reach(address)


def test_a_port_that_nobody_listens_at_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(EngineError, match=f"no Ray cluster at {address} .*refused"):
            of_ray._reach(address)


class SlowSocket(socket.socket):
    """A connection that hands out a byte at a time."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        return super().recv(min(size, 1), flags)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        return super().recv_into(memoryview(buffer)[:1], size and 1, flags)


def test_a_server_of_a_cluster_may_answer_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = socket.socketpair()
    monkeypatch.setattr(socket, "create_connection", lambda *_: SlowSocket(fileno=near.detach()))
    with far:
        far.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        of_ray._reach("127.0.0.1:6379")


def test_a_server_of_a_cluster_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in answering(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"):
        of_ray._reach(address)
    monkeypatch.setenv("RAY_USE_TLS", "1")
    for address in answering(b"anything"):
        of_ray._reach(address)
    for word in ("", "auto", "local"):
        of_ray._reach(word)
