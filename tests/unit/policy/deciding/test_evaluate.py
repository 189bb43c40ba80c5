"""From findings to decisions: which checks a text must pass, what is cut out of it, what stops it, and what is noted."""

from __future__ import annotations

from itertools import permutations

import pytest

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.decisions import Edit, Stop
from guardproxy.exchange.gate.gate import CHECK_ERROR
from guardproxy.findings import Channel
from guardproxy.policy.conditions.request_context import About
from guardproxy.policy.deciding.evaluate import NOT_APPLYING, BoundRules, Keeping, PolicySet, keeping_of, select
from guardproxy.policy.deciding.tally import Tally
from guardproxy.policy.file.load import build_checks, parse, parse_all
from guardproxy.policy.values.document import Policy, header_of
from tests.kit.play import policy_set
from tests.kit.rules import CHECKS, ROUTE, bound, channel, finding, policies
from tests.kit.sealing import KEPT


def seen(
    it: BoundRules, *checks: str, where: Channel | None = None
) -> tuple[list[str | None], list[tuple[str, str, bool]]]:
    """The stop after each finding, and what was noted."""
    tally = Tally(it)
    stops = [tally.see(where or channel(), finding(check, at)) for at, check in enumerate(checks)]
    return [stop.rule if stop else None for stop in stops], [
        (one.rule, one.action, one.enforced) for one in tally.outcomes
    ]


def test_a_text_passes_the_checks_that_rules_ask_of_its_kind_each_once() -> None:
    it = bound(
        policies(
            "  - {id: a, on: request, when: two or one, action: flag}\n"
            "  - {id: b, on: [user, assistant], when: one, action: flag}\n"
        )
    )
    assert [check.name for check in it.checks_for(channel())] == ["one", "two"]
    assert [check.name for check in it.checks_for(channel("assistant", "response"))] == ["one"]
    assert it.checks_for(channel("refusal", "response")) == ()
    assert it.checks_for(channel()) is it.checks_for(channel()), "worked out once"
    assert [one.rule.id for one in it.rules_for(channel())] == ["a", "b"]


def test_equal_checks_of_two_files_are_one_and_others_have_names_of_their_own() -> None:
    other = CHECKS.replace("words: [two]", "words: [zwei]")
    rule = "  - {id: a, when: one and two, action: block}\n"
    it = bound(policies(rule), policies(rule, name="q", checks=other))
    assert [check.name for check in it.checks_for(channel())] == ["one", "p.two", "q.two"]
    assert seen(it, "one", "q.two")[0] == [None, "a"]
    assert seen(it, "one", "p.two")[1] == [("a", "block", True)]


def test_an_edit_is_decided_for_each_finding() -> None:
    it = bound(
        policies(
            "  - {id: a, on: request, when: one, action: redact, restore: true}\n"
            "  - {id: b, when: two, action: redact, restore: true}\n"
            "  - {id: c, on: user, when: two, action: redact, restore: false}\n"
            "  - {id: d, when: three, action: redact, mode: shadow}\n"
            "  - {id: e, when: one, action: flag}\n"
        )
    )
    assert it.edit(channel(), finding("one")) == Edit("a", restore=True)
    assert it.edit(channel("assistant", "response"), finding("one")) is None
    assert it.edit(channel(), finding("two")) == Edit("c", restore=False), "the one that does not restore"
    assert it.edit(channel("system"), finding("two")) == Edit("b", restore=True)
    assert it.edit(channel(), finding("three")) is None
    assert it.edit(channel(), finding("unknown")) is None


def test_the_strongest_wins_in_any_order() -> None:
    rules = [
        "  - {id: a, when: one, action: flag}\n",
        "  - {id: b, when: one, action: redact}\n",
        "  - {id: c, when: one, action: block}\n",
    ]
    for order in permutations(rules):
        it = bound(policies("".join(order)))
        stops, noted = seen(it, "one")
        assert stops == ["c"]
        assert sorted(noted) == [("a", "flag", True), ("b", "redact", True), ("c", "block", True)]


def test_of_two_stops_the_first_of_the_files_is_told() -> None:
    it = bound(
        policies("  - {id: a, when: one, action: block, message: first}\n  - {id: b, when: one, action: block}\n")
    )
    assert Tally(it).see(channel(), finding("one")) == Stop("a", "first")


@pytest.mark.parametrize(
    ("when", "checks", "stops"),
    [
        ("one and two", ["one", "two"], [None, "r"]),
        ("one and two", ["two", "two", "one", "three"], [None, None, "r", None]),
        ("one and two or three", ["three"], ["r"]),
        ("one and (two or three)", ["three", "two", "one"], [None, None, "r"]),
        ("one or two", ["two", "one"], ["r", "r"]),
    ],
)
def test_an_and_holds_from_the_finding_that_completes_it(when: str, checks: list[str], stops: list[str | None]) -> None:
    it = bound(policies(f"  - {{id: r, when: {when}, action: block}}\n"))
    assert seen(it, *checks)[0] == stops


def test_shadow_notes_and_does_nothing() -> None:
    it = bound(policies("  - {id: r, when: one, action: block, mode: shadow}\n"))
    assert seen(it, "one") == ([None], [("r", "block", False)])


def test_a_failed_check_is_no_finding_of_that_check() -> None:
    it = bound(policies("  - {id: r, when: one, action: redact}\n", "on_error: flag\n"))
    assert it.edit(channel(), finding("one", label=CHECK_ERROR)) is None
    tally = Tally(it)
    tally.see(channel(), finding("one", label=CHECK_ERROR))
    assert [one.rule for one in tally.outcomes] == ["on_error"]


def test_a_rule_may_speak_of_failed_checks() -> None:
    """Alone it listens to every check of its file, beside others to those."""
    it = bound(policies("  - {id: r, when: check_error, action: block}\n", "on_error: flag\n"))
    assert [check.name for check in it.checks_for(channel())] == ["one", "three", "two"]
    tally = Tally(it)
    assert tally.see(channel(), finding("two", label=CHECK_ERROR)) == Stop("r")
    assert tally.see(channel(), finding("two")) is None
    it = bound(policies("  - {id: r, when: one or check_error, action: block}\n", "on_error: flag\n"))
    assert [check.name for check in it.checks_for(channel())] == ["one"]


def test_bind_takes_the_policies_that_match() -> None:
    rule = "  - {id: r, when: one, action: flag}\n"
    it = policy_set(
        policies(rule, "match: {models: ['gpt-*']}\n", "models"),
        policies(rule, "match: {tenants: [acme]}\n", "tenants"),
        policies(rule, "match: {routes: ['POST /v1/messages']}\n", "routes"),
        policies(rule, name="all"),
    )

    def names(route: str, model: str, tenant: str) -> list[str]:
        return [policy.name for policy in it.bind(route, model, tenant).policies]

    assert names(ROUTE, "gpt-4", "acme") == ["models", "tenants", "all"]
    assert names("POST /v1/messages", "claude-3", "") == ["routes", "all"]
    assert names(ROUTE, "", "") == ["models", "all"]
    assert names(ROUTE, "x", "y") == ["all"]
    assert it.bind(ROUTE, "x", "y") is it.bind("GET /", "z", "z"), "one value for one choice of policies"


def test_the_strictest_policy_decides_on_unmapped_and_on_keeping() -> None:
    rule = "  - {id: r, when: one, action: flag}\n"
    plain = policies(rule)
    strict = policies(rule, "unmapped: refuse\naudit: {keep: none}\n", "q")
    assert (bound(plain).refuses_unmapped, bound(plain).keeping.keep) == (False, "redacted")
    for order in ((plain, strict), (strict, plain)):
        assert (bound(*order).refuses_unmapped, bound(*order).keeping.keep) == (True, "none")


def test_an_intent_is_kept_where_any_policy_wants_it() -> None:
    rule = "  - {id: r, when: one, action: flag}\n"
    wants, without = policies(rule), policies(rule, "audit: {intent: off}\n", "q")
    assert (bound(wants).intent, bound(without).intent) == (True, False)
    assert bound(wants, without).intent
    assert bound(without, wants).intent


def test_no_policies_ask_nothing() -> None:
    it = PolicySet((), {}, "").bind(ROUTE, "m", "t")
    assert it.intent
    assert it.checks_for(channel()) == ()
    assert it.edit(channel(), finding("one")) is None
    assert Tally(it).see(channel(), finding("one")) is None


def test_the_upstreams_that_policies_route_to() -> None:
    first = "policy: a\nroute: {upstreams: [{upstream: main}, {upstream: spare, priority: 1}]}\n"
    second = "policy: b\nroute: {models: {fast: small}, simple: {upstream: cheap}}\n"
    assert policy_set(first, second).routed == ("", "cheap", "main", "spare")
    assert policy_set().routed == ()


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("action: retry", True),
        ("action: retry, early: true", False),
        ("action: retry, mode: shadow", False),
        ("action: block", False),
        ("action: flag", False),
    ],
)
def test_what_may_ask_again_holds_the_answer(rule: str, holds: bool) -> None:
    it = bound(policies(f"  - {{id: r, on: response, when: one, {rule}}}\n"))
    assert it.holds_back(lambda check: False) == holds
    assert it.retries == ("retry" in rule and "shadow" not in rule)
    assert it.judging == ()
    assert not it.mends


def policy(name: str, audit: str) -> Policy:
    return parse(f"{KEPT.replace('kept', name)}audit: {audit}\n", f"{name}.yaml")


@pytest.mark.parametrize(
    ("audits", "expected"),
    [
        ((), Keeping("redacted")),
        (("{}",), Keeping("redacted")),
        (("{keep: none}", "{keep: sealed}", "{}"), Keeping("none")),
        (("{keep: sealed}",), Keeping("sealed", ("user",), True)),
        (("{keep: sealed}", "{}"), Keeping("sealed", ("user",), False)),
        (
            ("{keep: sealed, subject: tenant}", "{keep: sealed, subject: 'header:X-User'}", "{keep: sealed}"),
            Keeping("sealed", ("tenant", "header:x-user", "user"), True),
        ),
    ],
)
def test_the_least_is_kept(audits: tuple[str, ...], expected: Keeping) -> None:
    policies = [policy(f"p{number}", audit) for number, audit in enumerate(audits)]
    assert keeping_of(policies) == keeping_of(policies[::-1]) == expected


def test_a_header_that_names_a_subject_is_read() -> None:
    assert header_of("header:x-user") == "x-user"
    assert header_of("user") == ""
    sealing = f"{KEPT}audit: {{keep: sealed, subject: 'header:X-User'}}\nmatch: {{headers: {{x-team: a}}}}\n"
    assert policy_set(sealing).headers == {"x-user", "x-team"}
    assert policy_set(f"{KEPT}audit: {{keep: sealed}}\n").headers == set()


BASE = """\
policy: {name}
match: {{models: [{model}]}}
checks: {{word: {{use: pattern, words: [one]}}}}
rules: [{{id: r, when: word, action: flag}}]
"""
OTHER_ROUTE = "POST /a"
OWN = "tenants: {acme: {rules: [{id: r, action: block}]}, beta: {rules: [{id: r, action: block}]}}\n"


def two_policies() -> PolicySet:
    texts = (BASE.format(name="a", model="a*"), BASE.format(name="b", model="b*") + OWN)
    read = parse_all([(f"{number}.yaml", text) for number, text in enumerate(texts)])
    return PolicySet(read, build_checks(read, Resources()), "")


def applying(policies: PolicySet, model: str, tenant: str | None, *demanded: str) -> list[str]:
    """The names of the policies that apply, as they are combined."""
    return sorted(policy.name for policy in policies.bind(OTHER_ROUTE, model, tenant, demanded=demanded).policies)


@pytest.mark.parametrize(
    ("model", "tenant", "demanded", "names"),
    [
        ("a1", "", (), ["a"]),
        ("a1", "", ("b",), ["a", "b"]),
        ("a1", "acme", ("b",), ["a", "b@acme"]),
        ("a1", "ACME", ("b",), ["a", "b@acme"]),
        ("a1", None, ("b",), ["a", "b"]),
        ("b1", "beta", (), ["b@beta"]),
        ("c", "", ("a", "b"), ["a", "b"]),
        ("c", "", ("b@acme", "c"), []),
    ],
)
def test_a_demanded_policy_applies_whatever_its_match(
    model: str, tenant: str | None, demanded: tuple[str, ...], names: list[str]
) -> None:
    assert applying(two_policies(), model, tenant, *demanded) == names


def test_what_is_demanded_does_not_change_what_is_recorded_of_conditions() -> None:
    both = two_policies()
    plain, demanding = both.bind(OTHER_ROUTE, "a1", ""), both.bind(OTHER_ROUTE, "a1", "", demanded=("b",))
    assert plain.matched == demanding.matched
    assert plain is both.bind(OTHER_ROUTE, "a1", ""), "the demanding rules are not mixed up with the plain ones"


def test_names_are_those_of_the_files() -> None:
    assert two_policies().names == {"a", "b"}


def test_recorded_verdicts_count() -> None:
    policy = two_policies().policies[0]
    about = About(OTHER_ROUTE, "c")
    assert select([policy], [()], about, "", {}, ()) == (("no", NOT_APPLYING),)
    assert select([policy], [()], about, "", {policy.match.digest: "unknown"}, ()) == (("unknown", -1),)
    assert select([policy], [()], about, "", {}, ("a",)) == (("no", -1),)


def test_a_policy_for_servers_of_tools_applies_where_such_requests_come() -> None:
    text = "policy: p\nchecks: {w: {use: pattern, words: [a]}}\nrules: [{id: r, when: w, action: flag}]\n"
    policies = policy_set(text + 'match: {routes: ["POST /mcp/*"]}\n')
    assert policies.may_apply(policies.policies[0], to_tools=True)
    assert not policies.may_apply(policies.policies[0], to_tools=False)
    every = policy_set(text)
    assert every.may_apply(every.policies[0], to_tools=False)


ASKING = """
policy: asking
checks:
  polite: {use: llm, upstream: judge, model: m, rubric: "Is it rude?"}
  word: {use: pattern, words: [x]}
rules:
  - {id: rude, on: ON, when: polite, action: ACTION}
  - {id: word, when: word, action: flag}
"""


def asking(on: str, action: str = "block") -> PolicySet:
    return policy_set(ASKING.replace("ACTION", action).replace("ON", on))


def test_a_check_that_sends_texts_elsewhere_reads_them_after_the_others() -> None:
    rules = asking("user").bind(ROUTE, "m", "")
    assert rules.has_later
    assert [check.name for check in rules.later_for(channel("user"))] == ["polite"]
    assert rules.later_for(channel("system")) == ()
    assert not policy_set(KEPT).bind(ROUTE, "m", "").has_later


@pytest.mark.parametrize(
    ("on", "action", "holds"),
    [
        ("response", "block", True),
        ("response", "block, early: true", True),
        ("response", "retry", True),
        ("response", "flag", False),
        ("response", "block, mode: shadow", False),
        ("request", "block", False),
    ],
)
def test_an_answer_that_such_a_check_may_stop_is_held(on: str, action: str, holds: bool) -> None:
    assert asking(on, action).bind(ROUTE, "m", "").holds_back(lambda check: False) == holds


def test_a_set_says_whether_it_asks_models() -> None:
    judge = "judge: {upstream: u, model: m, rubric: r}\n"
    assert asking("user").asks_models
    assert policy_set(KEPT + judge).asks_models
    assert not policy_set(KEPT).asks_models
