"""Judges through a server with a scripted judge: what it reads, what joins the log, and what happens if it fails."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit import ENTRY_VERSION, Intent, Judged
from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.record.versions import entry_of
from guardproxy.audit.sealing import new_key, open_store
from guardproxy.audit.sealing.sealer import Sealer
from guardproxy.audit.writing.log_file import FileSink
from guardproxy.server.driving.asking import judges
from guardproxy.server.driving.asking.comparing import Comparing
from guardproxy.server.driving.recorder import Recorder
from tests.kit.judging import ScriptedJudge, serving

POLICY = """
policy: graded
checks:
  pii: {use: pattern, words: [mara.lindqvist@example.com]}
rules:
  - {id: out, when: pii, action: redact}
judge: {upstream: grader, model: strict, rubric: "5: good", sample: 100 %}
"""
MARA = "mara.lindqvist@example.com"


async def test_a_score_joins_the_record_and_the_judge_reads_placeholders(tmp_path: Path) -> None:
    grader = ScriptedJudge()
    grader.gate.clear()
    async with serving(tmp_path, grader, POLICY) as rig:
        name = await rig.ask(f"write to {MARA}")  # the client has its answer, and the judge has not answered
        grader.gate.set()
        (entry,) = await rig.entries("judged")
        (record,) = await rig.entries("exchange")
        assert (rig.count("scored"), not any(log.report.problems for log in verify_folder(rig.folder))) == (1, True)
    ((body, key),) = grader.seen
    assert (body["model"], key) == ("strict", "sk-judge")
    assert "example.com" not in json.dumps(body)
    assert "[MATCH_" in body["messages"][1]["content"]
    assert {key: entry[key] for key in ("id", "policy", "upstream", "model", "scale", "score")} == {
        **{"id": name, "policy": "graded", "upstream": "grader", "model": "strict", "scale": [1, 5], "score": 4},
    }
    assert (record["id"], record["judges"]) == (name, [{"mode": "enforce", "policy": "graded"}])


@pytest.mark.parametrize(
    ("grader", "policy", "failure"),
    [
        (("I think 4",), POLICY, "no_score"),
        (("{}", 500), POLICY, "status_500"),
        (("{}", 401), POLICY, "upstream_key_refused"),
        (("{}", 302), POLICY, "upstream_redirect"),
        (("x" * 2_000_000,), POLICY, "too_large"),
        ((), POLICY + "audit: {keep: none}\n", "no_text"),
        ((), POLICY.replace("when: pii,", "on: request, when: pii,"), "no_text"),
    ],
)
async def test_why_there_is_no_score_is_in_the_log(
    tmp_path: Path, grader: tuple[Any, ...], policy: str, failure: str
) -> None:
    async with serving(tmp_path, ScriptedJudge(*grader), policy) as rig:
        await rig.ask("hello")
        (entry,) = await rig.entries("judged")
        assert (entry["failure"], "score" in entry, rig.count("failed")) == (failure, False, 1)


async def test_a_judge_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "TIMEOUT_S", 0.0)
    async with serving(tmp_path, ScriptedJudge(), POLICY) as rig:
        await rig.ask("hello")
        (entry,) = await rig.entries("judged")
        assert entry["failure"] == "timeout"


async def test_what_does_not_fit_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "LIMIT_WAITING", 1)
    grader = ScriptedJudge()
    grader.gate.clear()
    async with serving(tmp_path, grader, POLICY) as rig:
        for _ in range(3):
            await rig.ask("hello")
        assert rig.count("dropped") == 2
        grader.gate.set()
        assert len(await rig.entries("judged")) == 1


async def test_a_judge_that_is_under_way_at_the_end_is_dropped(tmp_path: Path) -> None:
    grader = ScriptedJudge()
    grader.gate.clear()
    async with serving(tmp_path, grader, POLICY) as rig:
        await rig.ask("hello")
        await rig.server.judges.close(0)
        assert await rig.entries("judged") == []


async def test_a_score_is_kept_when_its_comparison_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = asyncio.Event()

    async def compare(*_: object) -> None:
        began.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Comparing, "compare", compare)
    policy = POLICY.replace("sample:", "candidate: {upstream: grader, model: small}, sample:")
    async with serving(tmp_path, ScriptedJudge(), policy) as rig:
        await rig.ask("hello")
        await began.wait()
        await rig.server.judges.close(0)
        (entry,) = await rig.entries("judged")
        assert (entry["score"], "compared" in entry) == (4, False)


async def test_shadow_mode_and_blocked_exchanges_ask_no_judge(tmp_path: Path) -> None:
    grader = ScriptedJudge()
    async with serving(tmp_path, grader, POLICY + "mode: shadow\n") as rig:
        await rig.ask(MARA)
        assert await rig.entries("judged") == []
        (record,) = await rig.entries("exchange")
        assert (record["judges"], grader.seen) == ([{"mode": "shadow", "policy": "graded"}], [])


async def test_a_log_that_cannot_be_written_loses_the_score_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit(sink: FileSink, batch: Sequence[object]) -> None:
        if batch:
            raise OSError(errno.ENOSPC, "no space left")

    grader = ScriptedJudge()
    grader.gate.clear()
    async with serving(tmp_path, grader, POLICY) as rig:
        await rig.ask("hello")
        monkeypatch.setattr(FileSink, "_commit", commit)
        grader.gate.set()
        assert await rig.entries("judged") == []
        monkeypatch.undo()


async def test_the_reason_is_kept_sealed_where_the_texts_are(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(new_key())
    settings: dict[str, Any] = {"seal_key": (f"file:{tmp_path / 'key'}",)}
    said = '{"code": "CODE", "reason": "it says hello", "answer": 4}'
    async with serving(tmp_path, ScriptedJudge(said), POLICY + "audit: {keep: sealed}\n", **settings) as rig:
        await rig.ask("hello")
        (entry,) = await rig.entries("judged")
        assert (entry["score"], list(entry["sealed"]["members"])) == (4, ["reason"])
        assert not any(log.report.problems for log in verify_folder(rig.folder))
        assert "it says hello" not in "".join(log.read_text() for log in rig.folder.glob("*.jsonl"))
    store = open_store(tmp_path / "audit", None, settings["seal_key"])
    judged = entry_of({key: value for key, value in entry.items() if key not in ("seq", "prev", "hash")})
    assert isinstance(judged, Judged)
    assert Sealer(store).reason_of(judged) == "it says hello"
    store.close()


async def test_without_sealed_texts_the_reason_is_not_kept(tmp_path: Path) -> None:
    async with serving(tmp_path, ScriptedJudge(), POLICY) as rig:
        await rig.ask("hello")
        (entry,) = await rig.entries("judged")
    assert "sealed" not in entry
    assert "reason" not in json.dumps(entry)


async def test_a_score_closes_no_intent(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 0, "test")
    about: dict[str, Any] = {"v": ENTRY_VERSION, "at": 1.0, "id": "x", "engine": "test"}
    await recorder.keep(Intent(**about, tenant="", route="POST /x", policies="p", seals={}))
    scale: dict[str, Any] = {"policy": "p", "upstream": "u", "model": "m", "rubric": "r", "scale": (1, 5), "ms": 1.0}
    await recorder.keep(Judged(**about, **scale, score=4))
    recorder.close()
    again = Recorder(tmp_path, 0, "test")
    assert again.unknown == 1
    again.close()
