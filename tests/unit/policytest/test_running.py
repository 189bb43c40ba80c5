"""All tests of policies: each against its own policy, at all its cuts; what is skipped, what no test exercises."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
from msgspec import structs

from guardproxy.audit.record.canonical import canonical
from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.findings import QUICK, Finding, Scan, Traits, Window
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse_all
from guardproxy.policy.values.cases import EXPECT_KEYS, KEYS
from guardproxy.policytest.running import CaseResult, run_tests, untested
from tests.kit.play import Play, chat_frames, policy_set

POLICY = r"""
policy: test
match: {models: [never]}
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  bad:  {use: pattern, label: BAD, words: [forbidden]}
  seen: {use: pattern, label: SEEN, words: [look]}
rules:
  - {id: mail, when: mail, action: redact}
  - {id: bad, when: bad, action: block}
  - {id: seen, when: seen, action: flag}
  - {id: quiet, when: seen, action: block, mode: shadow}
"""


def nothing(path: str) -> bytes:
    raise FileNotFoundError(2, "No such file")


def results(*tests: str, policy: str = POLICY) -> list[CaseResult]:
    listed = "".join(f"  - {test}\n" for test in tests)
    return list(run_tests(policy_set(f"{policy}tests:\n{listed}"), nothing))


def messages(*tests: str) -> list[str]:
    return [mismatch.message for ran in results(*tests) for mismatch in ran.mismatches]


def test_right_and_wrong_tests() -> None:
    found = results(
        '{name: right, request: "to jo@ab.io", expect: {rule: mail, decision: redact, upstream: "to [MAIL_1]"}}',
        '{name: answer, response: "to jo@ab.io", expect: {client_lacks: jo@ab.io}}',
        "{name: wrong, request: plain, expect: {rule: mail}}",
    )
    assert [(ran.name, len(ran.mismatches), ran.plays) for ran in found] == [
        ("test: right", 0, 1),
        ("test: answer", 0, 5),
        ("test: wrong", 1, 1),
    ]


def test_a_test_of_allowed_models_names_one() -> None:
    listed = POLICY.replace("match: {models: [never]}", "allow: {models: [gpt-5]}")
    hint = "the policy allows certain models, and the test names none: add `model: NAME` to it"
    (ran,) = results("{name: t, request: forbidden, expect: {rule: bad}}", policy=listed)
    assert ran.mismatches[0].message == hint
    (ran,) = results("{name: t, request: forbidden, model: gpt-4, expect: {rule: bad}}", policy=listed)
    assert ran.mismatches[0].message != hint
    (ran,) = results("{name: t, request: forbidden, model: gpt-5, expect: {rule: bad}}", policy=listed)
    assert ran.mismatches == ()


def test_no_other_policy_takes_part() -> None:
    tests = "tests: [{name: t, request: forbidden, expect: {decision: pass}}]\n"
    mild = POLICY.replace("policy: test", "policy: mild").replace("words: [forbidden]", "words: [nothing]")
    (ran,) = run_tests(policy_set(POLICY, mild + tests), nothing)
    assert ran.mismatches == ()


def test_a_test_with_facts_asks_for_the_match() -> None:
    assert messages("{name: t, request: forbidden, model: never, expect: {rule: bad}}") == []
    assert messages("{name: t, request: forbidden, model: other, expect: {rule: bad}}") == [
        "the policy's `match` does not hold for route POST /v1/chat/completions, model `other`, tenant ``",
        "expected the rule `bad` to hold; rules that hold: none",
    ]
    assert messages("{name: t, request: forbidden, model: other, expect: {rule: none}}") == []


def test_the_overrides_of_a_tenant_hold_for_its_tests() -> None:
    policy = (
        POLICY.replace("match: {models: [never]}\n", "") + "tenants: {acme: {checks: {seen: {words: [look, see]}}}}\n"
    )
    tests = (
        "tests:\n  - {name: a, request: see, tenant: acme, expect: {rule: seen}}\n"
        "  - {name: b, request: see, expect: {rule: none}}\n"
    )
    policies = parse_all([("p.yaml", policy + tests)])
    loaded = PolicySet(policies, build_checks(policies, Resources()), "")
    found = list(run_tests(loaded, nothing))
    assert [ran.mismatches for ran in found] == [(), ()]
    assert {rule for _, rule in untested(policies, found)} == {"mail", "bad"}


def test_only_some() -> None:
    policies = policy_set(POLICY + "tests:\n  - {name: a b, request: x, expect: {rule: none}}\n")
    assert [len(list(run_tests(policies, nothing, only=glob))) for glob in ("a*", "test: *", "b", "*")] == [1, 1, 0, 1]


def test_how_long_each_took() -> None:
    ticks = count()
    policies = policy_set(POLICY + "tests:\n  - {name: a, request: x, expect: {rule: none}}\n")
    (ran,) = run_tests(policies, nothing, lambda: float(next(ticks)))
    assert ran.seconds == 1.0


def test_rules_that_no_test_exercises() -> None:
    found = results("{name: t, request: look, expect: {shadow: quiet}}")
    assert {rule for _, rule in untested(policy_set(POLICY).policies, found)} == {"mail", "bad"}


def test_a_rule_that_a_policy_has_from_another_is_tested_there() -> None:
    base = POLICY + "tests: [{name: t, request: look, expect: {rule: seen}}]\n"
    team = "policy: team\nextends: test\nrules: [{id: own, when: check_error, action: flag}]\n"
    policies = parse_all([("a.yaml", base), ("b.yaml", team)])
    found = list(run_tests(PolicySet(policies, build_checks(policies, Resources()), ""), nothing))
    missed = untested(policies, found)
    assert {(policy.name, rule) for policy, rule in missed} == {
        *(("test", rule) for rule in ("mail", "bad")),
        *(("team", rule) for rule in ("mail", "bad", "own")),
    }


# A check that depends on how a text is cut.


@dataclass(frozen=True)
class Careless:
    """Finds `look` only where one window holds all of it."""

    name: str = "seen"
    digest: str = ""
    traits: Traits = QUICK

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        at, end = window.text.find("look"), window.start + len(window.text)
        start = window.start + at
        found = (Finding(start, start + 4, "seen", "SEEN", 1.0),) if at >= 0 else ()
        return Scan(found, end, end)


def careless(tests: str) -> PolicySet:
    policies = policy_set(POLICY + tests)
    return replace(policies, checks={**policies.checks, ("test", "seen"): Careless()})


def test_a_check_that_depends_on_cuts_is_caught_and_the_seed_named() -> None:
    (ran,) = run_tests(careless('tests: [{name: t, response: "have a look", expect: {rule: seen}}]\n'), nothing)
    assert next(mismatch.message for mismatch in ran.mismatches) == "in pieces (seed 1), the decision is pass, not flag"
    (once,) = run_tests(
        careless('tests: [{name: t, response: "a look", chunkings: 0, expect: {rule: seen}}]\n'), nothing
    )
    assert (once.mismatches, once.plays) == ((), 1)


def test_what_is_wrong_only_in_a_stream_is_told_with_its_cut() -> None:
    policy = POLICY.replace("{id: bad, when: bad, action: block}", "{id: bad, when: bad, action: block, message: no}")
    (ran,) = results('{name: t, response: "a forbidden b", expect: {client: no}}', policy=policy)
    assert [mismatch.message for mismatch in ran.mismatches] == ["streamed at once: the client gets another text"]


# Records.


def line() -> bytes:
    play = Play(policy_set(POLICY.replace("never", "m"))).ask(
        {"model": "m", "messages": [{"role": "user", "content": "jo@ab.io"}]}
    )
    play.stream(chat_frames([{"content": "look"}]))
    return play.finish.record.to_json() + b"\n"


def logged(test: str, content: bytes) -> list[str]:
    policies = policy_set(f"{POLICY}tests:\n  - {test}\n")
    return [mismatch.message for ran in run_tests(policies, lambda path: content) for mismatch in ran.mismatches]


def test_a_record_is_run_again() -> None:
    test = "{name: t, record: log.jsonl#2, expect: {rules: [mail, seen], upstream: '[MAIL_1]'}}"
    assert logged(test, b"{}\n" + line()) == []
    assert logged(test.replace("seen", "bad"), b"{}\n" + line()) == [
        "expected these rules to hold: bad, mail; rules that hold: mail, seen"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}\n", "log.jsonl#2: the file has 1 lines"),
        (b"{}\n{}\n", "log.jsonl#2: the line is not a record of an audit log"),
        (b"{}\nx\n", "log.jsonl#2: the line is not a record of an audit log"),
    ],
)
def test_a_line_that_is_none_says_so(content: bytes, message: str) -> None:
    assert logged("{name: t, record: log.jsonl#2, expect: {rule: seen}}", content) == [message]


def test_a_record_that_cannot_be_run_again_says_why() -> None:
    record = json.loads(line())
    record.pop("hash", None)
    passed = canonical({**record, "outcome": "passed"}) + b"\n"
    assert logged("{name: t, record: log.jsonl#1, expect: {rule: seen}}", passed) == [
        "log.jsonl#1: the exchange was passed: no check inspected it"
    ]


def test_a_file_that_is_not_there() -> None:
    assert messages("{name: t, record: log.jsonl#2, expect: {rule: seen}}") == [
        "log.jsonl#2: cannot read the file: no such file"
    ]


def test_without_the_model_what_needs_it_is_skipped() -> None:
    policy = """
policy: p
checks: {attack: {use: supervisor}, words: {use: pattern, words: [look]}}
rules:
  - {id: attack, when: attack, action: block}
  - {id: look, when: words, action: flag}
tests:
  - {name: a, request: x, expect: {rule: attack}}
  - {name: b, request: x, expect: {rules: [attack]}}
  - {name: c, request: x, expect: {shadow: attack}}
  - {name: d, request: x, expect: {finds: {check: attack}}}
  - {name: e, request: look, expect: {rule: look, finds: {check: words}}}
"""
    policies = parse_all([("p.yaml", policy)])
    words = policy_set(POLICY).checks["test", "seen"]
    quiet = {("p", name): Renamed(words, name) for name in ("attack", "words")}
    quiet["p", "attack"] = Renamed(policy_set(POLICY).checks["test", "bad"], "attack")
    found = list(run_tests(PolicySet(policies, quiet, ""), nothing, left_out=("supervisor",)))
    assert [(ran.test.name, ran.skipped) for ran in found] == [
        *((name, "it needs `attack`") for name in "abcd"),
        ("e", ""),
    ]
    assert found[-1].mismatches == ()


class Renamed:
    """A check under another name."""

    def __init__(self, check: object, name: str) -> None:
        self.check, self.name, self.digest, self.traits = check, name, "", QUICK

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        scans = self.check.scan(windows)  # type: ignore[attr-defined]
        return [
            structs.replace(scan, findings=tuple(replace(one, check=self.name) for one in scan.findings))
            for scan in scans
        ]


def test_the_example_of_the_documentation_passes() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "policies" / "testing.md").read_text("utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found = list(run_tests(policy_set(example), nothing))
    assert [ran.mismatches for ran in found] == [()] * 6
    assert [ran.plays for ran in found] == [5, 1, 22, 1, 2, 4]
    assert untested(policy_set(example).policies, found) == []
    for key in (*KEYS, *EXPECT_KEYS):
        assert f"{key}:" in text, key


@pytest.mark.parametrize(
    ("code", "message"), [("field_refused", ""), ("none", "got refused: field_refused at `store`")]
)
def test_the_code_of_an_error_is_expected(code: str, message: str) -> None:
    exchange = "{request: {model: m, store: true, messages: [{role: user, content: hi}]}}"
    policy = f"policy: p\nrefuse: [store]\ntests: [{{name: t, exchange: {exchange}, expect: {{error: {code}}}}}]\n"
    (result,) = run_tests(policy_set(policy), lambda path: b"")
    assert message in "".join(mismatch.message for mismatch in result.mismatches)
    assert bool(result.mismatches) is bool(message)


ASKING = """
policy: asking
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.io"]}
  polite: {use: llm, upstream: judge, model: m, rubric: "Is it rude?"}
  tone: {use: llm, upstream: judge, model: m, rubric: "How rude is it?", answer: score, least: 3}
rules:
  - {id: mail, when: mail, action: redact}
  - {id: rude, when: polite, action: block}
  - {id: tone, on: response, when: tone, action: flag}
"""


def test_a_test_says_what_models_elsewhere_answer() -> None:
    found = results(
        '{name: rude, request: hello, judged: {polite: "yes"}, expect: {rule: rude, decision: block}}',
        '{name: fine, request: to jo@ab.io, judged: {polite: "no"}, expect: {rules: mail, upstream: "to [MAIL_1]"}}',
        "{name: unasked, request: hello, expect: {rules: none}}",
        "{name: score, request: hello, response: so so, judged: {tone: 4}, expect: {rules: tone}}",
        "{name: low, request: hello, response: so so, judged: {tone: 2}, expect: {rules: none}}",
        policy=ASKING,
    )
    assert [mismatch for ran in found for mismatch in ran.mismatches] == []
    assert [ran.plays for ran in found] == [1, 1, 1, 5, 5]


def test_an_answer_that_no_model_would_give_is_a_mismatch() -> None:
    (odd, deaf) = results(
        '{name: odd, request: hello, judged: {polite: "perhaps"}, expect: {rules: none}}',
        '{name: deaf, request: hello, judged: {mail: "yes"}, expect: {rules: none}}',
        policy=ASKING,
    )
    assert odd.mismatches
    assert [mismatch.message for mismatch in deaf.mismatches] == ["`judged`: the check `mail` asks no model"]


def test_without_an_answer_a_test_that_needs_one_is_skipped() -> None:
    tests = (
        "{name: a, request: hello, expect: {rule: rude}}",
        '{name: b, request: hello, judged: {polite: "yes"}, expect: {rule: rude}}',
    )
    listed = "".join(f"  - {test}\n" for test in tests)
    found = list(run_tests(policy_set(f"{ASKING}tests:\n{listed}"), nothing, left_out=("llm",)))
    assert [(ran.skipped, len(ran.mismatches)) for ran in found] == [("it needs `polite`", 0), ("", 0)]
