"""The section `formats` of a policy file: what it becomes, and which set of policies reads which routes. Its mistakes are in
`tests/policy/broken`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jsonschema
import pytest
import yaml

from guardproxy.policy.file import PolicyErrors
from guardproxy.policy.file.document_schema import schema
from guardproxy.policy.file.load import parse, parse_all
from guardproxy.policy.tools.lint import notes
from guardproxy.policydiff.policies import changes
from guardproxy.wire import installed
from tests.kit.play import policy_set

FORMATS = """
formats:
  acme:
    routes: [POST /acme/talk, "POST /acme/{site}/ask"]
    request:
      texts: {/turns/*/text: by_role, /note: metadata}
      role: from
      structure: [/turns/*/id]
      model: /engine
      stream: /live
      stream_default: true
    answer: {texts: {/output/text: assistant}, structure: [/id], usage: {prompt: /in, answer: /out}}
    stream: {framing: sse, texts: {/part: assistant}, end: "[DONE]", events: [part], content_type: text/x-events}
    error: /fault/message
"""
RULES = """
policy: POLICY
match: {routes: [POST /acme/*]}
checks: {word: {use: pattern, words: [zanzibar]}}
rules: [{id: word, when: word, action: block}]
"""
POLICY = RULES.replace("POLICY", "first") + FORMATS


def test_a_section_becomes_a_declaration() -> None:
    (declared,) = parse(POLICY, "a.yaml").formats
    assert (declared.name, declared.routes) == ("acme", ("POST /acme/talk", "POST /acme/{site}/ask"))
    assert declared.request.texts == ((("turns", "*", "text"), "by_role"), (("note",), "metadata"))
    assert (declared.request.role, declared.request.model, declared.request.stream) == ("from", ("engine",), ("live",))
    assert declared.request.streams
    assert (declared.answer.prompt_tokens, declared.answer.answer_tokens) == (("in",), ("out",))
    assert (declared.stream.end_text, declared.stream.end, declared.stream.events) == ("[DONE]", None, ("part",))
    assert declared.stream.media == "text/x-events"
    assert declared.error == ("fault", "message")


def test_a_stream_may_have_several_ends() -> None:
    several = "[{pointer: /last, equals: true}, {pointer: /state, equals: failed}]"
    (declared,) = parse(POLICY.replace('"[DONE]"', several), "a.yaml").formats
    assert declared.stream.ends == ((("last",), True), (("state",), "failed"))
    (alone,) = parse(POLICY.replace('"[DONE]"', "{pointer: /last, equals: true}"), "a.yaml").formats
    assert alone.stream.ends == ((("last",), True),)
    jsonschema.validate(yaml.safe_load(POLICY.replace('"[DONE]"', several)), schema())
    with pytest.raises(PolicyErrors, match="expected a mapping like"):
        parse(POLICY.replace('"[DONE]"', "[gone]"), "a.yaml")
    with pytest.raises(PolicyErrors, match="expected a pointer"):
        parse(POLICY.replace('"[DONE]"', "[{pointer: 7, equals: true}]"), "a.yaml")


def test_a_set_reads_the_formats_of_all_its_files() -> None:
    policies = policy_set(POLICY, RULES.replace("POLICY", "second"))
    assert policies.formats.served("POST /acme/north/ask") is not None
    codec = policies.formats.codec_for("POST /acme/talk")
    assert codec is not None
    assert codec.name.startswith("acme@")
    assert installed().codec_for("POST /acme/talk") is None, "the formats that are installed do not change"
    assert policy_set(RULES.replace("POLICY", "first")).formats is installed()


def test_the_digest_of_a_format_follows_its_content() -> None:
    names = {
        policy_set(text).formats.codecs[-1].name
        for text in (POLICY, POLICY.replace("/output/text", "/output/words"), POLICY.replace("[DONE]", "[END]"))
    }
    assert len(names) == 3
    assert policy_set("# a comment\n" + POLICY).formats.codecs[-1].name in names


def test_tests_may_name_the_routes_of_any_file() -> None:
    tests = "tests: [{name: a, route: POST /acme/talk, request: zanzibar, expect: {decision: block}}]\n"
    first, second = parse_all([("a.yaml", POLICY), ("b.yaml", RULES.replace("POLICY", "second") + tests)])
    assert second.tests[0].facts.formats.codec_for("POST /acme/talk") is not None
    assert (len(first.formats), second.formats) == (1, ())
    with pytest.raises(PolicyErrors, match="no wire format for `POST /acme/talk`"):
        parse_all([("b.yaml", RULES.replace("POLICY", "second") + tests)])


def test_lint_knows_declared_routes() -> None:
    assert "never-matches" not in {note.code for note in notes(policy_set(POLICY))}
    alone = policy_set(RULES.replace("POLICY", "first"))
    assert "never-matches" in {note.code for note in notes(alone)}


def test_a_tenant_does_not_declare_formats_again() -> None:
    policy, tenant = parse_all([("a.yaml", POLICY + "tenants: {acme: {on_error: block, unmapped: refuse}}\n")])
    assert (len(policy.formats), tenant.formats) == (1, ())


def test_the_schema_of_the_file_describes_the_section() -> None:
    tree: Any = yaml.safe_load(POLICY)
    jsonschema.validate(tree, schema())


def test_a_changed_format_is_a_change_of_the_policy() -> None:
    old, without = parse(POLICY, "a.yaml"), parse(RULES.replace("POLICY", "first"), "a.yaml")
    other = parse(POLICY.replace("/part: assistant", "/piece: assistant"), "a.yaml")
    assert [(change.words, change.effect) for change in changes([old], [other])] == [
        ("the format `acme` is declared in another way", "either")
    ]
    assert [change.words for change in changes([old], [without])] == ["no longer declares the format `acme`"]
    assert [change.words for change in changes([without], [old])] == ["declares the format `acme`"]
    assert changes([old], [replace(old)]) == []


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('[POST /acme/talk, "POST /acme/{site}/ask"]', "[]", "a format without a route reads nothing"),
        ('[POST /acme/talk, "POST /acme/{site}/ask"]', "[7]", "expected"),
        (
            "    answer: {texts: {/output/text: assistant}, structure: [/id], usage: {prompt: /in, answer: /out}}\n",
            "",
            "answer",
        ),
        ("    request:\n", "    asked:\n", "request"),
        ("    stream: {", "    streamed: {", "stream"),
    ],
)
def test_what_a_format_cannot_do_without(before: str, after: str, message: str) -> None:
    assert before in POLICY
    with pytest.raises(PolicyErrors, match=message):
        parse(POLICY.replace(before, after), "a.yaml")
