"""`guardproxy mcp -- COMMAND`: a guard around a server that speaks over its standard streams, and how both end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.e2e.test_mcp import ATTACK, command, records

LIMIT_S = 60.0
GUARD = r"""
policy: guard
match: {}
checks:
  mail: {use: pattern, patterns: ['[a-z.]+@example\.com']}
  attack: {use: pattern, patterns: ["(?i)ignore (all )?(the )?previous instructions"]}
rules:
  - {id: no-mail-out, on: request, when: mail, action: redact, restore: true}
  - {id: no-attacks, on: [tool_result, tool_arguments], when: attack, action: block}
"""
ASKING = """
policy: asks
match: {}
checks: {echoes: {use: tool_call, tools: [echo]}}
rules: [{id: ask, on: tool_arguments, when: echoes, action: confirm}]
"""
# What a server does with a message, by its method or by the name of its tool. `say` sends a message, `os` and `sys` are there.
SERVER = """\
import json, os, sys, time
def say(message):
    sys.stdout.write((message if isinstance(message, str) else json.dumps(message)) + "\\n")
    sys.stdout.flush()
def answer(message, **result):
    say({"jsonrpc": "2.0", "id": message["id"], "result": result})
def text(message, words):
    answer(message, content=[{"type": "text", "text": words}])
for line in sys.stdin:
    message = json.loads(line)
    name = message.get("params", {}).get("name") or message.get("method")
    BODY
"""
ECHO = """\
if name == "echo":
        text(message, message["params"]["arguments"]["text"])
"""


class Guarded:
    """A running guard around a server whose body is given."""

    def __init__(self, folder: Path, body: str, policy: str = GUARD, **environment: str) -> None:
        script = folder / "server.py"
        script.write_text(SERVER.replace("BODY", textwrap.dedent(body).replace("\n", "\n    ")))
        self.folder = folder
        self.process = subprocess.Popen(
            command(folder, policy, sys.executable, str(script)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )

    def __enter__(self) -> Guarded:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def say(self, message: Any) -> None:
        assert self.process.stdin is not None
        line = message if isinstance(message, str) else json.dumps({"jsonrpc": "2.0", **message})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "nothing more comes"
        return json.loads(line)

    def call(self, identifier: Any, name: str, **arguments: Any) -> None:
        self.say({"id": identifier, "method": "tools/call", "params": {"name": name, "arguments": arguments}})

    def end(self) -> tuple[int, list[bytes], str]:
        """Ends the input. Returns the exit code, what still came, and what stood on standard error."""
        out, error = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, out.splitlines(), error.decode()


def test_the_end_of_the_input_is_that_of_the_server(tmp_path: Path) -> None:
    with Guarded(tmp_path, ECHO) as guard:
        guard.call("a", "echo", text="hello")
        guard.call(2, "echo", text="x" * 1_000_000)
        assert guard.hear()["result"]["content"][0]["text"] == "hello"
        large = guard.hear()
        assert (large["id"], len(large["result"]["content"][0]["text"])) == (2, 1_000_000)
        assert guard.end()[:2] == (0, [])
    found = records(tmp_path)
    assert [record["outcome"] for record in found] == ["answered", "answered"]
    assert {record["path"] for record in found} == {"/mcp/judge"}


def test_the_exit_code_is_that_of_the_server_and_its_requests_get_an_error(tmp_path: Path) -> None:
    body = """\
    sys.stderr.write("a word of the server\\n")
    sys.stderr.flush()
    if name == "leave":
        os._exit(7)
    """
    with Guarded(tmp_path, body) as guard:
        guard.call(1, "waits")
        guard.call(2, "leave")
        errors = {message["id"]: message["error"] for message in (guard.hear(), guard.hear())}
        assert set(errors) == {1, 2}
        assert all("server has ended" in error["message"] for error in errors.values())
        assert guard.process.wait(LIMIT_S) == 7
        assert "a word of the server" in guard.end()[2]


def test_the_webhook_is_asked_about_a_call_that_waits(tmp_path: Path) -> None:
    class Approving(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"id": call["id"], "decision": "approve"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Approving) as hook:
        serving = Thread(target=hook.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{hook.server_port}/"
        with Guarded(tmp_path, ECHO, ASKING, GUARDPROXY_CONFIRM_WEBHOOK=url) as guard:
            is_refused, number = True, 0
            while is_refused and number < 10_000:  # until the webhook has answered
                number += 1
                guard.call(number, "echo", text="hello")
                is_refused = guard.hear()["result"].get("isError", False)
            assert not is_refused
            assert number > 1, "the first call waits"
        hook.shutdown()
        serving.join()


def test_a_refusal_before_the_request_was_read_names_it(tmp_path: Path) -> None:
    with Guarded(tmp_path, ECHO, GUARDPROXY_LIMIT_EXCHANGES="1") as guard:
        guard.call(1, "waits")
        guard.call("two", "echo", text="hello")
        refused = guard.hear()
        assert (refused["id"], refused["error"]["data"]["code"]) == ("two", "no_capacity")


def test_a_refused_request_of_a_server_that_ends_is_no_fault(tmp_path: Path) -> None:
    ask = {"messages": [{"role": "user", "content": {"type": "text", "text": ATTACK}}], "maxTokens": 5}
    body = f"""\
    if name == "leave":
        say({{"jsonrpc": "2.0", "id": "s1", "method": "sampling/createMessage", "params": {ask!r}}})
        say({{"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}})
        os._exit(7)
    """
    with Guarded(tmp_path, body) as guard:
        guard.say({"method": "leave"})
        code, said, error = guard.end()
        assert (code, [json.loads(line)["method"] for line in said]) == (7, ["notifications/tools/list_changed"])
        assert "did not reach the client" in error


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the end of its input tells the server")
def test_the_server_ends_with_a_guard_that_is_killed(tmp_path: Path) -> None:
    with Guarded(tmp_path, "text(message, str(os.getpid()))\ntime.sleep(600)") as guard:
        guard.call(1, "tell")
        child = int(guard.hear()["result"]["content"][0]["text"])
        watched = os.pidfd_open(child)
        guard.process.kill()
        assert select.select([watched], [], [], LIMIT_S)[0], "the server lives on"
        os.close(watched)


def test_sigterm_ends_both(tmp_path: Path) -> None:
    body = """\
    if name == "tell":
        text(message, str(os.getpid()))
    else:
        say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    """
    with Guarded(tmp_path, body) as guard:
        guard.call(1, "tell")
        child = int(guard.hear()["result"]["content"][0]["text"])
        guard.call(2, "waits")
        guard.hear()  # it has reached the server
        guard.process.send_signal(signal.SIGTERM)
        assert guard.end()[0] == 0  # the server ends with its input
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    assert {record["outcome"] for record in records(tmp_path)} == {"answered", "client_closed"}


def test_a_server_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    body = """\
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    text(message, "on")
    while True: time.sleep(1)
    """
    with Guarded(tmp_path, body) as guard:
        guard.call(1, "any")
        guard.hear()
        assert guard.end()[0] == 128 + signal.SIGKILL


def test_nobody_reads_any_more(tmp_path: Path) -> None:
    with Guarded(tmp_path, ECHO) as guard:
        guard.call(1, "echo", text="hello")
        guard.hear()
        assert guard.process.stdout is not None
        guard.process.stdout.close()
        for number in range(3):
            guard.call(number, "echo", text="hello")
        assert guard.process.stdin is not None
        assert guard.process.wait(LIMIT_S) == 0


def test_a_line_that_is_no_message_is_not_given_to_the_client(tmp_path: Path) -> None:
    body = """\
    say("a banner with mara@example.com")
    say("[1]")
    say({"jsonrpc": "2.0", "id": 99, "result": {}})
    text(message, "after it")
    """
    with Guarded(tmp_path, body) as guard:
        guard.call(1, "any")
        assert guard.hear()["result"]["content"][0]["text"] == "after it"
        guard.say("no JSON")
        assert guard.hear()["error"]["code"] in (-32700, -32600)
        code, rest, error = guard.end()
    assert (code, rest) == (0, [])
    assert error.count("no message") == 2
    assert "nobody waits for" in error
    assert "mara@example.com" not in error


def test_what_the_server_says_by_itself_is_checked(tmp_path: Path) -> None:
    body = f"""\
    def log(words): say({{"jsonrpc": "2.0", "method": "notifications/message", "params": {{"level": "info", "data": words}}}})
    if name == "tell":
        log("one")
        log("{ATTACK}")
        log("two")
        ask = {{"messages": [{{"role": "user", "content": {{"type": "text", "text": "{ATTACK}"}}}}], "maxTokens": 5}}
        say({{"jsonrpc": "2.0", "id": "s1", "method": "sampling/createMessage", "params": ask}})
    elif message.get("id") == "s1":
        log("refused: " + str(message["error"]["code"]))
    """
    with Guarded(tmp_path, body) as guard:
        guard.call(1, "tell")
        assert [guard.hear()["params"]["data"] for _ in range(3)] == ["one", "two", "refused: -32603"]
        assert guard.end()[0] == 0
    outcomes = [record["outcome"] for record in records(tmp_path)]
    assert outcomes.count("blocked_response") == 2


def test_a_block_is_a_failed_tool_and_the_server_never_sees_it(tmp_path: Path) -> None:
    with Guarded(tmp_path, ECHO) as guard:
        guard.call(1, "echo", text=ATTACK)
        blocked = guard.hear()
        assert (blocked["id"], blocked["result"]["isError"]) == (1, True)
        guard.call(2, "echo", text="write to mara@example.com")
        assert guard.hear()["result"]["content"][0]["text"] == "write to mara@example.com"
        assert guard.end()[0] == 0
    kept = [record["outcome"] for record in records(tmp_path)]
    assert kept == ["blocked_request", "answered"]
    assert "mara@example.com" not in "".join(path.read_text() for path in (tmp_path / "audit").glob("*.jsonl"))


def test_settings_of_the_guard_are_not_those_of_the_server(tmp_path: Path) -> None:
    body = """\
    text(message, json.dumps([name for name in os.environ if name.startswith("GUARDPROXY")]))
    """
    with Guarded(tmp_path, body, GUARDPROXY_KEY="a-secret-of-the-guard", GUARDPROXY_CLIENT_KEYS="/none") as guard:
        guard.call(1, "any")
        assert guard.hear()["result"]["content"][0]["text"] == "[]"


def listening(pid: int) -> list[str]:
    """The sockets of a process that wait for connections."""
    inodes = {os.readlink(fd)[8:-1] for fd in Path(f"/proc/{pid}/fd").iterdir() if "socket:" in os.readlink(fd)}
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    ]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in inodes]


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="Linux only")
def test_two_guards_share_a_folder_and_open_no_port(tmp_path: Path) -> None:
    with Guarded(tmp_path, ECHO) as first, Guarded(tmp_path, ECHO) as second:
        for guard in (first, second):
            guard.call(1, "echo", text="hello")
            assert guard.hear()["result"]["content"][0]["text"] == "hello"
            assert listening(guard.process.pid) == []
        assert first.end()[0] == second.end()[0] == 0
    assert len(records(tmp_path)) == 2
    assert len(list((tmp_path / "audit").glob("audit-*.jsonl"))) == 2


def test_a_command_that_cannot_run_is_a_fault_of_the_user(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, GUARD, str(tmp_path / "none")), capture_output=True, timeout=LIMIT_S, check=False
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"cannot start" in done.stderr


TAINT = """
policy: taint
match: {}
checks:
  carried: {use: tool_call, tools: [send], when: 'came_from(call.arguments, "tool_result")'}
rules:
  - {id: nothing-carried, on: tool_arguments, when: carried, action: block}
"""


def test_calls_of_a_guard_are_one_conversation(tmp_path: Path) -> None:
    body = """\
    text(message, "the account is NL02ABNA0123456789-x" if name == "read" else "sent")
    """
    with Guarded(tmp_path, body, TAINT) as guard:
        guard.call(1, "send", to="somebody that the user named")
        assert "isError" not in guard.hear()["result"]
        guard.call(2, "read")
        guard.hear()
        guard.call(3, "send", to="NL02ABNA0123456789-x")
        assert guard.hear()["result"]["isError"] is True
        assert guard.end()[0] == 0
