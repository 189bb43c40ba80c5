"""The values of earlier turns: how they are grouped and bounded, and which rules let them come back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from guardproxy.exchange import (
    DataReceived,
    DownstreamGone,
    Exchange,
    Finish,
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    Scanned,
    SendData,
    SendUpstream,
    ValuesFound,
    line,
    play,
)
from guardproxy.exchange.gate.earlier import (
    KEPT_CHARS,
    LONGEST_CHARS,
    GivenValue,
    GivenValues,
    TurnValues,
    allowed,
    grouped,
    merged,
    recorded_values,
    values_of,
)
from guardproxy.redaction import EVERYWHERE, Restoration
from guardproxy.replay import replay
from tests.kit.play import mint, policy_set, setting
from tests.kit.responses import RESPONSES, response_frames

RULE = "policy: test\nchecks: {{mail: {{use: pattern, patterns: [x]}}}}\nrules: [{}]\n"
CAUSE = ("user", "mail", "MAIL")
TOKEN = mint("MAIL", "jo@ab.io")


def group(**more: object) -> GivenValues:
    about: dict[str, object] = {"kinds": None, "hosts": (), "causes": (CAUSE,), "values": {TOKEN: "jo@ab.io"}}
    return GivenValues(**(about | more))  # type: ignore[arg-type]  # the members of a group


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{id: a, when: mail, action: redact, restore: true}", EVERYWHERE),
        ("{id: a, when: mail, action: redact, restore: {in: [assistant]}}", Restoration(frozenset(("assistant",)))),
        ("{id: a, when: mail, action: redact, restore: false}", None),
        (
            "{id: a, when: mail, action: redact, restore: true}, {id: b, when: mail, action: redact, restore: false}",
            None,
        ),
        ("{id: a, when: mail, action: redact, operators: {DEFAULT: hash}}", None),
        ("{id: a, when: mail, action: redact, operators: {OTHER: hash}}", EVERYWHERE),
        (
            "{id: a, when: mail, action: redact, restore: true}, "
            "{id: b, when: mail, action: redact, operators: {MAIL: hash}}",
            None,
        ),
        ("{id: a, when: mail, action: flag}", None),
        ("{id: a, on: response, when: mail, action: redact}", None),
    ],
)
def test_the_rules_of_the_later_request_decide_again(rule: str, expected: Restoration | None) -> None:
    bound = policy_set(RULE.format(rule)).bind("POST /v1/responses", "m", "t")
    assert allowed(group(), bound) == expected


def test_every_cause_must_be_allowed_and_both_turns_limit_the_places() -> None:
    bound = policy_set(RULE.format("{id: a, when: mail, action: redact, restore: {urls: [a.example]}}")).bind(
        "POST /v1/x", "m", "t"
    )
    assert allowed(group(hosts=("a.example", "b.example")), bound) == Restoration(None, frozenset(("a.example",)))
    assert allowed(group(kinds=("assistant",)), bound) == Restoration(frozenset(("assistant",)))
    assert allowed(group(causes=(CAUSE, ("user", "other", "MAIL"))), bound) is None


def test_values_are_grouped_by_what_is_true_of_them_and_the_newest_are_kept() -> None:
    here = Restoration(frozenset(("assistant", "refusal")), frozenset(("b.example", "a.example")))
    given = [
        GivenValue("[A_1]", "1", EVERYWHERE, (CAUSE,)),
        GivenValue("[A_2]", "2", here, (CAUSE,)),
        GivenValue("[A_3]", "3", EVERYWHERE, (CAUSE,)),
    ]
    first, second = grouped(given)
    assert (first.values, first.restoration) == ({"[A_1]": "1", "[A_3]": "3"}, EVERYWHERE)
    assert (second.kinds, second.hosts, second.restoration) == (
        ("assistant", "refusal"),
        ("a.example", "b.example"),
        here,
    )
    long = GivenValue("[A_4]", "x" * LONGEST_CHARS, EVERYWHERE, (CAUSE,))
    assert [list(kept.values) for kept in grouped([given[0], long, given[2]])] == [["[A_1]", "[A_3]"]]
    many = [GivenValue(f"[B_{number}]", "x" * 995, EVERYWHERE, (CAUSE,)) for number in range(100, 200)]
    (kept,) = grouped([given[0], *many, given[2]])
    assert list(kept.values) == ["[A_1]", *(each.token for each in many[: KEPT_CHARS // 1001])]
    own = [each._replace(causes=(("user", "mail", f"A{number:998}"),)) for number, each in enumerate(many)]
    assert len(grouped(own)) == KEPT_CHARS // 2008  # a group of its own says its causes again
    assert grouped([]) == ()


def test_two_turns_are_merged_and_the_newer_one_counts() -> None:
    older, newer = group(values={"a": "1", "b": "2"}), group(hosts=("a.example",), values={"b": "2", "c": "3"})
    assert merged([newer], [older, newer]) == (newer, group(values={"a": "1"}))
    assert merged([], []) == ()


def test_a_record_names_placeholders_and_no_value() -> None:
    recorded = recorded_values(group(), [TOKEN])
    assert "jo@ab.io" not in str(recorded)
    assert values_of(recorded) == group(values={TOKEN: TOKEN})


BOUND = policy_set(RULE.format("{id: a, when: mail, action: redact, restore: {urls: [a.example]}}")).bind(
    "POST /v1/x", "m", "t"
)
STRICT = policy_set(RULE.format("{id: a, when: mail, action: redact, restore: false}")).bind("POST /v1/x", "m", "t")
HERE = Restoration(None, frozenset(("a.example",)))


def turn(**values: str) -> TurnValues:
    """The values of a request that gives these values, by the letters of their placeholders."""
    made = TurnValues({}, {})
    for token, value in values.items():
        made.values[token], made.restorations[token] = value, HERE
        made.give(token, [CAUSE, CAUSE])
    return made


def test_values_of_earlier_turns_come_back_as_far_as_the_rules_allow() -> None:
    later = turn(a="1")
    first, second = group(hosts=("a.example",), values={"a": "1", "b": "2"}), group(values={"b": "2", "c": "3"})
    later.recall([first, second], BOUND)
    assert later.values == {"a": "1", "b": "2", "c": "3"}
    assert later.restorations == {"a": HERE, "b": EVERYWHERE, "c": EVERYWHERE}
    strict = turn()
    strict.recall([first], STRICT)
    assert (strict.values, strict.earlier, strict.given()) == ({}, [], ())


def test_what_is_kept_are_the_values_of_the_request_and_of_all_turns_before() -> None:
    later = turn(a="1", d="4")
    assert [dict(kept.values) for kept in later.given()] == [{"d": "4", "a": "1"}]
    later.recall([group(hosts=("a.example",), values={"a": "1", "b": "2"}), group(values={"b": "2", "c": "3"})], BOUND)
    kept = {token: value for values in later.given() for token, value in values.values.items()}
    assert list(kept) == ["d", "a", "b", "c"]
    assert [values.restoration for values in later.given()] == [HERE, EVERYWHERE]


def test_what_the_answer_holds_of_earlier_turns_is_noted() -> None:
    later = turn(a="1")
    later.meet("b")
    assert (later.met, later.known_restorations()) == ({}, {"a": HERE})
    later.values["^"] = " "  # the mark of a policy in a text
    later.recall([group(values={"a": "1", "b": "2", "c": "3"})], BOUND)
    for token in ("a", "b", "^", "x"):
        later.meet(token)
    assert later.met == {"b": "2"}
    assert [tokens for _, tokens in later.groups_met()] == [("b",)]
    assert later.known_restorations() == {"a": HERE, "b": EVERYWHERE}


class _CountedMet(dict[str, str]):
    """Counts how often it is read."""

    reads = 0

    def __iter__(self) -> Iterator[str]:
        for token in super().__iter__():
            self.reads += 1
            yield token

    def __contains__(self, token: object) -> bool:
        self.reads += 1
        return super().__contains__(token)


def test_what_the_answer_holds_costs_a_step_for_each_value() -> None:
    later = turn()
    later.recall([group(values={f"t{number}": "1"}) for number in range(50)], BOUND)
    for number in range(50):
        later.meet(f"t{number}")
    later.met = met = _CountedMet(later.met)
    assert [tokens for _, tokens in later.groups_met()] == [(f"t{number}",) for number in range(50)]
    assert met.reads == 50


TURNS = """
policy: test
checks: {mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.io"]}}
rules: [{id: mail, on: request, when: mail, action: redact, restore: RESTORE}]
"""
GIVEN = GivenValues(kinds=None, hosts=(), causes=(("user", "mail", "MAIL"),), values={mint("MAIL", "a@x.io"): "a@x.io"})


def _turn(body: dict[str, Any], restore: str = "true", **more: Any) -> tuple[Exchange, SendUpstream]:
    """An exchange whose request was sent, and the command that sent it."""
    exchange = Exchange(setting(policy_set(TURNS.replace("RESTORE", restore)), RESPONSES, **more))
    asked = {"model": "m", "input": "hi", **body}
    commands = play(exchange, [RequestReceived(json.dumps(asked).encode())], _scanned)
    (sent,) = [command for command in commands if isinstance(command, SendUpstream)]
    return exchange, sent


def _scanned(command: RunScans) -> Scanned:
    return Scanned(tuple(job.check.scan([job.window])[0] for job in command.jobs))


def _answer(exchange: Exchange, text: str, status: int = 200) -> str:
    """What the client gets of an answer."""
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    tree = {"id": "resp_9", "object": "response", "status": "completed", "model": "m", "output": [item]}
    inputs: list[Input] = [
        ResponseStarted(status, "application/json"),
        DataReceived(json.dumps(tree).encode()),
        ResponseEnded(),
    ]
    done = play(exchange, inputs, _scanned)
    return b"".join(command.data for command in done if isinstance(command, (SendData, Finish))).decode()


@pytest.mark.parametrize(
    ("body", "earlier"),
    [
        ({"previous_response_id": "resp_1"}, ("resp_1",)),
        ({"conversation": {"id": "conv_1"}}, ("conv_1",)),
        ({"previous_response_id": None}, ()),
        ({}, ()),
    ],
)
def test_an_exchange_asks_for_the_values_of_the_turns_to_which_its_request_refers(
    body: dict[str, Any], earlier: tuple[str, ...]
) -> None:
    assert _turn(body)[1].earlier == earlier
    assert (_turn(body, "false")[1].earlier, _turn(body, tenant="")[1].earlier) == (None, None)


def test_values_of_earlier_turns_come_back_in_the_answer() -> None:
    exchange, _ = _turn({"previous_response_id": "resp_1", "input": "b@x.io"})
    found = ValuesFound((GIVEN,))
    assert (exchange.receive(found), line(found)) == ([], "ValuesFound 1 values")
    said = _answer(exchange, f"{mint('MAIL', 'a@x.io')} {mint('MAIL', 'b@x.io')} {mint('MAIL', 'c@x.io')} a@x.io")
    assert f"a@x.io b@x.io {mint('MAIL', 'c@x.io')} a@x.io" in said
    record = exchange.record("answered")
    assert [values.placeholders for values in record.earlier] == [(mint("MAIL", "a@x.io"),)]
    assert "x.io" not in str(record)
    assert replay(record, exchange.setting.policies).verdict == "identical"
    turn = exchange.stored_turn
    assert turn is not None
    assert (turn.id, [set(group.values.values()) for group in turn.groups]) == ("resp_9", [{"a@x.io", "b@x.io"}])


def test_an_answer_without_a_placeholder_is_read_all_the_same() -> None:
    exchange, _ = _turn({"previous_response_id": "resp_1"})
    exchange.receive(ValuesFound((GIVEN,)))
    _answer(exchange, "nothing")
    record = exchange.record("answered")
    assert replay(record, exchange.setting.policies).verdict == "identical"
    assert ([values.placeholders for values in record.earlier], record.restore, record.altered) == ([()], (), {})


def test_values_that_come_before_the_request_count_for_nothing() -> None:
    exchange = Exchange(setting(policy_set(TURNS.replace("RESTORE", "true")), RESPONSES))
    assert exchange.receive(ValuesFound((GIVEN,))) == []
    assert exchange.stored_turn is None


@pytest.mark.parametrize(
    ("body", "more", "ids"),
    [
        ({}, {}, ("resp_9",)),
        ({"conversation": "conv_1"}, {}, ("resp_9", "conv_1")),
        ({"store": False}, {}, None),
        ({"input": "hi"}, {}, None),
        ({}, {"tenant": ""}, None),
    ],
)
def test_the_values_of_a_turn_are_kept_where_the_answer_is_stored(
    body: dict[str, Any], more: dict[str, Any], ids: tuple[str, ...] | None
) -> None:
    exchange, _ = _turn({"input": "b@x.io", **body}, **more)
    assert exchange.stored_turn is None
    _answer(exchange, f"{mint('MAIL', 'b@x.io')} or {mint('MAIL', 'b@x.io').lower()}")
    turn = exchange.stored_turn
    assert (turn and (turn.id, *turn.conversations)) == ids
    assert exchange.record("answered").altered == ({} if "input" in body else {"MAIL": 1})


@pytest.mark.parametrize("size", range(1, len(mint("MAIL", "b@x.io"))))
def test_a_placeholder_at_which_an_answer_broke_off_was_not_changed(size: int) -> None:
    exchange, _ = _turn({"input": "b@x.io", "stream": True})
    (*frames, _, _, _, _) = response_frames("response.output_text", ["so: ", mint("MAIL", "b@x.io")[:size]])
    inputs: list[Input] = [ResponseStarted(200, "text/event-stream"), *map(DataReceived, frames), DownstreamGone()]
    play(exchange, inputs, _scanned)
    record = exchange.record("client_closed")
    assert (record.response.texts[-1].text or "").startswith("so: ")
    assert record.altered == {}


def test_nothing_is_kept_where_a_policy_has_the_provider_store_nothing() -> None:
    policies = policy_set(TURNS.replace("RESTORE", "true") + "set: {store: false}\n")
    exchange = Exchange(setting(policies, RESPONSES))
    received = RequestReceived(b'{"model": "m", "input": "b@x.io", "conversation": "conv_1", "store": true}')
    play(exchange, [received], _scanned)
    _answer(exchange, mint("MAIL", "b@x.io"))
    assert exchange.stored_turn is None


def test_nothing_is_kept_for_an_error_or_without_an_id() -> None:
    exchange, _ = _turn({"input": "b@x.io"})
    _answer(exchange, "no", status=400)
    assert exchange.stored_turn is None
    exchange, _ = _turn({"input": "b@x.io"})
    play(exchange, [ResponseStarted(200, "application/json"), DataReceived(b"{}"), ResponseEnded()], _scanned)
    assert exchange.stored_turn is None
