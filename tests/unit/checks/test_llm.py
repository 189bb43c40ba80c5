"""The check `llm`, without a network: what it asks, what it takes for a verdict, how it fails."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import AskedModel, Resources, build
from guardproxy.errors import OptionError, RemoteError, Shortage
from guardproxy.findings import NO_FACTS, Channel, Facts, Finding, MaskedCopy, Scan, Window
from tests.kit.asked import FakeModels, text_in

OPTIONS: dict[str, Any] = {"upstream": "judge", "model": "m", "rubric": "Is it rude?"}
PLACE = Channel("request", "user", "messages[0].content")


def rude(text: str) -> str:
    return "yes" if "rude" in text else "no"


def check(models: FakeModels | None, **options: Any) -> Any:
    return build("llm", "polite", {**OPTIONS, **options}, Resources(asking=models))


def window(text: str, masked: str | None = "the same", *, exchange: str = "id") -> Window:
    copied = MaskedCopy(text if masked == "the same" else masked, exchange)
    return Window(PLACE, text, facts=Facts(masked=copied))


def test_a_verdict_is_a_finding_of_the_whole_text_and_what_the_record_needs() -> None:
    models = FakeModels(rude)
    polite, bad = check(models).scan([window("hello"), window("how rude")])
    assert (polite.findings, polite.settled) == ((), 5)
    assert bad.findings == (Finding(0, 8, "polite", "YES", 1.0),)
    verdict = bad.verdict
    assert (verdict.check, verdict.upstream, verdict.model, verdict.answer) == ("polite", "judge", "m", "yes")
    assert (verdict.tokens, verdict.cost, verdict.ms, verdict.known) == ((30, 5), 7, 5.0, False)
    assert (polite.verdict.answer, len(verdict.question)) == ("no", 24)
    assert models.built == [AskedModel("polite", "judge", "m", "", 10.0)]


def test_only_what_the_record_shows_is_asked_about() -> None:
    models = FakeModels(rude)
    asking = check(models)
    (scan,) = asking.scan([window("mail jo@ab.io, rude", "mail [MAIL_a], rude")])
    assert (models.texts, scan.findings[0].end) == (["mail [MAIL_a], rude"], 19)
    unseen = [Window(PLACE, "a text", facts=NO_FACTS), window("a text", None)]
    assert [scan.error for scan in asking.scan(unseen)] == ["RemoteError", "RemoteError"]
    assert [scan.verdict.failure for scan in asking.scan(unseen)] == ["no_text", "no_text"]
    assert len(models.texts) == 1


def test_blank_texts_and_parts_of_a_text_are_not_asked_about() -> None:
    models = FakeModels(rude)
    asked = [
        window(" \n"),
        Window(PLACE, "", facts=NO_FACTS),
        Window(PLACE, "a part", facts=Facts(masked=MaskedCopy(""))),
    ]
    assert [(scan.findings, scan.error, scan.settled) for scan in check(models).scan(asked)] == [
        *(((), "", 2), ((), "", 0), ((), "", 6)),
    ]
    assert models.texts == []
    unfinished = Window(PLACE, "", last=False, facts=NO_FACTS)
    assert check(models).scan([unfinished]) == [Scan((), 0, 0)]


def test_a_text_beyond_the_cap_fails_the_check_without_a_question() -> None:
    models = FakeModels(rude)
    short, long = check(models, max_chars=100).scan([window("a" * 100), window("a" * 101)])
    assert (short.error, long.error, long.verdict.failure) == ("", "RemoteError", "too_long")
    assert len(models.texts) == 1


@pytest.mark.parametrize("says", ["maybe", 4, None, ["yes"], True])
def test_what_is_no_answer_fails_the_check(says: Any) -> None:
    (scan,) = check(FakeModels(lambda text: says)).scan([window("hello")])
    assert (scan.error, scan.no_capacity, scan.findings) == ("RemoteError", None, ())
    assert (scan.verdict.failure, scan.verdict.answer) == ("no_answer", "")


@pytest.mark.parametrize("shortage", [Shortage.LATE, Shortage.FULL, Shortage.GONE])
def test_no_answer_is_no_verdict(shortage: Shortage) -> None:
    (scan,) = check(FakeModels(lambda text: shortage)).scan([window("hello")])
    assert (scan.error, scan.no_capacity, scan.verdict.failure) == ("RemoteCapacityError", shortage, "timeout")


def test_one_failure_leaves_the_verdicts_about_other_texts() -> None:
    judged = check(FakeModels(lambda text: "maybe" if "odd" in text else rude(text))).scan(
        [window("odd"), window("rude"), window("fine")]
    )
    assert [(bool(scan.error), len(scan.findings)) for scan in judged] == [(True, 0), (False, 1), (False, 0)]


def test_without_anybody_to_ask_the_check_fails() -> None:
    scans = check(None).scan([window("hello"), window(" ")])
    assert [scan.error for scan in scans] == ["RemoteError", ""]


@pytest.mark.parametrize(("answer", "found"), [("yes", [("rude", "YES")]), ("no", [("fine", "NO")])])
def test_the_answer_that_is_a_finding_is_the_policys(answer: str, found: list[tuple[str, str]]) -> None:
    texts = ["rude", "fine"]
    scans = check(FakeModels(rude), answer=answer).scan([window(text) for text in texts])
    assert [(text, scan.findings[0].label) for text, scan in zip(texts, scans, strict=True) if scan.findings] == found


@pytest.mark.parametrize(
    ("options", "scores"),
    [
        ({}, [None, None, None, None, 1.0]),
        ({"least": 3}, [None, None, 0.5, 0.75, 1.0]),
        ({"scale": [0, 10], "least": 1}, [0.1, 0.2, 0.3, 0.4, 0.5]),
    ],
)
def test_a_score_from_the_least_on_is_a_finding(options: dict[str, Any], scores: list[float | None]) -> None:
    scans = check(FakeModels(len), answer="score", **options).scan([window("x" * count) for count in range(1, 6)])
    assert [scan.findings[0].score if scan.findings else None for scan in scans] == scores
    assert [scan.verdict.answer for scan in scans] == ["1", "2", "3", "4", "5"]


def test_a_sample_follows_the_exchange() -> None:
    models = FakeModels(rude)
    asking = check(models, sample="25 %")
    for number in range(400):
        first, second = asking.scan([window("a", exchange=f"id{number}"), window("b", exchange=f"id{number}")])
        assert (first.verdict is None) == (second.verdict is None)
    assert 60 < models.texts.count("a") < 140
    assert not check(models, sample="0 %").scan([window("a")])[0].verdict
    assert check(models, sample="100%").scan([window("a")])[0].verdict


def test_the_text_stands_between_lines_that_differ_for_each_exchange() -> None:
    questions = check(None).ask([window("hello"), window("hello", exchange="other")])
    first, second = questions.queries
    assert (text_in(first), text_in(second)) == ("hello", "hello")
    assert (first.code != second.code, first.digest) == (True, second.digest)


@given(st.text(max_size=60))
def test_the_window_decides_nothing_but_the_span(text: str) -> None:
    models = FakeModels(lambda text: "yes")
    (scan,) = check(models).scan([window("the original", text.encode("utf-8", "replace").decode())])
    assert bool(scan.findings) == bool(text.strip()) == bool(models.texts)
    assert all((finding.start, finding.end) == (0, 12) for finding in scan.findings)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"upstream": ""}, "upstream"),
        ({"upstream": None}, "upstream"),
        ({"model": 4}, "model"),
        ({"rubric": " "}, "rubric"),
        ({"rubric": "x" * 20_001}, "rubric"),
        ({"format": 3}, "format"),
        ({"answer": "maybe"}, "answer"),
        ({"scale": [1, 5]}, "scale"),
        ({"least": 3}, "least"),
        ({"answer": "score", "scale": [5, 1]}, "scale"),
        ({"answer": "score", "scale": [1]}, "scale"),
        ({"answer": "score", "scale": "1-5"}, "scale"),
        ({"answer": "score", "scale": [0, 101]}, "scale"),
        ({"answer": "score", "scale": [True, 5]}, "scale"),
        ({"answer": "score", "least": 6}, "least"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": 61}, "timeout_s"),
        ({"max_chars": 99}, "max_chars"),
        ({"budget": {}}, "budget"),
        ({"budget": 5}, "budget"),
        ({"budget": {"call": 5}}, "budget"),
        ({"budget": {"calls": 0}}, "budget"),
        ({"budget": {"calls": 1.5}}, "budget"),
        ({"budget": {"cost": 0}}, "budget"),
        ({"budget": {"cost": True}}, "budget"),
        ({"budget": {"cost": float("inf")}}, "budget"),
        ({"sample": "101 %"}, "sample"),
        ({"sample": "half"}, "sample"),
        ({"sample": 5}, "sample"),
        ({"cache": "yes"}, "cache"),
        ({"prompt": "x"}, "prompt"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], key: str) -> None:
    with pytest.raises(OptionError) as caught:
        check(None, **options)
    assert caught.value.key == key


def test_a_test_of_a_policy_answers_for_the_model() -> None:
    asking = check(None, sample="0 %", max_chars=100)
    assert asking.told(window("x" * 200), "yes").findings == (Finding(0, 200, "polite", "YES", 1.0),)
    unasked = [(window("a"), "no"), (window("a"), None), (window("a", ""), "yes"), (Window(PLACE, "a"), "yes")]
    assert [asking.told(*told) for told in unasked] == [Scan((), 1, 0)] * 4
    assert check(None, answer="score", least=3).told(window("a"), "4").findings[0].score == 0.75
    with pytest.raises(RemoteError):
        asking.told(window("a"), "maybe")


def test_what_is_asked_for_reaches_the_server() -> None:
    models = FakeModels(rude)
    check(models, format="own", timeout_s=2, budget={"calls": 5, "cost": 0.5}, cache=False)
    assert models.built == [AskedModel("polite", "judge", "m", "own", 2.0, 5, 0.5, False)]


def test_equal_digests_mean_equal_questions() -> None:
    same = [check(None), check(None, timeout_s=3, budget={"calls": 3}, cache=False)]
    others = [check(None, **{key: value}) for key, value in {"model": "n", "rubric": "b", "answer": "no"}.items()]
    assert len({found.digest for found in same}) == 1
    assert len({found.digest for found in (same[0], *others)}) == 4


def test_the_cost_is_said_unless_something_bounds_it() -> None:
    assert [advice.key for advice in check(None).traits.advice] == ["upstream"]
    assert not check(None, budget={"calls": 9}).traits.advice
    assert not check(None, sample="5 %").traits.advice
