"""Several workers, and the one process that runs the models for them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import openai
import pytest

from tests.e2e.rig import PASS, Proxy, serve, wait_logged
from tests.kit import processes
from tests.kit.plain_texts import OVERRIDE

POLICY = """
policy: attacks
checks: {attack: {use: supervisor}}
rules: [{id: no-attacks, on: user, when: attack, action: block}]
"""
BODY = b'{"model":"scripted","stream":true,"messages":[{"role":"user","content":"words: 20, hang"}]}'
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
HANGING = HEAD % len(BODY) + BODY


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


def blocked(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="a policy refused this request"):
        client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": OVERRIDE}])


def children(process: int) -> set[int]:
    """The processes that a process has started and that have not ended."""
    return {int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()}


def running(process: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(holds: Callable[[], bool], what: str) -> None:
    """Returns when something holds."""
    pause = threading.Event()
    for _ in range(600):
        if holds():
            return
        pause.wait(0.05)
    pytest.fail(f"not within 30 s: {what}")


def process_of(proxy: Proxy, name: str) -> int:
    """The number of the process that was started last under a name."""
    return int([event for event in proxy.events("started") if event["child"] == name][-1]["pid"])


def ask(client: openai.OpenAI) -> str | None:
    made = client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "hello"}])
    return made.choices[0].message.content


def test_one_process_runs_the_model_for_all_workers_and_outlives_them(
    proxy_with: Callable[..., Proxy], openai_at: Callable[[str], openai.OpenAI]
) -> None:
    proxy = proxy_with(POLICY, "--workers", "2")
    for _ in range(3):
        blocked(openai_at(proxy.url))
    shared = metrics(proxy.models_port)
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy.models_port}/readyz", timeout=60) as ready:
        assert ready.read() == b"ready\n"
    assert 'guardproxy_supervisor_pieces_total{by="encoder",model="supervisor"} 1.0' in shared
    assert "guardproxy_supervisor_pieces_total{" not in metrics(proxy.admin_port), "a worker runs no model"
    assert proxy.stop() == 0
    with pytest.raises(urllib.error.URLError):
        metrics(proxy.models_port)
    assert "Traceback" not in proxy.log.read_text()


def test_it_is_started_again_and_workers_find_it(
    proxy_with: Callable[..., Proxy], openai_at: Callable[[str], openai.OpenAI]
) -> None:
    proxy = proxy_with(POLICY, "--workers", "2")
    workers = {process_of(proxy, f"worker {number}") for number in range(2)}
    for _ in range(2):
        os.kill(killed := process_of(proxy, "models"), signal.SIGKILL)
        until(partial(lambda old: process_of(proxy, "models") != old, killed), "a new process for the models")
        served = len(proxy.events("started")) - 2
        wait_logged(proxy.process, proxy.log, "models are served", served)
        blocked(openai_at(proxy.url))
    assert workers <= children(proxy.process.pid), "no worker has ended"
    assert proxy.stop() == 0
    assert "Traceback" not in proxy.log.read_text()


def test_a_worker_that_dies_is_started_again_while_others_serve(
    proxy_with: Callable[..., Proxy], openai_at: Callable[[str], openai.OpenAI]
) -> None:
    proxy = proxy_with(PASS, "--workers", "2", "--supervisor-each")
    for count, number in enumerate((0, 1, 0), 1):
        os.kill(process_of(proxy, f"worker {number}"), signal.SIGKILL)
        until(partial(lambda worker: not port_open(proxy, worker), number), "its admin port is closed")
        client = openai_at(proxy.url).with_options(max_retries=1)  # its accept queue died with it
        assert all(ask(client) for _ in range(5)), "the other one serves"
        wait_logged(proxy.process, proxy.log, "listening", 2 + count)
    assert [event["code"] for event in proxy.events("ended")] == [-9, -9, -9]
    assert proxy.stop() == 0


@pytest.mark.parametrize("name", ["models", "worker 1"])
def test_a_process_that_is_frozen_is_killed_and_started_again(
    name: str, proxy_with: Callable[..., Proxy], openai_at: Callable[[str], openai.OpenAI]
) -> None:
    proxy = proxy_with(POLICY, "--workers", "2", "--livez-stall-s", "2")
    wait_logged(proxy.process, proxy.log, "listening", 2)  # a process that does not serve yet may take its time
    os.kill(frozen := process_of(proxy, name), signal.SIGSTOP)
    assert proxy.wait_for("frozen")["child"] == name
    until(lambda: process_of(proxy, name) != frozen, "a new process")
    if name == "models":
        wait_logged(proxy.process, proxy.log, "models are served", 2)
    else:
        wait_logged(proxy.process, proxy.log, "listening", 3)
    blocked(openai_at(proxy.url).with_options(max_retries=1))
    assert len(proxy.events("frozen")) == 1, "the others were left alone"
    assert proxy.stop() == 0


def open_streams(proxy: Proxy, stack: ExitStack, count: int) -> list[socket.socket]:
    """Streams that have begun and do not end."""
    clients = []
    for _ in range(count):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), timeout=60))
        client.sendall(HANGING)
        received = b""
        while b'"content":"' not in received:
            received += client.recv(65536)
        clients.append(client)
    return clients


def open_by_worker(proxy: Proxy) -> dict[str, int]:
    """The exchanges under way of each process that answers, as the port of the second worker shows them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy.admin_ports[1]}/all/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return {
        name: int(float(count)) for name, count in re.findall(r'guardproxy_open_exchanges\{worker="(.+)"\} (.+)', text)
    }


def test_only_streams_of_a_killed_worker_break_and_each_is_in_the_log(proxy_with: Callable[..., Proxy]) -> None:
    proxy = proxy_with(PASS, "--workers", "2", "--supervisor-each")
    with ExitStack() as stack:
        clients = open_streams(proxy, stack, 12)
        while 0 in open_by_worker(proxy).values():  # the system chooses the worker of a connection
            clients += open_streams(proxy, stack, 1)
        lost, kept = open_by_worker(proxy).values()
        assert lost + kept == len(clients)
        os.kill(process_of(proxy, "worker 0"), signal.SIGKILL)
        wait_logged(proxy.process, proxy.log, "listening", 3)
        assert open_by_worker(proxy) == {"0": 0, "1": kept}
        received = [_rest(client) for client in clients]
        assert sum(has_ended for has_ended, _ in received) == lost
        assert not any(b"0\r\n\r\n" in rest for _, rest in received), "no client takes it for an end"
        outcomes = Counter(record["outcome"] for record in proxy.records())
        assert outcomes == {"unknown": lost}
    proxy.wait_records(lambda records: len(records) == lost + kept)
    assert Counter(record["outcome"] for record in proxy.records()) == {"unknown": lost, "client_closed": kept}
    assert proxy.stop() == 0
    shown = processes.run("audit", "show", str(proxy.audit), "--json")
    assert len({json.loads(line)["id"] for line in shown.stdout.splitlines()}) == lost + kept
    assert processes.run("audit", "verify", str(proxy.audit)).returncode == 0


def _rest(client: socket.socket) -> tuple[bool, bytes]:
    """Whether a connection has ended, and what it received since it was read."""
    client.setblocking(False)
    received = b""
    try:
        while piece := client.recv(65536):
            received += piece
    except BlockingIOError:
        return False, received
    except ConnectionResetError:
        pass
    return True, received


def test_streams_go_on_while_the_models_are_started_again(
    proxy_with: Callable[..., Proxy], openai_at: Callable[[str], openai.OpenAI]
) -> None:
    """A request that needs a model meanwhile gets 503, never a verdict."""
    proxy = proxy_with(POLICY, "--workers", "2")
    with ExitStack() as stack:
        clients = open_streams(proxy, stack, 4)
        os.kill(models := process_of(proxy, "models"), signal.SIGSTOP)  # its place is not taken before the request
        client = openai_at(proxy.url).with_options(max_retries=0)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask, client)
            until(lambda: sum(open_by_worker(proxy).values()) == len(clients) + 1, "the request is under way")
            os.kill(models, signal.SIGKILL)
            with pytest.raises(openai.InternalServerError) as failure:
                asked.result(60)
        assert (failure.value.status_code, failure.value.code) == (503, "no_capacity")
        assert failure.value.response.headers["retry-after"]
        assert not any(has_ended for has_ended, _ in map(_rest, clients)), "no stream has ended"
        wait_logged(proxy.process, proxy.log, "models are served", 2)
        assert ask(client)
    assert proxy.stop() == 0


def port_open(proxy: Proxy, worker: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", proxy.admin_ports[worker])) == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_children_end_with_their_parent(how: signal.Signals, proxy_with: Callable[..., Proxy], tmp_path: Path) -> None:
    """Also those with an exchange under way, so that a new parent can begin on the same log."""
    proxy = proxy_with(POLICY, "--workers", "2")
    orphans = children(proxy.process.pid)
    assert len(orphans) == 3
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as client:
        client.sendall(HANGING)
        assert client.recv(65536)
        proxy.process.send_signal(how)
        assert proxy.process.wait(60) == -how
        received = b""
        while piece := client.recv(65536):
            received += piece
    assert b"shutting_down" in received, "a typed error ends the stream"
    until(lambda: not any(running(orphan) for orphan in orphans), "no child is left")
    assert len(proxy.records()) == 1
    again = serve("http://127.0.0.1:9", proxy.audit.parent, POLICY, "--workers", "2")
    assert again.stop() == 0


def given_up(
    folder: Path, policy: str, *options: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Two workers that end because they cannot start."""
    (folder / "policy.yaml").write_text(policy)
    words = ["serve", "--upstream", "http://127.0.0.1:9", "--workers", "2", "--port", "0"]
    return processes.run(*words, "--policies", str(folder), "--audit", str(folder / "audit"), *options, env=env)


def test_workers_that_cannot_start_are_given_up(tmp_path: Path) -> None:
    """Each ends while it loads the policies, though no setting is wrong."""
    (tmp_path / "dying.py").write_text("import os\nos._exit(3)\n")
    policy = (
        "policy: p\nchecks: {c: {use: pii, recognizers: ['dying:Thing']}}\nrules: [{id: r, when: c, action: flag}]\n"
    )
    found = {**os.environ, "PYTHONPATH": f"{processes.ROOT}:{tmp_path}"}
    done = given_up(tmp_path, policy, "--supervisor-each", "--admin-port", "0", "--allow-code", env=found)
    assert done.returncode == 3
    assert "no worker stays alive" in done.stderr


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_admin_port_in_use_is_said_before_any_process_starts(number: int, tmp_path: Path) -> None:
    """The third is that of the process that runs the models."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = given_up(tmp_path, POLICY, "--admin-port", str(port - number))
    assert done.returncode == 2
    assert re.fullmatch(r"guardproxy: `admin_port` \(.*\): port \d+ .* is in use: .*\n", done.stderr)


def test_a_policy_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    done = given_up(tmp_path, "policy: [", "--admin-port", "0")
    assert done.returncode == 2
    assert "policy.yaml:" in done.stderr
    assert "Traceback" not in done.stderr


def test_each_worker_may_have_its_own(
    proxy_with: Callable[..., Proxy], openai_at: Callable[[str], openai.OpenAI]
) -> None:
    proxy = proxy_with(POLICY, "--workers", "2", "--supervisor-each")
    blocked(openai_at(proxy.url))
    assert "guardproxy_supervisor_pieces_total{" in metrics(proxy.admin_port)
    assert proxy.stop() == 0
