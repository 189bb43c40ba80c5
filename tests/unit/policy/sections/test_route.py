"""The section `route` of a policy file: what it means, what is refused, and what may not change."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from guardproxy.policy.file.document_schema import schema
from guardproxy.policy.file.load import PolicyErrors, parse, parse_all
from guardproxy.policy.sections.route import LIMIT_CHARS, ROUTE, Destination, Fallback, RouteSection, Simple
from guardproxy.policy.yaml.tree import FilePlace

WHOLE = """\
policy: p
route:
  upstreams:
    - {upstream: main, weight: 9}
    - {upstream: canary, model: new}
    - {upstream: spare, priority: 1}
  sticky: client
  models: {fast: small, "gpt-*": large}
  fallback: {on: [error, 429, block], attempts: 1}
  simple:
    {upstream: cheap, chars: 100, messages: 2, tools: true, code: true, when: request.max_tokens < 9, saves: {output: 2.5}}
"""


def test_every_key_is_read() -> None:
    route: RouteSection = parse(WHOLE, "p.yaml").sections["route"]
    main, canary, spare = (
        Destination("main", weight=9),
        Destination("canary", "new"),
        Destination("spare", priority=1),
    )
    simple = route.simple
    assert simple
    assert simple.when
    assert route == RouteSection(
        (main, canary, spare),
        "client",
        (("fast", "small"), ("gpt-*", "large")),
        Fallback(frozenset(("error", "429", "block")), 1),
        Simple(Destination("cheap"), 100, 2, True, True, simple.when, 0.0, 2.5),
    )
    assert route.destinations[1].place == FilePlace(5, 7)


def test_every_upstream_is_needed_where_the_policy_names_it() -> None:
    needed = list(ROUTE.needs(parse(WHOLE, "p.yaml").sections["route"]))
    assert [each.name for each in needed] == ["main", "canary", "spare", "cheap"]
    assert needed[1].place == FilePlace(5, 7)


def test_the_defaults() -> None:
    route: RouteSection = parse("policy: p\nroute: {simple: {model: nano}}\n", "p.yaml").sections["route"]
    assert route == RouteSection(simple=Simple(Destination(model="nano")))
    assert (route.destinations, route.fallback.attempts) == ((Destination(),), 2)


def test_the_difficulty_is_a_number_or_has_weights() -> None:
    text = "policy: p\nroute: {{simple: {{model: nano, difficulty: {}}}}}\n"
    plain = parse(text.format("0.4"), "p.yaml").sections["route"].simple
    assert plain == Simple(Destination(model="nano"), LIMIT_CHARS, difficulty=0.4)
    weighed = (
        parse(text.format("{most: 0.4, weights: [1, 2, 3, 4, 5, 6, 7, 8, -0.5]}"), "p.yaml").sections["route"].simple
    )
    assert weighed.weights == (1, 2, 3, 4, 5, 6, 7, 8, -0.5)
    bare = parse(text.format("{most: 0.4}"), "p.yaml").sections["route"].simple
    assert (bare.difficulty, bare.weights) == (0.4, ())


def test_the_schema_takes_what_is_read() -> None:
    validator = Draft202012Validator(schema())
    validator.validate(
        {
            "policy": "p",
            "route": {
                "upstreams": [{"upstream": "a", "weight": 2}, {"model": "m", "priority": 1}],
                "sticky": "none",
                "models": {"a": "b"},
                "fallback": {"on": ["error", 429, 503], "attempts": 0},
                "simple": {"model": "m", "saves": {"input": 1}},
            },
        }
    )
    wrong: dict[str, Any]
    for wrong in ({}, {"upstreams": [{}]}, {"upstreams": []}, {"fallback": {"on": [404]}, "models": {"a": "b"}}):
        assert not validator.is_valid({"policy": "p", "route": wrong})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("route: {}", "`route` needs `upstreams`, `models` or `simple`"),
        ("route: [a]", "expected a mapping, found a list"),
        ("route: {upstreams: []}", "`upstreams` needs 1 to 32 entries"),
        ("route: {upstreams: [a]}", "expected a mapping like {upstream: spare}, found a word"),
        ("route: {upstreams: [{weight: 1}]}", "name an upstream, a model or both, like {upstream: spare}"),
        ("route: {upstreams: [{upstream: a, weight: 0}]}", "expected a number from 1 to 1e+06"),
        ("route: {upstreams: [{upstream: a}, {upstream: a}]}", "the same upstream and model as in line 2"),
        ("route: {models: {}}", "an empty mapping names no model"),
        ('route: {models: {"": a}}', "expected the name of a model, found an empty text"),
        ("route: {models: {a: 4}}", "expected the name of a model, found a number"),
        ("route: {models: {a: b}, fallback: {on: []}}", "an empty list names no cause"),
        ("route: {models: {a: b}, fallback: {on: [eror]}}", "unknown cause `eror`; did you mean `error`?"),
        ("route: {models: {a: b}, fallback: {on: [404]}}", "status 404 is about the request"),
        ("route: {models: {a: b}, fallback: {on: [true]}}", "expected one of error, timeout, block or a status"),
        ("route: {models: {a: b}, sticky: always}", "unknown word `always`"),
        ("route: {simple: {chars: 5}}", "name an upstream, a model or both"),
        ("route: {simple: {model: a, when: '\"x\" in request.headers'}}", ""),
        (
            'route: {simple: {model: a, when: \'request.headers["x"] == "y"\'}}',
            "`when` of `simple` cannot read headers",
        ),
        ("route: {simple: {model: a, difficulty: 2}}", "expected a number from 0 to 1"),
        ("route: {simple: {model: a, difficulty: {}}}", "`most` is missing"),
        ("route: {simple: {model: a, difficulty: {most: 1, weights: [1, 2]}}}", "expected 9 numbers, found 2"),
        ("route: {simple: {model: a, difficulty: {most: 1, weights: 3}}}", "expected a list of numbers"),
        (
            "route: {simple: {model: a, difficulty: {most: 1, weights: [x, 0, 0, 0, 0, 0, 0, 0, 0]}}}",
            "expected a number",
        ),
        ("route: {simple: {model: a, saves: 3}}", "expected a mapping like {input: 1.2, output: 9.6}"),
        ("route: {simple: {model: a, tool: true}}", "unknown key `tool`; did you mean `tools`?"),
    ],
)
def test_a_wrong_section_is_refused_with_its_place(line: str, message: str) -> None:
    with pytest.raises(PolicyErrors) as raised:
        parse(f"policy: p\n{line}\n", "p.yaml")
    (error, *_) = raised.value.errors
    assert (error.path, error.line) == ("p.yaml", 2)
    assert message in error.message


def test_a_policy_inherits_a_route_and_may_not_change_it() -> None:
    base = ("base.yaml", b"policy: base\nroute: {models: {a: b}}\n")
    _, heir = parse_all([base, ("heir.yaml", b"policy: heir\nextends: base\n")])
    assert heir.sections["route"] == RouteSection(models=(("a", "b"),))
    with pytest.raises(PolicyErrors, match="`route` may not change"):
        parse_all([base, ("heir.yaml", b"policy: heir\nextends: base\nroute: {models: {a: c}}\n")])
