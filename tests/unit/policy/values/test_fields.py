"""Rules of policies about fields of a request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from guardproxy.cli import app as cli
from guardproxy.cli.audit.view import lines_of
from guardproxy.exchange.inputs.transcript import SendUpstream
from guardproxy.policy.file.load import PolicyErrors, parse
from guardproxy.policy.tools.coverage_table import denied_fields, field_table
from guardproxy.policy.tools.lint import notes
from guardproxy.policydiff.policies import changes as changed
from guardproxy.replay.comparison import differences
from tests.kit.gemini import GEMINI
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, policy_set
from tests.kit.records import replay

RULES = (
    "checks: {bad: {use: pattern, words: [forbidden]}}\nrules: [{id: bads, on: request, when: bad, action: redact}]\n"
)
BODY: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {}}}


def play(more: str, route: str = CHAT, rules: str = RULES, **body: Any) -> Play:
    return Play(policy_set(f"policy: p\n{more}\n{rules}"), route).ask({**BODY, **body})


def bodies(done: Play) -> list[bytes]:
    """The bodies that were sent upstream."""
    return [command.body for command in done.done if isinstance(command, SendUpstream)]


def changes(done: Play) -> list[tuple[str, str, bool]]:
    return [(change.place, change.action, change.enforced) for change in done.exchange.field_changes]


@pytest.mark.parametrize(
    ("more", "body", "sent", "noted"),
    [
        ("set: {store: false}", {}, {"store": False}, [("store", "set", True)]),
        ("set: {store: false}", {"store": True}, {"store": False}, [("store", "set", True)]),
        ("set: {store: false}", {"store": False}, {"store": False}, []),
        ("set: {store: false}", {"store": 0}, {"store": False}, [("store", "set", True)]),
        (
            "set: {metadata: {team: a}}",
            {"metadata": {"x": "y"}},
            {"metadata": {"team": "a"}},
            [("metadata", "set", True)],
        ),
        (
            "set: {stream_options.include_usage: true}",
            {"stream_options": {"include_obfuscation": False}},
            {"stream_options": {"include_obfuscation": False, "include_usage": True}},
            [("stream_options.include_usage", "set", True)],
        ),
        ("strip: [logprobs, top_logprobs]", {"topLogprobs": 1}, {}, [("topLogprobs", "strip", True)]),
        ("strip: [logprobs]", {}, {}, []),
        (
            "strip: [tools.*.function.strict]",
            {"tools": [TOOL]},
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
            [("tools[0].function.strict", "strip", True)],
        ),
        (
            "set: {store: false}\nstrip: [logprobs]",
            {"extra_body": {"store": True, "logprobs": True, "x": 1}},
            {"extra_body": {"x": 1}, "store": False},
            [("extra_body.logprobs", "strip", True), ("extra_body.store", "strip", True), ("store", "set", True)],
        ),
        (
            "set: {store: false}",
            {"sto_re": True},
            {"store": False},
            [("sto_re", "strip", True), ("store", "set", True)],
        ),
        ("set: {x_new: 1}", {}, {}, []),
        ("set: {x_new: 1}", {"x_new": 2}, {"x_new": 1}, [("x_new", "set", True)]),
        ("set: {x_new: 1}", {"extra_body": {"x_new": 2}}, {"extra_body": {}}, [("extra_body.x_new", "strip", True)]),
        ("refuse: [background]", {"background": False}, {"background": False}, []),
    ],
)
def test_a_request_is_sent_as_policies_say(
    more: str, body: dict[str, Any], sent: dict[str, Any], noted: list[tuple[str, str, bool]]
) -> None:
    done = play(more, **body)
    assert done.upstream == {**BODY, **sent}
    assert changes(done) == noted
    assert [(field.field, field.action) for field in done.exchange.record("").fields] == [entry[:2] for entry in noted]


@pytest.mark.parametrize("tools", [{"googleSearch": {}}, {"google_search": {}}, [{"googleSearch": {}}]])
def test_a_single_object_counts_as_a_list_of_one(tools: Any) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "tools": tools}
    refused = Play(policy_set(f"policy: p\nrefuse: [tools.*.google_search]\n{RULES}"), GEMINI).ask(body)
    assert (refused.upstream, refused.record["error"]["code"]) == (None, "field_refused")
    stripped = Play(policy_set(f"policy: p\nstrip: [tools.*.google_search]\n{RULES}"), GEMINI).ask(body)
    assert stripped.upstream["tools"] in ({}, [{}])


def test_a_request_whose_tokens_are_counted_keeps_no_field_that_a_policy_sets() -> None:
    content = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    body = {"generateContentRequest": {**content, "generation_config": {"seed": 1, "topK": 2}}}
    route = "POST /{version}/models/{model}:countTokens"
    done = Play(policy_set(f"policy: p\nset: {{generationConfig.seed: 3}}\n{RULES}"), route).ask(body)
    assert done.upstream == {"generateContentRequest": {**content, "generation_config": {"topK": 2}}}


def test_without_a_change_the_bytes_stay() -> None:
    raw = b'{ "model":"m", "store" : false, "seed": 12345678901234567890123, "messages":[{"role":"user","content":"\\u0068i"}]}'
    done = Play(policy_set(f"policy: p\nset: {{store: false}}\nstrip: [logprobs]\n{RULES}")).ask(raw)
    assert bodies(done) == [raw]
    changed = Play(policy_set(f"policy: p\nset: {{store: true}}\n{RULES}")).ask(raw)
    assert b"12345678901234567890123" in bodies(changed)[0]


def test_a_field_is_set_after_the_checks() -> None:
    done = play("set: {user: forbidden}", messages=[{"role": "user", "content": "forbidden"}])
    assert done.upstream["user"] == "forbidden"
    assert "forbidden" not in done.upstream["messages"][0]["content"]


def test_a_field_of_another_format_is_not_set() -> None:
    assert "store" not in play("set: {store: false}", MESSAGES).upstream


def test_a_field_that_cannot_be_set_refuses_the_request() -> None:
    done = play("set: {stream_options.include_usage: true}", stream_options="x")
    assert (done.upstream, done.record["error"]["field"]) == (None, "stream_options")
    assert play("mode: shadow\nset: {stream_options.include_usage: true}", stream_options="x").upstream


@pytest.mark.parametrize("body", [{"background": True}, {"background": 0}, {"background": "x"}])
def test_a_field_is_refused(body: dict[str, Any]) -> None:
    done = play("refuse: [background]", **body)
    assert done.upstream is None
    assert b'"param":"background","code":"field_refused"' in done.client
    assert changes(done) == [("background", "refuse", True)]


def test_a_field_is_refused_inside_of_the_body_that_gateways_merge() -> None:
    done = play("refuse: [background]", extra_body={"background": True})
    assert (done.upstream, done.record["error"]["field"]) == (None, "extra_body.background")


def test_shadow_mode_changes_and_refuses_nothing() -> None:
    quiet = (
        "mode: shadow\nset: {store: false}\nstrip: [logprobs]\nrefuse: [background]\nunmapped: refuse\nopaque: refuse\n"
    )
    body: dict[str, Any] = {"store": True, "logprobs": True, "background": True, "x_new": [1] * 20}
    done = play(quiet, **body, messages=[{"role": "user", "content": "forbidden"}])
    assert done.upstream == {**BODY, **body, "messages": [{"role": "user", "content": "forbidden"}]}
    assert changes(done) == [("background", "refuse", False), ("logprobs", "strip", False), ("store", "set", False)]
    assert done.exchange.record("").shadow == ("bads",)


def test_a_policy_may_have_rules_about_fields_alone() -> None:
    assert play("refuse: [background]", rules="", background=True).upstream is None


def test_a_further_attempt_keeps_the_fields() -> None:
    rules = (
        "checks: {bad: {use: pattern, words: [forbidden]}}\nrules: [{id: r, on: response, when: bad, action: retry}]"
    )
    done = play("set: {store: false}", rules=rules, stream=True, store=True)
    done.stream(chat_frames([{"content": "forbidden"}]))
    assert [b'"store":false' in body for body in bodies(done)] == [True, True]


def test_replay_is_exact_and_shows_a_change_of_the_policy() -> None:
    policies = policy_set(f"policy: p\nset: {{store: false}}\nstrip: [logprobs]\n{RULES}")
    done = Play(policies).ask({**BODY, "store": True, "logprobs": True, "stream": True})
    done.stream(chat_frames([{"content": "hello"}]))
    record = done.finish.record
    assert replay(record, policies).differences == ()
    others = policy_set(f"policy: p\nset: {{store: false}}\n{RULES}")
    assert replay(record, others).differences == ("fields: no longer strip `logprobs` (enforce)",)
    assert differences(record, record) == []


def test_a_share_of_conversations_counts_for_fields() -> None:
    policies = policy_set(f"policy: p\nenforce: 50 %\nset: {{store: false}}\n{RULES}")
    bound = [policies.bind(CHAT, "m", "", f"conversation {number}") for number in range(30)]
    enforced = {rule.enforced for rules in bound for rule in rules.fields.rules}
    assert enforced == {True, False}


def test_a_field_that_no_format_knows_is_a_warning() -> None:
    told = [
        (note.code, note.line, note.column, note.message)
        for note in notes(
            policy_set(
                f"policy: p\nset: {{stor: false, store: false}}\nrefuse: [logprob]\nallow_fields: [chat_templat]\n{RULES}"
            )
        )
        if note.code == "unknown-field"
    ]
    assert told == [
        ("unknown-field", 2, 7, "no wire format knows the field `stor`, so it is set only where a client sends it"),
        ("unknown-field", 3, 10, "no wire format knows the field `logprob`, so check its spelling"),
        (
            "unknown-field",
            4,
            16,
            "no wire format refuses the field `chat_templat` by default; did you mean `chat_template`?",
        ),
    ]


def test_the_coverage_shows_what_is_refused_and_what_is_allowed() -> None:
    policies = policy_set(
        f"policy: a\nallow_fields: [chat_template, lora]\n{RULES}", f"policy: b\nallow_fields: [lora]\n{RULES}"
    )
    rows = {row.field: row for row in denied_fields(policies)}
    assert set(rows["chat_template"].formats) >= {"openai_chat", "openai_responses", "anthropic_messages"}
    assert (rows["chat_template"].allowed, rows["chat_template"].refused) == (("a",), ("b",))
    lines = {line.split("  ")[0]: line.rpartition("  ")[2] for line in field_table(list(rows.values()))}
    assert lines["chat_template"] == "ALLOWED where only a applies"
    assert lines["lora"] == "ALLOWED by a, b"
    assert lines["api_base"] == "refused"


def test_a_comparison_says_what_changed() -> None:
    old, new = (
        [parse(f"policy: p\n{more}\n{RULES}", "p.yaml")]
        for more in (
            "set: {store: false, seed: 1}\nstrip: [logprobs]\nallow_fields: [lora]",
            "set: {store: true, seed: 1, user: x}\nrefuse: [background]\nmode: shadow",
        )
    )
    assert {(change.words, change.effect) for change in changed(old, new)} >= {
        ("sets the field store: false -> true", "either"),
        ("sets the field user: as sent -> x", "either"),
        ("no longer strips the field logprobs", "loosens"),
        ("refuses the field background", "neutral"),
        ("no longer allows the field lora", "tightens"),
        ("mode enforce -> shadow", "loosens"),
    }


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("refuse: [x]\nmode: shadow", "refuse: [x]", {("mode shadow -> enforce", "tightens")}),
        ("refuse: [x]", "refuse: [x]\nmode: shadow", {("mode enforce -> shadow", "loosens")}),
        (
            "refuse: [x]\nenforce: 10 %",
            "refuse: [x]",
            {("rules about fields: enforce 10 % -> 100 %", "tightens")},
        ),
        (
            "strip: [x]\nenforce: 20 %",
            "strip: [x]\nenforce: 10 %",
            {("rules about fields: enforce 20 % -> 10 %", "loosens")},
        ),
        ("", "refuse: [x]", {("the policy is new, with 0 rules", "tightens")}),
        ("set: {x: 1}", "", {("the policy was removed, with 0 rules", "loosens")}),
        ("", "refuse: [x]\nmode: shadow", {("the policy is new, with 0 rules", "neutral")}),
        ("strip: [x]\nmode: shadow", "set: {x: 1}\nmode: shadow", {
            ("no longer strips the field x", "neutral"), ("sets the field x: as sent -> 1", "neutral"),
        }),
    ],
)  # fmt: skip
def test_a_comparison_says_whether_rules_about_fields_are_in_force(
    old: str, new: str, told: set[tuple[str, str]]
) -> None:
    files = [[parse(f"policy: p\n{text}\n", "p.yaml")] if text else [] for text in (old, new)]
    assert {(change.words, change.effect) for change in changed(files[0], files[1])} == told


def test_an_explanation_and_a_record_show_the_changes(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(f"policy: p\nset: {{store: false}}\nrefuse: [background]\n{RULES}")
    asked = json.dumps({**BODY, "store": True})
    out = CliRunner().invoke(cli, ["policy", "explain", asked, "--policies", str(tmp_path)]).output
    assert "set     p: the field store" in out
    asked = json.dumps({**BODY, "background": True})
    said = json.loads(
        CliRunner().invoke(cli, ["policy", "explain", asked, "--policies", str(tmp_path), "--json"]).output
    )
    assert said["fields"] == [{"field": "background", "action": "refuse", "policy": "p", "enforced": True}]
    assert said["trouble"].endswith("at `background`")
    done = play("mode: shadow\nset: {store: false}", store=True)
    shown = "\n".join(line.plain for line in lines_of(done.exchange.record("")))
    assert "set store by policy p (shadow)" in shown


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("set: {store: null}", "a field cannot be set to nothing; `strip: [store]` removes it"),
        ("set: {stream: false}", "`set` cannot change `stream`: it decides how the answer is read"),
        ("set: {Stream: false}", "`set` cannot change `Stream`: it decides how the answer is read"),
        ("strip: [extra_body.model]", "`strip` cannot change `extra_body.model`: a duty or"),
        ("strip: [messages]", "`strip` cannot change `messages`: it holds the texts that the checks read"),
        ("set: {temperature: .inf}", "JSON has no such number"),
        ("set: {stop: [a, .nan]}", "JSON has no such number"),
        ("allow_fields: [a.b]", "`allow_fields` takes names of fields at the top of a request"),
        ("refuse: []", "found an empty list"),
        ("refuse: ['a..b']", "`a..b` is no field"),
        ("mode: shadow\nenforce: 10 %", "`enforce` and `mode: shadow` exclude each other"),
    ],
)
def test_wrong_keys_are_errors(more: str, message: str) -> None:
    with pytest.raises(PolicyErrors) as errors:
        parse(f"policy: p\n{more}\n{RULES}", "p.yaml")
    assert message in str(errors.value)
