"""A scene through an exchange: what the model and the client get, what was found, which rules held."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from multidict import CIMultiDict

from guardproxy.audit.record.document import Record
from guardproxy.exchange.gate import Job
from guardproxy.findings import QUICK, Detail, Direction, Finding, Scan, Traits, ValueOrigin, Window
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.values.cases import RawExchange, RequestFacts, Texts
from guardproxy.policytest import playing
from guardproxy.policytest.playing import Delivery, Numbers, SceneResult, play_scene, replay_result
from guardproxy.policytest.scan import scan_job, scan_text
from guardproxy.policytest.scenes import Cuts
from guardproxy.replay.replays import Rerun, rerun
from guardproxy.server.intake.headers import named
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, mint, policy_set
from tests.kit.records import through_log

POLICY = r"""
policy: test
match: {models: ["m*"]}
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  bad:  {use: pattern, label: BAD, words: [forbidden]}
  seen: {use: pattern, label: SEEN, words: [look]}
  shape: {use: json_schema, schema: {inline: {type: object, required: [id]}}, repair: true}
rules:
  - {id: mail, on: request, when: mail, action: redact}
  - {id: bad, when: bad, action: block}
  - {id: seen, when: seen, action: flag}
  - {id: quiet, when: seen, action: block, mode: shadow}
"""
SHAPED = POLICY + "  - {id: shape, on: response, when: shape, action: retry, attempts: 1}\n"
TOLD = RequestFacts(model="m")
WHOLE = Cuts()
STREAMED = Cuts(True, 1)


def run(scene: Texts | RawExchange, cuts: Cuts = WHOLE, policy: str = POLICY, told: RequestFacts = TOLD) -> SceneResult:
    return play_scene(policy_set(policy), scene, told, cuts)


def texts(shown: Delivery | None) -> dict[str, str]:
    assert shown
    return dict(shown.texts)


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
@pytest.mark.parametrize("cuts", [Cuts(), Cuts(True, 0), STREAMED, Cuts(True, 5)])
def test_a_value_there_and_back(route: str, cuts: Cuts) -> None:
    scene = Texts("I am jo@ab.io, she is al@ab.io", ("dear [MAIL_2] and [MAIL_1]",))
    played = run(scene, cuts, told=RequestFacts(route, "m"))
    assert (played.decision, played.rules, played.shadow) == ("redact", ("mail",), ())
    assert "I am [MAIL_1], she is [MAIL_2]" in texts(played.upstream).values()
    assert "dear al@ab.io and jo@ab.io" in texts(played.client).values()
    assert [(one.label, one.text, one.direction) for one in played.findings] == [
        ("MAIL", "jo@ab.io", "request"),
        ("MAIL", "al@ab.io", "request"),
    ]


def test_a_request_alone() -> None:
    played = run(Texts("look here"))
    assert (played.decision, played.rules, played.shadow, played.client) == ("flag", ("seen",), ("quiet",), None)
    assert played.applies
    assert [(one.path, one.kind, one.text) for one in played.texts] == [("messages[0].content", "user", "look here")]
    assert set(played.texts[0].checks) == {"mail", "bad", "seen"}


def test_a_shadow_rule_alone_changes_nothing() -> None:
    assert (
        run(Texts("look"), policy=POLICY.replace("  - {id: seen, when: seen, action: flag}\n", "")).decision == "pass"
    )


def test_a_blocked_request_reaches_nobody() -> None:
    played = run(Texts("forbidden", ("never said",)))
    assert (played.decision, played.rules, played.upstream, played.trouble) == ("block", ("bad",), None, "")
    assert "a policy refused this request" in texts(played.client)["error.message"]


@pytest.mark.parametrize("cuts", [Cuts(True, 0), STREAMED, Cuts(True, 9)])
def test_of_a_stopped_stream_the_client_has_what_came_before(cuts: Cuts) -> None:
    played = run(Texts(None, ("this is forbidden now",)), cuts)
    assert played.decision == "block"
    assert texts(played.client)["choices[0].message.content"].startswith("this is ")
    assert not played.client.where("forbidden")  # type: ignore[union-attr]


def test_a_policy_for_others_does_nothing() -> None:
    played = run(Texts("forbidden"), told=RequestFacts(model="x"))
    assert (played.decision, played.applies, played.hits) == ("pass", False, ())


def test_answers_follow_one_another() -> None:
    again = run(Texts(None, ("{}", '{"id": 1}')), policy=SHAPED)
    assert (again.decision, again.rules) == ("retry", ("shape",))
    assert texts(again.client)["choices[0].message.content"] == '{"id": 1}'
    waiting = run(Texts(None, ("{}",)), policy=SHAPED)
    assert (waiting.decision, waiting.client) == ("retry", None)
    assert run(Texts(None, ("{}", "{}")), policy=SHAPED).decision == "block"
    assert run(Texts(None, ("{}", '{"id": 1}')), STREAMED, SHAPED).decision == "retry"


def test_a_mended_answer_is_not_asked_for_again() -> None:
    for cuts in (Cuts(), STREAMED):
        played = run(Texts(None, ('{"id": 1,}',)), cuts, SHAPED)
        assert played.decision == "flag"
        assert texts(played.client)["choices[0].message.content"] == '{"id": 1}'


def test_trouble_that_no_rule_wanted_is_told() -> None:
    refused = run(RawExchange({"messages": 3}))
    assert (refused.decision, refused.rules) == ("block", ())
    assert refused.trouble.startswith("refused: invalid_type")
    assert "`messages`" in refused.trouble
    asked = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
    torn = run(RawExchange(asked, (), ("not json",)), Cuts(True))
    assert torn.trouble.startswith("upstream_")
    fine = run(
        RawExchange(
            {"model": "m", "messages": [{"role": "user", "content": "a"}]}, ({"error": {"message": "look"}},), None, 429
        )
    )
    assert (fine.trouble, fine.rules) == ("", ("seen",))


@dataclass(frozen=True)
class Raising:
    """A check that fails."""

    name: str = "bad"
    digest: str = ""
    traits: Traits = QUICK

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        raise TimeoutError


def test_a_check_that_fails_is_treated_as_in_the_proxy() -> None:
    policies = policy_set(POLICY)
    broken = replace(policies, checks={**policies.checks, ("test", "bad"): Raising()})
    played = play_scene(broken, Texts("hello"), TOLD, Cuts())
    assert (played.decision, played.rules) == ("block", ("on_error",))


def test_headers_are_told_and_name_a_language() -> None:
    german = RequestFacts(model="m", headers={"content-language": "de-CH, en"})
    seen: list[str] = []

    def scan(job: Any) -> Scan:
        seen.append(job.window.facts.language)
        return Scan((), job.window.start + len(job.window.text), job.window.start)

    play_scene(policy_set(POLICY), Texts("hello"), german, Cuts(), scan)
    assert set(seen) == {"de"}


@pytest.mark.parametrize("value", ["de;q=1", " DE ", "deutsch", "*", ""])
def test_the_language_is_read_as_the_proxy_reads_it(value: str) -> None:
    seen: list[str] = []

    def scan(job: Job) -> Scan:
        seen.append(job.window.facts.language)
        return scan_job(job)

    headers = {"content-language": value}
    play_scene(policy_set(POLICY), Texts("look"), RequestFacts(model="m", headers=headers), WHOLE, scan)
    assert set(seen) == {named(CIMultiDict(headers))[0]}


@pytest.mark.parametrize("text", ["plain", "look", "look jo@ab.io", "a forbidden jo@ab.io"])
@pytest.mark.parametrize("on", ["request", "response"])
def test_a_scan_and_a_test_give_the_same_verdict(text: str, on: Direction) -> None:
    policy = POLICY.replace("on: request, when: mail", "when: mail")
    scene = Texts(text) if on == "request" else Texts("", (text,))
    assert run(scene, policy=policy).decision == scan_text(policy_set(policy), text, on).decision


def test_shown_looks_in_texts_in_decoded_json_and_in_the_body() -> None:
    shown = Delivery((("a", "one"), ("b", '{"x": "t\\u0077o"}')), '{"c": "three"}')
    assert [shown.where(word) for word in ("one", "two", "three", "four")] == ["a", "b", "body", ""]


def test_numbers_of_placeholders() -> None:
    numbers = Numbers()
    one, two, other = mint("MAIL", "a"), mint("MAIL", "b"), mint("CARD", "a")
    assert numbers.show(f"{one}{two}{other}{one}") == "[MAIL_1][MAIL_2][CARD_1][MAIL_1]"
    assert numbers.fill("[MAIL_2] [MAIL_3]") == f"{two} [MAIL_3]"


# Records.


def recorded(streamed: bool = True, text: str = "") -> Record:
    text = text or f"dear {mint('MAIL', 'jo@ab.io')}, look"
    it = Play(policy_set(POLICY)).ask({"model": "m", "messages": [{"role": "user", "content": "I am jo@ab.io"}]})
    if streamed:
        it.stream(chat_frames([{"content": text[:9]}, {"content": text[9:]}]))
    else:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        it.stream([json.dumps({"choices": [choice]}).encode()], media="application/json")
    return through_log(it.finish.record)


def again(record: Record, policies: PolicySet) -> Rerun:
    found = rerun(record, policies)
    assert isinstance(found, Rerun)
    return found


@pytest.mark.parametrize("streamed", [True, False])
def test_a_record_is_played_with_its_values_masked(streamed: bool) -> None:
    played = replay_result(again(recorded(streamed), policy_set(POLICY)))
    assert (played.decision, played.rules, played.shadow) == ("redact", ("mail", "seen"), ("quiet",))
    assert texts(played.upstream)["messages[0].content"] == "I am [MAIL_1]"
    assert texts(played.client)["choices[0].message.content"] == "dear [MAIL_1], [SEEN_1]"


def test_a_record_under_another_policy() -> None:
    other = POLICY.replace("{id: seen, when: seen, action: flag}", "{id: seen, when: seen, action: block}")
    played = replay_result(again(recorded(), policy_set(other)))
    assert played.decision == "block"
    assert texts(played.client)["choices[0].message.content"] == "dear [MAIL_1], "


def test_of_a_record_that_is_stopped_only_what_has_left_is_shown() -> None:
    other = POLICY.replace("- {id: mail, on: request", "- {id: mail")
    record = recorded(text="for al@ab.io a look, then al@ab.io")
    stopped = replay_result(again(record, policy_set(other.replace("{id: bad, when: bad", "{id: bad, when: seen"))))
    assert stopped.decision == "block"
    assert texts(stopped.client)["choices[0].message.content"] == "for [MAIL_2] a "
    at_once = replay_result(again(recorded(text="look"), policy_set(other.replace("when: bad", "when: seen"))))
    assert texts(at_once.client) == {}


def test_a_record_of_an_unanswered_request_has_no_client() -> None:
    it = Play(policy_set(POLICY)).ask({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
    record = through_log(it.exchange.record("sent upstream"))
    waiting = again(record, policy_set(POLICY))
    assert replay_result(waiting).client is None or waiting.exchange.is_over


def test_a_finding_keeps_its_score() -> None:
    (found,) = run(Texts("look")).findings
    assert Finding(found.start, found.end, found.check, found.label, found.score) == Finding(0, 4, "seen", "SEEN", 1.0)


def test_an_exchange_that_ended_without_a_record_is_in_trouble_too() -> None:
    assert playing._trouble("client_closed", None) == "client_closed: "


def test_sections_say_in_words_what_they_do() -> None:
    policies = policy_set(
        "policy: p\ncache: {mode: exact}\nallow: {models: [m]}\n", "policy: q\nmode: shadow\nallow: {models: [n]}\n"
    )
    result = play_scene(policies, Texts("hello"), RequestFacts(), Cuts())
    assert [(key, bound.policy, bound.enforced, words) for key, bound, words in result.explained()] == [
        ("allow", "p", True, "only the models m"),
        ("allow", "q", False, "only the models n"),
    ]


def test_a_finding_says_where_its_values_came_from() -> None:
    origin = ValueOrigin("tool_result", "messages[2].content", 4, 30)
    details = (Detail("to", "to", "", "", origin=origin), Detail("to", "to", "a text", "a number"))
    finding = Finding(0, 26, "copied", "TAINTED", 1.0, details=details)
    assert list(playing._origins(finding)) == ["arguments.to came from messages[2].content 4..30"]
