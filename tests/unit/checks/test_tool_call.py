"""Which calls of tools are findings, and where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks.tool_call import ToolCalls, build
from guardproxy.errors import OptionError
from guardproxy.findings import Channel, Facts, Finding, Passage, Sources, Spot, ToolCall, ValueOrigin, Window

ARGUMENTS = Channel("response", "tool_arguments", "arguments")


def check(**options: Any) -> ToolCalls:
    return build("calls", options, Resources())


def scan(its: ToolCalls, call: ToolCall | None, text: str = "text") -> list[Finding]:
    (scanned,) = its.scan([Window(ARGUMENTS, text, facts=Facts(call=call))])
    assert (scanned.settled, scanned.keep) == (len(text), len(text))
    return list(scanned.findings)


def labels(its: ToolCalls, arguments: Any, name: str = "refund", **more: Any) -> list[str]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return [finding.label for finding in scan(its, ToolCall(name, arguments=text, **more))]


ABOVE = "call.arguments.amount > 100"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"amount": 50}, []),
        ({"amount": 100.5}, ["CONDITION"]),
        ({"amount": 500}, ["CONDITION"]),
        ({"amount": "500"}, ["UNREADABLE"]),
        ({"amount": None}, ["UNREADABLE"]),
        ({}, ["UNREADABLE"]),
        ({"amount": 10**30}, ["UNREADABLE"]),
        ({"amount": [1]}, ["UNREADABLE"]),
        ([], ["UNREADABLE"]),
        ("", ["UNREADABLE"]),
        (" ", ["UNREADABLE"]),
        ('{"amount": 5', ["UNREADABLE"]),
        ('{"amount": 500, "amount": 5}', ["UNREADABLE"]),
        ('{"amount": NaN}', ["UNREADABLE"]),
        ('{"amount": 5}{"amount": 500}', ["UNREADABLE"]),
        ('{"\\u0061mount": 500}', ["CONDITION"]),
        ('{"amount": 5e2}', ["CONDITION"]),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", ["UNREADABLE"]),
        ('{"amount": 5, "note": "\\ud800"}', ["UNREADABLE"]),
        ('{"amount": ' + "1" * 5000 + "}", ["UNREADABLE"]),
    ],
)
def test_a_condition_on_arguments(arguments: Any, found: list[str]) -> None:
    assert labels(check(when=ABOVE), arguments) == found


def test_a_member_that_may_be_missing_is_asked_for() -> None:
    its = check(when="has(call.arguments.amount) && call.arguments.amount > 100")
    assert labels(its, {}) == []
    assert labels(its, {"amount": 101}) == ["CONDITION"]


def test_a_condition_on_plain_text_on_the_name_and_on_the_server() -> None:
    assert labels(check(when='call.arguments.contains("rm")'), "rm -r", is_json=False) == ["CONDITION"]
    assert labels(check(when='call.arguments.contains("rm")'), "ls", is_json=False) == []
    assert labels(check(when='call.name == "pay" || call.server == "bank"'), {}, "pay") == ["CONDITION"]
    assert labels(check(when='call.name == "pay" || call.server == "bank"'), {}, server="bank") == ["CONDITION"]


def test_a_condition_that_makes_lists_reads_no_long_list() -> None:
    its = check(when='call.arguments.to.filter(t, t.endsWith("@evil.io")).size() > 0')
    assert labels(its, {"to": ["a@evil.io"]}) == ["CONDITION"]
    assert labels(its, {"to": ["a@good.io"]}) == []
    assert labels(its, {"to": ["a@good.io"] * 600}) == ["UNREADABLE"]
    assert labels(its, {"to": {"deep": ["a"] * 600}}) == ["UNREADABLE"]


@pytest.mark.parametrize(
    ("name", "is_named"),
    [
        ("refund", True),
        ("REFUND", True),
        ("ｒｅｆｕｎｄ", True),
        ("re\u200bfund", True),
        ("shop__refund", True),
        ("functions.refund", True),
        ("refund_all", False),
        ("search", False),
        ("r\u0435fund", True),  # a Cyrillic letter: the name may be any name
        ("", True),
        ("x" * 300, True),
    ],
)
def test_a_name_is_read_in_all_its_spellings(name: str, is_named: bool) -> None:
    is_clear = name != ""
    assert bool(labels(check(tools=["refund"]), {}, name, is_clear=is_clear)) is is_named


def test_globs_of_tools_and_servers() -> None:
    its = check(tools=["mail_*"], servers=["Work*"])
    assert labels(its, {}, "mail_send", server="work-mail") == ["CALL"]
    assert labels(its, {}, "mail_send", server="home") == []
    assert labels(its, {}, "mail_send") == [], "a format without servers"
    assert labels(its, {}, "file_read", server="work-mail") == []


def test_a_tool_without_a_clear_name_is_a_finding() -> None:
    assert labels(check(tools=["refund"], when="false"), {"amount": 1}, "search", is_clear=False) == ["UNCLEAR"]


def test_a_schema_narrower_than_that_of_the_tool() -> None:
    schema = {"properties": {"amount": {"maximum": 100}, "note": {"maxLength": 3}}, "required": ["amount"]}
    its = check(schema={"inline": schema})
    assert labels(its, {"amount": 50}) == []
    assert labels(its, {"amount": 101}) == ["SCHEMA"]
    assert labels(its, {}) == ["SCHEMA"]
    call = ToolCall("refund", arguments=json.dumps({"amount": 101, "note": "long"}), spots=(Spot(7, 11, ("note",)),))
    whole, note = scan(its, call, "amount\nlong")
    assert (whole.start, whole.end, [detail.place for detail in whole.details]) == (0, 0, ["amount"])
    assert (note.start, note.end, [detail.place for detail in note.details]) == (7, 11, ["note"])


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"contains": {"minimum": 100}, "minContains": 0, "maxContains": 0}}},
        {"properties": {"a": {"items": {"oneOf": [{"minimum": 100}, {"$ref": "#/$defs/any"}]}}}},
        {"not": {"properties": {"a": {"items": {"$ref": "#/$defs/big"}}}}},
        {"if": {"properties": {"a": {"items": {"$ref": "#/$defs/big"}}}}, "then": {"required": ["why"]}},
    ],
)
def test_implied_types_let_no_more_pass_than_the_schema(schema: dict[str, Any]) -> None:
    its = check(schema={"inline": {**schema, "$defs": {"big": {"minimum": 100}, "any": {"title": "any"}}}})
    assert labels(its, {"a": ["5000"]}) == ["SCHEMA"], "text, which the schema itself does not let pass"


def test_each_fault_has_a_finding_so_that_a_rule_can_redact_all() -> None:
    names = "abcdefgh"
    its = check(schema={"inline": {"additionalProperties": {"maxLength": 3, "maximum": 5}}})
    arguments = {**dict.fromkeys(names, "long"), "n": 9, "m": 9}
    spots = tuple(Spot(at * 5, at * 5 + 4, (name,)) for at, name in enumerate(names))
    found = scan(its, ToolCall("send", arguments=json.dumps(arguments), spots=spots), "long " * len(names))
    assert [(each.start, each.end) for each in found] == [(0, 0), *((at * 5, at * 5 + 4) for at in range(len(names)))]
    assert sorted(detail.place for detail in found[0].details) == ["m", "n"]
    many = labels(check(schema={"inline": {"items": {"maximum": 1}}}), [5] * 500)
    assert many == ["SCHEMA"], "in one finding"


def test_the_places_of_a_call_are_read_once_for_all_its_faults() -> None:
    class Read(tuple[Spot, ...]):
        times = 0

        def __iter__(self) -> Iterator[Spot]:
            Read.times += 1
            return super().__iter__()

    its = check(schema={"inline": {"items": {"maxLength": 1}}})
    spots = Read(Spot(at * 5, at * 5 + 4, (at,)) for at in range(50))
    assert len(scan(its, ToolCall("send", arguments=json.dumps(["long"] * 50), spots=spots), "long " * 50)) == 50
    assert Read.times == 1


def test_a_schema_that_takes_too_many_steps_fails_closed() -> None:
    its = check(schema={"inline": {"properties": {"a": {"uniqueItems": True}}}})
    assert labels(its, {"a": [[1]] * 5}) == ["SCHEMA"]
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    recursive = check(schema={"inline": {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}})
    assert labels(recursive, deep) == ["UNREADABLE"]


def test_the_member_at_fault_has_the_finding() -> None:
    """Each string of arguments that are an object is a text of its own."""
    its = check(when='call.arguments.to.endsWith("@evil.io")')
    assert its.condition is not None
    assert its.condition.place == ("to",)
    made: dict[str, Any] = {}
    arguments = '{"to": "x@evil.io", "cc": "y"}'
    parts = {
        "name": ToolCall("send", role="name"),
        "to": ToolCall("send", role="member", arguments=arguments, place=("to",), made=made),
        "cc": ToolCall("send", role="member", arguments=arguments, place=("cc",), made=made),
        "all": ToolCall("send", arguments=arguments, apart=frozenset({("to",), ("cc",)}), made=made),
        "piece": ToolCall("send", role="piece", arguments=arguments),
        "server": ToolCall("send", role="server", arguments=arguments),
    }
    assert {part: len(scan(its, call)) for part, call in parts.items()} == {
        **{"name": 0, "to": 1, "cc": 0, "all": 0, "piece": 0, "server": 0}
    }
    assert list(made) == [its.digest], "the call is judged once"
    numbers = check(when="call.arguments.n > 1")
    assert len(scan(numbers, ToolCall("send", arguments='{"n": 2}', apart=frozenset({("to",)})))) == 1


def test_a_call_without_arguments_has_the_finding_in_its_name() -> None:
    (finding,) = scan(check(tools=["wipe"]), ToolCall("wipe", role="name", arguments=""), "wipe")
    assert (finding.start, finding.end, finding.label) == (0, 4, "CALL")


def test_what_is_no_call_made_here_has_no_finding() -> None:
    assert scan(check(), None) == []
    assert scan(check(), ToolCall("refund", arguments="{}", is_made=False)) == []


@pytest.mark.parametrize(
    ("when", "place"),
    [
        ("call.arguments.a.b == 1", ("a", "b")),
        ("call.arguments.a == 1 && call.arguments.a != 2", ("a",)),
        ("call.arguments.a == 1 && call.arguments.b == 2", None),
        ('call.name == "x"', None),
        ('call.arguments == "x"', ()),
        ('call.arguments.a.contains("x")', ("a",)),
    ],
)
def test_the_one_member_that_a_condition_names(when: str, place: Any) -> None:
    condition = check(when=when).condition
    assert condition is not None
    assert condition.place == place


@pytest.mark.parametrize(
    ("options", "option", "said"),
    [
        ({"when": "call.argument.x == 1"}, "when", "unknown name"),
        ({"when": "call.arguments.a"}, "when", "expected a condition"),
        ({"when": "dyn(1) == 1"}, "when", "dyn"),
        ({"when": "call.arguments.a.matches(call.name)"}, "when", "literal"),
        ({"when": "call.arguments.a.all(x, x.all(y, y == 1))"}, "when", "quantifier"),
        ({"when": "has(call.name)"}, "when", "members of arguments"),
        ({"when": "x" * 3000}, "when", "longer"),
        ({"when": 5}, "when", "written as text"),
        ({"when": 'came_from(call.arguments, "user")'}, "when", '"tool_result" or "document"'),
        ({"when": "came_from(call.arguments, call.name)"}, "when", "the second argument"),
        ({"when": "came_from(call.arguments)"}, "when", "came_from"),
        ({"when": 'came_from(call.arguments, ("tool_result"))'}, "when", "the second argument"),
        ({"tools": []}, "tools", "non-empty"),
        ({"tools": "refund"}, "tools", "non-empty"),
        ({"servers": [" "]}, "servers", "non-empty"),
        ({"schema": {"inline": {"type": "nothing"}}}, "schema", "type"),
        ({"schema": {"file": "a.json"}}, "schema", "cannot be read here"),
        ({"schema": 5}, "schema", "{file: PATH}"),
        ({"arguments": {}}, "arguments", "unknown option"),
    ],
)
def test_wrong_options(options: dict[str, Any], option: str, said: str) -> None:
    with pytest.raises(OptionError) as caught:
        check(**options)
    assert caught.value.key == option
    assert said in str(caught.value)


def test_the_digest_depends_on_all_options() -> None:
    its = [
        check(),
        check(tools=["a"]),
        check(servers=["a"]),
        check(when="true"),
        check(schema={"inline": {"type": "object"}}),
    ]
    assert len({one.digest for one in its}) == len(its)
    assert check().traits.needs_call


# Where arguments came from.

MAIL = "mallory.quist@drop-zone.example"
SOURCES = Sources((), passages=(Passage("tool_result", "page", f"From {MAIL} to you"),))
TAINT = 'came_from(call.arguments, "tool_result")'


def tainted(its: ToolCalls, call: ToolCall, text: str, sources: Sources | None = SOURCES) -> list[Finding]:
    (scanned,) = its.scan([Window(ARGUMENTS, text, facts=Facts(call=call, sources=sources))])
    return list(scanned.findings)


def test_a_tainted_span_has_the_finding_and_says_where_it_came_from() -> None:
    raw = json.dumps({"to": f"<{MAIL}>"})
    call = ToolCall("send", arguments=raw, spots=(Spot(3, 3 + len(MAIL) + 2, ("to",)),))
    (finding,) = tainted(check(when=TAINT), call, f"to\n<{MAIL}>")
    assert (finding.label, finding.start, finding.end) == ("TAINTED", 4, 4 + len(MAIL))
    (detail,) = finding.details
    assert detail.origin == ValueOrigin("tool_result", "page", 5, 5 + len(MAIL))
    assert (detail.place, detail.expected) == ("to", "a value that did not come from a tool result")


def test_a_tainted_member_has_the_finding_in_its_own_text() -> None:
    call = ToolCall("send", role="member", place=("to",), arguments=json.dumps({"to": f"<{MAIL}>"}))
    (finding,) = tainted(check(when=TAINT), call, f"<{MAIL}>")
    assert (finding.start, finding.end) == (1, 1 + len(MAIL))


def test_tainted_arguments_that_are_plain_text_or_a_key() -> None:
    (plain,) = tainted(check(when=TAINT), ToolCall("send", arguments=f"to {MAIL}", is_json=False), f"to {MAIL}")
    assert (plain.start, plain.end) == (3, 3 + len(MAIL))
    (key,) = tainted(check(when=TAINT), ToolCall("send", arguments=json.dumps({MAIL: 1})), "text")
    assert (key.start, key.end, key.details[0].place) == (0, 0, "*")


def test_a_condition_that_holds_for_another_reason_is_no_taint() -> None:
    call = ToolCall("send", arguments=json.dumps({"to": "me"}))
    assert [found.label for found in tainted(check(when=f"!{TAINT}"), call, "text")] == ["CONDITION"]
    assert [found.label for found in tainted(check(when=f"{TAINT} || call.arguments.x"), call, "text")] == [
        "UNREADABLE"
    ]
    assert tainted(check(when=TAINT), call, "text") == []


def test_nothing_is_known_of_a_call_without_a_conversation() -> None:
    call = ToolCall("send", arguments=json.dumps({"to": MAIL}))
    assert tainted(check(when=TAINT), call, "text", None) == []


def test_calls_share_what_was_made_of_the_conversation() -> None:
    sources = Sources((), passages=SOURCES.passages)
    for name in ("a", "b"):
        assert tainted(
            check(when=TAINT, tools=[name]), ToolCall(name, arguments=json.dumps({"to": MAIL})), "x", sources
        )
    assert len(sources.made) == 1


def test_only_a_condition_that_asks_needs_the_sources() -> None:
    assert check(when=TAINT).traits.needs_sources
    assert not check(when='call.name == "came_from"').traits.needs_sources
