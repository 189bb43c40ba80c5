"""`restore:` of a rule: what it becomes, and what each mistake is told, with its place."""

from __future__ import annotations

import pytest

from guardproxy.findings import KINDS
from guardproxy.policy.values.document import KINDS_OF
from guardproxy.policy.values.restoring import read_restore
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import read_tree
from guardproxy.redaction.restoration import EVERYWHERE, Restoration

ANSWERS = [kind for kind in KINDS if kind in KINDS_OF["response"]]


def read(text: str) -> tuple[bool | None, Restoration, list[str]]:
    """The value and the mistakes, each with the column at which it stands."""
    reading = FileReading("p.yaml")
    value = read_tree(text, "p.yaml")
    back, where = read_restore(reading, value)
    return back, where, [f"{error.column}: {error.message}" for error in reading.errors]


def test_a_rule_that_says_nothing_leaves_it_open() -> None:
    reading = FileReading("p.yaml")
    assert read_restore(reading, None) == (None, EVERYWHERE)
    assert reading.errors == []


@pytest.mark.parametrize(
    ("text", "back", "where"),
    [
        ("true", True, EVERYWHERE),
        ("false", False, EVERYWHERE),
        ("{in: [assistant]}", True, Restoration(frozenset(["assistant"]))),
        ("{in: [assistant, assistant]}", True, Restoration(frozenset(["assistant"]))),
        ("{urls: [a.example]}", True, Restoration(None, frozenset(["a.example"]))),
        ("{urls: []}", True, EVERYWHERE),
        ("{urls: [' API.Example.com ']}", True, Restoration(None, frozenset(["api.example.com"]))),
        ("{urls: ['*.a.example', 'b.example:8443', localhost]}", True,
         Restoration(None, frozenset(["*.a.example", "b.example:8443", "localhost"]))),
        ("{in: [tool_arguments], urls: [a.example]}", True,
         Restoration(frozenset(["tool_arguments"]), frozenset(["a.example"]))),
    ],
)  # fmt: skip
def test_what_it_becomes(text: str, back: bool, where: Restoration) -> None:
    assert read(text) == (back, where, [])


@pytest.mark.parametrize("kind", ANSWERS)
def test_each_kind_of_text_of_an_answer_can_be_named(kind: str) -> None:
    assert read(f"{{in: [{kind}]}}") == (True, Restoration(frozenset([kind])), [])  # type: ignore[list-item]


@pytest.mark.parametrize("kind", ["everything", "Assistant", "response", "assistant "])
def test_what_is_no_kind_of_an_answers_text_is_a_mistake(kind: str) -> None:
    _, where, errors = read(f"{{in: [assistant, '{kind}']}}")
    assert where == Restoration(frozenset(["assistant"]))
    assert len(errors) == 1
    assert errors[0].startswith(f"18: unknown word `{kind}`")
    assert errors[0].endswith(f"(expected any of {', '.join(ANSWERS)})")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("yes", "1: expected true or false, found the word `yes`; write `true`"),
        ("3", "1: expected true or false, found"),
        ("[assistant]", "1: expected true or false, found"),
        ("{}", "1: an empty mapping has no effect; write `restore: true` or name places with `in` or `urls`"),
        ("{url: [a.example]}", "2: unknown key `url`; did you mean `urls`? (allowed here: in, urls)"),
        ("{in: []}", "6: an empty list restores nothing; write `restore: false`"),
        ("{in: assistant}", "6: expected a list of kinds of texts, like `[assistant, tool_arguments]`, found"),
        ("{in: [asistant]}", "7: unknown word `asistant`; did you mean `assistant`?"),
        ("{in: [3]}", "7: expected a word, found"),
        ("{urls: a.example}", "8: expected a list of hosts, like `[api.example.com]`, found"),
        ("{urls: [8080]}", "9: expected a host like `api.example.com`, found"),
        ("{urls: ['']}", "9: expected a host like `api.example.com`, found an empty text"),
        ("{urls: [' ']}", "9: expected a host like `api.example.com`, found an empty text"),
    ],
)
def test_what_each_mistake_is_told(text: str, error: str) -> None:
    _, _, errors = read(text)
    assert len(errors) == 1
    assert errors[0].startswith(error)


@pytest.mark.parametrize(
    "host",
    [
        "https://a.example", "//a.example", "a.example/", "a.example/x", "a.example?x", "a.example#x", "x@a.example",
        "a b", "*", "*.*", "*a.example", "a.*.example", ".a.example", "a..example", "a.example.", "-a.example",
        "a-.example", "a.example:", "a.example:port", "a.example:123456", "a_b.example", "b\u00fccher.example",
        "a\u3002example", "[2001:db8::1]", "a%2eexample", "a.example\\",
    ],
)  # fmt: skip
def test_what_is_no_host_name_is_a_mistake(host: str) -> None:
    """An entry with more than a name would be compared with what no URL has, or with more hosts than its author means."""
    quoted = host.replace("'", "''")
    _, _, errors = read(f"{{urls: [ok.example, '{quoted}']}}")
    assert len(errors) == 1
    assert errors[0].startswith(f"21: `{host.lower()}` is not a host name; write the host alone")


def test_every_mistake_is_noted_at_once() -> None:
    _, _, errors = read("{inn: [x], in: [x, y], urls: ['*', '/']}")
    assert len(errors) == 5
