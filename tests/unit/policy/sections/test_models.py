"""The sections `allow` and `deny`: what is read, which requests are refused, and what several lists say together."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from guardproxy.errors import DownstreamError
from guardproxy.exchange import Exchange, RequestReceived, SendUpstream
from guardproxy.policy import About
from guardproxy.policy.file.load import PolicyErrors, parse, parse_all
from guardproxy.policy.sections import BoundSection, Section
from guardproxy.policy.sections.models import ALLOW, DENY, ModelList, ModelLists
from guardproxy.policydiff.policies import changes
from guardproxy.policytest.running import run_tests
from guardproxy.wire import RequestStatement, codecs, statement_of
from guardproxy.wire.contract.writing import Prompt
from tests.kit.maps import places
from tests.kit.play import policy_set, setting
from tests.unit.wire.test_request_maps import FORMATS, OF_MODELS

MESSAGES = [{"role": "user", "content": "hello"}]
ANSWERING = [codec for codec in codecs() if codec.contract.serves_models]
BOTH = pytest.mark.parametrize("section", [ALLOW, DENY], ids=["allow", "deny"])


@dataclass
class Seen:
    """A request as a stage sees it. `refused`: the sections that refuse it, with message and field."""

    about: About
    statement: RequestStatement
    names_model: bool = True
    refused: list[tuple[str, str, str | None]] = field(default_factory=list)

    def refuse(self, section: str, bound: BoundSection[Any], error: DownstreamError) -> None:
        assert (error.code.value, error.status) == ("model_not_allowed", 403)
        self.refused.append((section, str(error), error.field))


def seen(section: Section[ModelLists], models: ModelLists, tree: Any, fields: Any) -> list[tuple[str, str, str | None]]:
    """What a section does with a request."""
    statement = statement_of(tree, fields)
    request = Seen(About(models=statement.models, unclear=statement.unclear), statement)
    for stage in section.stages((BoundSection("p", models, True),)):
        stage.amend(request)
    return request.refused


@BOTH
def test_a_request_without_a_model_is_not_refused(section: Section[ModelLists]) -> None:
    request = Seen(About(), RequestStatement(), names_model=False)
    for stage in section.stages((BoundSection("p", (ModelList(("gpt-5",)),), True),)):
        stage.amend(request)
    assert request.refused == []


def refusal(policy: str, **body: Any) -> dict[str, Any] | None:
    """The error that a chat gets under a policy; `None` if it is sent."""
    exchange = Exchange(setting(policy_set(f"policy: p\n{policy}\n")))
    last = exchange.receive(RequestReceived(json.dumps({"messages": MESSAGES, **body}).encode()))[-1]
    if isinstance(last, SendUpstream):
        return None
    error: dict[str, Any] = json.loads(last.data)["error"]  # type: ignore[union-attr]
    return error


# What is read.


@BOTH
def test_a_list_is_read(section: Section[ModelLists]) -> None:
    text = f"policy: p\n{section.name}: {{models: [gpt-5-mini, 'claude-*'], message: Ask us.}}\n"
    assert section.of(parse(text, "p.yaml").sections) == (ModelList(("gpt-5-mini", "claude-*"), "Ask us."),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{models: []}", "2:17: an empty list names no model; leave the section out"),
        ("{message: no}", "2:8: `models` is missing"),
        ("{models: [gpt-5], messages: no}", "2:26: unknown key `messages`; did you mean `message`?"),
        ("{models: gpt-5}", "2:17: expected a list of models, found a word"),
    ],
)
def test_a_mistake_has_its_place(text: str, message: str) -> None:
    with pytest.raises(PolicyErrors) as raised:
        parse(f"policy: p\nallow: {text}\n", "p.yaml")
    assert message in str(raised.value)


# Which requests are refused.


@pytest.mark.parametrize("name", OF_MODELS)
def test_every_place_that_names_a_model_counts(name: str) -> None:
    codec = FORMATS[name]
    fields = codec.contract.statements
    found = [place for place in places(codec.grammar.request, codec.contract.words.values) if place.leaf.names]
    assert found
    for place in found:
        if place.leaf.names == "model":
            tree = place.build("gpt-4-turbo")
            assert seen(DENY, (ModelList(("gpt-4*",)),), tree, fields), place.name
            assert seen(ALLOW, (ModelList(("gpt-5",)),), tree, fields), place.name
            if "model" not in statement_of(tree, fields).unclear:
                assert not seen(ALLOW, (ModelList(("gpt-4*",)),), tree, fields), place.name
        elif place.leaf.names == "router":
            for section in (ALLOW, DENY):
                assert seen(section, (ModelList(("gpt-5",)),), place.build("x"), fields), place.name


@pytest.mark.parametrize("codec", ANSWERING, ids=lambda codec: codec.name)
@pytest.mark.parametrize(("model", "is_sent"), [("gpt-5", True), ("gpt-4", False)])
def test_a_request_of_each_format_is_refused(codec: Any, model: str, is_sent: bool) -> None:
    policies = policy_set("policy: p\nallow: {models: [gpt-5, tunedModels/gpt-5], message: Ask us.}\n")
    for route in codec.routes:
        at = route.replace("{version}", "v1beta").replace("{deployment}", "{model}").replace("{model}", model)
        _, _, path = at.partition(" ")
        _, body = codec.turns.with_model(path, codec.author.request(Prompt("m", "hello")), model)
        exchange = Exchange(setting(policies, route, path, codec=codec))
        last = exchange.receive(RequestReceived(json.dumps(body).encode()))[-1]
        assert isinstance(last, SendUpstream) is is_sent, route
        if not is_sent:
            record = exchange.record("refused")
            assert record.error is not None
            assert (record.status, record.error.code) == (403, "model_not_allowed"), route
            assert b"Ask us." in last.data, route  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("model", "is_allowed"),
    [
        ("gpt-5-mini", True),
        ("GPT-5-Mini", True),
        ("claude-haiku-4-5", True),
        ("org/Own Model", True),
        ("models/gpt-5-mini", True),
        ("gpt-5", False),
        ("gpt-5-mini-2025-08-07", False),
        ("openai/gpt-5-mini", False),
        ("gpt-5-mini:gpt-5", False),
        ("claude-x/../gpt-5", False),
        ("claude-%2e%2e", False),
        ("claude-x,gpt-5", False),
        ("claude- x", False),
        ("claude-\u200bx", False),
        ("claude-auto/auto", False),
        (["gpt-5-mini", "gpt-5"], False),
        ({"name": "gpt-5-mini"}, False),
        (None, False),
    ],
)
def test_a_list_of_allow_has_whole_names(model: Any, is_allowed: bool) -> None:
    policy = "allow: {models: [gpt-5-mini, 'claude-*', org/Own Model]}"
    statement = statement_of({"model": model}) if not isinstance(model, str) else RequestStatement(models=(model,))
    request = Seen(About(models=statement.models, unclear=statement.unclear), statement)
    lists = ALLOW.of(parse(f"policy: p\n{policy}\n", "p.yaml").sections) or ()
    for stage in ALLOW.stages((BoundSection("p", lists, True),)):
        stage.amend(request)
    assert (request.refused == []) is is_allowed


@pytest.mark.parametrize(
    ("model", "is_denied"),
    [
        ("gpt-5", False),
        ("openai/gpt-5", False),
        ("gpt-4o", True),
        ("GPT-4", True),
        ("openai/gpt-4o", True),
        ("ft:gpt-4o:org::id", True),
        ("x/../gpt-4", True),
        ("gpt%2d4", True),
        ("openrouter/auto", True),
    ],
)
def test_a_list_of_deny_has_what_a_server_may_read_of_a_name(model: str, is_denied: bool) -> None:
    error = refusal("deny: {models: ['gpt-4*']}", model=model)
    assert (error is not None) is is_denied
    if error:
        assert (error["code"], error["param"]) == ("model_not_allowed", "model")
        shown = f" `{model}`" if "%" not in model and "auto" not in model else ""
        assert error["message"] == f"the policy does not allow the model{shown}"


@BOTH
def test_a_long_name_is_refused_and_not_shown(section: Section[ModelLists]) -> None:
    fields = codecs()[0].contract.statements
    ((_, message, _),) = seen(section, (ModelList(("gpt-*",)),), {"model": "gpt-" + "5" * 10**6}, fields)
    assert message == "the policy does not allow the model"


@BOTH
def test_a_request_that_names_no_model_is_refused(section: Section[ModelLists]) -> None:
    fields = codecs()[0].contract.statements
    unclear = "the request does not say clearly which model it means"
    for tree in ({}, {"model": None}, {"model": {"x": 1}}, {"model": ["gpt-5", 7]}):
        assert seen(section, (ModelList(("gpt-5",)),), tree, fields) == [(section.name, unclear, "model")], tree


def test_a_field_of_no_known_meaning_could_name_a_model() -> None:
    error = refusal("allow: {models: [gpt-5]}", model="gpt-5", x_new="gpt-4")
    assert error is not None
    assert error["param"] == "x_new"
    assert refusal("deny: {models: [gpt-4]}", model="gpt-5", x_new="gpt-4") is None
    assert refusal("allow: {models: ['*']}", model="gpt-5", x_new="gpt-4") is None


def test_of_several_policies_each_list_counts() -> None:
    texts = [
        "policy: a\nallow: {models: [x, y]}\n",
        "policy: b\nallow: {models: [y, z], message: Only y.}\n",
        "policy: c\nmode: shadow\ndeny: {models: [y]}\n",
    ]
    found = {}
    for model in "xyz":
        exchange = Exchange(setting(policy_set(*texts)))
        exchange.receive(RequestReceived(json.dumps({"model": model, "messages": MESSAGES}).encode()))
        found[model] = [(part.policy, part.duty, part.mode) for part in exchange.record("refused").refusals]
    assert found == {
        "x": [("b", "allow", "enforce")],
        "y": [("c", "deny", "shadow")],
        "z": [("a", "allow", "enforce")],
    }


# Several layers, and two versions of a policy.


def test_layers_of_a_policy_only_take_away() -> None:
    base = (
        "a.yaml",
        "policy: a\nallow: {models: [x, y]}\ntenants: {red: {allow: {models: [x]}, deny: {models: [y]}}}\n",
    )
    heir = ("b.yaml", "policy: b\nextends: a\nallow: {models: [y, z]}\n")
    policies = {policy.name: policy for policy in parse_all([base, heir])}
    assert ALLOW.of(policies["b"].sections) == (ModelList(("x", "y")), ModelList(("y", "z")))
    assert ALLOW.of(policies["b@red"].sections) == (ModelList(("x", "y")), ModelList(("y", "z")), ModelList(("x",)))
    assert DENY.of(policies["a@red"].sections) == (ModelList(("y",)),)
    assert ALLOW.explain is not None
    assert DENY.explain is not None
    assert ALLOW.explain(ALLOW.of(policies["b"].sections) or ()) == "only the models x, y, and of these y, z"
    assert DENY.explain(DENY.of(policies["a@red"].sections) or ()) == "none of the models y"


@pytest.mark.parametrize(
    ("old", "new", "effect"),
    [
        ("strip: [user]", "allow: {models: [x]}", "tightens"),
        ("allow: {models: [x]}", "strip: [user]", "loosens"),
        ("allow: {models: [x, y]}", "allow: {models: [x]}", "tightens"),
        ("allow: {models: [x]}", "allow: {models: [x, y]}", "loosens"),
        ("allow: {models: [x]}", "allow: {models: [y]}", "either"),
        ("allow: {models: [x]}", "allow: {models: [x], message: No.}", "neutral"),
        ("deny: {models: [x]}", "deny: {models: [x, y]}", "tightens"),
        ("deny: {models: [x, y]}", "deny: {models: [x]}", "loosens"),
        ("deny: {models: [x]}", "deny: {models: [y]}", "either"),
    ],
)
def test_a_difference_says_whether_fewer_models_are_left(old: str, new: str, effect: str) -> None:
    rest = "set: {store: false}"
    before, after = (parse_all([("p.yaml", f"policy: p\n{rest}\n{text}\n")]) for text in (old, new))
    assert [change.effect for change in changes(before, after) if "section" in change.words] == [effect]


def test_a_test_of_a_policy_expects_the_code() -> None:
    text = """
policy: p
allow: {models: [gpt-5-mini]}
tests:
  - {name: small, request: hello, model: gpt-5-mini, expect: {error: none, upstream_has: hello}}
  - {name: large, request: hello, model: gpt-5, expect: {error: model_not_allowed, upstream_lacks: hello}}
  - {name: wrong, request: hello, model: gpt-5, expect: {error: none}}
"""
    results = [result.mismatches == () for result in run_tests(policy_set(text), lambda path: b"")]
    assert results == [True, True, False]
