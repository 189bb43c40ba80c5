"""One admin port shows all processes of a server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from guardproxy.server.observing import process_metrics as siblings
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.process_metrics import ProcessAnswer, Siblings
from guardproxy.server.observing.status import admin_app
from guardproxy.server.processes.probes import AdminPort
from tests.kit.serving import listening
from tests.unit.server.processes.test_probes import get

NAMES = ("0", "1", "models")


class State:
    """A process."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.reasons: list[str] = []
        self.wrong: list[str] = []
        self.reloads = True

    def liveness_errors(self) -> list[str]:
        return self.reasons

    def readiness_errors(self) -> list[str]:
        return self.wrong

    def readiness_warnings(self) -> list[str]:
        return []

    def liveness_warnings(self) -> list[str]:
        return []

    def version(self) -> dict[str, object]:
        return {"engine": "test"}

    async def reload(self) -> dict[str, object]:
        return {"ok": self.reloads}


@contextmanager
def serving(folder: Path, name: str) -> Iterator[tuple[int, State]]:
    """A process, by its admin port and state."""
    state, own = State(), Siblings(name, NAMES, folder)
    app = admin_app(state, None if name == siblings.MODELS else state, siblings=own)
    port = AdminPort(app, [listening()], own.socket)
    try:
        yield port.port, state
    finally:
        port.close()


@contextmanager
def all_three(folder: Path) -> Iterator[tuple[int, dict[str, State]]]:
    with ExitStack() as stack:
        made = {name: stack.enter_context(serving(folder, name)) for name in NAMES}
        yield made["1"][0], {name: state for name, (_, state) in made.items()}


def test_probes_say_how_each_process_is(tmp_path: Path) -> None:
    with all_three(tmp_path) as (port, states):
        assert get(port, "/all/livez") == (200, "worker 0: ok\nworker 1: ok\nmodels: ok\n")
        assert get(port, "/all/readyz") == (200, "worker 0: ready\nworker 1: ready\nmodels: ready\n")
        assert json.loads(get(port, "/all/version")[1])["worker 0"] == {"engine": "test"}
        states["0"].wrong = ["draining"]
        states["models"].reasons = ["the event loop has not run"]
        assert get(port, "/all/readyz")[0] == 503
        assert get(port, "/all/livez") == (
            503,
            "worker 0: ok\nworker 1: ok\nmodels: the event loop has not run\n",
        )
        assert get(port, "/livez") == (200, "ok\n"), "the port's own process is fine"


def test_a_missing_process_is_named_and_others_serve(tmp_path: Path) -> None:
    with serving(tmp_path, "1") as (port, _):
        with socket.socket(socket.AF_UNIX) as killed:  # the socket that a killed process leaves
            killed.bind(str(tmp_path / "admin-0"))
        missing = "worker 0: does not answer\nworker 1: {}\nmodels: does not answer\n"
        assert get(port, "/all/livez") == (200, missing.format("ok"))
        assert get(port, "/all/readyz") == (200, missing.format("ready"))
        assert json.loads(get(port, "/all/version")[1])["models"] is None
        assert 'guardproxy_up{worker="0"} 0.0\nguardproxy_up{worker="1"} 1.0\n' in get(port, "/all/metrics")[1]
        assert get(port, "/all/reload", b"") == (
            422,
            '{"ok": false, "worker 0": {"ok": false}, "worker 1": {"ok": true}}',
        )
        with serving(tmp_path, "0"):  # takes the place of the socket
            assert get(port, "/all/livez")[1].startswith("worker 0: ok\n")
    assert not list(tmp_path.glob("admin-1"))


def test_the_models_alone_are_not_ready(tmp_path: Path) -> None:
    with serving(tmp_path, siblings.MODELS) as (port, _):
        assert get(port, "/all/readyz")[0] == 503
        assert get(port, "/all/reload", b"")[0] == 404, "that process has no policies"


def test_metrics_of_all_processes_have_a_label(tmp_path: Path) -> None:
    with all_three(tmp_path) as (port, states):
        states["0"].metrics.exchanges.labels("POST /v1/messages", "answered").inc(2)
        states["1"].metrics.exchanges.labels("POST /v1/messages", "answered").inc(5)
        text = get(port, "/all/metrics")[1]
    assert text.count("# TYPE guardproxy_exchanges_total counter") == 1
    label = 'route="POST /v1/messages",outcome="answered"'
    assert f'guardproxy_exchanges_total{{worker="0",{label}}} 2.0' in text.replace(
        'outcome="answered",route="POST /v1/messages"', label
    )
    counts = {
        sample.labels["worker"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "guardproxy_exchanges_total"
    }
    assert counts == {"0": 2.0, "1": 5.0}


@given(st.text(st.characters(codec="utf-8")), st.floats(min_value=0, allow_infinity=False))
def test_any_label_and_value_survive(label: str, value: float) -> None:
    registry = CollectorRegistry()
    counter = Counter("asked", "Text with # HELP in it.", ("by",), registry=registry)
    counter.labels(label).inc(value)
    plain = generate_latest(registry).decode()
    body = siblings._metrics({"0": ProcessAnswer(200, plain), "models": ProcessAnswer(200, plain), "1": None}).body
    assert isinstance(body, bytes)
    samples = [s for family in text_string_to_metric_families(body.decode()) for s in family.samples]
    asked = [(s.labels["worker"], s.labels["by"], s.value) for s in samples if s.name == "asked_total"]
    assert asked == [("0", label, value), ("models", label, value)]


def test_a_process_without_siblings_answers_alone() -> None:
    port = AdminPort(admin_app(State()), [listening()])
    try:
        assert get(port.port, "/all/livez") == (200, "worker 0: ok\n")
    finally:
        port.close()


@pytest.mark.parametrize("header", ["Origin: http://page.example", "Sec-Fetch-Site: cross-site"])
def test_a_web_page_reloads_no_process(header: str, tmp_path: Path) -> None:
    with all_three(tmp_path) as (port, states), socket.create_connection(("127.0.0.1", port), 10) as client:
        states["0"].reloads = False
        client.sendall(
            f"POST /all/reload HTTP/1.1\r\nHost: localhost\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 403 ")
        assert get(port, "/all/reload", b"")[0] == 422, "the reload of a worker fails"
