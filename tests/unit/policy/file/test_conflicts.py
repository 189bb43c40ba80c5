"""Policies whose rules about fields contradict each other."""

from __future__ import annotations

import pytest

from guardproxy.policy.file.load import PolicyErrors, parse_all

ROUTES = 'match: {{routes: ["POST /v1/{}"]}}\n'


def load(*texts: str) -> list[str]:
    """The messages for a folder of these policies."""
    try:
        parse_all([(f"{name}.yaml", f"policy: {name}\n{text}") for name, text in zip("abc", texts, strict=False)])
    except PolicyErrors as errors:
        return [error.message for error in errors.errors]
    return []


@pytest.mark.parametrize(
    ("texts", "count"),
    [
        (("set: {store: false}", "set: {store: false}"), 0),
        (("set: {store: false}", "set: {store: true}"), 1),
        (("set: {store: 0}", "set: {store: false}"), 1),
        (("set: {topLogprobs: 1}", "set: {top_logprobs: 2}"), 1),
        (("set: {store: false}", "strip: [store]"), 1),
        (("strip: [store]", "strip: [store]"), 0),
        (("strip: [a]", "strip: [a.b]"), 0),
        (("set: {a: {}}", "set: {a.b: 1}"), 1),
        (("set: {a.b: 1}", "set: {a.c: 2}"), 0),
        (("set: {store: false}\nstrip: [store]",), 1),
        (("set: {store: false}\nrefuse: [store]", "refuse: [store]"), 0),
        (("set: {store: false}", "set: {store: true}", "set: {store: 1}"), 3),
        ((ROUTES.format("messages") + "set: {a: 1}", ROUTES.format("completions") + "set: {a: 2}"), 0),
        ((ROUTES.format("*") + "set: {a: 1}", ROUTES.format("completions") + "set: {a: 2}"), 1),
        (("match: {tenants: [x]}\nset: {a: 1}", "match: {tenants: [y, z]}\nset: {a: 2}"), 0),
        (("match: {tenants: [x]}\nset: {a: 1}", "match: {tenants: [X]}\nset: {a: 2}"), 1),
        (("match: {tenants: [x]}\nset: {a: 1}", "match: {tenants: ['y*']}\nset: {a: 2}"), 0),
        (("match: {tenants: [xy]}\nset: {a: 1}", "match: {tenants: ['*y']}\nset: {a: 2}"), 1),
        (("match: {models: [x]}\nset: {a: 1}", "match: {models: [y]}\nset: {a: 2}"), 1),
        (("set: {a: 1}", "extends: a\nset: {a: 1, b: 2}"), 0),
        (("set: {a: 1}\ntenants: {x: {set: {b: 1}}, y: {set: {b: 2}}}",), 0),
    ],
)
def test_contradictions_are_errors_in_any_order(texts: tuple[str, ...], count: int) -> None:
    messages = load(*texts)
    assert len(messages) == count, messages
    assert all("contradicts" in message for message in messages)
    if "extends" not in texts[-1]:
        assert len(load(*texts[::-1])) == count


def test_the_message_names_both_places() -> None:
    (message,) = load("set: {store: false}", "strip: [store]")
    assert message.startswith("`strip` of `store` contradicts `set` of `store` (a.yaml:2:7)")
