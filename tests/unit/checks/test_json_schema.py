"""The check `json_schema`: its options, its verdicts however a text is cut, repairs, names of tools."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.checks.json_schema import REFUSED, REPAIR_CHARS, UNKNOWN_TOOL, JsonSchema
from guardproxy.concurrency import ScanStopped, stoppable
from guardproxy.errors import OptionError
from guardproxy.findings import Channel, Facts, Finding, Form, Scan, Window
from tests.kit.checks import CHANNEL, promise, scan_in_chunks

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}},
    "required": ["a"],
    "additionalProperties": False,
}
ASKED = Facts(form=Form(SCHEMA))
ANYTHING = Facts(form=Form({}))
STREAMED = Facts(form=Form(SCHEMA), streamed=True)


def check(resources: Resources | None = None, **options: Any) -> JsonSchema:
    built = build("json_schema", "shape", {"schema": "from_request", **options}, resources or Resources())
    assert isinstance(built, JsonSchema)
    return built


def whole(checked: JsonSchema, text: str, facts: Facts = ASKED) -> Finding | None:
    (scan,) = checked.scan([Window(CHANNEL, text, facts=facts)])
    assert scan.settled == len(text)
    assert len(scan.findings) <= 1
    return scan.findings[0] if scan.findings else None


def test_it_says_what_it_is() -> None:
    traits = check().traits
    assert (traits.is_slow, traits.is_raw, traits.judges_whole, traits.needs_form) == (True,) * 4
    assert (traits.is_sensitive, traits.offers_repairs) == (False, False)


def test_a_text_without_a_form_is_none_of_its_business() -> None:
    assert check().scan([Window(CHANNEL, "x")])[0].findings == ()


def test_a_right_text_has_no_finding() -> None:
    assert whole(check(), '{"a": 1, "b": "x"}') is None


@pytest.mark.parametrize(
    ("text", "start", "label"),
    [
        ("Sure", 0, "malformed"),
        ('{"a": "1"}', 6, "wrong_type"),
        ('{"a": 1', 6, "incomplete"),
        ('{"b": "x"}', 9, "invalid"),
    ],
)
def test_a_wrong_text_has_one(text: str, start: int, label: str) -> None:
    for facts in (ASKED, STREAMED):
        found = whole(check(), text, facts)
        assert found is not None
        assert (found.start, found.end, found.check, found.label) == (start, start + 1, "shape", label)
        assert found.details
        assert found.repair is None


def test_of_a_whole_answer_all_faults_are_named_and_of_a_stream_the_first() -> None:
    text = '{"a": "1", "b": "z"}'
    whole_answer, streamed = (whole(check(), text, facts) for facts in (ASKED, STREAMED))
    assert whole_answer is not None
    assert streamed is not None
    assert [detail.place for detail in whole_answer.details] == ["a", "b"]
    assert [detail.place for detail in streamed.details] == ["a"]
    broken = whole(check(), '{"a": "1", "b"')
    assert broken is not None
    assert [detail.place for detail in broken.details] == ["a"]


@promise
@given(
    st.sampled_from(
        ['{"a": 1, "b": "x"}', '{"a": "1"}', '{"b": "xz"}', "Sure, {}", '{"a": 1} or so', "", "[", '{"a": 12']
    ),
    st.lists(st.integers(0, 20), max_size=5),
    st.booleans(),
)
def test_cuts_do_not_matter(text: str, cuts: list[int], repair: bool) -> None:
    checked = check(repair=repair)
    cuts = [cut for cut in cuts if cut < len(text)]
    if text:
        found = scan_in_chunks(checked, text, cuts, facts=STREAMED)
        (expected,) = checked.scan([Window(CHANNEL, text, facts=STREAMED)])
        assert found == list(expected.findings)
        assert [one.details for one in found] == [one.details for one in expected.findings]
        assert [one.repair for one in found] == [one.repair for one in expected.findings]


def test_only_one_character_is_held_while_the_text_is_right() -> None:
    held: list[int] = []
    scan_in_chunks(check(), '{"a": 1, "b": "x"}', range(1, 18), held, STREAMED)
    assert set(held) == {1}


def test_a_window_without_what_was_read_before_fails() -> None:
    with pytest.raises(ValueError, match="state"):
        check().scan([Window(CHANNEL, "1", 5, 5, facts=ASKED)])


# Repair.


@pytest.mark.parametrize(
    "text",
    ['```json\n{"a": 1}\n```', '{"a": 1,}', 'Here you are: {"a": 1}. Enjoy!', '{"a": 1', "{'a': 1}"],
)
def test_broken_json_is_mended_where_it_then_fits(text: str) -> None:
    found = whole(check(repair=True), text)
    assert found is not None
    assert found.repair is not None
    assert json.loads(found.repair) == {"a": 1}
    off = whole(check(), text)
    assert off is not None
    assert off.repair is None


@pytest.mark.parametrize("begin", ["", "[", '["', '{"a": "'])
@pytest.mark.parametrize("unit", ['{"k":"v, ', '["a, "b", ', 'hello "quoted" text ', '```json\n{"a":1}\n```\n'])
def test_texts_for_which_the_library_is_squared_are_not_repaired(begin: str, unit: str) -> None:
    """Its calls are counted, so the work of four times the text is at most four times as much, and it visits stop points."""
    stops: list[int] = []
    for size in (1500, 6000):
        count = 0

        def pause() -> None:
            nonlocal count
            count += 1

        with stoppable(pause):
            whole(check(repair=True), begin + unit * (size // len(unit)), ANYTHING)
        stops.append(count)
    assert stops[0]
    assert stops[1] <= 4 * stops[0] + 60


def test_a_repair_stops_when_nobody_waits_for_it() -> None:
    left = 3

    def pause() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ScanStopped

    with pytest.raises(ScanStopped), stoppable(pause):
        whole(check(repair=True), "[" + 'hello "quoted" text ' * 1000, ANYTHING)


def test_a_text_that_is_too_long_to_be_repaired_stays_broken() -> None:
    for size, is_repaired in ((REPAIR_CHARS - 100, True), (REPAIR_CHARS, False)):
        found = whole(check(repair=True), '{"a": 1,' + " " * size + "}")
        assert found is not None
        assert (found.repair is not None) == is_repaired


@pytest.mark.parametrize("text", ["no json at all", '{"b": "x",}', '{"a": "1"}'])
def test_what_would_not_fit_is_not_mended(text: str) -> None:
    found = whole(check(repair=True), text)
    assert found is not None
    assert found.repair is None


def test_a_mended_text_is_known_at_the_end_and_nothing_wrong_is_settled_before() -> None:
    checked, text = check(repair=True), 'So: {"a": 1}'
    first: Scan = checked.scan([Window(CHANNEL, text[:6], last=False, facts=STREAMED)])[0]
    assert (first.findings, first.settled) == ((), 0)
    (last,) = checked.scan([Window(CHANNEL, text, 0, 0, True, STREAMED, first.state)])
    assert last.findings[0].repair == '{"a": 1}'


def test_a_mender_that_fails_mends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RecursionError

    monkeypatch.setattr("json_repair.repair_json", fail)
    found = whole(check(repair=True), '{"a": 1')
    assert found is not None
    assert found.repair is None


def test_deep_json_is_told_its_first_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise RecursionError

    monkeypatch.setattr("guardproxy.checks.json_schema.json.loads", fail)
    found = whole(check(), '{"a": "1"}')
    assert found is not None
    assert found.details[0].place == "a"


# Arguments of calls.

PLAIN = {"type": "object", "properties": {"a": {}}}


@pytest.mark.parametrize(
    ("schema", "invented", "right"),
    [
        (PLAIN, "refuse", False),
        (PLAIN, "allow", True),
        ({**PLAIN, "additionalProperties": True}, "refuse", True),
        ({**PLAIN, "additionalProperties": False}, "allow", False),
        ({**PLAIN, "patternProperties": {"^b": {}}}, "refuse", True),
        ({**PLAIN, "allOf": [{"properties": {"b": {}}}]}, "refuse", True),
        ({"type": "object"}, "refuse", True),
        (True, "refuse", True),
    ],
)
def test_invented_arguments_are_faults_unless_the_schema_or_the_policy_allows_them(
    schema: Any, invented: str, right: bool
) -> None:
    checked = check(invented=invented)
    assert (whole(checked, '{"a": 1, "b": 2}', Facts(form=Form(schema, call=True))) is None) == right
    assert whole(checked, '{"a": 1}', Facts(form=Form(schema, call=True))) is None
    if schema is PLAIN:
        assert whole(checked, '{"a": 1, "b": 2}', Facts(form=Form(schema))) is None, "an answer is no call"


# Names of tools.

TOOLS = Facts(form=Form(words=("forecast", "fore", "map")), streamed=True)


@pytest.mark.parametrize(
    ("name", "start"), [("weather", 0), ("foreca", 5), ("forecasts", 8), ("mop", 1), ("", None), ("map", None)]
)
def test_a_name_must_be_one_of_the_tools(name: str, start: int | None) -> None:
    for cuts in (range(0), range(1, len(name))):
        found = scan_in_chunks(check(), name, cuts, facts=TOOLS) if name else []
        assert [(one.start, one.label) for one in found] == ([] if start is None else [(start, UNKNOWN_TOOL)])
    if start is not None:
        assert 'one of "forecast", "fore", "map"' in found[0].details[0].expected


def test_a_name_that_is_complete_leaves_at_once() -> None:
    held: list[int] = []
    scan_in_chunks(check(), "map", [1, 2, 2], held, TOOLS)
    assert held == [1, 1]
    (scan,) = check().scan([Window(CHANNEL, "map", last=False, facts=TOOLS)])
    assert scan.settled == 3


def test_without_tools_every_call_is_unknown() -> None:
    found = whole(check(), "map", Facts(form=Form(words=())))
    assert found is not None
    assert "declares no tool" in found.details[0].expected


# Schemas of a request, looked at before it is sent.

ASKING = Channel("request", "tool_definition", "schema")


def test_a_schema_that_cannot_be_used_is_found_before_anything_is_sent() -> None:
    forms = [Form({"$ref": "#"}), Form(SCHEMA), Form(words=("a",))]
    scans = check().scan([Window(ASKING, "", facts=Facts(form=form)) for form in forms])
    assert [[one.label for one in scan.findings] for scan in scans] == [[REFUSED], [], []]
    assert "in a circle" in scans[0].findings[0].details[0].found


def test_equal_schemas_are_compiled_once() -> None:
    checked = check()
    assert checked.compiled(Form({"type": "string"})) is checked.compiled(Form({"type": "string"}))
    assert Form(SCHEMA) != SCHEMA
    assert Form(key="k") == Form(7, key="k")


# Options.


def test_a_schema_of_the_policy_is_that_of_every_answer() -> None:
    own = check(schema={"inline": {"type": "null"}})
    assert own.traits.own_form is not None
    assert whole(own, "1", Facts(form=own.traits.own_form)) is not None
    assert whole(own, "null", Facts(form=own.traits.own_form)) is None


def files(**content: Any) -> Resources:
    def read(path: str) -> bytes:
        if path not in content:
            raise FileNotFoundError(2, "No such file")
        return content[path] if isinstance(content[path], bytes) else json.dumps(content[path]).encode()

    return Resources(read=read)


def test_a_schema_file_is_read_and_is_part_of_the_digest() -> None:
    here = {"a.json": {"$ref": "b.json"}, "b.json": {"type": "null"}}
    one = check(files(**here), schema={"file": "a.json"})
    other = check(files(**{**here, "b.json": {"type": "string"}}), schema={"file": "a.json"})
    assert one.digest != other.digest
    assert one.digest == check(files(**here), schema={"file": "a.json"}).digest
    assert whole(one, "1", Facts(form=one.traits.own_form)) is not None


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        ({"schma": 1}, "schma", "unknown option"),
        ({"schema": "from_somewhere"}, "schema", "must be from_request"),
        ({"schema": None}, "schema", "must be from_request"),
        ({"schema": {"file": "a.json", "inline": {}}}, "schema", "must be from_request"),
        ({"schema": {"inline": {"type": "nothing"}}}, "schema", "not valid"),
        ({"schema": {"inline": {"$ref": "https://example.com/x"}}}, "schema", "nothing is fetched"),
        ({"schema": {"file": "there.json"}}, "schema", "cannot read the schema file `there.json`: no such file"),
        ({"schema": {"file": "broken.json"}}, "schema", "it is not JSON"),
        ({"invented": "maybe"}, "invented", "must be one of refuse, allow"),
        ({"draft": "3"}, "draft", "must be one of"),
        ({"repair": "yes"}, "repair", "true or false"),
    ],
)
def test_what_cannot_be_used_is_refused(options: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        check(files(**{"broken.json": b"{"}), **options)
    assert caught.value.key == key


def test_files_need_a_reader() -> None:
    with pytest.raises(OptionError, match="cannot be read here"):
        check(schema={"file": "a.json"})


def test_the_draft_is_an_option() -> None:
    seven = check(draft="7", schema={"inline": {"$ref": "#/definitions/a", "definitions": {"a": {}}, "type": "null"}})
    assert whole(seven, "1", Facts(form=seven.traits.own_form)) is None
