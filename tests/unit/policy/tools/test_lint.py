"""What a reviewer is told of policies that can be used."""

from __future__ import annotations

import pytest

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse_all
from guardproxy.policy.tools.lint import Note, notes
from guardproxy.policy.values.cases import RawExchange, RequestFacts, Texts
from guardproxy.policytest.playing import play_scene
from guardproxy.policytest.scenes import Cuts
from tests.kit.supervisor import FakeScorer, words

HEAD = "policy: p\nchecks: {shape: {use: json_schema, schema: from_request}}\nrules:\n"


def loaded(*texts: str) -> PolicySet:
    policies = parse_all([(f"p{at or ''}.yaml", text) for at, text in enumerate(texts)])
    return PolicySet(policies, build_checks(policies, Resources(scorer=lambda name: FakeScorer(words))), "")


def told(*texts: str) -> list[Note]:
    return [note for note in notes(loaded(*texts)) if note.code not in ("not-scanned", "client-chooses")]


def policy(checks: str, *rules: str, more: str = "") -> str:
    lines = "".join(f"  - {{{rule}}}\n" for rule in rules)
    return f"policy: p\nchecks: {{{checks}}}\nrules:\n{lines}{more}"


def test_a_reviewer_is_told_what_a_retry_costs() -> None:
    text = (
        HEAD
        + "  - {id: one, when: shape, action: retry, attempts: 3, total_s: 9}\n"
        + "  - {id: two, when: shape, action: retry, early: true}\n"
        + "  - {id: three, when: shape, action: retry, mode: shadow}\n"
        + "  - {id: four, when: shape, action: block, on: response}\n"
        + "  - {id: five, when: shape, action: retry, then: fallback, fallback: {model: m}}\n"
    )
    lines = [str(note) for note in told(text)]
    assert len(lines) == 3
    assert lines[0].startswith("p.yaml:4:5: note: `one` holds a streaming answer back to its end")
    assert lines[0].endswith("[retry-cost]")
    assert "up to 4 answers" in lines[0]
    assert "after 9 s" in lines[0]
    assert "only while no text of a stream was sent" in lines[1]
    assert "up to 4 answers" in lines[2]


SHAPE = "s: {use: json_schema, schema: from_request}"
WORDS = "w: {use: pattern, words: [x], label: WORD}"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            policy(SHAPE, "id: r, on: request, when: s, action: flag"),
            "4:13: warning: `r` can never hold: `s` cannot find anything in the texts of its `on` [never-fires]",
        ),
        (
            policy(f"{SHAPE}, {WORDS}", "id: r, on: request, when: w and s, action: flag"),
            "4:13: warning: `r` can never hold: `s` cannot find anything in the texts of its `on` [never-fires]",
        ),
        (
            policy("a: {use: supervisor, label: orders}", "id: r, on: user, when: a, action: flag"),
            "4:13: warning: `r` can never hold: `a` cannot find anything in the texts of its `on` [never-fires]",
        ),
        (
            policy(f"{WORDS}, k: {{use: secrets}}", "id: r, when: w, action: flag"),
            "2:54: warning: no rule uses the check `k`; name it in a `when`, or remove it [unused-check]",
        ),
        (
            policy(WORDS, "id: r, when: w, action: flag", more="vars: {limit: 3}\n"),
            "5:8: warning: nothing uses `${limit}` [unused-variable]",
        ),
        (
            policy(WORDS, "id: r, when: w, action: redact, restore: false, operators: {WORDS: hash}"),
            "4:54: warning: no check of `r` finds `WORDS`; did you mean `WORD`? [unknown-label]",
        ),
        (
            policy(WORDS, "id: r, when: w, action: flag", more="match: {when: 'false'}\n"),
            "5:1: warning: no possible request matches: the rules of the policy never apply [never-matches]",
        ),
        (
            policy(WORDS, "id: r, when: w, action: flag", more="match: {routes: [POST /v1/message]}\n"),
            "5:1: warning: no possible request matches: the rules of the policy never apply [never-matches]",
        ),
        (
            policy(WORDS, "id: r, when: w, action: flag", more="match: {when: 'request.headers[\"x-a\"] == \"b\"'}\n"),
            "5:1: warning: `when` cannot be evaluated for a request without the header `x-a`, and the policy then applies; "
            'begin with `"x-a" in request.headers && ...` [fails-without-header]',
        ),
        (
            policy("a: {use: supervisor, label: harm, threshold: 0.99}", "id: r, when: a, action: flag"),
            "2:44: warning: 0.99 is outside of the model's operating points for `harm` (1% at 0.5): its false "
            "positives were not measured [option]",
        ),
        (
            policy("w: {use: pattern, patterns: [x, 'a.*b']}", "id: r, when: w, action: flag"),
            "2:42: note: pattern 2 sets no bound, so up to 256 characters of a stream are held from where it may "
            "begin; bound it, as in `.{0,40}`, or lower `cap` [option]",
        ),
        (
            policy("w: {use: pattern, patterns: ['a{300}']}", "id: r, when: w, action: flag"),
            "2:39: note: pattern 1 may hold up to 300 characters of a stream back [option]",
        ),
    ],
)  # fmt: skip
def test_what_is_likely_to_be_a_mistake_is_told_with_its_place(text: str, note: str) -> None:
    assert [str(one) for one in told(text)] == [f"p.yaml:{note}"]


@pytest.mark.parametrize(
    ("match", "parts"),
    [
        ("{models: [m]}", "`models`"),
        ("{headers: {x-a: b}, models: [m]}", "`models` and `headers`"),
        ("{when: 'request.stream && tenant.name == \"a\"'}", "`request.stream`"),
        ("{tenants: [a], routes: ['POST /*'], when: 'request.path != \"/\"'}", ""),
        ("{}", ""),
    ],
)
def test_a_reviewer_is_told_what_a_client_chooses(match: str, parts: str) -> None:
    it = loaded(policy(WORDS, "id: r, when: w, action: flag", more=f"match: {match}\n"))
    found = [note for note in notes(it) if note.code == "client-chooses"]
    assert [(note.line, note.column, note.weight) for note in found] == ([(5, 1, "note")] if parts else [])
    assert all(note.message.startswith(f"a client chooses {parts}, ") for note in found)
    assert all("`tenants`" in note.message for note in found)


def test_a_pattern_that_is_slow_is_told() -> None:
    (slow,) = (
        one
        for one in told(policy(r"w: {use: pattern, patterns: ['\pL{1,200}\d']}", "id: r, when: w, action: flag"))
        if one.weight == "warning"
    )
    assert slow.message.startswith("pattern 1 becomes a program of ")


@pytest.mark.parametrize(
    "text",
    [
        policy(WORDS, "id: r, when: w, action: redact, restore: false, operators: {WORD: hash, UNDECODED: redact}"),
        policy("p: {use: pii}", "id: r, when: p, action: redact, restore: false, operators: {CREDIT_CARD: hash}"),
        policy("a: {use: supervisor, threshold: 1%}", "id: r, when: a, action: block"),
        policy(SHAPE, "id: r, when: s or check_error, action: flag, on: request"),
        policy(WORDS, "id: r, when: check_error, action: flag"),
        policy(WORDS, "id: r, when: w, action: flag", more="match: {when: 'request.model.matches(\"x\")'}\n"),
        policy(
            WORDS,
            "id: r, when: w, action: flag",
            more='match: {when: \'"x-a" in request.headers && request.headers["x-a"] == "b"\'}\n',
        ),
    ],
)
def test_what_is_right_is_not_remarked_on(text: str) -> None:
    assert told(text) == []


def test_overrides_of_tenants_are_told_once() -> None:
    text = policy(WORDS, "id: r, when: w, action: flag, on: request", more="vars: {unused: 1}\ntenants:\n")
    text += "  acme: {checks: {v: {use: pattern, patterns: ['a.*']}}, rules: [{id: s, when: v, action: flag}]}\n"
    found = told(text)
    assert [(note.code, note.line) for note in found] == [("unused-variable", 5), ("option", 7)]


def test_texts_that_no_check_looks_at_are_told_once() -> None:
    found = [
        note
        for note in notes(loaded(policy(WORDS, "id: r, on: user, when: w, action: flag")))
        if note.code == "not-scanned"
    ]
    request, response = found
    assert "of a request: system, assistant" in request.message
    assert "of a response: assistant" in response.message
    assert notes(loaded(policy(WORDS, "id: r, when: w, action: flag"))) == []
    assert notes(PolicySet((), {}, "")) == []


def test_a_reviewer_is_told_of_values_that_come_back_inside_urls() -> None:
    (note,) = told(
        policy(WORDS, "id: r, on: request, when: w, action: redact, restore: {urls: [b.example, a.example]}")
    )
    assert (note.code, note.weight, note.line) == ("restores-in-urls", "note", 4)
    assert "inside URLs of a.example, b.example" in note.message


@pytest.mark.parametrize(
    ("checks", "rules", "reason"),
    [
        (
            "w: {use: pattern, words: [x]}",
            ("id: r, on: user, when: w, action: block, parallel: true",),
            "the record hides",
        ),
        (
            "a: {use: supervisor, label: injection}",
            (
                "id: r, on: user, when: a, action: block, parallel: true",
                "id: s, on: [user, system], when: a, action: flag",
            ),
            "`s` uses `a` too",
        ),
    ],
)
def test_a_rule_that_waits_in_spite_of_parallel(checks: str, rules: tuple[str, ...], reason: str) -> None:
    (note,) = told(policy(checks, *rules))
    assert note.code == "waits-anyway"
    assert reason in note.message


def test_a_rule_that_need_not_wait_is_not_noted() -> None:
    rules = (
        "id: r, on: user, when: a, action: block, parallel: true",
        "id: s, on: system, when: a, action: flag",
    )
    assert told(policy("a: {use: supervisor, label: injection}", *rules)) == []


def route(name: str, more: str = "") -> str:
    return f"policy: {name}\nroute: {{upstreams: [{{upstream: u}}]}}\n{more}"


@pytest.mark.parametrize(
    ("first", "second", "weight"),
    [
        ("", "", "warning"),
        ("match: {models: [m]}\n", "", "note"),
        ("enforce: 10 %\n", "", "note"),
        ("match: {tenants: [a]}\n", "match: {tenants: [b]}\n", None),
        ("match: {routes: [POST /v1/messages]}\n", "match: {routes: [POST /v1/chat/completions]}\n", None),
        ("mode: shadow\n", "", None),
    ],
)
def test_a_route_that_another_may_decide_before(first: str, second: str, weight: str | None) -> None:
    found = [note for note in told(route("b", second), route("a", first)) if note.code == "routes-overlap"]
    assert [(note.path, note.line, note.weight) for note in found] == ([("p.yaml", 2, weight)] if weight else [])
    assert all(note.message.startswith("where `a` applies too, its route decides") for note in found)
    assert all(("is never used" in note.message) == (weight == "warning") for note in found)


CANARY = "c: {use: canary}"
GROUNDED = "g: {use: grounded}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (policy(CANARY, "id: r, when: c, action: flag"), "`c` finds the word of `prompt: {canary: true}`"),
        (policy(CANARY, "id: r, when: c, action: flag", more="prompt: {append: hello}\n"), "`c` finds the word"),
        (policy(CANARY, "id: r, when: c, action: flag", more="prompt: {canary: true}\n"), ""),
        (policy(GROUNDED, "id: r, on: request, when: g, action: flag"), "`g` cannot find anything"),
        (policy(GROUNDED, "id: r, on: response, when: g, action: flag"), ""),
        (
            policy(GROUNDED, "id: r, on: response, when: g, action: flag", more="match: {routes: [POST /v1/completions]}\n"),
            "`g` cannot find anything",
        ),
        (
            policy(SHAPE, "id: r, when: s, action: retry", more="match: {routes: [POST /v1/embeddings]}\n"),
            "`s` cannot find anything",
        ),
        (
            policy(f"{CANARY}, {SHAPE}", "id: r, on: request, when: c and s, action: flag"),
            "`s` cannot find anything in the texts of its `on` and `c` finds the word",
        ),
        (policy(f"{CANARY}, {WORDS}", "id: r, when: c or w, action: flag"), ""),
        (
            policy(WORDS, "id: r, on: response.user, when: w, action: flag", more="match: {routes: [POST /api/chat]}\n"),
            "no request or answer that the policy is for has a text of its `on`",
        ),
        ("policy: p\nrules: [{id: r, when: check_error, action: flag}]\n", "no check can fail, as the policy has none"),
        (policy(WORDS, "id: r, when: check_error, action: flag"), ""),
        (policy(WORDS, "id: r, on: user, when: w, action: flag, mode: shadow"), ""),
        (policy(CANARY, "id: r, when: c, action: flag", more="match: {routes: [POST /none]}\n"), ""),
    ],
)  # fmt: skip
def test_a_rule_that_can_never_hold_is_told_with_the_reason(text: str, reason: str) -> None:
    found = [note.message for note in told(text) if note.code == "never-fires"]
    assert [message.startswith(f"`r` can never hold: {reason}") for message in found] == ([True] if reason else [])


def test_a_canary_of_another_policy_counts_where_both_can_apply() -> None:
    rule = policy(CANARY, "id: r, when: c, action: flag", more="match: {models: [gpt-5]}\n")
    other = "policy: q\nprompt: {canary: true}\nmatch: {models: [%s]}\n"
    assert "never-fires" not in {note.code for note in told(rule, other % "'gpt-*'")}
    assert "never-fires" in {note.code for note in told(rule, other % "claude-4")}


CACHE = "policy: p\ncache: {mode: semantic}\nchecks: {w: {use: pattern, words: [x]}}\n"
ROUTE = "policy: p\nroute: {upstreams: [{upstream: u}, {upstream: v}]}\nchecks: {w: {use: pattern, words: [x]}}\n"
# What follows a section, and the directions whose texts are read then.
READERS = {
    "": "",
    "rules: [{id: r, on: request, when: w, action: flag}]\n": "request",
    "rules: [{id: r, on: user, when: w, action: flag, mode: shadow}]\n": "request response",
    "rules: [{id: r, on: request.system, when: w, action: block}]\n": "request",
    "rules: [{id: r, on: response, when: w or check_error, action: flag}]\n": "response",
    "rules: [{id: r, on: response.tool_result, when: w, action: flag}]\n": "response",
    "rules: [{id: r, when: check_error, action: block}]\n": "",
    "unmapped: refuse\n": "request response",
    "opaque: {image: refuse}\n": "request response",
    "opaque: {image: pass}\n": "",
    "prompt: {canary: true, append: Be kind.}\n": "",
}


@pytest.mark.parametrize("more", READERS)
def test_a_section_that_does_less_than_it_says_is_told_as_it_is_played(more: str) -> None:
    """The notes are given exactly where the exchange does less: it compares whole requests, and lets an error of a stream
    through."""
    codes = {note.code for note in told(CACHE + more)}
    query = play_scene(loaded(CACHE + more), Texts("What is it?"), RequestFacts(model="m"), Cuts()).cache
    assert query is not None
    assert ("cache-is-exact" in codes) == (query.match == "exact") == ("request" not in READERS[more])
    codes = {note.code for note in told(ROUTE + more)}
    request = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    failing = RawExchange(request, stream=({"error": {"message": "no"}},))
    result = play_scene(loaded(ROUTE + more), failing, RequestFacts(model="m"), Cuts(streamed=True))
    assert ("fallback-is-blind" in codes) == (result.client is not None) == ("response" not in READERS[more])


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("route: {upstreams: [{upstream: u}]}\n", []),
        ("route: {upstreams: [{upstream: u}, {upstream: v}], fallback: {attempts: 0}}\n", []),
        ("route: {upstreams: [{upstream: u}, {upstream: v}], fallback: {on: [timeout, 500]}}\n", []),
        ("route: {upstreams: [{upstream: u}, {upstream: v}]}\nmode: shadow\n", []),
        ("route: {models: {a: b}, simple: {model: c}}\n", ["warning"]),
        ("cache: {mode: exact}\n", []),
        ("cache: {mode: semantic}\nmode: shadow\n", ["warning"]),
    ],
)
def test_only_what_is_missing_is_told(text: str, weights: list[str]) -> None:
    notes = [note for note in told(f"policy: p\n{text}") if note.code in ("cache-is-exact", "fallback-is-blind")]
    assert [note.weight for note in notes] == weights


@pytest.mark.parametrize(
    ("match", "weights"),
    [
        ("", []),
        ("match: {tenants: [acme]}\n", ["note"]),
        ("match: {models: [claude-4]}\n", ["warning"]),
    ],
)
def test_a_rule_of_another_policy_counts_where_it_applies_too(match: str, weights: list[str]) -> None:
    other = (
        f"policy: q\n{match}checks: {{w: {{use: pattern, words: [x]}}}}\nrules: [{{id: r, when: w, action: flag}}]\n"
    )
    found = [note for note in told(CACHE + "match: {models: ['gpt-*']}\n", other) if note.code == "cache-is-exact"]
    assert [note.weight for note in found] == weights
    assert all(("unless `q` applies too" in note.message) == (note.weight == "note") for note in found)


@pytest.mark.parametrize(
    ("first", "second", "is_told"),
    [
        ("models: ['gpt-*']", "models: ['claude-*']", False),
        ("models: [azure/gpt-5]", "models: [openai/gpt-5]", False),
        ("models: [gpt-5, gpt-4]", "models: [gpt-5-mini, o3]", False),
        ("models: ['gpt-4*']", "models: ['*-mini']", True),
        ("models: ['openai/*']", "models: [GPT-5]", True),
        ("models: [gpt-5]", "models: ['gpt-5-*']", True),
        ("models: [gpt-5]", "tenants: [acme]", True),
        ("tenants: ['acme-*']", "tenants: ['beta-*']", False),
        ("tenants: ['*-eu']", "tenants: ['acme-*']", True),
    ],
)
def test_routes_for_names_that_cannot_meet_do_not_overlap(first: str, second: str, is_told: bool) -> None:
    texts = route("b", f"match: {{{second}}}\n"), route("a", f"match: {{{first}}}\n")
    assert [note.code for note in told(*texts) if note.code == "routes-overlap"] == ["routes-overlap"] * is_told
