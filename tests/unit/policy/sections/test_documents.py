"""The section `documents`: what it reads, what it refuses, and what reviewers are told of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import PolicyErrors, build_checks, parse, parse_all
from guardproxy.policy.sections import DOCUMENTS, DocumentsSection
from guardproxy.policy.sections.documents import LIMIT_CHARS, LIMIT_MARKS, LinePair
from guardproxy.policy.tools.coverage_table import coverage
from guardproxy.policy.tools.lint import notes


def section(text: str) -> DocumentsSection:
    value = DOCUMENTS.of(parse(f"policy: p\ndocuments: {text}\n", "p.yaml").sections)
    assert isinstance(value, DocumentsSection)
    return value


def refusal(text: str) -> str:
    with pytest.raises(PolicyErrors) as refused:
        section(text)
    return str(refused.value)


FULL = """{tags: [context, "doc-*"], fences: true, json: [/results/*/text, "/*/body"], apart: true,
  marks: ["-----", {begin: "Context:", end: "Question:*"}, {begin: "History:"}]}"""


def test_every_key_is_read() -> None:
    assert section(FULL) == DocumentsSection(
        ("context", "doc-*"),
        fences=True,
        marks=(LinePair("-----", "-----"), LinePair("Context:", "Question:*"), LinePair("History:", "")),
        json=(("results", "*", "text"), ("*", "body")),
        apart=True,
    )
    assert section("{json: /quotes}") == DocumentsSection(json=(("quotes",),))
    assert section("{fences: true}") == DocumentsSection(fences=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "names no documents"),
        ("{fences: false, apart: true}", "names no documents"),
        ("context", "expected a mapping"),
        ("{tag: [context]}", "did you mean `tags`?"),
        ("{tags: context}", "expected a list of names of tags"),
        ("{tags: []}", "an empty list names no documents"),
        ("{tags: [<context>]}", "`<context>` is no name of a tag"),
        ("{tags: ['*']}", "`*` is no name of a tag"),
        ("{tags: ['a*b*']}", "`a*b*` is no name of a tag"),
        ("{tags: [1]}", "expected the name of a tag"),
        (f"{{tags: [{', '.join(f't{n}' for n in range(LIMIT_MARKS + 1))}]}}", "a list has at most 50 entries"),
        ("{marks: []}", "an empty list names no documents"),
        ("{marks: ['a*']}", "stands on both sides of a document"),
        ("{marks: [{end: a}]}", "`begin` is missing"),
        ("{marks: [{begin: a, end: '*b'}]}", "only behind the words"),
        ("{marks: [{begin: 'a*b'}]}", "at most one `*`"),
        ("{marks: [{begin: '*a*'}]}", "at most one `*`"),
        ("{marks: [{begin: '*'}]}", "at most one `*`"),
        ("{marks: ['a', {begin: a, end: b}]}", "another entry begins with `a`"),
        (f"{{marks: ['{'-' * (LIMIT_CHARS + 1)}']}}", "a single line of at most 200 characters"),
        ('{marks: ["a\\nb"]}', "a single line"),
        ("{marks: ['  ']}", "found an empty text"),
        ("{json: results}", "a pointer begins with `/`"),
        ("{json: [/results/0/text]}", "never a single one by its number"),
        ("{json: 5}", "expected a pointer"),
        ("{json: []}", "an empty list"),
        ("{fences: yes}", "write `true`"),
    ],
)
def test_a_section_that_cannot_be_used_is_refused(text: str, message: str) -> None:
    assert message in refusal(text)


def test_what_is_read_fits_the_schema() -> None:
    validator = Draft202012Validator(dict(DOCUMENTS.schema))
    full: Any = {"tags": ["context", "doc-*"], "fences": True, "json": ["/a"], "apart": True}
    full["marks"] = ["-----", {"begin": "Context:", "end": "Question:*"}]
    assert validator.is_valid(json.loads(json.dumps(full)))
    assert validator.is_valid({"json": "/a/*/b"})
    assert validator.is_valid({"marks": [{"begin": "*the context:"}, {"begin": " Context:* ", "end": "Question:"}]})
    broken: list[Any] = [
        {},
        {"tags": []},
        {"tags": ["<a>"]},
        {"marks": [{"end": "a"}]},
        {"marks": ["a*"]},
        {"json": "a"},
        {"fences": "yes"},
    ]
    assert not any(map(validator.is_valid, broken))


def test_a_section_is_explained() -> None:
    assert DOCUMENTS.explain is not None
    assert DOCUMENTS.explain(section(FULL)) == (
        "texts between <context>, <doc-*> and their ends, in fenced blocks, after `-----` up to `-----`, after `Context:` "
        "up to `Question:*`, after `History:`, at /results/*/text, /*/body of JSON are read only as documents"
    )
    assert DOCUMENTS.explain(section("{fences: true}")) == "texts in fenced blocks are read as documents too"


# What reviewers are told.

CHECKS = "checks: {bad: {use: pattern, words: [x]}, odd: {use: pattern, words: [y]}, support: {use: grounded}}\n"


def loaded(*texts: str) -> PolicySet:
    policies = parse_all([(f"p{number}.yaml", text) for number, text in enumerate(texts)])
    return PolicySet(policies, build_checks(policies, Resources()), "")


def told(*texts: str) -> list[tuple[str, str, str]]:
    """The notes about the section: weight, code and message."""
    codes = ("documents-unread", "hides-from-checks", "not-apart", "never-fires")
    return [(note.weight, note.code, note.message) for note in notes(loaded(*texts)) if note.code in codes]


def policy(rules: str, name: str = "p", more: str = "{tags: [context]}", match: str = "") -> str:
    return f"policy: {name}\n{match}documents: {more}\n{CHECKS}rules: [{rules}]\n".replace("documents: \n", "")


USER = "{id: u, on: user, when: bad, action: flag}"
DOCUMENT = "{id: d, on: request.document, when: bad, action: flag}"
OF_ANSWERS = "{id: g, on: response.assistant, when: support, action: flag}"


def test_a_section_whose_documents_no_rule_reads_is_worth_a_remark() -> None:
    assert told(policy(USER)) == [
        ("warning", "documents-unread", "no rule reads documents, so the section has no effect")
    ]
    assert told(policy(DOCUMENT)) == []
    assert told(policy(OF_ANSWERS)) == []
    assert told(policy(USER).replace("rules:", "prompt: {wrap: {kinds: [document]}}\nrules:")) == []
    assert told(policy(USER).replace("rules:", "mode: shadow\nrules:")) == []
    assert told(policy(USER), policy(DOCUMENT, "q", "")) == []
    elsewhere = policy(DOCUMENT, "q", "", "match: {models: ['a*']}\n")
    message = "no rule reads documents unless `q` applies too, so the section has no effect"
    assert told(policy(USER), elsewhere) == [("note", "documents-unread", message)]


def test_checks_from_which_marks_hide_texts_are_named() -> None:
    apart = "{tags: [context], apart: true}"
    ((weight, code, message),) = told(policy(f"{USER.replace('bad', 'odd')}, {DOCUMENT}", more=apart))
    assert (weight, code) == ("warning", "hides-from-checks")
    assert "hides text from `odd`" in message
    assert told(policy(f"{USER}, {DOCUMENT}", more=apart)) == []
    ((weight, code, message),) = told(policy(f"{USER}, {DOCUMENT}", more=apart), policy(USER, "q", ""))
    assert (weight, code, message) == ("note", "not-apart", "`apart` has no effect where `q` applies too, without it")
    assert told(policy(f"{USER}, {DOCUMENT}", more=apart), policy(f"{USER}, {DOCUMENT}", "q", apart)) == []


def test_formats_without_documents_get_them() -> None:
    route = "match: {routes: ['POST /v1/completions']}\n"
    assert [code for _, code, _ in told(policy(DOCUMENT, more="", match=route))] == ["never-fires"]
    assert told(policy(DOCUMENT, match=route)) == []
    assert [code for _, code, _ in told(policy(OF_ANSWERS, more="", match=route))] == ["never-fires"]
    assert told(policy(OF_ANSWERS, match=route)) == []
    before, after = (
        {(row.format, row.direction, row.kind) for row in coverage(loaded(text))}
        for text in (policy(DOCUMENT, more="", match=route), policy(DOCUMENT, match=route))
    )
    assert after - before == {("openai_completions", "request", "document")}
