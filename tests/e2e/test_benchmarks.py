"""The benchmarks of `make bench` on tiny sizes: they run, and their files say what was measured and what was left out.

Nothing here looks at a time: the figures of such a run mean nothing.
"""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as bench
from benchmarks import page
from benchmarks.checks import scan
from benchmarks.models import supervisor_quality
from benchmarks.path import growth, load, overhead, soak
from benchmarks.path.workers import answered_by, possible_per_s
from benchmarks.peers import install as install_peers
from benchmarks.processes import reason
from tests.kit.logs import write_log
from tests.kit.plain_texts import OVERRIDE
from tests.kit.records import plain_record

Run = Callable[..., dict[str, Any]]
STREAMED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n19\r\ndata: {"content": "words"}\r\n'


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a benchmark and reads its JSON."""

    def run_part(main: Callable[[list[str]], int], name: str, *arguments: str) -> dict[str, Any]:
        assert main(["--quick", "--out", str(tmp_path), *arguments]) == 0
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        read: dict[str, Any] = json.loads((tmp_path / f"{name}.json").read_text())
        return read

    return run_part


def test_path(run: Run, tmp_path: Path) -> None:
    peers = tmp_path / "peers"
    (peers / "litellm").mkdir(parents=True)
    (peers / "litellm" / "failed.txt").write_text("cannot be installed: no space")
    cases = ("--cases", "stream 1")
    report = run(overhead.main, "overhead", "--peers", str(peers), "--only", "aiohttp", "--seconds", "0.1", *cases)
    assert list(report["summary"]) == ["direct", "aiohttp pass-through"]
    assert report["left_out"]["LiteLLM"] == "cannot be installed: no space"
    assert report["left_out"]["Envoy"] == "not installed"
    (measured,) = report["rounds"]["aiohttp pass-through"]
    assert all(measured[case]["requests"] for case in cases[1:])
    assert report["summary"]["aiohttp pass-through"]["rss_500_streams_mib"] > 10


@asynccontextmanager
async def _model(after_s: float, answer: bytes) -> AsyncIterator[tuple[int, list[int]]]:
    """Answers all requests that wait, once none has come for `after_s`. A connection gets one answer. Gives the port, and how
    many waited each time."""
    waiting: list[asyncio.Transport] = []
    answered: list[asyncio.Transport] = []
    counts: list[int] = []
    timers: list[asyncio.TimerHandle] = []

    def give() -> None:
        counts.append(len(waiting))
        for transport in waiting:
            transport.write(answer)
        answered.extend(waiting)
        waiting.clear()

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.Transport, transport)

        def data_received(self, data: bytes) -> None:
            if self.transport not in answered:
                waiting.append(self.transport)
                for timer in timers:
                    timer.cancel()
                timers.append(asyncio.get_running_loop().call_later(after_s, give))

    async with await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], counts
        for transport in answered:
            transport.abort()
        await asyncio.sleep(0)  # they close in the next turn of the loop


def test_streams_that_stay_open_are_opened_a_few_at_a_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    async def opened() -> list[int]:
        async with _model(0.02, STREAMED) as (port, counts):
            await load.measure(port, "open", 3 * load.OPENING, 0, 1)
        return counts

    assert max(asyncio.run(opened())) == load.OPENING
    assert json.loads(capsys.readouterr().out) == {"open": 3 * load.OPENING, "errors": 0}


def test_streams_count_once_each_connection_had_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "WAIT_S", 0)

    async def measured() -> dict[str, Any]:
        async with _model(0.1, STREAMED + b"0\r\n\r\n") as (port, _):
            return await load.measure(port, "stream", 3, 0.2, 1)

    figures = asyncio.run(measured())
    assert (figures["answers"], figures["requests"], figures["chunks_per_s"]) == (3, 0, 0), "the first were not counted"


def test_scan(run: Run, tmp_path: Path) -> None:
    stand_in = tmp_path / "peers" / "nemo" / "bin" / "python"  # an interpreter that lacks the library
    stand_in.parent.mkdir(parents=True)
    stand_in.symlink_to(sys.executable)
    report = run(scan.main, "scan", "--peers", str(tmp_path / "peers"))
    assert report["left_out"]["llm-guard"] == "not installed"
    assert report["left_out"]["nemo"] == "ModuleNotFoundError: No module named 'nemoguardrails'"
    for kinds in report["objected"].values():
        found = {kind: row["guardproxy"] for kind, row in kinds.items() if kind != "telephone number"}
        assert found == {kind: kind != "harmless" for kind in found}


def test_growth(run: Run) -> None:
    report = run(growth.main, "growth", "--seconds", "0")
    assert list(report) == list(growth.DIMENSIONS)
    assert all(row["growth"]["calls"] < 1.2 for row in report.values())


def test_workers_are_compared_with_what_the_cores_can_do() -> None:
    assert possible_per_s(1, 2, 500, 50) == 2000, "one worker has no time left"
    assert possible_per_s(2, 2, 500, 50) == pytest.approx(2e6 / 550), "the cores have no time left"
    metrics = (
        'guardproxy_exchanges_total{outcome="pass",route="r",worker="1"} 3.0\n'
        'guardproxy_exchanges_total{outcome="block",route="r",worker="1"} 1.0\n'
        'guardproxy_exchanges_total{outcome="pass",route="r",worker="0"} 2.0\n'
        'guardproxy_exchanges_created{outcome="pass",route="r",worker="0"} 9.0\n'
    )
    assert answered_by(metrics) == {"0": 2, "1": 4}
    assert answered_by('guardproxy_exchanges_total{outcome="pass",route="r"} 5.0\n') == {"0": 5}


def test_a_peer_that_cannot_be_installed_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_command(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        if "llm-guard" in command:
            raise subprocess.CalledProcessError(1, command, stderr="no\n space left")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run_command)
    assert install_peers.main(["--peers", str(tmp_path), "llm-guard", "presidio", "portkey"]) == 0
    assert reason(tmp_path, "llm-guard") == "cannot be installed: no space left"
    assert reason(tmp_path, "presidio") == "not installed", "it may be there: nothing failed"
    monkeypatch.setattr(subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, 0))
    install_peers.main(["--peers", str(tmp_path), "llm-guard"])
    assert not (tmp_path / "llm-guard" / "failed.txt").exists(), "an earlier failure is forgotten"


@pytest.mark.heavy
def test_the_supervisor_is_compared_without_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [{"text": f"{OVERRIDE} ({n})", "label": 1} for n in range(3)]
    texts += [{"text": f"How many eggs do I need for {n} cakes?", "label": 0} for n in range(100)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    tasks = {task: [supervisor_quality.Set("mine.jsonl")] for task in supervisor_quality.SETS}
    monkeypatch.setattr(supervisor_quality, "SETS", tasks)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "benchmarks.models.quality_floor", raising=False)
    monkeypatch.setenv("GUARDPROXY_DATA", str(tmp_path))
    monkeypatch.setenv("JAILGUARD_MODEL_DIR", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["supervisor_quality", "--out", "out", "--peers", sys.executable])
    supervisor_quality.main()
    assert "skipped bag of words" in capsys.readouterr().err
    assert (tmp_path / "out" / "supervisor_quality.png").read_bytes().startswith(b"\x89PNG")
    saved = json.loads((tmp_path / "out" / "supervisor_quality.json").read_text())
    assert (saved["about"]["peers"], saved["about"]["floor"]) == ({}, None)
    assert [list(found) for found in saved["results"].values()] == [["guardproxy"]] * 2
    figures = saved["results"]["injection"]["guardproxy"]
    assert figures["harmless"]["mine"]["texts"] == 100
    assert figures["attacks"]["mine"]["average_precision"] > 0.9


def test_tables() -> None:
    row = {
        **dict.fromkeys(("added_p50_ms_at_1", "added_p99_ms_at_1", "added_first_text_p50_ms"), 0.123),
        **dict.fromkeys(("chunks_per_s_at_100", "added_gap_p99_ms_at_100", "rss_500_streams_mib"), 0.0),
        **{
            "requests_per_s_at_32": 1234.5,
            "p99_ms_at_32": 9.6,
            "processor_us_at_32": 12_345.0,
            "added_agent_p50_ms": 8.4,
        },
    }
    report = {
        "summary": {"direct": row, "one": row},
        "relative_to_pass_through": {"one": {"requests_per_s_at_32": 0.5}},
        "versions": {"one": "1.2"},
        "remarks": {"one": "no keys"},
        "left_out": {"other": "not installed"},
    }
    *_, shown = page.overhead(report, list(page.OVERHEAD)).splitlines()
    assert shown == "| one | 0.12, 0.12 ms | 0.12 ms | 8.4 ms | | 1,234 (0.50) | 10 ms | 12 ms | | |"
    assert page.notes(report) == "- Versions: one 1.2.\n- one: no keys.\n- Left out: other: not installed.\n"
    measured = {
        **{"sizes": [1, 2], "requests_per_s": [900.4, 1600], "possible_per_s": [1000, 1800]},
        **{"worker_us": [1000, 1010], "others_us": [50, 50], "shares": [[1.0], [0.55, 0.45]]},
    }
    *_, shown = page.workers({"workers": measured}).splitlines()
    assert shown == "| 2 | 1,600 | 1,800 | 1,010 us | 50 us | 55%, 45% |"


def test_one_command_runs_the_parts_and_reports_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run_part(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        ran.append(command[2:])
        return subprocess.CompletedProcess(command, command[2] == "benchmarks.checks.scan")

    monkeypatch.setattr(subprocess, "run", run_part)
    assert bench.main(["--quick", "--out", str(tmp_path), "--peers", str(tmp_path)]) == 1
    out, peers = ["--out", str(tmp_path)], ["--peers", str(tmp_path)]
    assert ran == [
        ["benchmarks.path.overhead", "--rounds", "3", "--seconds", "1.0", *out, *peers, "--quick"],
        ["benchmarks.checks.scan", *out, *peers, "--quick"],
        ["benchmarks.path.growth", *out, "--quick"],
    ]
    report = json.loads((tmp_path / "bench.json").read_text())
    assert {part: row["exit_code"] for part, row in report["parts"].items()} == {"path": 0, "scan": 1, "growth": 0}


def test_a_soak_says_what_was_lost(tmp_path: Path) -> None:
    write_log(tmp_path, "audit-0.jsonl", plain_record(id="kept"))
    with (tmp_path / "audit-0.jsonl").open("a") as log:
        log.write('{"kind": "exch')  # a write that was cut
    samples = [
        {"at_s": at, "rate": 1.0, "p50_ms": 1.0, "p99_ms": 2.0, "mib": mib} for at, mib in ((5, 10.0), (10, 30.0))
    ]
    found = {"whole": {"kept", "lost"}, "statuses": {"200": 2, "500": 1}, "samples": samples}
    said = {what: (holds, seen) for what, holds, seen in soak.judged(found, tmp_path)}
    assert said["every whole answer is in the log"] == (False, "2 answers, 1 lost")
    assert not said["every status has a cause"][0]
    assert said["memory is flat"] == (False, "10 MiB, then 30 MiB")
    drawn = soak.picture({**found, "events": [(7.0, "full disk")], "minutes": 30, "share": 0.7})
    assert "full disk at 7 s" in drawn
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
