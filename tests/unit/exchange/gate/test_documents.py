"""Documents in texts: each is a text of its own, and the text that holds it is sent as it came, but for the edits of both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit import Record
from guardproxy.exchange.gate.blocks import PartBorders
from guardproxy.exchange.gate.documents import clipped, cut_up
from guardproxy.exchange.inputs.transcript import RequestReceived, SendUpstream
from guardproxy.exchange.phases.chunks import NOTE
from guardproxy.findings import Scan
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.wire import Codec, codecs
from tests.kit.gemini import GEMINI
from tests.kit.play import CHAT, MESSAGES, Play, policy_set
from tests.kit.records import replay, through_log

MARKS = "documents: {tags: [context, document], fences: true, marks: ['-----', {begin: 'Context:', end: 'Question:*'}]APART}\n"
CHECKS = "checks: {bad: {use: pattern, words: [poison]}, odd: {use: pattern, patterns: ['strange']}}\n"
DROP = "  - {id: cut, on: request.document, when: bad, action: drop_chunk}\n"
HIDE = "  - {id: hide, on: request, when: odd, action: redact, restore: true}\n"
STOP = "  - {id: stop, on: user, when: bad, action: block}\n"
ANSWER = {"id": "m", "object": "chat.completion", "created": 1, "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
]}  # fmt: skip


def policies(*rules: str, marks: str = MARKS, apart: bool = False, checks: str = CHECKS, more: str = "") -> PolicySet:
    marks = marks.replace("APART", ", apart: true" if apart else "")
    return policy_set(f"policy: p\n{marks}{more}{checks}rules:\n{''.join(rules)}")


def chat(*contents: Any, role: str = "user") -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": role, "content": content} for content in contents]}


def parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


def asked(body: Mapping[str, Any], rules: PolicySet, route: str = CHAT) -> Play:
    return Play(rules, route).ask(body)


def sent(done: Play) -> list[Any]:
    """The texts of the messages that went upstream."""
    out = []
    for message in done.upstream["messages"]:
        content = message["content"]
        out.append(content if isinstance(content, str) else [part["text"] for part in content])
    return out


def documents(done: Play) -> dict[str, str]:
    """The texts of documents, as the checks read them, by path."""
    lanes = done.exchange._ledger.request.gate.lanes.every
    return {lane.channel.path: "".join(lane.text.parts) for lane in lanes if lane.channel.kind == "document"}


def finished(done: Play) -> Record:
    """The record, after an answer, as a log holds it."""
    done.stream([json.dumps(ANSWER).encode()], media="application/json")
    return through_log(done.finish.record)


def test_each_document_is_a_text_of_its_own_and_one_is_cut_out() -> None:
    text = "Use this.\n<context>\n<document>a poison</document>\n<document>fine</document>\n</context>\nIs it poison?"
    done = asked(chat("hi", text), policies(DROP))
    assert sent(done) == ["hi", text.replace("a poison<", f"{NOTE}<")]
    assert documents(done) == {
        "messages[1].content#document[0]": "a poison",
        "messages[1].content#document[1]": "fine",
    }
    (outcome,) = done.exchange.outcomes
    assert (outcome.rule, outcome.channel.path) == ("cut", "messages[1].content#document[0]")


def test_an_untouched_request_goes_on_byte_for_byte() -> None:
    body = b'{"model": "m",  "messages": [{"role": "user", "content": "\\u003ccontext>a\\u0062c\\n</context> \\ud83d\\ude00"}]}'
    done = asked(body, policies(DROP, HIDE))  # type: ignore[arg-type]
    assert documents(done) == {"messages[0].content#document[0]": "abc"}
    assert [command.body for command in done.done if isinstance(command, SendUpstream)] == [body]


@pytest.mark.parametrize("apart", [False, True])
def test_edits_of_both_readings_are_made_once(apart: bool) -> None:
    text = "strange <context>\nstrange and poison\n</context> strange <context>a strange b</context> strange"
    done = asked(chat(text), policies(DROP, HIDE, apart=apart))
    token = sent(asked(chat("strange"), policies(HIDE)))[0]
    assert sent(done) == [f"{token} <context>\n{NOTE}\n</context> {token} <context>a {token} b</context> {token}"]
    record = finished(done)
    assert "strange" not in json.dumps(record.request.body)
    assert replay(record, done.policies).verdict == "identical"


def test_a_value_across_the_border_of_a_document_is_edited_once() -> None:
    checks = "checks: {odd: {use: pattern, patterns: ['one\\W+context\\W+two']}, bad: {use: pattern, words: [two]}}\n"
    rules = "  - {id: a, on: user, when: odd, action: redact}\n  - {id: b, on: document, when: bad, action: redact}\n"
    done = asked(chat("x one <context>two three</context> y"), policies(rules, checks=checks))
    (text,) = sent(done)
    assert text.startswith("x [")
    assert text.endswith("] three</context> y")
    assert text.count("[") == 1
    record = finished(done)
    held, document = record.request.texts
    assert document.span is not None
    assert held.text is not None
    assert held.text[slice(*document.span)] == document.text, "a replay finds the document although its tag is masked"
    assert "<context>" not in held.text
    assert replay(record, done.policies).verdict == "identical"


def test_values_that_overlap_at_a_border_are_edited_together() -> None:
    checks = (
        "checks: {odd: {use: pattern, patterns: ['one .context.two']}, bad: {use: pattern, patterns: ['two three']}}\n"
    )
    rules = "  - {id: a, on: user, when: odd, action: redact}\n  - {id: b, on: document, when: bad, action: redact}\n"
    done = asked(chat("x one <context>two three four</context> y"), policies(rules, checks=checks))
    (text,) = sent(done)
    assert text.startswith("x [MATCH_")
    assert text.endswith("] four</context> y")
    assert text.count("][") == 1
    assert replay(finished(done), done.policies).verdict == "identical"


def test_values_in_a_string_of_json_are_masked_where_they_stand() -> None:
    text = '{"quotes": ["strange \\u0073trange \\ud83d\\ude00 strange", "strange", "\\n"], "strange": "strange"}'
    for role in ("tool", "user"):
        body = {"model": "m", "messages": [{"role": role, "tool_call_id": "1", "content": text}]}
        done = asked(body, policies(HIDE, marks=JSON.replace("APART", "")))
        record = finished(done)
        assert "strange" not in json.dumps(record.request.body)
        assert "\\ud83d\\ude00" in record.request.body["messages"][0]["content"]
        assert replay(record, done.policies).verdict == "identical"
        assert "strange" not in json.loads(sent(done)[0])["quotes"][0]


@pytest.mark.parametrize("other", ["fine and well", "poison"])
def test_two_places_with_the_same_name_keep_their_documents(other: str) -> None:
    response = {"a": {"results": [{"text": other}]}, "a.results": [{"text": "poison"}]}
    body = {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": response}}]}]}
    done = asked(body, policies(DROP, marks=JSON.replace("APART", "").replace("/results/*/text", "/*/text")), GEMINI)
    given = done.upstream["contents"][0]["parts"][0]["functionResponse"]["response"]
    kept = NOTE if other == "poison" else other
    assert given == {"a": {"results": [{"text": kept}]}, "a.results": [{"text": NOTE}]}
    answer = {"candidates": [{"content": {"role": "model", "parts": [{"text": "ok"}]}, "finishReason": "STOP"}]}
    done.stream([json.dumps(answer).encode()], media="application/json")
    record = through_log(done.finish.record)
    assert [text.path for text in record.request.texts if text.kind == "document"] == [
        "contents[0].parts[0].functionResponse.response.a.results[0].text#document[0]",
        "contents[0].parts[0].functionResponse.response.a.results[0].text#document[1]",
    ]
    assert replay(record, done.policies).verdict == "identical"


def test_rules_about_the_user_read_documents_too_unless_the_policy_says_otherwise() -> None:
    hidden = chat("<context>poison</context>")
    assert asked(hidden, policies(STOP, DROP)).upstream is None
    assert sent(asked(hidden, policies(STOP, DROP, apart=True))) == [f"<context>{NOTE}</context>"]
    assert asked(chat("<context>fine</context> poison"), policies(STOP, DROP, apart=True)).upstream is None


def test_the_policy_of_another_file_still_reads_all_of_its_texts() -> None:
    one = f"policy: p\n{MARKS.replace('APART', ', apart: true')}{CHECKS}rules:\n{DROP}"
    other = f"policy: q\n{CHECKS}rules:\n{STOP}"
    assert asked(chat("<context>poison</context>"), policy_set(one, other)).upstream is None
    assert (
        asked(chat("<context>poison</context>"), policy_set(one, other.replace("block", "flag"))).upstream is not None
    )


def test_a_section_in_shadow_mode_is_not_carried_out() -> None:
    done = asked(chat("<context>poison</context>"), policies(DROP, more="mode: shadow\n"))
    assert documents(done) == {}


@pytest.mark.parametrize("apart", [False, True])
def test_parts_of_a_message_are_one_text(apart: bool) -> None:
    body = chat(parts("Use <con", "text>a poi", "son</context> is", " it strange?"))
    done = asked(body, policies(DROP, HIDE, apart=apart))
    first, second, third, fourth = sent(done)[0]
    assert (first, second, third) == ("Use <con", f"text>{NOTE}", "</context> is")
    assert "strange" not in fourth
    assert documents(done) == {
        "messages[0].content[1].text#document[0][0]": "a poi",
        "messages[0].content[2].text#document[0][1]": "son",
    }
    assert replay(finished(done), done.policies).verdict == "identical"


def test_a_part_of_which_nothing_is_left_gets_a_full_stop() -> None:
    done = asked(chat(parts("<context>", "poison", "and more", "</context>")), policies(DROP))
    assert sent(done) == [["<context>", NOTE, ".", "</context>"]]


def test_the_attributes_of_a_tag_belong_to_its_document() -> None:
    text = '<document index="1" title="poison">fine</document><document index="2">fine</document>'
    done = asked(chat(text), policies(DROP))
    assert sent(done) == [f'<document >{NOTE}</document><document index="2">fine</document>']
    assert documents(done) == {
        "messages[0].content#document[0]": "fine",
        "messages[0].content#document[0].attributes": 'index="1" title="poison"',
        "messages[0].content#document[1]": "fine",
    }


@pytest.mark.parametrize("role", ["system", "user", "developer", "assistant", "tool"])
def test_texts_of_users_and_the_system_hold_documents(role: str) -> None:
    done = asked(chat("<context>poison</context>", role=role), policies(DROP))
    assert bool(documents(done)) == (role in ("system", "user", "developer"))


def test_values_of_documents_of_the_system_do_not_come_back() -> None:
    done = asked(chat("<context>strange</context>", role="system"), policies(HIDE))
    assert done.exchange._guard.editor.values == {}
    done = asked(chat("<context>strange</context>"), policies(HIDE))
    assert list(done.exchange._guard.editor.values.values()) == ["strange"]


JSON = "documents: {json: [/results/*/text, '/*/body', /quotes]APART}\n"


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("role", ["tool", "user"])
def test_documents_in_json(role: str, apart: bool) -> None:
    texts = ['a \\"poi\\u0073on\\"', "fi\\nne strange"]
    result = '{"results": [' + ", ".join(f'{{"url": "u",  "text": "{text}"}}' for text in texts) + '], "n": 1}'
    body = {"model": "m", "messages": [{"role": role, "tool_call_id": "1", "content": result}]}
    done = asked(body, policies(DROP, HIDE, marks=JSON, apart=apart))
    (text,) = sent(done)
    first, second = json.loads(text)["results"]
    assert first == {"url": "u", "text": NOTE}
    assert second["text"].startswith("fi\nne [")
    assert '"url": "u",  "text"' in text
    record = finished(done)
    assert replay(record, done.policies).verdict == "identical"
    assert "strange" not in json.dumps(record.request.body)
    assert [text.encoded for text in record.request.texts if text.kind == "document"] == [True, True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"body": "poison"}, {"body": ["poison", {"x": "poison"}], "title": "t"}, "poison"]',
         [{"body": NOTE}, {"body": [NOTE, {"x": NOTE}], "title": "t"}, "poison"]),
        ('{"quotes": {"poison": "fine", "a": "poison"}}', {"quotes": {"poison": "fine", "a": NOTE}}),
        ('{"quotes": "poison', '{"quotes": "poison'),
        ('{"results": [{"text": 5, "body": "poison"}]}', {"results": [{"text": 5, "body": "poison"}]}),
        ('text poison', "text poison"),
        ('{"results": "poison"}', {"results": "poison"}),
        (' {"quotes": "  poison "}', {"quotes": NOTE}),
        (r'{"results": [{"te\u0078t": "poison"}]}', {"results": [{"text": NOTE}]}),
        (r'{"quotes\u0020": "poison"}', {"quotes ": "poison"}),
        ('{"quotes": [12345678901, "poison"]}', {"quotes": [12345678901, NOTE]}),
        ('\ufeff {"quotes": "poison"}', f'\ufeff {{"quotes": "{NOTE}"}}'),
        ('{"quotes": "poison"}\n{"quotes": "poison"}', f'{{"quotes": "{NOTE}"}}\n{{"quotes": "{NOTE}"}}'),
        ('[1] then {"quotes": "poison"}', f'[1] then {{"quotes": "{NOTE}"}}'),
    ],
)  # fmt: skip
def test_pointers_into_json(text: str, expected: Any) -> None:
    done = asked({"model": "m", "messages": [{"role": "tool", "tool_call_id": "1", "content": text}]},
                 policies(DROP, marks=JSON.replace("APART", "")))  # fmt: skip
    (new,) = sent(done)
    assert (new if isinstance(expected, str) else json.loads(new)) == expected


def test_a_result_that_is_an_object_has_documents_by_the_end_of_their_path() -> None:
    response = {"results": [{"text": "poison", "url": "u"}, {"text": "fine"}]}
    body = {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": response}}]}]}
    done = asked(body, policies(DROP, marks=JSON.replace("APART", "")), GEMINI)
    given = done.upstream["contents"][0]["parts"][0]["functionResponse"]["response"]
    assert given == {"results": [{"text": NOTE, "url": "u"}, {"text": "fine"}]}


def test_a_text_that_is_json_has_no_other_documents() -> None:
    both = JSON.replace("APART", ", tags: [context]")
    done = asked(chat('{"quotes": "<context>a</context>"}', "<context>b</context>"), policies(DROP, marks=both))
    assert list(documents(done).values()) == ['"<context>a</context>"', "b"]


def test_what_follows_json_may_hold_other_documents() -> None:
    both = JSON.replace("APART", ", tags: [context]")
    text = '{"quotes": "a <context>"}\n<context>b {"quotes": "c"}</context>'
    done = asked(chat(text), policies(DROP, marks=both))
    assert list(documents(done).values()) == ['"a <context>"', 'b {"quotes": "c"}']
    done = asked(chat(text[1:]), policies(DROP, marks=both))
    assert list(documents(done).values()) == ['b {"quotes": "c"}'], "no JSON"
    done = asked(chat('{"quotes": "a", } <context>b</context>'), policies(DROP, marks=both))
    assert list(documents(done).values()) == ['"a"'], "nobody knows where it ends"


MIXED = (
    *('{"quotes": "a"}', '{"quotes": ["b <context>", "c"', "]}", '"', "\\", "[1]"),
    *("<context>", "</context>", "then", " ", "\ufeff", "\n"),
)


@given(st.lists(st.sampled_from(MIXED), max_size=12).map("".join))
def test_documents_of_json_and_between_marks_do_not_overlap(text: str) -> None:
    done = asked(chat(text or "a"), policies(DROP, marks=JSON.replace("APART", ", tags: [context]")))
    spans = sorted(each.span for each in finished(done).request.texts if each.span)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))


def test_what_follows_too_many_strings_of_json_is_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardproxy.exchange.gate.documents.MOST_BLOCKS", 2)
    text = json.dumps({"quotes": ["fine", "poison", "poison", "end"]})
    body = {"model": "m", "messages": [{"role": "tool", "tool_call_id": "1", "content": text}]}
    done = asked(body, policies(DROP, marks=JSON.replace("APART", "")))
    assert list(documents(done).values()) == ['"fine"', '"poison", "poison", "end"]}']
    assert sent(done) == [f'{{"quotes": ["fine", {NOTE}']


def test_the_borders_of_parts_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message has its own. To count them for each document would cost the square of the parts."""
    counts: list[int] = []
    of = PartBorders.of

    def counted(parts: Sequence[str]) -> PartBorders:
        counts.append(len(parts))
        return of(parts)

    monkeypatch.setattr(PartBorders, "of", counted)
    for number in (5, 50):
        counts.clear()
        done = asked(chat(parts(*["<context>fine</context> x"] * number)), policies(DROP, STOP, apart=True))
        assert len(documents(done)) == number
        assert counts == [number, number]


def test_without_rules_about_the_texts_around_documents_these_are_not_cut() -> None:
    done = asked(chat("a <context>fine</context> b"), policies(DROP))
    lanes = done.exchange._ledger.request.gate.lanes.every
    assert [lane.channel.kind for lane in lanes if lane.channel.kind != "metadata"] == ["user", "document"]


def with_text(codec: Codec, kind: Any, text: str) -> tuple[str, dict[str, Any]] | None:
    """A request of a format with a text of a kind, and its route."""
    if kind not in codec.contract.carries["request"]:
        return None
    route = next(route for route in codec.routes if route.startswith("POST "))
    return route, codec.author.request_with(kind, text)


@pytest.mark.parametrize("kind", ["user", "system"])
@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: codec.name)
def test_documents_in_every_format(codec: Codec, kind: Any) -> None:
    text = "Use\n<context>a poison</context>\nWhat is poison?"
    if (made := with_text(codec, kind, text)) is None:
        return
    route, body = made
    done = asked(body, policies(DROP), route)
    assert list(documents(done).values()) == ["a poison"]
    assert text.replace("a poison", NOTE) in json.dumps(done.upstream).replace("\\n", "\n")


SPLIT = ("Use <con", "text>a poi", "son</context> is strange?")
TYPED = [{"type": "text", "text": text} for text in SPLIT]
IN_PARTS: list[tuple[str, dict[str, Any]]] = [
    (MESSAGES, {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": TYPED}]}),
    (MESSAGES, {"model": "m", "max_tokens": 5, "system": TYPED, "messages": [{"role": "user", "content": "q"}]}),
    (
        "POST /v1/responses",
        {
            "model": "m",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": text} for text in SPLIT]}],
        },
    ),
    (GEMINI, {"contents": [{"role": "user", "parts": [{"text": text} for text in SPLIT]}]}),
    (GEMINI, {"contents": [], "systemInstruction": {"parts": [{"text": text} for text in SPLIT]}}),
]


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(("route", "body"), IN_PARTS)
def test_documents_over_the_parts_of_a_message_in_other_formats(route: str, body: Any, apart: bool) -> None:
    done = asked(body, policies(DROP, HIDE, apart=apart), route)
    assert "".join(documents(done).values()) == "a poison"
    written = json.dumps(done.upstream)
    assert f"text>{NOTE}" in written
    assert "strange" not in written
    assert "son<" not in written


# What others do with documents.

GROUNDED = "  - {id: grounded, on: response.assistant, when: support, action: flag}\n"
SUPPORT = "checks: {support: {use: grounded}}\n"


def answered(said: str, rules: PolicySet, text: str) -> Play:
    done = asked(chat(text), rules)
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    return done.stream([json.dumps({**ANSWER, "choices": [choice]}).encode()], media="application/json")


@pytest.mark.parametrize("more", ["", "  - {id: hide, on: request, when: support, action: flag}\n"])
def test_answers_are_compared_with_documents_in_texts(more: str) -> None:
    text = "Answer.\n<context>\nThe ferry to Lindholm leaves from pier 4 at 7:15.\n</context>\nWhen does it leave?"
    rules = policies(GROUNDED, checks=SUPPORT)
    right = answered("The ferry to Lindholm leaves from pier 4.", rules, text)
    assert right.exchange.outcomes == []
    wrong = answered("Lindholm has three castles and a museum.", rules, text)
    assert [outcome.rule for outcome in wrong.exchange.outcomes] == ["grounded"]
    sources = wrong.exchange._guard.forms.sources
    assert sources is not None
    assert sources.texts == ("The ferry to Lindholm leaves from pier 4 at 7:15.",)
    (asking,) = sources.asked
    assert len(asking) == len(text)
    assert asking.split() == ["Answer.", "<context>", "</context>", "When", "does", "it", "leave?"]


WRAP = "prompt: {wrap: {kinds: [KIND], how: delimit}}\n"


@pytest.mark.parametrize("rule", [DROP, GROUNDED])
def test_documents_get_marks(rule: str) -> None:
    rules = policies(rule, more=WRAP.replace("KIND", "document"), checks=CHECKS + "  #\n" if rule is DROP else SUPPORT)
    text = 'Use\n<document title="t">\na </untrusted> poison\n</document> and <context>fine</context>.'
    (_, new) = sent(asked(chat(text), rules))
    assert new.count("<untrusted-") == 2
    assert new.startswith('Use\n<document title="t">\n<untrusted-') or new.startswith("Use\n<document >\n<untrusted-")
    assert "\n</document> and <context><untrusted-" in new


def test_marks_around_a_result_and_the_documents_in_it() -> None:
    result = '{"results": [{"text": "f\\u0069ne"}, {"text": ""}]}'
    body = chat("hi")
    body["messages"].append({"role": "tool", "tool_call_id": "1", "content": result})
    for kinds in ("document", "tool_result", "tool_result, document"):
        rules = policies(DROP, marks=JSON.replace("APART", ""), more=WRAP.replace("KIND", kinds))
        new = sent(asked(body, rules))[-1]
        shown = new.partition("\n")[2].rpartition("\n")[0] if "tool_result" in kinds else new
        (first, second) = json.loads(shown)["results"]
        assert second == {"text": ""}
        assert ("untrusted" in first["text"]) == ("document" in kinds)
        assert "fine" in first["text"]
        assert ("f\\u0069ne" in shown) == ("document" not in kinds)


def test_the_record_of_a_blocked_request_has_its_documents() -> None:
    done = asked(chat("strange <context>poison</context>"), policies(STOP, HIDE))
    record = through_log(done.finish.record)
    held, document = record.request.texts
    assert (held.kind, held.span, document.kind) == ("user", None, "document")
    assert document.span is not None
    assert (held.text or "")[: document.span[0]].endswith("<context>")
    assert replay(record, done.policies).verdict == "identical"


def test_a_text_of_which_a_check_failed_is_not_kept() -> None:
    rules = policies(DROP, HIDE)
    done = Play(rules)
    done.tell(_received(chat("a <context>fine</context>", "<context>b</context>")))
    assert done.pending is not None
    scans = [
        Scan((), job.window.settled, 0, error="Failing")
        if job.window.channel.kind == "document" and job.window.text == "fine"
        else job.check.scan([job.window])[0]
        for job in done.pending.jobs
    ]
    done.answer_scan(*scans)
    record = done.finish.record
    assert isinstance(record, Record)
    texts = {text.path: text.text for text in record.request.texts}
    assert texts["messages[0].content"] is None
    assert texts["messages[0].content#document[0]"] is None
    assert texts["messages[1].content"] == "<context>b</context>"
    assert record.request.body is None


def _received(body: Any) -> Any:
    return RequestReceived(json.dumps(body).encode())


def test_a_replay_under_other_policies_looks_for_documents_again() -> None:
    done = asked(chat("<context>fine</context> <source>poison</source>"), policies(DROP))
    record = finished(done)
    assert record.policies == "sha256:test"
    other = replace(policies(DROP, marks="documents: {tags: [source]}\n"), digest="sha256:other")
    again = replay(record, other)
    assert again.verdict == "different"
    assert any("cut" in line for line in again.differences)


# Properties.

PIECES = ("<context>", "</context>", '<document a="strange">', "</document>", "\n```\n", "\n-----\n", "\nContext:\n",
          "\nQuestion: q", "strange", "poison", " ", "\n", "st", "range", "x")  # fmt: skip
MESSAGES_OF_PIECES = st.lists(
    st.lists(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), min_size=1, max_size=3), min_size=1, max_size=2
)


def body_of(messages: Sequence[Sequence[str]]) -> dict[str, Any]:
    return chat(*(texts[0] if len(texts) == 1 else parts(*texts) for texts in messages))


@given(MESSAGES_OF_PIECES)
def test_without_a_rule_about_documents_everything_is_as_before(messages: Sequence[Sequence[str]]) -> None:
    """The reading of documents finds what the reading of the whole text finds, so the same text is sent."""
    body = body_of(messages)
    before, after = (asked(body, policies(HIDE, marks=marks)) for marks in ("", MARKS.replace("APART", "")))
    assert sent(after) == sent(before)


@given(MESSAGES_OF_PIECES)
def test_nothing_is_unread_if_documents_are_apart(messages: Sequence[Sequence[str]]) -> None:
    done = asked(body_of(messages), policies(HIDE, apart=True))
    texts = sent(done)
    assert "strange" not in json.dumps(texts)
    lanes = done.exchange._ledger.request.gate.lanes
    read = sum(len("".join("".join(lane.text.parts).split())) for lane in lanes.every if lane.progress.checks)
    assert read == sum(len("".join(text.split())) for message in messages for text in message)


# Values that lie on the borders of documents, and overlap each other.
CROSSING = (
    "checks: {odd: {use: pattern, patterns: ['st<.{0,9}', 'text>s', 'range.?.?.?x', '-----.st', 'x</cont', 'strange']}, "
    "bad: {use: pattern, patterns: ['poi', 'nge..?st', 'x.x']}, gone: {use: pattern, words: [poison]}}\n"
)
OF_DOCUMENTS = """\
  - {id: b, on: document, when: bad, action: redact}
  - {id: c, on: document, when: gone, action: drop_chunk}
"""
OF_THE_USER = HIDE.replace("on: request", "on: user").replace("restore: true", "operators: {DEFAULT: {type: mask}}")
CROSSED = [
    [
        policies(rule, OF_DOCUMENTS, checks=CROSSING, apart=apart, marks=marks)
        for rule in (HIDE, OF_THE_USER)
        for apart in (False, True)
    ]
    for marks in (MARKS, JSON)
]


def same_again(done: Play) -> None:
    """Replays the record, in which each document is a part of the text that holds it."""
    record = finished(done)
    again = replay(record, done.policies)
    assert (again.verdict, again.differences) == ("identical", ())
    held = {text.path: text.text for text in record.request.texts}
    for text in record.request.texts:
        if text.span is not None:
            whole = held[text.path.rpartition("#")[0]]
            assert whole is not None
            assert whole[slice(*text.span)] == text.text


@given(MESSAGES_OF_PIECES, st.sampled_from(CROSSED[0]))
def test_a_replay_is_identical(messages: Sequence[Sequence[str]], rules: PolicySet) -> None:
    same_again(asked(body_of(messages), rules))


STRINGS = st.lists(
    st.sampled_from(
        ["strange", "poison", "\\u0073trange", "x", "\\n", "st", "range", " ", '\\"', "\u00f1", "\\ud83d\\ude00"]
    ),
    max_size=8,
).map("".join)


@given(
    st.lists(st.tuples(STRINGS, STRINGS), max_size=4), st.sampled_from(CROSSED[1]), st.sampled_from(["tool", "user"])
)
def test_a_replay_of_json_is_identical(rows: Any, rules: PolicySet, role: str) -> None:
    texts = (f'{{"text": "{text}", "strange{number}": "{other}"}}' for number, (text, other) in enumerate(rows))
    text = f' {{"results": [{", ".join(texts)}], "quotes": ["strange"]}}'
    done = asked({"model": "m", "messages": [{"role": role, "tool_call_id": "1", "content": text}]}, rules)
    assert len(json.loads(sent(done)[0])["results"]) == len(rows)
    same_again(done)


EDITS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4), st.sampled_from(["", "x", "yz"])), max_size=5).map(
    lambda rows: [
        (start, start + size, put)
        for number, (start, size, put) in enumerate(sorted(rows))
        if number == 0 or start >= sum(sorted(rows)[number - 1][:2])
    ]
)


@given(st.text("abc", min_size=35, max_size=40), EDITS, st.lists(st.integers(0, 35), max_size=4).map(sorted))
def test_parts_of_an_edited_text_make_up_the_text(text: str, edits: Any, borders: Any) -> None:
    (whole,) = cut_up(text, edits, ())
    cut = cut_up(text, edits, borders)
    assert len(cut) == len(borders) + 1
    assert "".join(cut) == whole
    starts = [0, *borders]
    for start, end, part in zip(starts, [*borders, len(text)], cut, strict=True):
        assert "".join(cut_up(text[start:end], clipped(edits, start, end, is_once=True), ())) == part


def test_text_events_without_documents_stay_as_they_are() -> None:
    rules = policies(DROP)
    done = asked(chat("fine"), rules)
    lanes = done.exchange._ledger.request.gate.lanes
    assert lanes.cut is None
    assert len(lanes.every) == len(
        Play(policies(DROP, marks="")).ask(chat("fine")).exchange._ledger.request.gate.lanes.every
    )
