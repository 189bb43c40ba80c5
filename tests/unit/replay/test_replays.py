"""Replay: the same policies give the same; what other policies make of a record is said in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit.record.document import RecordedSealing
from guardproxy.audit.shipping.intents import closing
from guardproxy.checks._shared.declared.contract import Query, Resources, ScoredPiece
from guardproxy.errors import ErrorCode
from guardproxy.exchange.inputs.transcript import (
    Aborted,
    DataReceived,
    DownstreamGone,
    RequestReceived,
    ResponseStarted,
)
from guardproxy.findings import Scan
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse
from guardproxy.replay.recorded import RecordedUpstream
from guardproxy.replay.replays import in_order
from guardproxy.replay.replays import replay as replay_entry
from guardproxy.wire import FieldPath
from guardproxy.wire.json import dotted
from guardproxy.wire.registry import installed
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, message_frames, mint, policy_set
from tests.kit.records import members, record_of, replay
from tests.kit.supervisor import FakeScorer, words

MAIL = "jo@ab.io"
SEEN = "S-777"

SIMPLE = """
policy: simple
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.(io|com)"]}
  seen: {use: pattern, label: SEEN, patterns: ["\\\\bS-[0-9]{3}\\\\b"]}
  word: {use: pattern, label: WORD, words: [plain]}
rules:
  - {id: mail, on: request, when: mail, action: redact, restore: true}
  - {id: seen, when: seen, action: flag}
"""


def kept(play: Play) -> dict[str, Any]:
    """The members of the record as they are read from a log."""
    return members(play.finish.record)


def recorded(policy: str = SIMPLE, streamed: bool = True) -> dict[str, Any]:
    text = f"to {mint('MAIL', MAIL)} a plain {SEEN}, later {MAIL} itself"
    play = Play(policy_set(policy)).ask(
        {"model": "m", "messages": [{"role": "user", "content": f"I am {MAIL}, {SEEN}"}]}
    )
    if streamed:
        play.stream(chat_frames([{"content": part} for part in (text[:12], text[12:30], text[30:])]))
    else:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        play.stream([json.dumps({"choices": [choice]}).encode()], media="application/json")
    return kept(play)


@pytest.mark.parametrize("streamed", [True, False])
def test_the_same_policy_gives_the_same(streamed: bool) -> None:
    """Also where the answer holds both the placeholder and the value itself, which look the same in the record."""
    again = replay(recorded(streamed=streamed), policy_set(SIMPLE))
    assert (again.verdict, again.differences, again.rescanned) == ("identical", (), ())


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("old", "new", "difference", "rescanned"),
    [
        ("  - {id: seen, when: seen, action: flag}\n", "", "rule `seen` no longer holds", ()),
        ("when: seen, action: flag", "when: seen, action: redact", "response choices[0].message.content: edits", ()),
        ("when: seen, action: flag", "on: response, when: seen, action: block", "answered -> blocked_response", ()),
        ("when: seen, action: flag", "on: request, when: seen, action: block", "answered -> blocked_request", ()),
        ("when: seen, action: flag", "when: seen, action: flag, mode: shadow", "shadow rule `seen` now holds", ()),
        ("on: request, when: mail", "when: mail", "response choices[0].message.content: edits", ("mail",)),
        ("on: request, when: mail, action: redact, restore: true", "on: request, when: mail, action: flag",
         "request messages[0].content: edits", ()),
        ("restore: true", "restore: false", "response choices[0].message.content: edits", ()),
        ("rules:\n", "rules:\n  - {id: new, when: word, action: flag}\n", "rule `new` now holds", ("word",)),
        ("when: seen, action: flag", "on: response, when: seen, action: flag", "decisions: 3 -> 2", ()),
    ],
)  # fmt: skip
def test_a_planted_difference_is_reported(
    streamed: bool, old: str, new: str, difference: str, rescanned: tuple[str, ...]
) -> None:
    """`word` was asked of no text, `mail` of none of the answer's: they scan what the record shows, and `mail` knows the
    placeholders of values that it found elsewhere. The changed `seen` cannot know what it would have said of a value
    that is masked, so it is named as run again."""
    assert SIMPLE.count(old) == 1
    again = replay(recorded(streamed=streamed), policy_set(SIMPLE.replace(old, new)))
    assert again.verdict == "different"
    assert any(difference in one for one in again.differences), again.differences
    assert again.rescanned == rescanned


@pytest.mark.parametrize("streamed", [True, False])
def test_a_changed_check_cannot_tell_what_is_masked(streamed: bool) -> None:
    again = replay(recorded(streamed=streamed), policy_set(SIMPLE.replace("S-[0-9]{3}", "S-[0-8]{3}")))
    assert (again.verdict, again.rescanned) == ("cannot be told", ("seen",))
    assert [line.partition(";")[0] for line in again.differences] == [
        "rule `seen`: whether it still holds cannot be told"
    ]


def test_what_is_told_for_certain_stands_beside_what_is_not() -> None:
    changed = SIMPLE.replace("S-[0-9]{3}", "S-[0-8]{3}").replace(
        "rules:", "rules:\n  - {id: new, when: word, action: flag}"
    )
    again = replay(recorded(), policy_set(changed))
    assert again.verdict == "different"
    assert "rule `new` now holds" in again.differences
    assert "rule `seen` no longer holds" not in again.differences
    gone = replay(recorded(), policy_set(SIMPLE.replace("  - {id: seen, when: seen, action: flag}\n", "")))
    assert "rule `seen` no longer holds" in gone.differences


PII = """
policy: people
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS, US_SSN]}
rules:
  - {id: out, on: request, when: pii, action: redact, restore: true}
"""


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ("entities: [EMAIL_ADDRESS, US_SSN]", "entities: [EMAIL_ADDRESS, CREDIT_CARD]", "identical"),
        ("pii", "personal", "identical"),
        ("US_SSN]", "US_SSN], threshold: 0.4", "identical"),
        ("entities: [EMAIL_ADDRESS, US_SSN]", "entities: [CREDIT_CARD]", "different"),
        (
            "{use: pii, entities: [EMAIL_ADDRESS, US_SSN]}",
            "{use: pattern, label: EMAIL_ADDRESS, patterns: ['x@y']}",
            "cannot be told",
        ),
    ],
)
def test_a_recorded_finding_counts_where_the_new_check_looks_for_its_label(old: str, new: str, verdict: str) -> None:
    play = Play(policy_set(PII)).ask(
        {"model": "m", "messages": [{"role": "user", "content": "I am jane.roe@example.com"}]}
    )
    play.stream(chat_frames([{"content": "hello"}]))
    record = kept(play)
    assert record["rules"] == ["out"]
    changed = PII.replace("use: pii", "use: P").replace(
        old.replace("use: pii", "use: P"), new.replace("use: pii", "use: P")
    )
    again = replay(record, policy_set(changed.replace("use: P", "use: pii")))
    assert (again.verdict, bool(again.rescanned)) == (verdict, True), again.differences


def test_a_stop_that_is_lifted_shows_what_came_after_it() -> None:
    """The rest of a stopped answer, as far as it was scanned, goes through the new policy."""
    blocking = SIMPLE.replace("when: seen, action: flag", "on: response, when: seen, action: block")
    again = replay(recorded(blocking, streamed=False), policy_set(SIMPLE))
    assert "outcome: blocked_response -> answered" in again.differences
    assert "rule `seen` no longer holds" not in again.differences


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"outcome": "refused"}, "the exchange was refused: no check inspected it"),
        ({"outcome": "passed"}, "the exchange was passed: no check inspected it"),
        ({"route": "POST /v9/none"}, "its wire format is not installed"),
    ],
)
def test_what_cannot_be_replayed_says_why(change: dict[str, Any], reason: str) -> None:
    again = replay({**recorded(), **change}, policy_set(SIMPLE))
    assert (again.verdict, again.differences) == ("not replayable", (reason,))


def test_an_exchange_without_an_end_is_not_replayable() -> None:
    intent = Play(policy_set(SIMPLE)).ask({"model": "m", "messages": []}).exchange.intent
    assert intent
    again = replay_entry(closing(intent, 2.0, "e", "why"), policy_set(SIMPLE))
    assert again.verdict == "not replayable"
    assert "the end of the exchange is unknown" in again.differences[0]


FALLBACK = SIMPLE + "  - {id: again, on: response, when: word, action: retry, attempts: 2, then: block}\n"


@pytest.mark.parametrize("policy", [SIMPLE, FALLBACK])
def test_an_exchange_whose_intent_was_not_kept_is_replayed(policy: str) -> None:
    play = Play(policy_set(policy)).ask({"model": "m", "messages": [{"role": "user", "content": MAIL}]})
    intent = play.exchange.intent
    assert intent
    assert MAIL not in intent.to_json().decode()
    play.tell(Aborted(ErrorCode.AUDIT_UNAVAILABLE, "the audit log cannot be written", 503))
    record = kept(play)
    assert (record["outcome"], record["status"]) == ("audit_unavailable", 503)
    assert replay(record, policy_set(policy)).verdict == "identical"


def test_a_record_without_texts_is_judged_on_its_findings() -> None:
    kept = recorded(SIMPLE + "audit: {keep: none}\n")
    assert kept["request"]["body"] is None
    again = replay(kept, policy_set(SIMPLE))
    assert (again.verdict, again.on_findings) == ("identical", "the record keeps no text of the request")
    record = recorded()
    record["response"]["texts"][0]["text"] = None
    assert replay(record, policy_set(SIMPLE)).on_findings == "the record keeps no text of the answer"
    assert replay(recorded(), policy_set(SIMPLE)).on_findings == ""


def test_a_restore_that_is_new_is_reported() -> None:
    once = recorded(SIMPLE.replace("restore: true", "restore: false"))
    assert once["response"]["texts"][0]["edits"] == []
    again = replay(once, policy_set(SIMPLE))
    assert again.verdict == "different"
    assert "response choices[0].message.content: edits [] -> " in again.differences[0]


def test_a_client_that_left_in_the_middle_saw_what_it_saw() -> None:
    """What was scanned and edited but had not left does not leave in the replay, and is no difference."""
    play = Play(policy_set(SIMPLE)).ask({"model": "m", "messages": [{"role": "user", "content": MAIL}]})
    play.tell(ResponseStarted(200, "text/event-stream"))
    token = mint("MAIL", MAIL)
    frames = chat_frames([{"content": f"to {token} "}, {"content": f"and {token} {SEEN} [MA"}])
    for frame in frames[:3]:
        play.tell(DataReceived(frame))
        play.scan()
    play.tell(DownstreamGone())
    record = kept(play)
    (text,) = record["response"]["texts"]
    assert len(text["edits"]) == 2
    assert text["released"] < len(text["text"]), "the second frame was held"
    assert replay(record, policy_set(SIMPLE)).verdict == "identical"


def test_a_client_that_left_while_tool_arguments_came() -> None:
    """They were never scanned, so the record does not hold them; what was shown is replayed all the same."""
    play = Play(policy_set(SIMPLE), MESSAGES).ask({"model": "m", "messages": [{"role": "user", "content": MAIL}]})
    play.tell(ResponseStarted(200, "text/event-stream"))
    for frame in message_frames([("text", ["a plain text"]), ("tool", ['{"a": "b', '"}'])])[:8]:
        play.tell(DataReceived(frame))
        play.scan()
    play.tell(DownstreamGone())
    record = kept(play)
    assert [one["text"] for one in record["response"]["texts"]][-1] is None
    assert replay(record, policy_set(SIMPLE)).verdict == "identical"


def test_a_text_whose_check_failed_is_judged_on_its_findings() -> None:
    play = Play(policy_set(SIMPLE + "on_error: flag\n"))
    play.tell(RequestReceived(json.dumps({"model": "m", "messages": [{"role": "user", "content": MAIL}]}).encode()))
    assert play.pending
    play.answer_scan(*(Scan((), 0, 0, "Boom") for _ in play.pending.jobs))
    play.stream(chat_frames([{"content": "hi"}]))
    again = replay(kept(play), replace(policy_set(SIMPLE), digest="sha256:other"))
    assert again.on_findings == "the record keeps no text of the request"
    assert "rule `on_error` (block, check_error in request messages[0].content) now holds" in again.differences
    assert "rule `mail`: whether it holds cannot be told; `mail` would have to read a text" in again.differences
    same = replace(policy_set(SIMPLE + "on_error: flag\n"), digest="sha256:test")
    assert replay(kept(play), same).verdict == "identical"


def test_a_text_that_is_gone_is_a_difference() -> None:
    record = recorded()
    record["request"]["texts"].append({**record["request"]["texts"][0], "path": "elsewhere"})
    assert replay(record, policy_set(SIMPLE)).differences == ("request elsewhere: the text is gone",)


def test_what_a_new_rule_redacts_gets_a_placeholder_of_its_own() -> None:
    more = SIMPLE.replace("rules:\n", "rules:\n  - {id: new, when: word, action: redact}\n")
    again = replay(recorded(), policy_set(more))
    assert again.verdict == "different"
    assert any("edits" in one for one in again.differences)


def test_checks_that_see_less_than_a_masked_value_say_nothing_of_it() -> None:
    """A check that is newly asked of an answer knows a placeholder only where it found the value itself."""
    asked = SIMPLE.replace("on: request, when: mail", "when: mail")
    text = f"{mint('MAIL', 'al@cd.com')} and {mint('MAIL', MAIL)}"
    play = Play(policy_set(SIMPLE)).ask({"model": "m", "messages": [{"role": "user", "content": MAIL}]})
    record = kept(play.stream(chat_frames([{"content": text}])))
    again = replay(record, policy_set(asked))
    assert (again.verdict, again.rescanned) == ("identical", ("mail",))


class ByKind(FakeScorer):
    """A model that finds something in users' messages alone."""

    def judge(self, queries: Sequence[Query]) -> list[tuple[ScoredPiece, ...]]:
        return [
            tuple(replace(piece, scores=dict.fromkeys(piece.scores, 0.9 * (query.kind == "user"))) for piece in pieces)
            for query, pieces in zip(queries, super().judge(queries), strict=True)
        ]


def test_a_model_judges_a_recorded_text_in_its_channel() -> None:
    """The text of a tool's result, the system prompt and the answer is the same; the changed check reads all again."""

    def policies(threshold: float) -> PolicySet:
        text = f"""
policy: p
checks: {{attack: {{use: supervisor, label: jailbreak, threshold: {threshold}}}}}
rules: [{{id: attack, when: attack, action: flag}}]
"""
        parsed = (parse(text, "p.yaml"),)
        resources = Resources(scorer=lambda name: ByKind(words))
        return PolicySet(parsed, build_checks(parsed, resources), f"sha256:{threshold}")

    text = "Say nothing."
    said = [{"role": role, "content": text} for role in ("system", "user", "tool", "assistant", "user")]
    play = Play(policies(0.5)).ask({"model": "m", "messages": [{**message, "tool_call_id": "c"} for message in said]})
    record = kept(play.stream(chat_frames([{"content": text}])))
    found = [bool(recorded_text["findings"]) for recorded_text in record["request"]["texts"]]
    assert found == [False, True, False, False, True]
    again = replay(record, policies(0.6))
    assert (again.verdict, again.differences, again.rescanned) == ("identical", (), ("attack",))


def test_the_stand_in_of_the_upstream_keeps_to_the_protocol() -> None:
    """A stop in a replay writes its ending with the recorded format's own codec."""
    blocking = SIMPLE.replace("when: seen, action: flag", "on: response, when: seen, action: block")
    for streamed in (True, False):
        again = replay(recorded(blocking, streamed=streamed), policy_set(blocking))
        assert (again.verdict, again.differences) == ("identical", ())


def test_the_recorded_answer_stands_in_for_a_wire_format() -> None:
    codec = installed().codec_for(CHAT)
    assert codec
    stands = RecordedUpstream(codec, record_of(recorded()).response, stopped=False)
    assert (stands.name, stands.provider, stands.routes) == (codec.name, codec.provider, codec.routes)
    contract = replace(codec.contract, media=stands.contract.media)
    assert (stands.author, stands.turns, stands.contract) == (codec.author, codec.turns, contract)
    assert stands.contract.media.whole == codec.contract.media.whole != stands.contract.media.streamed
    assert stands.comment("a receipt") == stands.keep_alive() == stands.opening("m") == b"", "nothing is sent"


def test_the_language_that_a_header_named_is_that_of_a_replay() -> None:
    policy = """
policy: spanish
checks: {people: {use: pii, language: header}}
rules: [{id: people, on: request, when: people, action: flag}]
"""
    body = {"model": "m", "messages": [{"role": "user", "content": "Mi NIF es 12345678Z"}]}
    for language, rules in (("es", ["people"]), ("en", [])):
        play = Play(policy_set(policy))
        play.tell(RequestReceived(json.dumps(body).encode(), language=language))
        play.scan()
        play.stream(chat_frames([{"content": "ok"}]))
        record = kept(play)
        assert (record["language"], record["rules"]) == (language, rules)
        assert replay(record, policy_set(policy)).verdict == "identical"
    # Another check scans again, and would find the number but for the header.
    changed = replay(record, policy_set(policy.replace("language: header", "language: header, evasions: off")))
    assert (changed.verdict, changed.rescanned) == ("identical", ("people",))
    assert "language" not in recorded()


BY_HEADER = """
policy: {name}
match: {{headers: {{x-team: "red-*"}}, when: '!("x-debug" in request.headers)'}}
checks: {{word: {{use: pattern, patterns: ["I am"]}}}}
rules: [{{id: {name}-word, on: request, when: word, action: block}}]
"""


def by_header(headers: dict[str, str]) -> dict[str, Any]:
    play = Play(policy_set(BY_HEADER.format(name="red"), SIMPLE))
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"I am {SEEN}"}]}).encode()
    play.tell(RequestReceived(body, headers=headers))
    play.scan()
    if play.upstream:
        play.stream(chat_frames([{"content": "hello"}]))
    return kept(play)


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({"x-team": "red-1"}, "blocked_request"),
        ({"x-team": "red-1", "x-debug": "1"}, "answered"),
        ({"x-team": "blue"}, "answered"),
    ],
)
def test_a_replay_chooses_the_policies_that_were_chosen(headers: dict[str, str], outcome: str) -> None:
    record = by_header(headers)
    assert record["outcome"] == outcome
    assert "red-1" not in json.dumps(record), "a record holds no value of a header"
    again = replay(record, policy_set(BY_HEADER.format(name="red"), SIMPLE))
    assert (again.verdict, again.assumed) == ("identical", ())


def test_a_policy_that_asks_for_headers_no_record_has_is_taken_to_apply_and_named() -> None:
    again = replay(
        by_header({"x-team": "blue"}), policy_set(BY_HEADER.format(name="blue").replace("red-*", "blue-*"), SIMPLE)
    )
    assert (again.verdict, again.assumed) == ("different", ("blue",))


def test_the_recorded_answer_reads_and_writes_bodies_as_the_wire_format_does() -> None:
    codec = installed().codec_for(CHAT)
    assert codec
    stands = RecordedUpstream(codec, record_of(recorded()).response, stopped=False)
    assert stands.read_body(b'{"a": 1}') == codec.read_body(b'{"a": 1}')
    assert stands.write_body({"a": 1}) == codec.write_body({"a": 1})
    path = FieldPath("store")
    assert stands.has_field(path) == codec.has_field(path)


def test_a_sealed_record_asks_for_the_key() -> None:
    record = record_of(recorded())
    locked = msgspec.structs.replace(record, sealed=RecordedSealing(v=3, key="k", salt="00", members={}))
    again = replay_entry(locked, policy_set(SIMPLE))
    assert (again.verdict, again.differences) == ("not replayable", ("the texts are sealed: give the operator's key",))


def test_parts_that_were_read_as_one_text_are_not_scanned_again() -> None:
    checks = "policy: p\nchecks: {mail: {use: pii, entities: [EMAIL_ADDRESS]}}\n"
    policy = f"{checks}rules: [{{id: out, on: request, when: mail, action: redact}}]"
    parts = [{"type": "text", "text": "mail ann.l"}, {"type": "text", "text": "ee@clinic.example please"}]
    play = Play(policy_set(policy)).ask({"model": "m", "messages": [{"role": "user", "content": parts}]})
    play.stream(chat_frames([{"content": "sent"}]))
    assert "clinic" not in json.dumps(play.upstream)
    again = replay(kept(play), policy_set(policy))
    assert (again.verdict, again.differences, again.rescanned) == ("identical", (), ())


NAMES = st.text("abcdefgh", min_size=1, max_size=3)
TREES = st.recursive(
    st.text("xyz", max_size=2),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(NAMES, inner, min_size=1, max_size=4),
)


def paths_of(node: Any, path: tuple[str | int, ...] = ()) -> list[str]:
    """The paths of all strings, in their order."""
    if isinstance(node, dict):
        return [text for key, child in node.items() for text in paths_of(child, (*path, key))]
    if isinstance(node, list):
        return [text for index, child in enumerate(node) for text in paths_of(child, (*path, index))]
    return [dotted(path)]


@given(TREES)
def test_a_tree_that_was_sorted_has_its_order_again(tree: Any) -> None:
    written = json.loads(json.dumps(tree, sort_keys=True))
    assert json.dumps(in_order(written, paths_of(tree))) == json.dumps(tree)


def test_the_name_of_a_member_counts_as_its_text() -> None:
    tree = {"": "S", "[MAIL_x]": "K", "name": "send"}
    paths = ["name", "[MAIL_x]#key", "[MAIL_x]", "#key"]
    assert list(in_order(tree, paths)) == ["name", "[MAIL_x]", ""]


def test_members_without_a_text_stay_behind() -> None:
    assert list(in_order({"a": 1, "b": "text", "c": None}, ["b"])) == ["b", "a", "c"]
