"""The check `supervisor`: options, segments, findings. The scorer is a fake; the real model has its own tests."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from guardproxy.checks import Check, Resources
from guardproxy.checks._shared.declared.contract import build as build_by_name
from guardproxy.checks._shared.declared.options import options_digest
from guardproxy.checks.supervisor import OPTIONS, build
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import Channel, Direction, Finding, Kind, Scan, Window
from tests.kit.evasions import WAYS
from tests.kit.supervisor import FakeScorer, words


def made(options: Mapping[str, Any], scorer: FakeScorer | None = None) -> tuple[Check, FakeScorer]:
    scorer = scorer or FakeScorer(words)
    return build("attack", options, Resources(lambda name: scorer)), scorer


def window(text: str, direction: Direction = "request", kind: Kind = "user", **more: Any) -> Window:
    return Window(Channel(direction, kind, "messages[0].content"), text, **more)


def test_it_is_found_by_its_name() -> None:
    check = build_by_name("supervisor", "attack", {}, Resources(lambda name: FakeScorer(words)))
    assert check.name == "attack"
    assert check.digest.startswith("sha256:")


def test_a_text_above_the_model_threshold_is_a_finding() -> None:
    check, _ = made({})
    (scan,) = check.scan([window("an attack")])
    assert scan.findings == (Finding(0, 9, "attack", "injection", 0.9),)
    assert (scan.settled, scan.keep) == (9, 0)


def test_a_text_below_the_threshold_is_none() -> None:
    check, _ = made({})
    assert check.scan([window("a doubtful text")])[0].findings == ()


def test_the_threshold_option_replaces_that_of_the_model() -> None:
    check, _ = made({"threshold": 0.55})
    assert [finding.score for finding in check.scan([window("a doubtful text")])[0].findings] == [0.6]


def test_each_label_has_its_own_threshold() -> None:
    check, _ = made({"labels": ["injection", "harm"]})
    assert [finding.label for finding in check.scan([window("a doubtful text")])[0].findings] == ["harm"]


def test_a_name_is_a_finding_where_a_label_is_found() -> None:
    says = {"harm": 0.9, "jailbreak": 0.85, "embedded": 0.2}
    options = {"label": "harm", "names": ["jailbreak", "embedded"]}
    check, scorer = made(options, FakeScorer(lambda text, output: says[output]))
    assert [(one.label, one.score) for one in check.scan([window("a text")])[0].findings] == [
        ("harm", 0.9), ("jailbreak", 0.85),
    ]  # fmt: skip
    assert scorer.calls[0][0].outputs == ("harm", "jailbreak", "embedded")
    assert check.traits.labels == frozenset(("harm", "jailbreak", "embedded"))
    says["harm"] = 0.4
    assert check.scan([window("a text")])[0].findings == ()


def test_a_name_stands_at_the_piece_in_which_the_label_is_found() -> None:
    def says(text: str, output: str) -> float:
        return 0.9 if output == "jailbreak" or "harm" in text else 0.0

    check, _ = made({"label": "harm", "names": ["jailbreak"]}, FakeScorer(says, chars=20))
    text = "a calm first sentence that goes on, then harm, and a calm last sentence"
    found = check.scan([window(text)])[0].findings
    assert {(one.start, one.end) for one in found if one.label == "jailbreak"} == {
        (one.start, one.end) for one in found if one.label == "harm"
    }
    assert {one.label for one in found} == {"harm", "jailbreak"}


def test_names_alone_ask_the_model_nothing() -> None:
    check, scorer = made({"label": "orders", "names": ["harm"]})
    assert check.scan([window("an attack")])[0].findings == ()
    assert scorer.calls == []


def test_a_check_without_names_has_the_digest_that_old_records_name() -> None:
    assert made({})[0].digest == options_digest("supervisor", 5, {}, "sha256:fake", unicodedata.unidata_version)
    assert made({"names": ["harm"]})[0].digest != made({})[0].digest


def scores(options: Mapping[str, Any], says: Mapping[str, float], kind: Kind = "user") -> dict[str, float]:
    """What is found, label to score, in a text of which a model says this of each output."""
    check, _ = made(options, FakeScorer(lambda text, output: says.get(output, 0.0)))
    return {one.label: one.score for one in check.scan([window("a text", kind=kind)])[0].findings}


@pytest.mark.parametrize(
    ("options", "says", "found"),
    [
        ({}, {"jailbreak": 0.8}, {"injection": 0.8}),
        ({}, {"jailbreak": 0.79, "embedded": 0.69}, {}),
        ({}, {"jailbreak": 0.79, "embedded": 0.7}, {"injection": 0.7}),
        ({"threshold": "5%"}, {"jailbreak": 0.4, "embedded": 0.5}, {"injection": 0.5}),
        ({"threshold": 0.6}, {"jailbreak": 0.6, "embedded": 0.65}, {"injection": 0.65}),
        ({"threshold": 1}, {"jailbreak": 1.0}, {"injection": 1.0}),
        ({"label": "jailbreak", "threshold": "0.1%"}, {"jailbreak": 0.94}, {}),
        ({"label": "embedded"}, {"jailbreak": 0.94, "embedded": 0.7}, {"embedded": 0.7}),
        (
            {"labels": ["injection", "harm", "injection"], "threshold": {"injection": "5%", "harm": 0.9}},
            {"jailbreak": 0.41, "harm": 0.89},
            {"injection": 0.41},
        ),
        ({"labels": ["injection", "harm"], "threshold": {"injection": "5%"}}, {"harm": 0.5}, {"harm": 0.5}),
        (
            {"label": "harm", "names": ["jailbreak"], "threshold": 0.9},
            {"harm": 0.9, "jailbreak": 0.8},
            {"harm": 0.9, "jailbreak": 0.8},
        ),
        (
            {"label": "harm", "names": ["jailbreak"], "threshold": {"jailbreak": "5%"}},
            {"harm": 0.5, "jailbreak": 0.4},
            {"harm": 0.5, "jailbreak": 0.4},
        ),
    ],
)
def test_a_label_is_found_where_one_of_its_outputs_reaches_its_threshold(
    options: dict[str, Any], says: dict[str, float], found: dict[str, float]
) -> None:
    assert scores(options, says) == found


def test_what_is_behind_a_label_depends_on_the_kind_of_channel() -> None:
    says = {"jailbreak": 0.9, "embedded": 0.75}
    assert scores({}, says) == {"injection": 0.9}
    assert scores({}, says, "tool_result") == {"injection": 0.75}
    assert scores({"threshold": 0.8}, says, "tool_result") == {}


def test_a_label_with_nothing_behind_it_in_a_channel_is_not_asked_for() -> None:
    check, scorer = made({"label": "orders"})
    scan, other = check.scan([window("an attack"), window("an attack", kind="tool_result")])
    assert (scan.findings, scan.settled) == ((), 9)
    assert [finding.label for finding in other.findings] == ["orders"]
    assert [[query.outputs for query in call] for call in scorer.calls] == [[("embedded",)]]


def test_only_what_is_needed_is_asked_for() -> None:
    check, scorer = made({"labels": ["injection", "embedded", "harm"], "first_stage": False})
    check.scan([window("one"), window("two", kind="tool_result")])
    (one, two) = scorer.calls[0]
    assert (one.outputs, two.outputs) == (("jailbreak", "embedded", "harm"), ("embedded", "harm"))
    assert not one.first_stage
    made({})[0].scan([window("one")])


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, {"user", "tool_result"}),
        ({"threshold": 0.85}, {"user", "tool_result"}),
        ({"threshold": 0.75}, {"tool_result"}),
        ({"threshold": 0.65}, set()),
        ({"labels": ["injection", "harm"]}, set()),
        ({"first_stage": False}, set()),
    ],
)
def test_the_first_stage_clears_only_for_thresholds_that_it_was_measured_for(
    options: dict[str, Any], kinds: set[str]
) -> None:
    scorer = FakeScorer(words)
    scorer.clears = {"jailbreak": 0.8, "embedded": 0.7}
    check, _ = made(options, scorer)
    check.scan([window("one"), window("two", kind="tool_result")])
    found = {query.text: query.first_stage for query in scorer.calls[0]}
    assert found == {"one": "user" in kinds, "two": "tool_result" in kinds}


def test_a_prompt_of_fifty_words_is_scored_once() -> None:
    check, scorer = made({})
    check.scan([window("Seven words stand in this short sentence. " * 7)])
    assert [len(call) for call in scorer.texts] == [1]


def test_all_windows_are_scored_in_one_call() -> None:
    check, scorer = made({})
    scans = check.scan([window("fine"), window("an attack"), window(""), window("  \n ")])
    assert scorer.texts == [["fine", "an attack"]]
    assert [len(scan.findings) for scan in scans] == [0, 1, 0, 0]
    assert [scan.settled for scan in scans] == [4, 9, 0, 4]


def test_blank_text_asks_no_model() -> None:
    check, scorer = made({})
    check.scan([window(" \n")])
    assert scorer.texts == []


def spans(scan: Scan) -> list[tuple[int, int]]:
    return [(finding.start, finding.end) for finding in scan.findings]


def test_a_finding_is_where_the_pieces_stand_that_reach_the_threshold() -> None:
    text = "fine " * 40 + "an attack " + "fine " * 40 + "doubtful " + "fine " * 20
    check, _ = made({}, FakeScorer(words, 100, 20))
    (scan,) = check.scan([window(text)])
    assert spans(scan) == [(160, 260)]
    assert "attack" in text[160:260]
    check, _ = made({"threshold": 0.5}, FakeScorer(words, 100, 20))
    (scan,) = check.scan([window(text)])
    found = [(one.start, one.end, one.score) for one in scan.findings]
    assert found == [(160, 260, 0.9), (320, 420, 0.6), (400, 500, 0.6)], "two pieces hold the second"


def test_a_request_of_fifty_thousand_characters_is_one_text_for_the_model() -> None:
    check, scorer = made({})
    check.scan([window("x" * 50_000)])
    assert [len(text) for text in scorer.texts[0]] == [50_000]


def test_a_longer_request_is_cut_with_context_and_no_character_is_left_out() -> None:
    text = "The boats went out before the sun had risen. " * 4000
    check, scorer = made({"label": "jailbreak", "threshold": 0}, FakeScorer(words, 60_000))
    (scan,) = check.scan([window(text)])
    borders = spans(scan)
    assert borders[0][0] == 0
    assert borders[-1][1] == len(text)
    assert len(borders) == 4
    assert all(first[1] == second[0] for first, second in pairwise(borders))
    assert all(text[start - 2 : start] == ". " for start, _ in borders[1:])
    assert all(len(judged) <= 50_000 for judged in scorer.texts[0])
    assert all(
        text[start - 600 : end] in judged for (start, end), judged in zip(borders[1:], scorer.texts[0][1:], strict=True)
    )


def answer(text: str, **more: Any) -> Window:
    return window(text, "response", kind="assistant", **more)


def test_a_piece_that_is_all_context_is_no_finding_of_its_segment() -> None:
    text = "attack" + "x" * 194 + "y" * 300
    check, _ = made({"window_chars": 200}, FakeScorer(words, 40, 20))
    (scan,) = check.scan([answer(text)])
    assert spans(scan) == [(0, 40)]


def test_an_attack_across_a_border_is_seen() -> None:
    for before in range(860, 910):
        text = "x" * (before - 400) + " " + "y" * 399 + "attack" + "z" * 300
        check, _ = made({})
        assert check.scan([answer(text)])[0].findings, before


def test_an_answer_without_any_space_is_cut_at_the_cap() -> None:
    check, _ = made({"label": "jailbreak", "threshold": 0})
    (scan,) = check.scan([answer("x" * 2000)])
    assert spans(scan) == [(0, 900), (900, 1575), (1575, 2000)]


def test_words_without_sentences_are_cut_at_a_space() -> None:
    check, _ = made({"label": "jailbreak", "threshold": 0})
    text = "word " * 300
    (scan,) = check.scan([answer(text)])
    assert len(scan.findings) == 2
    assert text[scan.findings[0].end - 1] == " "


def test_an_answer_settles_at_an_early_sentence_end() -> None:
    check, _ = made({})
    text = "This is the first sentence of an answer that is being streamed to somebody now. And th"
    (scan,) = check.scan([answer(text, last=False)])
    assert text[: scan.settled] == "This is the first sentence of an answer that is being streamed to somebody now. "
    assert scan.keep == 0


def test_an_answer_without_a_border_yet_waits() -> None:
    check, scorer = made({})
    (scan,) = check.scan([answer("Not yet", last=False)])
    assert (scan.settled, scan.keep, scan.findings) == (0, 0, ())
    assert scorer.texts == []


def test_the_next_window_is_scored_with_what_was_kept() -> None:
    check, scorer = made({})
    first = "A sentence of the answer that is long enough to be a segment by itself, and then some more. " * 5
    (scan,) = check.scan([answer(first, last=False)])
    assert 0 < scan.keep < scan.settled
    rest = first[scan.keep :] + "The end."
    (end,) = check.scan([answer(rest, start=scan.keep, settled=scan.settled)])
    assert end.settled == len(first) + 8
    assert scorer.texts[-1][-1].endswith("The end.")
    assert len(scorer.texts[-1][-1]) > 100


def test_a_kind_of_channel_may_have_points_of_its_own() -> None:
    scorer = FakeScorer(words)
    scorer.channel_points = {"tool_result": {"embedded": {"1%": 0.95}}}
    check, _ = made({"label": "injection"}, scorer)
    found = check.scan([window("an attack"), window("an attack", kind="tool_result")])
    assert [bool(scan.findings) for scan in found] == [True, False]
    check, _ = made({"label": "injection", "threshold": 0.85}, scorer)
    assert check.scan([window("an attack", kind="tool_result")])[0].findings


def test_a_threshold_outside_of_the_points_of_a_kind_is_noted_once() -> None:
    scorer = FakeScorer(words)
    assert not made({"label": "jailbreak", "threshold": 0.6}, scorer)[0].traits.advice
    scorer.channel_points = {kind: {"jailbreak": {"5%": 0.7, "1%": 0.8}} for kind in ("user", "tool_result")}
    (advice,) = made({"label": "jailbreak", "threshold": 0.6}, scorer)[0].traits.advice
    assert "0.6 is outside of the model's operating points for `jailbreak` (5% at 0.7, 1% at 0.8)" in advice.message


def test_a_model_that_was_never_calibrated_finds_from_one_half_on() -> None:
    scorer = FakeScorer(words)
    scorer.points = {output: {} for output in scorer.outputs}
    check, _ = made({"label": "injection"}, scorer)
    (scan,) = check.scan([window("something doubtful")])
    assert [finding.score for finding in scan.findings] == [0.6]
    with pytest.raises(OptionError, match="no operating point `1%` for `jailbreak`; known: none, it was never calibra"):
        made({"threshold": "1%"}, scorer)
    scorer.points = {**scorer.points, "jailbreak": {"1%": 0.5}}
    with pytest.raises(OptionError, match="no operating point `1%` for `embedded`"):
        made({"label": "injection"}, scorer)


def test_digests_tell_options_and_models_apart() -> None:
    other = FakeScorer(words)
    other.digest = "sha256:other"
    digests = {made({})[0].digest, made({"threshold": 0.5})[0].digest, made({}, other)[0].digest}
    assert len(digests) == 3
    assert made({})[0].digest == made({})[0].digest


NUMBER = "must be a number from 0 to 1, or the name of an operating point, like 1%"


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        (
            {"treshold": 0.5},
            "treshold",
            f"unknown option `treshold`; did you mean `threshold`? (known options: {', '.join(OPTIONS)})",
        ),
        ({"zzz": 1}, "zzz", f"unknown option `zzz`; known options: {', '.join(OPTIONS)}"),
        ({"label": "injektion"}, "label", "the model has no label `injektion`; did you mean `injection`?"),
        (
            {"labels": ["harm", "x"]},
            "labels",
            "the model has no label `x`; known: embedded, harm, injection, jailbreak, orders",
        ),
        ({"label": "harm", "labels": ["harm"]}, "label", "give `label` or `labels`, not both"),
        ({"label": 3}, "label", "must be a label"),
        ({"labels": []}, "labels", "must be a list of at least one label"),
        (
            {"label": "harm", "names": ["x"]},
            "names",
            "the model has no label `x`; known: embedded, harm, injection, jailbreak, orders",
        ),
        ({"label": "harm", "names": ["harm"]}, "names", "`harm` is a label of this check already"),
        ({"label": "harm", "names": "hate"}, "names", "must be a list of labels"),
        ({"labels": "harm"}, "labels", "must be a list of at least one label"),
        ({"threshold": 1.5}, "threshold", NUMBER),
        ({"threshold": True}, "threshold", NUMBER),
        ({"threshold": None}, "threshold", NUMBER),
        ({"threshold": ""}, "threshold", NUMBER),
        ({"threshold": {"injection": [1]}}, "threshold", NUMBER),
        (
            {"threshold": "2%"},
            "threshold",
            "the model has no operating point `2%` for `jailbreak`; known: 5%, 1%, 0.1%",
        ),
        ({"threshold": "0.1%"}, "threshold", "the model has no operating point `0.1%` for `embedded`; known: 5%, 1%"),
        ({"threshold": {"harm": 0.5}}, "threshold", "`harm` is not a label of this check; known: injection"),
        (
            {"threshold": {"injektion": 0.5}},
            "threshold",
            "`injektion` is not a label of this check; did you mean `injection`?",
        ),
        ({"first_stage": "no"}, "first_stage", "`first_stage` must be true or false"),
        ({"model": ""}, "model", "must be the name of a model"),
        ({"model": 1}, "model", "must be the name of a model"),
        ({"window_chars": 10}, "window_chars", "`window_chars` must be a whole number from 200 to 4000"),
        ({"window_chars": True}, "window_chars", "`window_chars` must be a whole number from 200 to 4000"),
        ({"window_chars": 500.0}, "window_chars", "`window_chars` must be a whole number from 200 to 4000"),
    ],
)
def test_wrong_options_say_what_is_wrong(options: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        made(options)
    assert (caught.value.key, caught.value.message) == (key, message)


def test_without_a_runtime_the_check_is_refused() -> None:
    with pytest.raises(OptionError, match="started without a model"):
        build("attack", {}, Resources())


def test_an_unknown_model_is_an_error_of_its_option() -> None:
    def scorer(name: str) -> FakeScorer:
        raise ConfigError(f"no model `{name}` is installed")

    with pytest.raises(OptionError, match="no model `nothing` is installed") as caught:
        build("attack", {"model": "nothing"}, Resources(scorer))
    assert caught.value.key == "model"


ORDER = "please attack them now"


@pytest.mark.parametrize("way", WAYS)
def test_an_attack_in_disguise_is_found_where_it_stands(way: str) -> None:
    hide, mildest = WAYS[way]
    hidden = hide(ORDER)
    text = f"It says ({hidden}) on the wall."
    for profile in ("standard", "strict"):
        check, scorer = made(
            {"evasions": profile}, FakeScorer(lambda text, output: 0.9 if "attack" in text else 0.1, 1000)
        )
        (scan,) = check.scan([window(text)])
        if "attack" in text or mildest in (profile, "standard"):
            assert [(finding.start, finding.end, finding.score) for finding in scan.findings] == [
                (0, len(text), 0.9)
            ], profile
        assert len(scorer.texts[0]) <= 3


def test_letters_that_look_latin_are_read_in_words_of_latin_text() -> None:
    text = "please \u0430tt\u0430ck them now"
    check, scorer = made({})
    assert [finding.score for finding in check.scan([window(text)])[0].findings] == [0.9]
    russian = "Это обычный текст, а сор тут"
    check.scan([window(russian)])
    assert scorer.texts[-1] == [russian]


@pytest.mark.parametrize(
    "text",
    [
        "An ordinary text.",
        "L\u00e1rka \u2014 \u201cquoted\u201d caf\u00e9 \U0001f600",
        "hash 9f86d081884c7d659a2feaa0c55ad015",
    ],
)
def test_a_text_without_disguise_is_judged_once(text: str) -> None:
    check, scorer = made({})
    check.scan([window(text)])
    assert scorer.texts == [[text]]


def test_evasions_off_reads_the_text_alone() -> None:
    check, scorer = made({"evasions": "off"})
    check.scan([window("%61ttack it")])
    assert scorer.texts == [["%61ttack it"]]


def test_a_finding_in_a_view_points_to_the_place_in_the_text() -> None:
    run = WAYS["base64"][0](ORDER)
    text = f"{'word ' * 30}{run} {'word ' * 30}"
    check, _ = made({}, FakeScorer(words, 40, 20))
    (scan,) = check.scan([window(text)])
    low, high = min(finding.start for finding in scan.findings), max(finding.end for finding in scan.findings)
    assert low <= text.index(run) < text.index(run) + len(run) <= high
    assert high - low < 120
