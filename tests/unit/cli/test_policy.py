"""`guardproxy policy init|test|diff|explain`: what they print, and how they end."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from guardproxy.audit.record.canonical import canonical
from guardproxy.cli import app
from guardproxy.cli.policy.diff import progress
from guardproxy.library import load
from tests.kit.play import Play, chat_frames
from tests.kit.records import members
from tests.kit.tainting import TAINT_SCENES

POLICY = r"""
policy: mine
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  word: {use: pattern, label: WORD, words: [plain]}
rules:
  - {id: mail, on: request, when: mail, action: redact, restore: true}
  - {id: word, when: word, action: flag}
tests:
  - {name: a mail, request: "I am jo@ab.io", expect: {rule: mail, upstream: "I am [MAIL_1]"}}
"""


def run(*words: object, text: str = "") -> Result:
    return CliRunner().invoke(app, ["policy", *map(str, words)], input=text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "mine.yaml").write_text(POLICY)
    return tmp_path / "policies"


def change(folder: Path, old: str, new: str, name: str = "other") -> Path:
    assert old in POLICY
    other = folder.parent / name
    other.mkdir()
    (other / "mine.yaml").write_text(POLICY.replace(old, new))
    return other


# test


def test_tests_that_pass(folder: Path) -> None:
    ran = run("test", folder)
    assert (ran.exit_code, ran.stdout) == (0, "ok   mine: a mail\n1 passed, 0 failed\n")


def test_a_test_that_fails_shows_where_and_both_texts(folder: Path) -> None:
    other = change(folder, "I am [MAIL_1]", "I was [MAIL_1]")
    ran = run("test", folder, other)
    assert ran.exit_code == 1
    assert ran.stdout.splitlines()[1:] == [
        "FAIL mine: a mail",
        f"       {other}/mine.yaml:10:5",
        "       the model gets another text",
        "       - I was [MAIL_1]",
        "           ^^^",
        "       + I am [MAIL_1]",
        "           ^^",
        "1 passed, 1 failed",
    ]


def test_a_fault_with_one_text(folder: Path) -> None:
    other = change(folder, 'upstream: "I am [MAIL_1]"', "upstream_has: you")
    assert "       | I am [MAIL_1]\n" in run("test", other).stdout


def test_rules_without_a_test(folder: Path) -> None:
    ran = run("test", folder, "--untested")
    assert (ran.exit_code, ran.stdout.splitlines()[1]) == (1, "none mine: `word` holds in no test")
    shown = json.loads(run("test", folder, "--untested", "--json").stdout)
    assert (shown["ok"], shown["untested"]) == (False, [{"policy": "mine", "rule": "word"}])


def test_results_for_programs(folder: Path) -> None:
    report = folder.parent / "junit.xml"
    ran = run("test", folder, "--json", "--junit", report)
    (test,) = json.loads(ran.stdout)["tests"]
    assert (test["policy"], test["test"], test["line"], test["rules"], test["faults"]) == (
        "mine",
        "a mail",
        10,
        ["mail"],
        [],
    )
    assert b"<testsuites" in report.read_bytes()


def test_without_the_model(folder: Path) -> None:
    (folder / "attack.yaml").write_text(
        "policy: attack\nchecks: {attack: {use: supervisor, model: none}}\n"
        "rules: [{id: r, when: attack, action: block}]\n"
        "tests: [{name: t, request: a, expect: {rule: r}}]\n"
    )
    assert run("test", folder).exit_code == 2
    ran = run("test", folder, "--no-model")
    assert (ran.exit_code, ran.stdout.splitlines()) == (
        0,
        ["skip attack: t: it needs `attack`", "ok   mine: a mail", "1 passed, 0 failed, 1 skipped"],
    )


def test_no_service_is_asked(folder: Path) -> None:
    (folder / "far.yaml").write_text(
        "policy: far\nchecks: {far: {use: http, url: https://dlp.example/scan}}\n"
        "rules: [{id: r, when: far, action: block}]\n"
        "tests:\n  - {name: a, request: a, expect: {rule: r}}\n  - {name: b, request: b, expect: {decision: pass}}\n"
    )
    ran = run("test", folder)
    assert (ran.exit_code, ran.stdout.splitlines()[:2]) == (0, ["skip far: a: it needs `far`", "ok   far: b"])
    told = run("explain", "hello", "--policies", folder)
    assert (told.exit_code, told.stdout.splitlines()[-1]) == (0, "not run, because they use services: far")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--only", "b*"), "no test has a name that matches `b*`"),
        (("--only", "a*", "--untested"), "--untested covers all tests"),
        (("--junit", "/nowhere/x.xml"), "/nowhere/x.xml: no such file or directory"),
    ],
)
def test_wrong_use_of_test(folder: Path, words: tuple[str, ...], message: str) -> None:
    ran = run("test", folder, *words)
    assert ran.exit_code == 2
    assert message in ran.stderr


def test_a_folder_that_cannot_be_read_is_wrong_use() -> None:
    ran = run("test", "strct")
    assert (ran.exit_code, "did you mean `strict`?" in ran.stderr) == (2, True)


# init


def test_a_shipped_policy_is_copied_once(tmp_path: Path) -> None:
    assert "healthcare" in run("init").stdout
    ran = run("init", "payments", tmp_path / "mine")
    assert (ran.exit_code, ran.stdout.splitlines()) == (
        0,
        [
            f"{tmp_path}/mine/payments.yaml written",
            f"{tmp_path}/mine/policy.schema.json written",
            f"next: guardproxy policy test {tmp_path}/mine",
        ],
    )
    assert "$schema=policy.schema.json\n" in (tmp_path / "mine" / "payments.yaml").read_text("utf-8")
    assert run("test", tmp_path / "mine").exit_code == 0
    again = run("init", "payments", tmp_path / "mine")
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)
    shown = json.loads(run("init", "default", tmp_path / "mine", "--json").stdout)
    assert shown == {"written": [str(tmp_path / "mine" / "default.yaml")]}
    assert json.loads(run("init", "--json").stdout)["strict"].startswith("Nothing personal")
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "default.yaml",
        "payments.yaml",
        "policy.schema.json",
    ]


def test_what_cannot_be_copied(tmp_path: Path) -> None:
    ran = run("init", "paiments")
    assert (ran.exit_code, "did you mean `payments`?" in ran.stderr) == (2, True)
    (tmp_path / "file").write_text("")
    assert run("init", "strict", tmp_path / "file" / "x").exit_code == 2


# diff


@pytest.fixture
def log(folder: Path) -> Path:
    """A log of three exchanges, one of which is not a record."""
    lines = []
    policies = load(folder)
    for text in ("a plain \u202eword", "nothing"):
        play = Play(policies).ask({"model": "m", "messages": [{"role": "user", "content": "I am jo@ab.io"}]})
        play.stream(chat_frames([{"content": text}]))
        record: dict[str, Any] = members(play.finish.record)
        lines.append(canonical(record))
    audit = folder.parent / "audit"
    audit.mkdir()
    (audit / "audit-0.jsonl").write_bytes(b"\n".join([*lines, canonical({"note": 1}), b"torn"]) + b"\n")
    return audit


def test_what_the_files_say(folder: Path) -> None:
    assert (run("diff", folder, folder).exit_code, run("diff", folder, folder).stdout) == (
        0,
        "the policies are equivalent\n",
    )
    ran = run("diff", folder, change(folder, "action: flag", "action: block") / "mine.yaml")
    assert (ran.exit_code, ran.stdout.splitlines()) == (
        1,
        ["tightens  mine: rule `word`: action flag -> block", "1 change, 0 of them loosening"],
    )


def test_lists_in_files_and_variables_are_what_they_stand_for(tmp_path: Path) -> None:
    text = (
        "policy: lists\nlists: {{projects: lists/projects.txt}}\nvars: {{limit: {limit}}}\n"
        'checks: {{words: {{use: pattern, words: "${{projects}}", score: "${{limit}}"}}}}\n'
        "rules: [{{id: r, when: words, action: block}}]\n"
    )
    for name, limit, words in (("a", 1.0, "falcon\nkite\n"), ("b", 0.5, "kite\nhawk\n")):
        (tmp_path / name / "lists").mkdir(parents=True)
        (tmp_path / name / "lists.yaml").write_text(text.format(limit=limit))
        (tmp_path / name / "lists" / "projects.txt").write_text(words)
    assert run("diff", tmp_path / "a", tmp_path / "b").stdout.splitlines() == [
        "either    lists: `words` score 1.0 -> 0.5",
        "tightens  lists: `words` words gained hawk",
        "LOOSENS   lists: `words` words lost falcon",
        "3 changes, 1 of them loosening",
    ]


def test_what_they_do_to_recorded_traffic(folder: Path, log: Path) -> None:
    report = folder.parent / "report.html"
    other = change(folder, "action: flag", "action: block")
    ran = run("diff", folder, other, "--log", log, "--report", report)
    assert ran.exit_code == 1
    assert "2 exchanges: 1 the same, 1 different, 0 cannot be told, 0 not replayable" in ran.stdout
    assert "word holds now: id, answered -> blocked_response response choices[0].message.content" in ran.stdout
    assert "\u202e" not in ran.stdout
    assert "word holds now" in report.read_text("utf-8")
    assert "\u202e" not in report.read_text("utf-8")


def test_the_same_for_programs(folder: Path, log: Path) -> None:
    other = change(folder, "action: flag", "action: block")
    shown = json.loads(run("diff", folder, other, "--log", log / "audit-0.jsonl", "--json").stdout)
    assert shown["same"] is False
    assert shown["changes"] == [{"policy": "mine", "change": "rule `word`: action flag -> block", "effect": "tightens"}]
    assert shown["exchanges"] == {"the same": 1, "different": 1}
    assert [(one["rule"], one["way"], one["ids"]) for one in shown["groups"]] == [
        ("word", "holds no longer", ["id"]),
        ("word", "holds now", ["id"]),
    ]
    assert json.loads(run("diff", folder, folder, "--json").stdout) == {"same": True, "changes": []}


def test_the_same_traffic(folder: Path, log: Path) -> None:
    ran = run("diff", folder, change(folder, "policy: mine", "description: d\npolicy: mine"), "--log", log)
    assert ran.stdout.splitlines()[-1] == "2 exchanges: 2 the same, 0 different, 0 cannot be told, 0 not replayable"


def test_what_cannot_be_replayed_is_said(folder: Path, log: Path) -> None:
    record = json.loads((log / "audit-0.jsonl").read_bytes().splitlines()[0])
    (log / "audit-0.jsonl").write_bytes(canonical({**record, "outcome": "passed"}) + b"\n")
    assert "1 not replayable: the exchange was passed" in run("diff", folder, folder, "--log", log).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere/a",), "cannot read the policy folder"),
        (("strict", "--log", "/nowhere"), "/nowhere: no log here"),
        (("strict", "--report", "/nowhere/x.html"), "/nowhere/x.html: no such file or directory"),
    ],
)
def test_wrong_use_of_diff(folder: Path, words: tuple[str, ...], message: str) -> None:
    ran = run("diff", folder, *words)
    assert (ran.exit_code, message in ran.stderr) == (2, True)


# explain


def test_why_a_text_is_treated_as_it_is(folder: Path) -> None:
    ran = run("explain", "I am jo@ab.io", "--policies", folder)
    assert ran.exit_code == 1
    assert ran.stdout.splitlines()[:-2] == [
        "request messages[0].content (user)",
        "    I am «jo@ab.io»",
        "    mail: MAIL at 5 to 13, score 1.00",
        "decision redact",
        "    decided mine: mail  redact  `mail` found MAIL; restores values in every text (in URLs: never)",
        "    -       mine: word  flag    `word` found nothing",
        "the model sees",
        "    messages[0].content: I am [MAIL_1]",
        "the client sees nothing: no answer was given",
        "checks (median)",
    ]
    assert [line.split()[0] for line in ran.stdout.splitlines()[-2:]] == ["mail", "word"]


def test_a_text_for_allowed_models_needs_one(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("policy: p\nallow: {models: [gpt-5]}\n", "utf-8")
    assert "name one with --model" in run("explain", "hello", "--policies", tmp_path).stderr
    assert run("explain", "hello", "--policies", tmp_path, "--model", "gpt-5").stderr == ""
    other = '{"model": "other", "messages": [{"role": "user", "content": "hello"}]}'
    assert run("explain", other, "--policies", tmp_path).stderr == ""


def test_an_answer_and_standard_input(folder: Path) -> None:
    ran = run("explain", "-", "--on", "response", "--policies", folder, text="a plain word")
    assert "choices[0].message.content (assistant)" in ran.stdout
    assert "the client sees\n    choices[0].message.content: a plain word\n" in ran.stdout
    assert run("explain", "nothing here", "--policies", folder).exit_code == 0


def test_a_whole_exchange_says_where_an_argument_came_from(tmp_path: Path) -> None:
    (tmp_path / "taint.yaml").write_text(
        """
policy: taint
checks: {stranger: {use: tool_call, when: 'came_from(call.arguments, "tool_result")'}}
rules: [{id: stop, on: tool_arguments, when: stranger, action: block}]
""",
        "utf-8",
    )
    scene = TAINT_SCENES[0]
    whole = {
        "request": scene.request("Answer it.", "From mallory.quist@drop-zone.example"),
        "response": scene.answer({"to": "mallory.quist@drop-zone.example"}),
    }
    for more in ((), ("--model", "m")):
        ran = run("explain", json.dumps(whole), "--policies", tmp_path, *more)
        assert "    stranger: TAINTED at 3 to 34, score 1.00\n" in ran.stdout
        assert "        arguments.to came from messages[3].content 5..36\n" in ran.stdout
    shown = json.loads(run("explain", "-", "--policies", tmp_path, "--json", text=json.dumps(whole)).stdout)
    assert shown["findings"][0]["origins"] == ["arguments.to came from messages[3].content 5..36"]
    assert run("explain", '{"request": {}', "--policies", tmp_path).exit_code == 0


def test_a_request_as_json(folder: Path) -> None:
    body = json.dumps({"messages": [{"role": "system", "content": "plain"}, {"role": "user", "content": "hello"}]})
    shown = json.loads(run("explain", body, "--policies", folder, "--model", "m", "--json").stdout)
    assert (shown["decision"], [one["kind"] for one in shown["findings"]]) == ("flag", ["system"])
    assert shown["model_sees"]["messages[1].content"] == "hello"
    assert shown["client_sees"] is None
    assert {one["rule"]: one["state"] for one in shown["rules"]} == {"mail": "no", "word": "decided"}
    for text in ("{not json", '{"a": 1}', '{"messages": 3}'):
        found = json.loads(run("explain", text, "--policies", folder, "--json").stdout)
        assert found["model_sees"] == {"messages[0].content": text}


@pytest.mark.parametrize(
    ("mode", "line"),
    [
        ("enforce", "    exact   mine: the cache may answer, for 60 s"),
        ("shadow", "    -       mine: the cache may answer, for 60 s  exact; in shadow mode"),
    ],
)
def test_explain_says_whether_the_cache_may_answer(folder: Path, mode: str, line: str) -> None:
    section = f"mode: {mode}\ncache: {{mode: exact, ttl_s: 60}}\npolicy: mine"
    other = change(folder, "policy: mine", section)
    assert line in run("explain", "plain", "--policies", other).stdout.splitlines()
    shown = json.loads(run("explain", "plain", "--policies", other, "--json").stdout)
    about = {"match": "exact", "ttl_s": 60.0, "scope": "client", "policies": ["mine"]}
    assert shown["cache"] == {**about, "enforced": mode == "enforce"}


@pytest.mark.parametrize(("scope", "words"), [("tenant", "to all clients of the tenant"), ("all", "to all clients")])
def test_explain_says_who_shares_answers(folder: Path, scope: str, words: str) -> None:
    other = change(folder, "policy: mine", f"cache: {{mode: exact, scope: {scope}}}\npolicy: mine")
    lines = run("explain", "plain", "--policies", other).stdout.splitlines()
    assert f"    exact   mine: the cache may answer, for 300 s, {words}" in lines
    assert json.loads(run("explain", "plain", "--policies", folder, "--json").stdout)["cache"] is None


def test_what_is_for_others_and_what_is_refused(folder: Path) -> None:
    other = change(folder, "policy: mine", "match: {tenants: [x]}\npolicy: mine")
    assert "policies that do not apply: mine" in run("explain", "plain", "--policies", other).stdout
    (other / "judge.yaml").write_text(
        "policy: judged\nchecks: {w: {use: pattern, words: [x]}}\nrules: [{id: a, when: w, action: flag}]\n"
        "judge: {upstream: grader, model: strict, rubric: r}\n"
    )
    assert "judge   judged: strict scores 5 % of the answers" in run("explain", "plain", "--policies", other).stdout
    found = json.loads(run("explain", "plain", "--policies", other, "--json").stdout)
    assert found["judges"] == [
        {"policy": "judged", "upstream": "grader", "model": "strict", "percent": 5.0, "enforced": True}
    ]
    shown = run("explain", '{"messages": [3]}', "--policies", folder)
    assert "decision block (refused: invalid_type at `messages[0]`)" in shown.stdout
    assert "the model sees nothing" in shown.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--on", "both"), "--on is request or response"),
        (("--kind", "error"), "--kind is one of user, system"),
        (("--route", "POST /x"), "no wire format for `POST /x`"),
        (("--policies", "nowhere"), "there is no folder and no shipped policy"),
    ],
)
def test_wrong_use_of_explain(words: tuple[str, ...], message: str) -> None:
    ran = run("explain", "text", *words)
    assert (ran.exit_code, message in ran.stderr) == (2, True)


# The bar of a long log.


class Terminal(StringIO):
    """Standard error, as a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_bar_shows_how_far_a_long_log_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress(100) as advance:
        advance(50)
    assert "replaying" in terminal.getvalue()
    assert "50%" in terminal.getvalue()


def test_there_is_none_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    with progress(100) as advance:
        advance(50)
    assert pipe.getvalue() == ""


def test_where_a_route_sends_a_text(tmp_path: Path) -> None:
    write = {
        "here": "route: {upstreams: [{upstream: main}], simple: {upstream: cheap, chars: 9}}",
        "later": "mode: shadow\nroute: {models: {m: n}}",
    }
    for name, section in write.items():
        (tmp_path / f"{name}.yaml").write_text(f"policy: {name}\n{section}\n", "utf-8")
    lines = run("explain", "hello", "--policies", tmp_path, "--model", "m").stdout.splitlines()
    measures = "(chars 5, messages 1, tools 0, media 0, code 0)"
    assert f"    routed  here: to cheap, then main; simple {measures}" in lines
    assert "    -       later: to - n; in shadow mode" in lines
    told = json.loads(run("explain", "hello, you there", "--policies", tmp_path, "--model", "m", "--json").stdout)
    assert [(route["policy"], route.get("upstream", "")) for route in told["routes"]] == [
        ("here", "main"),
        ("later", ""),
    ]
