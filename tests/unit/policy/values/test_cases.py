"""The `tests:` of a policy file: what they may say, and what is said of those that are not right."""

from __future__ import annotations

import re

import pytest

from guardproxy.policy.file.load import PolicyErrors, parse, parse_all
from guardproxy.policy.values.cases import (
    ANY_LIMIT,
    NO_LIMIT,
    Expectation,
    ExpectedFinding,
    LogLine,
    PolicyTest,
    RawExchange,
    RequestFacts,
    Texts,
)
from guardproxy.wire.registry import codecs

OK = "policy: p\nchecks: {pii: {use: pii}}\nrules: [{id: r, when: pii, action: flag}]\n"
KEYS = (
    "name, request, response, exchange, record, route, model, tenant, headers, times, used, judged, chunkings, expect"
)
EXPECT = (
    "rule, rules, shadow, decision, upstream_has, upstream_lacks, client_has, client_lacks, "
    "upstream, client, finds, routed, refused, error"
)
SENDS = "a test sends `request`, `response` or both, or an `exchange`, or a `record`"
ROUTES = ", ".join(route for codec in codecs() for route in codec.routes)


def example(text: str) -> str:
    return f"{OK}tests:\n  - {text}\n"


def case(name: str, text: str, *messages: str) -> object:
    return pytest.param(text, [f"p.yaml:{message}" for message in messages], id=name)


BROKEN = [
    case(
        "tests mapping",
        OK + "tests: {name: x}\n",
        "4:8: expected a list of tests, found a mapping",
    ),
    case(
        "test word",
        example("x"),
        "5:5: expected a mapping with `name`, found a word",
    ),
    case(
        "test missing",
        example("{request: hello}"),
        "5:5: `name` is missing",
        "5:5: `expect` is missing",
    ),
    case(
        "test neither",
        example("{name: t, expect: {rule: r}}"),
        f"5:5: {SENDS}; found nothing",
    ),
    case(
        "test number",
        example("{name: t, request: 4111, expect: {rule: r}}"),
        "5:24: expected a text, written as words, found a number; quote it",
    ),
    case(
        "test unknown key",
        example("{name: t, requests: a, request: a, expect: {rule: r}}"),
        f"5:15: unknown key `requests`; did you mean `request`? (allowed here: {KEYS})",
    ),
    case(
        "test expect word",
        example("{name: t, request: a, expect: r}"),
        "5:35: expected a mapping, found a word",
    ),
    case(
        "test expect nothing",
        example("{name: t, request: a, expect: {}}"),
        f"5:35: a test that expects nothing cannot fail; use one of {EXPECT}",
    ),
    case(
        "test expect key",
        example("{name: t, request: a, expect: {upstream_lack: x}}"),
        f"5:36: unknown key `upstream_lack`; did you mean `upstream_lacks`? (allowed here: {EXPECT})",
    ),
    case(
        "test rule",
        example("{name: t, request: a, expect: {rule: rr}}"),
        "5:42: unknown rule `rr`; did you mean `r`?",
    ),
    case(
        "test decision",
        example("{name: t, request: a, expect: {decision: deny}}"),
        "5:46: unknown word `deny`; write `block` (expected one of pass, flag, redact, drop_chunk, retry, confirm, block)",
    ),
    case(
        "test lacks number",
        example("{name: t, request: a, expect: {upstream_lacks: 4111}}"),
        "5:52: expected a word or a list of words, found a number; quote it",
    ),
    case(
        "test lacks list",
        example("{name: t, request: a, expect: {upstream_lacks: [a, 4]}}"),
        "5:56: expected a word, found a number; quote it",
    ),
    case(
        "test answers",
        example("{name: t, response: [], expect: {rule: r}}"),
        "5:25: expected one to 10 answers, found 0",
    ),
    case(
        "test answer number",
        example("{name: t, response: [a, 3], expect: {rule: r}}"),
        "5:29: expected a word, found a number; quote it",
    ),
    case(
        "test two scenes",
        example("{name: t, request: a, record: b#1, expect: {rule: r}}"),
        f"5:5: {SENDS}; found `request`, `record`",
    ),
    case(
        "test same name",
        example("{name: t, request: a, expect: {rule: r}}") + "  - {name: t, request: b, expect: {rule: r}}\n",
        "6:5: duplicate test `t`, first on line 5",
    ),
    case(
        "test exchange word",
        example("{name: t, exchange: a, expect: {rule: r}}"),
        "5:25: expected a mapping with `request`, found a word",
    ),
    case(
        "test exchange without a request",
        example("{name: t, exchange: {route: POST /v1/messages}, expect: {rule: r}}"),
        "5:25: `request` is missing",
    ),
    case(
        "test exchange request",
        example("{name: t, exchange: {request: hello}, expect: {rule: r}}"),
        "5:35: expected a mapping: the request's JSON, found a word",
    ),
    case(
        "test exchange answers",
        example("{name: t, exchange: {request: {}, response: [x], stream: [3, y]}, expect: {rule: r}}"),
        "5:50: expected a mapping: the answer's JSON, found a word",
        "5:54: an answer is either a `response` or a `stream`",
        "5:63: expected the `data` of an event, as a mapping or written as words, found a number; quote it",
    ),
    case(
        "test exchange facts",
        example("{name: t, exchange: {request: {}}, model: m, route: POST /v1/messages, expect: {rule: r}}"),
        "5:40: write `model` in the exchange's request",
        "5:50: write `route` in the exchange",
    ),
    case(
        "test route",
        example("{name: t, request: a, route: POST /v1/message, expect: {rule: r}}"),
        f"5:34: no wire format for `POST /v1/message`; did you mean `POST /v1/messages`? (known: {ROUTES})",
    ),
    case(
        "test headers",
        example("{name: t, request: a, headers: x, expect: {rule: r}}"),
        "5:36: expected a mapping from names of headers to their values, found a word",
    ),
    case(
        "test record",
        example("{name: t, record: log.jsonl, expect: {rule: r}}"),
        "5:23: expected a file and a line, like `records/july.jsonl#3`, found `log.jsonl`",
    ),
    case(
        "test record number",
        example("{name: t, record: 3, expect: {rule: r}}"),
        "5:23: expected a file and a line, like `records/july.jsonl#3`, found a number",
    ),
    case(
        "test record facts",
        example("{name: t, record: log.jsonl#1, model: m, chunkings: 2, expect: {rule: r}}"),
        "5:36: a record has its own `model`",
        "5:46: a record is played unchanged",
    ),
    case(
        "test chunkings",
        example("{name: t, request: a, chunkings: -1, expect: {rule: r}}"),
        "5:38: expected a number from 0 to 1000",
    ),
    case(
        "test rule and rules",
        example("{name: t, request: a, expect: {rule: r, rules: r}}"),
        "5:36: `rule` names a rule that holds, `rules` lists all rules that hold: write only one",
    ),
    case(
        "test rules",
        example("{name: t, request: a, expect: {rules: [r, rr, 3]}}"),
        "5:47: unknown rule `rr`; did you mean `r`?",
        "5:51: expected a word, found a number; quote it",
    ),
    case(
        "test exact",
        example("{name: t, request: a, expect: {upstream: {}, client: {a: 3}}}"),
        "5:46: an empty mapping expects nothing; name a path, like `messages[0].content`",
        "5:62: expected a text, written as words, found a number; quote it",
    ),
    case(
        "test finds",
        example("{name: t, request: a, expect: {finds: []}}"),
        "5:43: an empty list expects nothing; write `none` if there must be no finding",
    ),
    case(
        "test finding",
        example("{name: t, request: a, expect: {finds: [{}, {check: pi}]}}"),
        "5:44: a finding needs at least one of check, label, text",
        "5:56: unknown check `pi`; did you mean `pii`?",
    ),
]


@pytest.mark.parametrize(("text", "messages"), BROKEN)
def test_a_broken_test_is_told_what_to_change_and_where(text: str, messages: list[str]) -> None:
    with pytest.raises(PolicyErrors) as caught:
        parse(text, "p.yaml")
    assert str(caught.value).split("\n") == messages


def read(text: str) -> PolicyTest:
    (test,) = parse(example(text), "p.yaml").tests
    return test


def test_texts_and_all_that_can_be_expected() -> None:
    test = read(
        "{name: t, request: a, response: [b, c], route: POST /v1/messages, model: m, tenant: acme, headers: {X-A: b},"
        " chunkings: 7, expect: {rules: [r], shadow: none, decision: redact, upstream_has: x, upstream_lacks: [y, z],"
        " client_has: v, client_lacks: w, upstream: u, client: {a.b: c}, finds: {check: pii, label: L, text: t}}}"
    )
    assert test.scene == Texts("a", ("b", "c"))
    assert test.facts == RequestFacts("POST /v1/messages", "m", "acme", {"x-a": "b"}, applies=True)
    assert test.expected == Expectation(
        rules=("r",),
        shadow=(),
        decision="redact",
        upstream_has=("x",),
        upstream_lacks=("y", "z"),
        client_has=("v",),
        client_lacks=("w",),
        upstream="u",
        client={"a.b": "c"},
        finds=(ExpectedFinding("pii", "L", "t"),),
    )
    assert (test.chunkings, test.place.line) == (7, 5)


def test_what_is_left_out() -> None:
    test = read("{name: t, request: a, expect: {rule: r}}")
    assert (test.scene, test.facts, test.chunkings) == (Texts("a"), RequestFacts(), 3)
    assert not test.facts.applies
    assert test.expected == Expectation(rule="r")
    assert read("{name: t, response: b, expect: {rule: r}}").scene == Texts(None, ("b",))


def test_none_is_an_expectation() -> None:
    expected = read("{name: t, request: a, expect: {rule: none, finds: none}}").expected
    assert (expected.rule, expected.rules, expected.finds) == (None, (), ())


def test_a_whole_exchange() -> None:
    test = read(
        "{name: t, tenant: acme, exchange: {route: POST /v1/messages, request: {a: 1}, response: {b: [~]}, status: 429},"
        " expect: {rule: r}}"
    )
    assert test.scene == RawExchange({"a": 1}, ({"b": [None]},), None, 429)
    assert test.facts == RequestFacts("POST /v1/messages", "", "acme", {}, applies=True)
    several = read("{name: t, exchange: {request: {}, response: [{a: 1}, {b: 2}]}, expect: {rule: r}}")
    assert several.scene == RawExchange({}, ({"a": 1}, {"b": 2}))
    stream = read("{name: t, exchange: {request: {}, stream: [{a: 1}, x]}, expect: {rule: r}}")
    assert stream.scene == RawExchange({}, (), ({"a": 1}, "x"))


def test_a_record() -> None:
    test = read("{name: t, record: logs/a#b.jsonl#12, expect: {rule: r}}")
    assert test.scene == LogLine("logs/a#b.jsonl", 12)


LIMITED = """\
policy: p
limits: [{name: calls, unit: requests, rate: 1/1m}, {name: none, unit: cost, budget: 5/day}]
tests: [{name: t, request: a, %s}]
"""


@pytest.mark.parametrize(
    ("text", "refused", "times", "used"),
    [
        ("expect: {refused: limit}", ANY_LIMIT, 1, {}),
        ("expect: {refused: none}", NO_LIMIT, 1, {}),
        ("expect: {refused: {limit: none}}", "none", 1, {}),
        ("times: 10000, expect: {refused: {limit: calls}}", "calls", 10_000, {}),
        ("used: calls, expect: {refused: limit}", ANY_LIMIT, 1, {"calls": None}),
        ("used: [calls, none], expect: {refused: limit}", ANY_LIMIT, 1, {"calls": None, "none": None}),
        ("used: all, expect: {refused: limit}", ANY_LIMIT, 1, {"calls": None, "none": None}),
        ("used: {calls: 3, none: 4.5}, expect: {refused: limit}", ANY_LIMIT, 1, {"calls": 3, "none": 4_500_000}),
        ("used: {calls: all}, expect: {refused: none, decision: pass}", NO_LIMIT, 1, {"calls": None}),
    ],
)
def test_what_a_limit_is_expected_to_do(text: str, refused: str, times: int, used: dict[str, int | None]) -> None:
    (test,) = parse(LIMITED % text, "p.yaml").tests
    assert (test.expected.refused, test.times, test.used) == (refused, times, used)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("expect: {refused: calls}", "write `refused: {limit: calls}` for the limit of this name"),
        ("expect: {refused: often}", "unknown word `often` (expected one of limit, none)"),
        ("expect: {refused: {limit: call}}", "unknown limit `call`; did you mean `calls`?"),
        ("expect: {refused: {limit: 3}}", "expected the name of a limit, found a number"),
        ("expect: {refused: {}}", "`limit` is missing"),
        ("expect: {refused: limit, rule: none}", "a refused request reaches no rule and no model: leave out `rule`"),
        ("times: 2, expect: {rule: none}", "`times` is about limits, so the test must expect `refused`"),
        ("used: calls, expect: {rule: none}", "`used` is about limits, so the test must expect `refused`"),
        ("times: 0, expect: {refused: limit}", "expected a number from 1 to 10000"),
        ("used: [call, 3], expect: {refused: limit}", "expected a word, found a number; quote it"),
        ("used: call, expect: {refused: limit}", "unknown limit `call`; did you mean `calls`?"),
        ("used: {call: 3}, expect: {refused: limit}", "unknown limit `call`; did you mean `calls`?"),
        ("used: {calls: 2.5}, expect: {refused: limit}", "expected a whole number, found a number"),
        ("used: {calls: most}, expect: {refused: limit}", "expected a whole number, found a word"),
    ],
)
def test_what_cannot_be_meant_of_limits_is_an_error(text: str, said: str) -> None:
    with pytest.raises(PolicyErrors) as caught:
        parse(LIMITED % text, "p.yaml")
    assert said in [error.message for error in caught.value.errors]


def test_limits_of_records_and_of_policies_without_limits_cannot_be_tested() -> None:
    text = (LIMITED % "expect: {refused: limit}").replace("request: a", "record: a#1")
    with pytest.raises(PolicyErrors, match="`refused` is about a request that is sent, and not about a record"):
        parse(text, "p.yaml")
    with pytest.raises(PolicyErrors, match="`refused` is about the policy's `limits`, and it has none"):
        read("{name: t, request: a, expect: {refused: limit}}")


def test_an_heir_tests_the_limits_that_it_inherits() -> None:
    base, heir = LIMITED % "expect: {refused: none}", LIMITED % "used: calls, expect: {refused: limit}"
    heir = re.sub(r"policy: p\nlimits: .*\n", "policy: q\nextends: p\n", heir)
    assert [policy.tests[0].expected.refused for policy in parse_all([("p.yaml", base), ("q.yaml", heir)])] == ["", "*"]


@pytest.mark.parametrize(
    ("text", "judged"),
    [("{pii: 'yes'}", {"pii": "yes"}), ("{pii: yes}", {"pii": "yes"}), ("{pii: 4}", {"pii": "4"}), ("{}", {})],
)
def test_what_models_elsewhere_answer(text: str, judged: dict[str, str]) -> None:
    (test,) = parse(example(f"{{name: t, request: x, judged: {text}, expect: {{rule: r}}}}"), "p.yaml").tests
    assert test.judged == judged


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{pi: 'yes'}", "unknown check `pi`; did you mean `pii`?"),
        ("{pii: true}", "expected an answer: yes, no or a score"),
        ("{pii: [a]}", "expected an answer: yes, no or a score"),
        ("'yes'", "expected a mapping from names of checks to answers"),
    ],
)
def test_what_no_model_answers(text: str, message: str) -> None:
    with pytest.raises(PolicyErrors, match=re.escape(message)):
        parse(example(f"{{name: t, request: x, judged: {text}, expect: {{rule: r}}}}"), "p.yaml")


def test_a_record_has_its_own_verdicts() -> None:
    with pytest.raises(PolicyErrors, match="played unchanged"):
        parse(example("{name: t, record: 'a.jsonl#1', judged: {pii: 'yes'}, expect: {rule: r}}"), "p.yaml")
