"""Start and stop: what a process manager sees, and what clients see while it stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from guardproxy.audit.proof import PrivateKey
from guardproxy.config import SETTINGS
from tests.e2e.rig import GUARD, PASS, Proxy, Upstream
from tests.kit import processes
from tests.unit.config.test_spelling import service

Clients = Callable[[str], openai.OpenAI]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly(how: signal.Signals, proxy_with: Callable[..., Proxy]) -> None:
    proxy = proxy_with(PASS)
    assert proxy.stop(how) == 0
    assert "Traceback" not in proxy.log.read_text()


def test_an_open_stream_gets_a_typed_error_at_the_end_of_the_drain(
    proxy_with: Callable[..., Proxy], upstream: Upstream, openai_at: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDPROXY_DRAIN_S", "0.2")
    proxy = proxy_with(PASS)
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "words: 20, hang"}]
    with openai_at(proxy.url).chat.completions.create(model="scripted", messages=messages, stream=True) as stream:
        chunks = iter(stream)
        next(chunks)
        proxy.process.send_signal(signal.SIGTERM)
        with pytest.raises(openai.APIError) as caught:
            for _ in chunks:
                pass
    assert not isinstance(caught.value, openai.APIConnectionError)
    assert proxy.process.wait(60) == 0
    upstream.journal.wait(lambda entries: [entry for entry in entries if entry.ended == "gone"])
    assert len(proxy.records()) == 1


def test_a_plain_answer_under_way_is_finished_before_the_end(
    proxy_with: Callable[..., Proxy], upstream: Upstream, openai_at: Clients
) -> None:
    """The request is held by the model until the proxy has been told to stop."""
    import threading

    proxy = proxy_with(PASS)
    got: list[str | None] = []

    def ask() -> None:
        messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "words: 3000"}]
        create = openai_at(proxy.url).chat.completions.create
        made = create(model="scripted", messages=messages, extra_headers={"x-bytes": "3"})
        got.append(made.choices[0].message.content)

    asker = threading.Thread(target=ask)
    asker.start()
    upstream.journal.wait(lambda entries: entries)
    assert proxy.stop() == 0
    asker.join(60)
    assert got
    assert str(got[0]).endswith("word3000")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (GUARD.replace("use: secrets", "use: secretz"), "policy.yaml:"),
        (GUARD.replace("action: block", "action: explode", 1), "policy.yaml:"),
        ("policy: [", "policy.yaml:"),
    ],
)
def test_a_bad_policy_refuses_the_start_and_names_its_place(policy: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(policy)
    words = [
        "serve",
        "--upstream",
        "http://127.0.0.1:9",
        "--policies",
        str(tmp_path),
        "--audit",
        str(tmp_path / "audit"),
    ]
    done = processes.run(*words, "--port", "0", "--admin-port", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["guardproxy", "guardproxy-admin"])
def test_it_starts_beside_a_service_of_its_name(
    name: str, proxy_with: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes puts the addresses of a Service into the environment, under names that begin like settings."""
    for variable, value in service(name, {"http": 80, "admin": 9090}).items():
        monkeypatch.setenv(variable, value)
    proxy = proxy_with(PASS)
    assert "no such settings" not in proxy.log.read_text()
    assert proxy.stop() == 0


# Ends the process when it opens a socket, writes a file or starts a program, whichever library asks. When urllib3 is imported,
# it asks the system whether a port of its choice can be bound on `::1`, which finds out whether there is IPv6.
WATCHED = """
import os, sys
def watch(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or path == os.devnull: return
    elif event == "socket.bind" and arguments[1] == ("::1", 0): return
    elif event not in ("os.mkdir", "os.rename", "os.remove", "os.system", "os.posix_spawn", "os.exec", "subprocess.Popen") \
            and not event.startswith(("socket.bind", "socket.connect", "socket.getaddrinfo", "socket.sendto")): return
    sys.stderr.write(f"{event} {arguments}\\n")
    os._exit(99)
sys.addaudithook(watch)
from guardproxy.__main__ import main
main()
"""


def checked(folder: Path, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-c", WATCHED, "serve", "--check", *words]
    env = {**os.environ, "PYTHONPATH": str(processes.ROOT), **(env or {})}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_a_check_opens_and_writes_nothing(tmp_path: Path) -> None:
    words = ["--upstream", "https://api.example", "--audit", "log", "--state", "redis://host:6379/0", "--workers", "2"]
    words += ["--audit-sign-command", "false", "--audit-public-key", str(PrivateKey.new("a.example").public)]
    words += ["--jwt-keys", "https://i.example/keys", "--jwt-issuer", "i", "--jwt-audience", "a"]
    words += ["--audit-copy", "https://c.example/x", "--audit-copy", "s3://b/x", "--otel-endpoint", "http://o:4318"]
    done = checked(tmp_path, *words, "--audit-ship", "https://s.example", "--seal-key", "command:false")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "the proxy can start"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "wrong"),
    [
        (["--check", "--upstream", "https://api.example"], 0, []),
        (["--check", "--upstream", "https://api.example", "--policies", "strct"], 2, ["policies"]),
        (["--check", "--upstream", "ftp://x", "--workers", "0"], 2, ["settings"]),
    ],
)
def test_a_check_as_json_has_every_part(words: list[str], code: int, wrong: list[str], tmp_path: Path) -> None:
    done = processes.run("serve", *words, "--json", cwd=tmp_path)
    said = json.loads(done.stdout)
    assert (done.returncode, said["ok"]) == (code, not code)
    assert [part["part"] for part in said["parts"] if not part["ok"]] == wrong
    assert all(part["says"] for part in said["parts"])
    alone = processes.run("serve", *words[1:], "--json", cwd=tmp_path)
    assert (alone.returncode, alone.stdout) == (2, "")


def test_a_check_says_what_a_start_says(tmp_path: Path) -> None:
    """Faults of each part of the start: the start names the first of them, the check names all."""
    faults = [["--client-keys", "keys"], ["--policies", "strct"], ["--audit-sink", "none"], ["--audit-key", "gone"]]
    said = checked(tmp_path, "--upstream", "https://api.example", *(word for fault in faults for word in fault))
    assert said.returncode == 2
    assert said.stdout.splitlines()[-1] == f"{len(faults)} faults: the proxy would not start"
    for fault in faults:
        words = ["--upstream", "https://api.example", *fault, "--port", "0", "--admin-port", "0"]
        started = processes.run("serve", *words, cwd=tmp_path)
        assert started.returncode == 2
        assert started.stderr.splitlines()[-1].removeprefix("guardproxy: ") in said.stdout
    done = checked(tmp_path, "--limit-texts", "0", env={f"{SETTINGS['upstream'].variable}S": "https://api.example"})
    assert done.returncode == 2
    assert done.stderr.count("guardproxy: ") == 2
