"""The JSON Schema of policy files: it takes every policy that we ship, and refuses what is broken in structure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from guardproxy import checks
from guardproxy.checks import secrets
from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.pii.setup import NAMED
from guardproxy.errors import PolicyError
from guardproxy.policy.file import keys as tables
from guardproxy.policy.file.document_schema import schema, with_variables
from guardproxy.policy.file.load import parse
from guardproxy.policy.yaml.tree import read_tree
from guardproxy.wire.json import reach
from tests.kit.plugins import Install
from tools.pages.blocks import blocks
from tools.pages.broken_policies import BROKEN, TOLD

ROOT = Path(__file__).parents[4]
SHIPPED = sorted((ROOT / "policies").rglob("*.yaml"))
# The others use checks and actions of their own packages.
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("policy.yaml") if not list(path.parent.glob("*.py")))
WRITTEN = [block.text for block in blocks("yaml") if block.is_run and not block.is_shown_file]

# Mistakes in what a value says, which a schema cannot see.
UNSEEN = re.compile(
    r"(when|match-when|lists|vars|prompt-template)-.*|al(ert-never|low-pattern)|judge-(least|scale)|test-(rule|neither|used|times-alone|refused-(and-more|name|without-limits))|rule-(retry|drop-chunk)-.*|tenants-(looser|shadow|points|new-rule|not-matched|unknown).*"
    r"|check-(entity-unknown|label-unknown|nothing-to-cut|pattern|point-unknown|schema-missing|threshold-nan).*"
    r"|match-headers-(credential|name|twice)|restore-response|rule-twice"
    r"|formats-(name-taken|no-user|nobody-streams|pointer-twice|pointers-contradict|role|route-taken|routes-overlap)|set-(and-strip|infinite)"
    r"|subject-(alone|unsealed)|route-(simple-headers|upstream-twice)|limits-(large|twice|when)|cache-similarity"
)


@pytest.fixture(scope="module")
def valid() -> Draft202012Validator:
    document = schema()
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


def plain(content: bytes | str) -> Any:
    return read_tree(content, "p.yaml").plain()


@pytest.mark.parametrize("path", [*SHIPPED, *EXAMPLES], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_shipped_policy_fits(valid: Draft202012Validator, path: Path) -> None:
    assert [error.message for error in valid.iter_errors(plain(path.read_bytes()))] == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_policy_tells_editors_of_the_schema(path: Path) -> None:
    first = path.read_text("utf-8").splitlines()[0]
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert found
    assert (path.parent / found[1]).resolve() == (ROOT / "policies" / "policy.schema.json").resolve()


@pytest.mark.parametrize("text", WRITTEN)
def test_every_policy_of_the_documentation_fits(valid: Draft202012Validator, text: str) -> None:
    assert [error.message for error in valid.iter_errors(plain(text))] == []


def structural() -> list[Path]:
    found = []
    for path in sorted(BROKEN.glob("*.yaml")):
        try:
            plain(path.read_bytes())
        except PolicyError:
            continue
        found.append(path)
    return found


@pytest.mark.parametrize("path", structural(), ids=lambda path: path.stem)
def test_what_is_broken_in_structure_does_not_fit(valid: Draft202012Validator, path: Path) -> None:
    assert not valid.is_valid(plain(path.read_bytes())) or UNSEEN.fullmatch(path.stem)


def told(name: str) -> int:
    """The number of mistakes that `policy lint` names in a broken policy."""
    return sum(line.startswith(f"{name}.yaml:") for line in TOLD.read_text("utf-8").splitlines())


@pytest.mark.parametrize("path", structural(), ids=lambda path: path.stem)
def test_a_mistake_has_one_error(valid: Draft202012Validator, path: Path) -> None:
    """Also beneath: no error has the errors of several alternatives."""
    errors = list(valid.iter_errors(plain(path.read_bytes())))
    assert len(errors) <= told(path.stem), [error.message for error in errors]
    assert all(len(error.context or ()) <= 2 for error in errors)


WHOLE = """\
policy: whole
description: every kind of value
match: {routes: [POST /v1/messages], models: [m], tenants: [acme], headers: {x-a: [b], x-c: d}, when: request.stream}
vars: {limit: 0.8, models: [a, 3]}
lists: {words: lists/words.txt}
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS], threshold: 0.5, language: [en], evasions: strict, on_error: block}
  words: {use: pattern, words: [a], cap: 30}
  shape: {use: json_schema, schema: {file: a.json}}
  orders: {use: supervisor, label: injection, threshold: {injection: 1%}}
rules:
  - {id: a, on: [request], when: pii, action: redact, operators: {CARD: {type: mask, chars_to_mask: 3}, DEFAULT: hash}}
  - {id: b, on: request, when: pii, action: redact, restore: {in: [assistant], urls: [a.example]}, severity: low}
  - {id: c, on: response, when: shape, action: retry, attempts: 2, then: fallback, fallback: {model: m}, total_s: 9}
  - {id: d, on: user, when: orders, action: block, parallel: always, enforce: 10 %, message: no}
  - {id: e, on: response, when: words, action: block, early: true, mode: enforce}
tenants: {acme: {vars: {limit: 0.5}, rules: [{id: e, severity: high}], on_error: block}}
on_error: block
unmapped: refuse
opaque: {image: refuse}
token_ids: refuse
allow_fields: [chat_template]
refuse: [background]
set: {store: false}
strip: [logprobs]
audit: {keep: sealed, subject: user, intent: on}
cache: {mode: exact, ttl_s: 60, tools: true}
judge: {upstream: u, model: m, rubric: r, sample: 5 %, scale: [1, 5], least: 4, max_chars: 900}
limits:
  - {name: a, unit: tokens, rate: 100/1m, per: [client], burst: 9, answer_tokens: 5, mode: shadow}
  - {name: b, unit: parallel, most: 3, models: [m]}
  - {name: c, unit: cost, budget: 5/day, when: request.stream}
prices: {m: {input: 1, output: 2.5}}
prompt: {append: kind, canary: true, wrap: {kinds: [document], how: delimit}}
route:
  upstreams: [{upstream: u, weight: 2}, {model: m, priority: 1}]
  sticky: client
  models: {a: b}
  fallback: {on: [error, 429], attempts: 1}
  simple: {model: m, chars: 9, tools: true, saves: {input: 1}}
formats:
  acme:
    routes: [POST /talk]
    request: {texts: {/q: user}, model: /m}
    answer: {texts: {/a: assistant}, usage: {prompt: /p}}
    stream: {framing: ndjson, texts: {/a: assistant}, end: {pointer: /e, equals: true}}
    error: /e
tests:
  - {name: t, request: x, response: [a], chunkings: 3, headers: {a: b}, expect: {upstream: {a: b}, finds: {check: pii}}}
  - {name: u, exchange: {request: {}}, times: 3, used: {a: 3}, expect: {refused: {limit: a}}}
"""
_FREE = ("set", "exchange")  # whatever is in them


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a tree whose value has a form."""
    if path:
        yield path
    steps = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for step in steps:
        if step not in _FREE:
            yield from places(tree[step], (*path, step))


def misspelt(inner: Any, step: Any) -> None:
    if isinstance(step, str):
        inner[f"{step}x"] = inner.pop(step)


def other(value: Any) -> Callable[[Any, Any], None]:
    def change(inner: Any, step: Any) -> None:
        inner[step] = value

    return change


CHANGES = (misspelt, *map(other, ("?!", -0.5, [[]], None, [])))
_NAMED = ("lists", "checks", "texts", "formats")  # names and values in them have errors of their own


@pytest.mark.parametrize("key", plain(WHOLE))
def test_one_changed_place_has_one_error_at_most(valid: Draft202012Validator, key: str) -> None:
    kept = {name: value for name, value in plain(WHOLE).items() if name in (key, "policy", "rules")}
    for path in places(kept):
        changes = CHANGES if path[-1] in _NAMED else (*CHANGES, other({"?": 1}))
        for change in changes if path[0] == key and path[-1] != "scale" else ():
            tree = deepcopy(kept)
            change(reach(tree, path[:-1]), path[-1])
            errors = list(valid.iter_errors(tree))
            assert len(errors) <= 1, (path, [(list(error.absolute_path), error.message) for error in errors])
            assert all(len(error.context or ()) <= 2 for error in errors)


def test_the_whole_policy_fits(valid: Draft202012Validator) -> None:
    assert [error.message for error in valid.iter_errors(plain(WHOLE))] == []


def test_entities_are_listed() -> None:
    (pii,) = (
        one["then"] for one in schema()["$defs"]["check"]["allOf"] if one["if"]["properties"]["use"]["const"] == "pii"
    )
    listed = pii["properties"]["entities"]["else"]["items"]["else"]["enum"]
    assert {"PERSON", "EMAIL_ADDRESS", "UkNinoRecognizer"} <= set(listed)
    assert listed[: len(NAMED)] == list(NAMED)
    known = [entity for entity in listed if entity not in NAMED]
    assert checks.build("pii", "p", {"entities": known}, Resources()).traits.labels


FULL = """\
policy: full
description: everything at once
extends: base
match:
  routes: [POST /v1/messages, "${routes}"]
  models: "${models}"
  tenants: [acme]
  headers: {x-team: red, x-other: [a, b]}
  when: request.stream
vars: {limit: 0.8, on: true, models: [a, 3]}
lists: {words: lists/words.txt}
checks:
  pii: {use: pii, entities: ["${entity}"], threshold: "${limit}", evasions: strict}
  words: {words: "${words}"}
rules:
  - {id: a, on: "${kinds}", action: "${act}", operators: {CARD: {type: mask, chars_to_mask: "${n}"}, DEFAULT: hash}}
  - {id: b, mode: enforce, restore: "${flag}"}
tenants: {acme: {vars: {limit: 0.5}, rules: [{id: a, action: block}], on_error: block}}
on_error: "${e}"
enforce: 10 %
audit: {keep: "${k}"}
"""


def test_variables_may_stand_for_any_value(valid: Draft202012Validator) -> None:
    assert [error.message for error in valid.iter_errors(plain(FULL))] == []


def test_every_key_has_its_words() -> None:
    document = schema()
    for table, where in (
        (tables.POLICY, document["properties"]),
        (tables.RULE, document["$defs"]["rule"]["properties"]),
        (tables.MATCH, document["properties"]["match"]["properties"]),
    ):
        assert list(where) == list(table)
        assert all(where[name]["description"] == key.doc for name, key in table.items())


def test_every_option_of_every_check_is_there() -> None:
    document = schema()
    by_use = {one["if"]["properties"]["use"]["const"]: one["then"] for one in document["$defs"]["check"]["allOf"]}
    assert list(by_use) == checks.check_names()
    for use, then in by_use.items():
        assert set(then["properties"]) == {"use", "on_error", *checks.options(use)}
        assert then["additionalProperties"] is False
    assert checks.options("nothing") == {}


def test_a_check_of_another_package_may_declare_its_options_or_not(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("guardproxy.checks", "plain", len)
    install("guardproxy.checks", "telling", secrets.build)
    monkeypatch.setattr(checks, "check_names", lambda: ["plain", "telling"])
    plain, telling = (one["then"] for one in schema()["$defs"]["check"]["allOf"])
    assert plain == {"properties": {}}
    assert set(telling["properties"]) == {"use", "on_error", "rules", "skip", "evasions", "allow", "allow_patterns"}


def test_a_key_that_belongs_to_an_action_is_refused_with_another(valid: Draft202012Validator) -> None:
    text = "policy: p\nrules: [{{id: r, when: check_error, action: {}, restore: true}}]\n"
    assert valid.is_valid(plain(text.format("redact")))
    assert not valid.is_valid(plain(text.format("block")))


@pytest.mark.parametrize(
    ("line", "fits"),
    [
        ("checks: {pii: {use: pii, threshold: 0.5}}", True),
        ("checks: {pii: {use: pii, threshold: 1.5}}", False),
        ("checks: {a: {use: supervisor, threshold: {injection: 1%}}}", True),
        ("checks: {a: {use: supervisor, window_chars: 1}}", False),
        ("checks: {w: {use: pattern, words: []}}", False),
        ("checks: {w: {use: pattern, cap: 0}}", False),
        ("checks: {s: {use: json_schema, schema: {inline: {type: object}}}}", True),
        ("checks: {s: {use: json_schema, schema: {other: x}}}", False),
        ("checks: {s: {use: json_schema, schema: from_request, draft: '4'}}", True),
        ("checks: {k: {use: secrets, skip: [generic]}}", True),
        ("checks: {k: {words: [a]}}", False),
    ],
)
def test_options_have_the_form_that_their_check_takes(valid: Draft202012Validator, line: str, fits: bool) -> None:
    text = f"policy: p\n{line}\nrules: [{{id: r, when: check_error, action: flag}}]\n"
    assert valid.is_valid(plain(text)) is fits


def test_the_reader_takes_what_the_schema_takes() -> None:
    parse("policy: p\nrules: [{id: r, when: check_error, action: flag}]\n", "p.yaml")
    assert with_variables({"anyOf": [{"type": "integer"}]})["anyOf"][-1]["type"] == "string"
