"""What became of a scene, beside what was expected, and beside other cuts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from guardproxy.audit.record.tasks import RecordedRoute
from guardproxy.policy.values.cases import Expectation, ExpectedFinding, RequestFacts
from guardproxy.policytest.mismatches import Mismatch, disagreement, mismatches, no_match_message
from guardproxy.policytest.playing import Delivery, RuleHit, SceneResult, TextFinding

HELD = RuleHit("p", "mail", "redact", True, "request", "m[0]", "mail", "MAIL", 3, 9, 0, "redact")
QUIET = replace(HELD, rule="quiet", enforced=False)
FOUND = TextFinding("request", "m[0]", 3, 9, "mail", "MAIL", "jo@a.b")
PLAYED = SceneResult(
    decision="redact",
    rules_of=(),
    hits=(HELD, QUIET),
    findings=(FOUND,),
    upstream=Delivery((("m[0]", "to [MAIL_1]!"),), "raw body"),
    client=Delivery((("c[0]", "fine"),), ""),
    routes=(
        RecordedRoute(policy="quiet", mode="shadow", upstream="main"),
        RecordedRoute(policy="p", mode="enforce", upstream="cheap"),
    ),
)


def said(played: SceneResult = PLAYED, **expected: Any) -> list[Mismatch]:
    return list(mismatches(Expectation(**expected), played))


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"rule": "mail"},
        {"rules": ("mail",)},
        {"shadow": ("quiet",)},
        {"decision": "redact"},
        {"upstream_has": ("to ", "raw"), "upstream_lacks": ("jo@",)},
        {"client_has": ("fine",), "client_lacks": ("bad",)},
        {"upstream": "to [MAIL_1]!", "client": {"c[0]": "fine"}},
        {"routed": "cheap"},
        {"error": ""},
        {"finds": (ExpectedFinding(check="mail"), ExpectedFinding(label="MAIL", text="jo@a.b"))},
    ],
)
def test_what_is_as_expected_is_no_fault(expected: dict[str, Any]) -> None:
    assert said(**expected) == []


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"rule": "other"}, "expected the rule `other` to hold; rules that hold: mail"),
        ({"rule": "quiet"}, "expected the rule `quiet` to hold, as it is in shadow mode; rules that hold: mail"),
        ({"rules": ()}, "expected these rules to hold: none; rules that hold: mail"),
        ({"shadow": ("a", "b")}, "expected these shadow rules to hold: a, b; shadow rules that hold: quiet"),
        ({"decision": "block"}, "expected the decision block, got redact"),
        ({"routed": "main"}, "expected the upstream `main`, got `cheap`"),
        ({"error": "field_refused"}, "expected the error field_refused, got none"),
        ({"finds": ()}, "expected no findings"),
        ({"finds": (ExpectedFinding("pii", "", "x"),)}, "expected a finding with check `pii`, text `x`"),
        ({"client": {"d": "fine"}}, "the client gets no text at `d`; it gets texts at: c[0]"),
    ],
)
def test_what_is_not_as_expected_is_told(expected: dict[str, Any], message: str) -> None:
    assert [one.message for one in said(**expected)] == [message]


def test_texts_come_with_what_they_are() -> None:
    assert said(upstream_has=("now",)) == [Mismatch("`now` does not reach the model", got="to [MAIL_1]!")]
    assert said(upstream_lacks=("to",)) == [Mismatch("`to` reaches the model, in m[0]", got="to [MAIL_1]!")]
    assert said(upstream_lacks=("body",)) == [Mismatch("`body` reaches the model, in body", got="raw body")]
    assert said(upstream="to") == [Mismatch("the model gets another text", "to", "to [MAIL_1]!")]
    assert said(client={"c[0]": "good"}) == [Mismatch("the client gets another text at `c[0]`", "good", "fine")]


def test_where_nothing_was_sent() -> None:
    nothing = replace(PLAYED, upstream=None, client=None, decision="block", trouble="refused: why", findings=())
    assert said(nothing, upstream_lacks=("a",), client_lacks=("b",)) == []
    (has,) = said(nothing, upstream_has=("a",))
    assert has == Mismatch("`a` does not reach the model: nothing was sent to it")
    (exact,) = said(nothing, client="a")
    assert exact == Mismatch("the client gets another text: the test has no answer that could be sent to it", "a", None)
    (at,) = said(nothing, client={"a": "b"})
    assert at.message == "the client gets no text at `a`: the test has no answer that could be sent to it"
    (decision,) = said(nothing, decision="pass")
    assert decision.message == "expected the decision pass, got block (refused: why)"
    (found,) = said(nothing, finds=(ExpectedFinding("a"),))
    assert found.got == "no findings"


def differs(other: SceneResult, first: SceneResult = PLAYED, *, alike: bool = True) -> list[str]:
    return [one.message for one in disagreement(first, other, "cut", alike=alike)]


def test_other_cuts_must_agree() -> None:
    assert differs(PLAYED) == []
    assert differs(replace(PLAYED, decision="flag")) == ["cut, the decision is flag, not redact"]
    assert differs(replace(PLAYED, hits=(HELD,))) == ["cut, the rule `quiet` does not hold for MAIL at 3 to 9 of m[0]"]
    assert differs(PLAYED, replace(PLAYED, hits=())) == [
        "cut, the rule `mail` holds for MAIL at 3 to 9 of m[0] as well",
        "cut, the rule `quiet` holds for MAIL at 3 to 9 of m[0] as well",
    ]
    other = Delivery((("c[0]", "not fine"),), "")
    assert differs(replace(PLAYED, client=other)) == ["cut, the client gets another text"]
    assert differs(replace(PLAYED, findings=())) == ["cut, the findings differ"]


def test_of_an_answer_that_was_ended_less_is_compared() -> None:
    """How much has left before the end depends on whether it was streamed; what is found after it is chance."""
    ended = replace(PLAYED, decision="block")
    other = replace(ended, client=Delivery((("c[0]", "f"),), ""), findings=())
    assert differs(other, ended, alike=False) == []
    assert differs(other, ended) == ["cut, the client gets another text"]
    assert differs(replace(PLAYED, client=None), alike=False) == ["cut, the client gets another text"]


def test_why_a_policy_does_not_apply() -> None:
    told = RequestFacts("POST /a", "m", "acme", {"x-b": "c"})
    assert (
        no_match_message(told)
        == "the policy's `match` does not hold for route POST /a, model `m`, tenant `acme`, x-b: c"
    )
