"""The limits that count a request, as `policy explain` shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app
from guardproxy.policy import RawExchange, RequestFacts
from guardproxy.policytest.limiting import CountedLimit, counted_limits
from tests.kit.play import policy_set

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
