"""What a record says in words."""

from __future__ import annotations

from typing import Any

from guardproxy.audit import Judged, Record
from guardproxy.audit.record import (
    RecordedAttempt,
    RecordedError,
    RecordedFault,
    RecordedPlaces,
    RecordedSaving,
    RecordedShortage,
    RecordedValues,
)
from guardproxy.audit.record.document import ENTRY_VERSION, RecordedRequest, RecordedSealing
from guardproxy.audit.record.entries import Unsealed
from guardproxy.audit.record.feedback import RecordedFeedback, RecordedJudge, RecordedOpinion
from guardproxy.audit.record.tasks import (
    RecordedCache,
    RecordedDuty,
    RecordedField,
    RecordedLikeness,
    RecordedPlan,
    RecordedPrompt,
    RecordedRefusal,
    RecordedRoute,
)
from guardproxy.console.pages.exchanges import about
from guardproxy.findings import ModelVerdict
from tests.kit.records import plain_answer, plain_attempt, plain_decision, plain_record, plain_text


def facts(record: Record) -> dict[str, str]:
    return {fact.name: fact.value for group in about.groups(record) for fact in group.facts}


def test_a_plain_record_in_words() -> None:
    found = facts(plain_record(plain_answer(), plain_text(), usage={"total_tokens": 3, "details": {"a": 1, "b": None}}))
    assert found["route"] == "POST /v1/messages"
    assert found["tenant"] == "t1"
    assert found["texts"] == "kept, values masked"
    assert (found["total_tokens"], found["details.a"]) == ("3", "1")
    assert "details.b" not in found
    assert found["the answer"] == "status 200, whole, finished: stop"


def test_everything_that_a_record_can_say() -> None:
    likeness = RecordedLikeness(result="same", source="x1", similarity=0.9, entails=(0.8, 0.7), point=0.6)
    route = RecordedRoute(
        policy="p",
        mode="shadow",
        upstream="eu",
        model="big",
        next=("-", "small"),
        simple=True,
        measures={"chars": 3},
        passed_over=("down",),
        saved=0.5,
    )
    record = plain_record(
        plain_answer(withheld=("logprobs",), finish=(), streamed=True),
        plain_text(text=None),
        plain_text(),
        codec="",
        tenant_name="acme",
        client="web",
        demanded=("strict",),
        plan=RecordedPlan(upstream="eu", model="m2", parameters={"max_tokens": 5}, reason="a limit"),
        routing=(route, RecordedRoute(policy="q", mode="enforce")),
        cache=RecordedCache(
            result="hit", match="semantic", mode="shadow", policies=("p",), source="x1", age_s=4, likeness=likeness
        ),
        cost=1_250_000,
        saved=RecordedSaving(tokens=3, seconds=1.5, money=0.01),
        error=RecordedError(code="upstream_failed", message="no", field="f", cause="dns"),
        refusals=(RecordedRefusal(duty="limits", name="a day", policy="p", code="rate", mode="shadow"),),
        no_capacity=RecordedShortage(check="pii", reason="queue"),
        fields=(RecordedField(field="user", action="strip", policy="p", mode="enforce"),),
        prompts=(
            RecordedPrompt(policy="p", mode="enforce", parts=("wrap",), texts=2),
            RecordedPrompt(policy="q", mode="shadow", parts=()),
        ),
        decisions=(plain_decision(confirmation="c1", approved_by="bo"), plain_decision(confirmation="c2")),
        duties=(RecordedDuty(duty="limits", answers=(1, None, True)),),
        judges=(RecordedJudge(policy="p", mode="enforce"),),
        verdicts=(
            ModelVerdict(
                check="llm", upstream="u", model="m", question="q", answer="yes", tokens=(3, 1), cost=5, ms=2.5
            ),
            ModelVerdict(
                check="llm2", upstream="u", model="m", question="q", failure="timeout", known=True, direction="response"
            ),
            ModelVerdict(check="llm3", upstream="u", model="m", question="q", answer="no"),
        ),
        restore=(RecordedPlaces(kinds=None, urls=()), RecordedPlaces(kinds=("assistant",), urls=("a.b",))),
        earlier=(RecordedValues(kinds=None, urls=(), causes=(("user", "pii", "NAME"),), placeholders=("[N]",)),),
        altered={"NAME": 2},
        recalled={"tools": ({"a": "1"},)},
        unrecalled=True,
        signs=3,
        matched={"d": "yes"},
        checks={"pii": "d"},
        seals={"request": "s"},
        sizes={"request": 1234},
        feedback=RecordedFeedback(exchange="x9"),
    )
    found = facts(record)
    for name, words in {
        "format": "none: the route",
        "tenant": "acme",
        "credential": "t1",
        "demanded policies": "strict",
        "texts": "1 of 2 kept",
        "feedback about": "x9",
        "plan": "upstream eu, model m2, max_tokens = 5, because a limit",
        "route of p (shadow)": "eu, model big; a simple request; chars 3; after failures -, small; passed over down; saved 0.5",
        "route of q": "its own upstream, model as asked",
        "cache": "hit, semantic (shadow); 4 s old; compared by models: same, cosine 0.9; follows 0.8, 0.7",
        "the answer is of": "x1",
        "the answer": "status 200, streamed",
        "withheld fields": "logprobs",
        "cost": "1.25 (unit of prices)",
        "saved by early stops": "3 tokens, 1.5 s",
        "error": "upstream_failed at f (dns) no",
        "refused (shadow)": "limits a day of policy p: rate",
        "no capacity": "pii: queue",
        "field": "strip user by policy p",
        "prompt": "wrap by policy p, 2 texts marked",
        "prompt (shadow)": "not possible by policy q",
        "a person was asked": "c2: not approved",
        "store's answers to limits": "1, None, True",
        "judge": "of policy p",
        "llm": "yes about  (m at u, 3 + 1 tokens, 2.5 ms, 0.000005)",
        "llm2": "no verdict, timeout about  of answer 1 (m at u, known before)",
        "values may come back in": "assistant (in URLs of: a.b)",
        "values of earlier turns": "1 causes, 1 in the answer",
        "placeholders that the model changed": "NAME: 2",
        "recalled for tools": "1 entries",
        "earlier exchanges": "the store was away",
        "keep-alives while held": "3",
        "request": "1,234",
        "condition d": "yes",
    }.items():
        assert words in found[name], name


def test_how_texts_are_kept() -> None:
    assert facts(plain_record())["texts"] == "none: no check read a text"
    assert facts(plain_record(None, plain_text(text=None)))["texts"] == "not kept"
    sealed = RecordedSealing(v=ENTRY_VERSION, key="k1", salt="00", members={})
    assert facts(plain_record(sealed=sealed))["texts"] == "sealed with the data key k1"


def test_other_words() -> None:
    found = facts(
        plain_record(
            plain_answer(status=None),
            tenant="",
            plan=RecordedPlan(),
            feedback=None,
            cache=RecordedCache(
                result="miss",
                match="exact",
                mode="enforce",
                policies=(),
                likeness=RecordedLikeness(result="none"),
            ),
            error=RecordedError(code="c"),
            refusals=(RecordedRefusal(duty="keys", code="c", mode="enforce"),),
        )
    )
    assert found["tenant"] == "no credential"
    assert found["plan"] == "unchanged"
    assert found["cache"] == "miss, exact; compared by models: none, cosine 0"
    assert "the answer" not in found
    assert found["error"] == "c"
    assert found["refused"] == "keys: c"


def test_a_cache_that_compared_nothing() -> None:
    cache = RecordedCache(result="bypass", match="exact", mode="enforce", policies=())
    assert facts(plain_record(cache=cache))["cache"] == "bypass, exact"


def test_what_was_not_inspected() -> None:
    request = RecordedRequest(
        body=None,
        texts=(),
        uninspected=("messages[0].image", "messages[1].x"),
        uninspected_kinds=("image",),
        unmapped=("extra",),
    )
    record = plain_record(plain_answer(uninspected=("*",), uninspected_kinds=None))
    record = Record(**{**{name: getattr(record, name) for name in record.__struct_fields__}, "request": request})
    (group,) = [group for group in about.groups(record) if group.title == "Not inspected"]
    assert [(fact.name, fact.value) for fact in group.facts] == [
        ("request", "messages[0].image (image)"),
        ("request", "messages[1].x"),
        ("request, unknown field", "extra"),
        ("answer 1", "everything"),
    ]


def test_a_group_is_cut() -> None:
    record = plain_record(usage={f"n{number}": 1 for number in range(500)})
    (group,) = [group for group in about.groups(record) if group.title == "Cost and tokens"]
    assert (len(group.facts), group.more) == (about.MOST, 301)
    assert [each.title for each in about.groups(record) if each.is_folded] == ["Digests"]


def test_what_a_receipt_of_the_exchange_says() -> None:
    blocked = plain_record(
        outcome="blocked_request",
        decisions=(plain_decision(), plain_decision(action="block"), plain_decision(mode="shadow", action="block")),
        shadow=("quiet",),
        attempts=(plain_attempt(plain_answer()), plain_attempt()),
    )
    assert [(fact.name, fact.value) for fact in about.receipt_facts(blocked)] == [
        ("id", "x0"),
        ("policies", "sha256:p"),
        ("outcome", "blocked_request"),
        ("decision", "block"),
        ("attempts", "2"),
        ("shadow", "a rule in shadow mode held"),
    ]
    assert [fact.value for fact in about.receipt_facts(plain_record())] == ["x0", "sha256:p", "answered", "pass"]
    other = plain_record(decisions=(plain_decision(action="of a plug-in"),))
    assert about.receipt_facts(other)[3].value == "pass"


def test_money() -> None:
    assert [about.money(micro) for micro in (None, 0, 5, 1_500_000)] == ["", "0", "0.000005", "1.5"]


def test_answers_of_the_model() -> None:
    (only,) = about.attempt_rows(plain_record(plain_answer(), timings={"request_scanned": 2.0, "finished": 9.0}))
    assert (only.began_ms, only.ended_ms, only.decision, only.status) == (2.0, 9.0, "answered", 200)
    assert about.attempt_rows(plain_record(plain_answer(status=None))) == ()
    fault = RecordedFault(place="", expected="a number", found="a word")
    first = RecordedAttempt(
        decision="retry",
        rule="r",
        errors=(fault,),
        cut=True,
        tokens=4,
        output_tokens=1,
        counted=False,
        began=1.0,
        ended=2.0,
        upstream="eu",
        model="big",
        cause="dns",
    )
    rows = about.attempt_rows(plain_record(plain_answer(status=201), attempts=(first, plain_attempt())))
    assert [(row.number, row.upstream, row.status, row.cause) for row in rows] == [
        (0, "eu", None, "dns"),
        (1, "", 201, ""),
    ]
    assert rows[0].faults == ("the answer: expected a number, found a word",)


def entry(**changes: Any) -> Judged:
    members = {
        **{"v": ENTRY_VERSION, "at": 5.0, "id": "x0", "engine": "test", "policy": "p", "upstream": "u", "model": "m"},
        **{"rubric": "d", "scale": (1, 5), "ms": 3.0, **changes},
    }
    return Judged(**members)


def test_what_the_log_says_later() -> None:
    opinion = RecordedFeedback(exchange="x0", thumbs="down", score=0.25, spans=(RecordedOpinion(start=0, end=1),))
    entries = (
        entry(score=4),
        Unsealed(v=ENTRY_VERSION, at=2.0, id="x0", engine="test", key="k", by="auditor", why="a case"),
        plain_record(at=1.0, id="f1", feedback=opinion, client="web"),
        plain_record(at=3.0, id="f2", feedback=RecordedFeedback(exchange="x0")),
        plain_record(at=4.0, id="f3"),
    )
    told = about.remarks(entries)
    assert [(each.kind, each.by, each.words) for each in told] == [
        ("feedback", "web", "thumbs down, score 0.25, 1 parts of the answer"),
        ("unsealed", "auditor", "key k, why a case"),
        ("feedback", "t1", "no opinion"),
        ("feedback", "t1", "no opinion"),
        ("judged", "", "policy p, upstream u, model m, rubric d, scale 1 to 5, ms 3.0, score 4"),
    ]


def test_members_of_any_entry_are_shown() -> None:
    from guardproxy.audit import Comparison

    compared = Comparison(upstream="u", model="n", ms=1.0, said=("answer", "equal", "answer"))
    (told,) = about.remarks((entry(compared=compared),))
    assert "compared {upstream u, model n, ms 1.0, said answer, equal, answer}" in told.words
