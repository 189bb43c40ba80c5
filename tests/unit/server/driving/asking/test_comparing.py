"""A candidate that gets a sample of the requests: what it is sent, how the judge compares, and what joins the log."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app
from guardproxy.exchange import Exchange
from guardproxy.reading import Period, candidate_results
from guardproxy.server.driving.asking import comparing
from tests.kit.judging import ScriptedCandidate, ScriptedJudge, serving

POLICY = """
policy: graded
checks:
  pii: {use: pattern, words: [mara.lindqvist@example.com]}
rules:
  - {id: out, when: pii, action: redact}
judge:
  {upstream: grader, model: strict, rubric: be helpful, sample: 100 %, candidate: {upstream: cheap, model: small}}
"""
MARA = "mara.lindqvist@example.com"


def preferring(words: str, *, place: str = "") -> ScriptedJudge:
    """A judge that prefers the answer with these words, or the one in a place."""

    def said(text: str) -> str:
        tree = json.loads(text)
        if "answer" in tree:
            return json.dumps({"code": "CODE", "reason": "r", "answer": 4})
        liked = [name for name in ("first", "second") if words in tree[name]]
        better = place or (liked[0] if len(liked) == 1 else "equal")
        return json.dumps({"code": "CODE", "reason": "r", "answer": better})

    return ScriptedJudge(said)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("judge", "said", "better"),
    [
        (preferring("short"), ["candidate", "candidate"], "candidate"),
        (preferring("write to"), ["answer", "answer"], "answer"),
        (preferring("nothing"), ["equal", "equal"], "equal"),
        (preferring("", place="first"), ["answer", "candidate"], "equal"),
    ],
)
async def test_a_candidate_is_compared_in_both_orders(
    tmp_path: Path, judge: ScriptedJudge, said: list[str], better: str, *, stream: bool
) -> None:
    candidate = ScriptedCandidate("short and good")
    async with serving(tmp_path, judge, POLICY, candidate) as rig:
        _, _, name = await rig.post(f"write to {MARA}", stream=stream, temperature=0.5)
        (entry,) = await rig.entries("judged")
        results = candidate_results(rig.folder, Period(), Counter())
    ((body, key),) = candidate.seen
    assert (body["model"], body["temperature"], body.get("stream", False), key) == ("small", 0.5, stream, "sk-cheap")
    assert "[MATCH_" in body["messages"][0]["content"], "as redacted"
    assert MARA not in json.dumps(body)
    compared = entry["compared"]
    assert (entry["id"], entry["score"], compared["said"], compared["model"]) == (name, 4, said, "small")
    assert len(compared["tokens"]) == 2
    assert "short" not in json.dumps(entry), "the candidate's answer is not kept"
    assert [(each.better, each.turned) for each in results] == [({better: 1}, int(said[0] != said[1]))]
    assert not any("small" in text for text in judge.texts), "the judge does not know whose answer it is"


@pytest.mark.parametrize(
    ("candidate", "judge", "failure"),
    [
        (ScriptedCandidate("x", status=500), preferring("x"), "status_500"),
        (ScriptedCandidate(""), preferring("x"), "no_answer"),
        (ScriptedCandidate("x"), preferring("", place="neither"), "no_score"),
    ],
)
async def test_why_nothing_was_compared_is_in_the_log(
    tmp_path: Path, candidate: ScriptedCandidate, judge: ScriptedJudge, failure: str
) -> None:
    async with serving(tmp_path, judge, POLICY, candidate) as rig:
        await rig.ask("hello")
        (entry,) = await rig.entries("judged")
        assert (entry["compared"]["failure"], entry["score"]) == (failure, 4), "the answer is scored all the same"
        (results,) = candidate_results(rig.folder, Period(), Counter())
        assert (results.total, results.failures) == (0, {failure: 1})


async def test_a_candidate_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "TIMEOUT_S", 0.0)
    async with serving(tmp_path, preferring("x"), POLICY, ScriptedCandidate("x")) as rig:
        await rig.ask("hello")
        (entry,) = await rig.entries("judged")
        assert entry["compared"]["failure"] == "timeout"


async def test_an_unexpected_fault_of_a_comparison_loses_no_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(exchange: Exchange, model: str) -> None:
        raise ValueError("secret text")

    monkeypatch.setattr(Exchange, "for_another", broken)
    async with serving(tmp_path, preferring("x"), POLICY, ScriptedCandidate("x")) as rig:
        await rig.ask("hello")
        (entry,) = await rig.entries("judged")
        assert (entry["score"], entry["compared"]["failure"]) == (4, "internal_error")
        assert "secret text" not in json.dumps(entry)


async def test_the_report_has_shares_and_costs(tmp_path: Path) -> None:
    prices = "prices: {scripted: {input: 100, output: 100}, small: {input: 10, output: 10}}\n"
    async with serving(tmp_path, preferring("short"), POLICY + prices, ScriptedCandidate("short")) as rig:
        for number in range(4):
            await rig.ask(f"hello {number}")
        await rig.server.judges.close(20)
    ran = CliRunner().invoke(app, ["route", "report", str(tmp_path / "audit")], catch_exceptions=False)
    assert ran.exit_code == 0
    assert ran.stdout.startswith("small by the judge of the policy `graded`: 4 comparisons")
    assert "cost: 0.42 for each 1.00 spent" in ran.stdout, "a tenth of the price, and more tokens as it counts them"
    shown: list[dict[str, Any]] = json.loads(
        CliRunner().invoke(app, ["route", "report", str(tmp_path / "audit"), "--json"], catch_exceptions=False).stdout
    )
    assert (shown[0]["comparisons"], shown[0]["better"][0], shown[0]["not worse"][0]) == (4, 1.0, 1.0)


def test_a_log_without_comparisons_says_how_to_get_one(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["route", "report", str(tmp_path)], catch_exceptions=False)
    assert (ran.exit_code, "judge: {candidate:" in ran.stdout) == (0, True)
