"""Why a text is treated as it is: by which rule, and why not by the others."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app
from guardproxy.decisions import Stop
from guardproxy.exchange.gate import Job
from guardproxy.findings import Direction, Kind, Scan
from guardproxy.policy.values import RawExchange, RequestFacts
from guardproxy.policytest.explaining import (
    CheckTiming,
    CountedLimit,
    Explanation,
    counted_limits,
    explain,
    explained,
    kinds_of,
    scene_of,
)
from guardproxy.policytest.scan import scan_job
from guardproxy.wire.registry import codecs
from tests.kit.play import policy_set
from tests.kit.plugins import Install

POLICY = r"""
policy: test
match: {models: [m]}
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  bad:  {use: pattern, label: BAD, words: [forbidden]}
  seen: {use: pattern, label: SEEN, words: [look]}
  shape: {use: json_schema, schema: {inline: {type: object}}}
rules:
  - {id: mail, on: request, when: mail, action: redact}
  - {id: bad, on: [user, assistant], when: bad, action: block}
  - {id: seen, when: seen, action: flag}
  - {id: quiet, when: seen, action: block, mode: shadow}
  - {id: both, when: seen and bad, action: flag}
  - {id: shape, on: response, when: shape, action: block}
  - {id: failed, when: check_error, action: flag}
"""
OTHER = POLICY.replace("policy: test", "policy: other").replace("[m]", "[x]")


def run(text: str, on: Any = "request", kind: Kind = "user") -> Explanation:
    scene = scene_of(text, on, kind, codecs()[0].author)
    scene = type(scene)({**scene.request, "model": "m"}, scene.answers)
    ticks = count()
    return explain(policy_set(POLICY, OTHER), scene, RequestFacts(applies=True), lambda: float(next(ticks)), 3)


def states(found: Explanation) -> dict[str, tuple[str, str]]:
    return {one.rule: (one.state, one.why) for one in found.rules}


def test_an_explanation_without_times_and_of_a_known_result() -> None:
    scene = scene_of("look", "request", "user", codecs()[0].author)
    jobs: list[Job] = []

    def scanning(job: Job) -> Scan:
        jobs.append(job)
        return scan_job(job)

    policies, facts = policy_set(POLICY), RequestFacts()
    found = explain(policies, scene, facts, lambda: 0.0, runs=0, scanning=scanning)
    assert found.timings == ()
    assert {job.check.name for job in jobs} >= {"mail", "seen"}
    again = explained(policies, found.result)
    assert (again.rules, again.policies, again.timings) == (found.rules, found.policies, ())


def test_whom_a_rule_tells() -> None:
    """Only the host is shown, as the path of a webhook may be secret."""
    alert = "alert: {webhook: 'https://hooks.example/secret'}"
    told = POLICY.replace("action: redact", f"action: redact, {alert}")
    told = told.replace("action: block}", f"action: block, {alert}}}", 1)
    scene = scene_of("a forbidden jo@ab.io", "request", "user", codecs()[0].author)
    scene = type(scene)({**scene.request, "model": "m"}, scene.answers)
    it = explain(policy_set(told), scene, RequestFacts(applies=True), lambda: 0.0, 1)
    assert states(it)["bad"] == ("decided", "`bad` found BAD; tells `hooks.example` (`alert`)")
    assert states(it)["mail"] == (
        "held",
        "`mail` found MAIL; `bad` (block) is stronger; tells `hooks.example` (`alert`)",
    )


def test_what_decided_and_what_did_not() -> None:
    it = run("look, a forbidden jo@ab.io")
    assert (it.decision, it.policies, it.elsewhere) == ("block", ("test",), ("other",))
    assert states(it) == {
        "mail": ("held", "`mail` found MAIL; `bad` (block) is stronger"),
        "bad": ("decided", "`bad` found BAD"),
        "seen": ("held", "`seen` found SEEN; `bad` (block) is stronger"),
        "quiet": ("shadow", "`seen` found SEEN; in shadow mode"),
        "both": ("held", "`bad` found BAD; `bad` (block) is stronger"),
        "shape": ("no", "it does not inspect these texts (user of the request)"),
        "failed": ("no", "no check failed"),
    }


def test_an_action_of_another_package_is_as_strong_as_what_it_decides(install: Install) -> None:
    install("guardproxy.actions", "hush", lambda rule: Stop(rule.id))
    scene = scene_of("look, jo@ab.io", "request", "user", codecs()[0].author)
    policies = policy_set(POLICY.replace("when: seen, action: flag", "when: seen, action: hush"))
    explained = explain(policies, scene, RequestFacts(model="m"), lambda: 0.0, 1)
    assert states(explained)["seen"] == ("decided", "`seen` found SEEN")
    assert states(explained)["mail"] == ("held", "`mail` found MAIL; `seen` (hush) is stronger")


def test_why_a_rule_did_not_hold() -> None:
    it = run("have a look")
    assert it.decision == "flag"
    assert states(it)["mail"] == ("no", "`mail` found nothing")
    assert states(it)["both"] == ("no", "found `seen`, but not `bad`")
    assert states(it)["seen"] == ("decided", "`seen` found SEEN")
    nothing = run("hello")
    assert states(nothing)["both"] == ("no", "`bad`, `seen` found nothing")
    assert states(run(""))["mail"] == ("no", "it does not inspect these texts (none)")


def test_what_a_policy_allows() -> None:
    known = POLICY.replace("label: MAIL,", "label: MAIL, allow: [jo@ab.io],")
    scene = scene_of("look, jo@ab.io", "request", "user", codecs()[0].author)
    it = explain(policy_set(known), scene, RequestFacts(model="m"), lambda: 0.0, 1)
    assert states(it)["mail"] == ("no", "`mail` found nothing but allowed values")
    assert states(it)["both"] == ("no", "found `seen`, but not `bad`")
    assert [(each.check, each.label, each.text, each.start) for each in it.result.allowed] == [
        ("mail", "MAIL", "jo@ab.io", 6)
    ]
    assert [each.check for each in it.result.findings] == ["seen"]


def test_how_long_the_checks_took() -> None:
    it = run("hello")
    assert it.timings[0] == CheckTiming("bad", 1000.0, 1)
    assert [one.check for one in it.timings] == ["bad", "mail", "seen"]


def test_a_check_with_a_state_is_not_timed_twice() -> None:
    it = run('{"a": 1}', "response", "assistant")
    assert {one.check for one in it.timings} >= {"bad", "seen"}
    assert it.result.client


DIRECTIONS: tuple[Direction, ...] = ("request", "response")


@pytest.mark.parametrize(("on", "kind"), [(on, kind) for on in DIRECTIONS for kind in kinds_of(codecs()[0], on)])
def test_every_kind_of_text_is_found_where_it_stands(on: Any, kind: Kind) -> None:
    plain = "look" if (on, kind) == ("response", "metadata") else "a look"  # a model's name has no spaces
    it = run('"a look"' if kind == "tool_arguments" else plain, on, kind)
    assert {(one.direction, one.kind) for one in it.result.findings if one.check == "seen"} == {(on, kind)}


def test_the_plain_text_of_a_message_comes_first() -> None:
    for codec in codecs():
        assert kinds_of(codec, "request")[0] == "user"
        if any(map(codec.contract.is_answered, codec.routes)):
            assert kinds_of(codec, "response")[0] == "assistant"
        assert "error" not in kinds_of(codec, "response")


def test_how_far_a_text_was_from_a_finding() -> None:
    """The same policies, with every score a finding, say what the highest was."""
    scene, told = (
        RawExchange({"model": "m", "messages": [{"role": "user", "content": "forbidden"}]}),
        RequestFacts(applies=True),
    )
    quiet = POLICY.replace("words: [forbidden]", "words: [other]")
    low = POLICY.replace("words: [forbidden]", "words: [forbidden], score: 0.25")
    it = explain(policy_set(quiet), scene, told, lambda: 0.0, 1, policy_set(low))
    assert states(it)["bad"] == ("no", "`bad` found nothing (highest score 0.25)")
    assert states(it)["mail"] == ("no", "`mail` found nothing")


LIMITS = (
    "policy: p\nlimits:\n"
    "  - {name: tokens, unit: tokens, rate: 100/1m, answer_tokens: 5, models: [gpt-*]}\n"
    "  - {name: money, unit: cost, budget: 5/day, mode: shadow}\n"
)
TOKENS = "p/tokens: 100 tokens at once, then 100 in 60 s, all together"


def counted(model: str, route: str = "POST /v1/chat/completions") -> tuple[CountedLimit, ...]:
    scene = RawExchange({"model": model, "messages": [{"role": "user", "content": "hello"}]})
    return counted_limits(policy_set(LIMITS), scene, RequestFacts(route, model))


def test_each_limit_says_what_the_request_takes() -> None:
    tokens, money = counted("gpt-5")
    size = len('{"model":"gpt-5","messages":[{"role":"user","content":"hello"}]}')
    assert tokens == CountedLimit("p", "tokens", "tokens", -(-size // 4) + 5, "enforce", TOKENS)
    assert (money.limit, money.takes, money.mode) == ("money", None, "shadow")
    assert [limit.limit for limit in counted("claude")] == ["money"]


@pytest.mark.parametrize("route", ["POST /v1beta/models/gpt-5:generateContent", "POST /v1/messages"])
def test_every_format_is_counted(route: str) -> None:
    turn = {"role": "user", "parts": [{"text": "hello"}], "content": "hello"}
    scene = RawExchange({"contents": [turn], "messages": [turn], "model": "gpt-5", "max_tokens": 9})
    assert [limit.limit for limit in counted_limits(policy_set(LIMITS), scene, RequestFacts(route, "gpt-5"))] == [
        "tokens",
        "money",
    ]


def test_a_request_that_cannot_be_read_is_not_counted() -> None:
    scene = RawExchange({"messages": 7})
    assert counted_limits(policy_set(LIMITS), scene, RequestFacts()) == ()


def test_the_command_lists_them(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(LIMITS)
    asked = ["policy", "explain", "hello", "--policies", str(tmp_path), "--model", "gpt-5"]
    plain = CliRunner().invoke(app, asked)
    assert f"{TOKENS}; this request takes " in " ".join(plain.stdout.split())
    assert "in shadow mode; this request takes its cost" in " ".join(plain.stdout.split())
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert told["policies"] == ["p"]
    assert told["limits"][0] == {
        "policy": "p",
        "limit": "tokens",
        "unit": "tokens",
        "takes": told["limits"][0]["takes"],
        "mode": "enforce",
        "words": TOKENS,
    }


def test_money_is_printed_as_money(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(LIMITS + 'prices: {"gpt-*": {input: 1, output: 10}}\n')
    asked = ["policy", "explain", "hello", "--policies", str(tmp_path), "--model", "gpt-5"]
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)["limits"][1]
    assert told["unit"] == "cost"
    assert 0.0102 < told["takes"] < 0.0104, "1,024 tokens of an answer, and a short request"
    plain = CliRunner().invoke(app, asked)
    assert f"5 cost a day, all together, in shadow mode; this request takes {told['takes']}" in " ".join(
        plain.stdout.split()
    )
