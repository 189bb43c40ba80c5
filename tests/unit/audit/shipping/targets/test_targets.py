"""Targets of `audit ship`: the same test for each, against a server that listens, and what happens without one."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from guardproxy.audit.shipping.shipping import Batch, Shipper, Target
from guardproxy.audit.shipping.targets import target_of
from guardproxy.audit.shipping.targets.http import HttpTarget
from guardproxy.audit.shipping.targets.kafka import KafkaTarget
from guardproxy.audit.shipping.targets.objects import ObjectTarget
from guardproxy.audit.shipping.targets.stdout import StreamTarget
from guardproxy.errors import AuditError, ConfigError
from tests.kit.buckets import objects_in, s3_bucket
from tests.kit.logs import write_log
from tests.kit.records import plain_record

Received = Callable[[], bytes]


class Server(ThreadingHTTPServer):
    """An HTTP server that keeps bodies. `status`: what it answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.status = 204

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/logs"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if server.status == 204:
            server.bodies.append(body)
            server.headers.append(dict(self.headers))
        self.send_response(server.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def to_stream(tmp_path: Path) -> Iterator[tuple[Target, Received]]:
    stream = io.BytesIO()
    yield StreamTarget(stream), stream.getvalue


def to_http(tmp_path: Path) -> Iterator[tuple[Target, Received]]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield target_of(server.url), lambda: b"".join(server.bodies)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def to_objects(tmp_path: Path) -> Iterator[tuple[Target, Received]]:
    folder = tmp_path / "store"
    folder.mkdir()
    yield target_of(folder.as_uri()), lambda: b"".join(path.read_bytes() for path in sorted(folder.rglob("*.jsonl")))


def to_s3(tmp_path: Path) -> Iterator[tuple[Target, Received]]:
    with pytest.MonkeyPatch.context() as patch, s3_bucket(patch):
        yield target_of("s3://kept/logs"), lambda: b"".join(objects_in("s3://kept/logs").values())


def to_kafka(tmp_path: Path) -> Iterator[tuple[Target, Received]]:
    """The broker is the one that librdkafka has for tests: it listens on a port and speaks Kafka's protocol."""
    broker = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "unused"})
    (address,) = {str(found) for found in broker.list_topics(timeout=30).brokers.values()}
    yield target_of(f"kafka://{address.partition('/')[0]}/audit"), lambda: _consumed(address.partition("/")[0])


def _consumed(address: str) -> bytes:
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe(["audit"])
    lines: list[bytes] = []
    while len(lines) < 4:
        message = consumer.poll(30)
        assert message is not None, "no message came"
        assert message.error() is None
        value = message.value()
        assert isinstance(value, bytes)
        lines.append(value + b"\n")
    consumer.close()
    return b"".join(lines)


@pytest.mark.parametrize("opened", [to_stream, to_http, to_objects, to_s3, to_kafka])
def test_every_target_gets_the_lines_of_the_log(
    tmp_path: Path, opened: Callable[[Path], Iterator[tuple[Target, Received]]]
) -> None:
    folder = tmp_path / "audit"
    (opening) = opened(tmp_path)
    target, received = next(opening)
    shipper = Shipper(folder, target, tmp_path / "position")
    write_log(folder, "a", plain_record(id="x0"))
    assert shipper.ship() == 1
    write_log(folder, "a", plain_record(id="x1"), plain_record(id="x2"))
    assert Shipper(folder, target, tmp_path / "position").ship() == 1
    assert received() == (folder / "a.jsonl").read_bytes()
    target.close()
    assert next(opening, None) is None


@pytest.mark.parametrize("status", [302, 400, 503])
def test_another_status_than_2xx_loses_nothing(server: Server, tmp_path: Path, status: int) -> None:
    write_log(tmp_path, "a", plain_record())
    server.status = status
    shipper = Shipper(tmp_path, HttpTarget(server.url, "secret"), tmp_path / "p")
    with pytest.raises(AuditError, match=f"the target answered {status}"):
        shipper.ship()
    server.status = 204
    shipper.ship()
    assert server.bodies == [(tmp_path / "a.jsonl").read_bytes()]
    (headers,) = server.headers
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Idempotency-Key"] == "log-of-a--1-0"
    assert headers["Content-Type"] == "application/x-ndjson"


class Closed(io.RawIOBase):
    def write(self, data: Any) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def gone() -> Iterator[tuple[Target, str]]:
    server = Server()
    server.server_close()
    yield HttpTarget(server.url), "cannot be reached: URLError"
    yield StreamTarget(Closed()), "standard output: Broken pipe"  # type: ignore[arg-type]
    url = f"kafka://127.0.0.1:{server.server_port}/t"
    yield KafkaTarget(url, {"log_level": 0}, timeout_s=0.1), "Kafka refuses: no answer in time"
    yield KafkaTarget(url, {"log_level": 0, "message.timeout.ms": 200}), "Kafka refuses: .*timed out"
    yield KafkaTarget(url, {"log_level": 0, "message.max.bytes": 1000}), "Kafka refuses: KafkaException"


def test_a_target_that_is_gone_loses_nothing(tmp_path: Path) -> None:
    write_log(tmp_path, "a", plain_record(id="x" * 2000))
    for target, message in gone():
        with pytest.raises(AuditError, match=message):
            Shipper(tmp_path, target, tmp_path / "p").ship()
        assert not (tmp_path / "p").exists()


def test_an_object_store_that_refuses_loses_nothing(tmp_path: Path) -> None:
    write_log(tmp_path, "a", plain_record())
    store = tmp_path / "store"
    store.mkdir()
    target = ObjectTarget(store.as_uri())
    (store / "log-of-a").write_text("a file where the folder would be")
    with pytest.raises(AuditError, match="the object store refuses"):
        Shipper(tmp_path, target, tmp_path / "p").ship()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host", "expected `-` or a URL"),
        ("kafka://host:1", "expected kafka://HOST:PORT/TOPIC"),
        ("az://", "not an object store"),
    ],
)
def test_wrong_targets_are_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        target_of(url)
    with pytest.raises(ConfigError, match="Kafka: "):
        KafkaTarget("kafka://host:1/t", {"no.such.setting": 1})


@pytest.mark.parametrize(
    ("url", "module", "extra"), [("s3://b", "obstore.store", "objects"), ("kafka://h:1/t", "confluent_kafka", "kafka")]
)
def test_a_missing_package_is_named(url: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf'pip install "guardproxy\[{extra}\]"'):
        target_of(url)


def test_a_dash_is_standard_output() -> None:
    assert isinstance(target_of("-"), StreamTarget)


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_the_same_json_without_what_it_obeys() -> None:
    stream = Terminal()
    StreamTarget(stream).send(Batch("log", 0, 0, '{"a":"\x9b\u202e\x7f"}\n'.encode()))
    assert stream.getvalue() == b'{"a":"\\u009b\\u202e\\u007f"}\n'
