"""The check `supervisor`: options, segments, findings. The scorer is a fake; the real model has its own tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from guardproxy.checks import Check, Resources
from guardproxy.checks import build as build_by_name
from guardproxy.checks.supervisor import build
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import Channel, Direction, Finding, Window


class WordScorer:
    """Says 0.9 for a text with the word "attack", 0.6 for one with "doubtful", else 0.1; keeps what it was asked."""

    digest = "sha256:words"
    thresholds: Mapping[str, float] = {"injection": 0.8, "harm": 0.5}

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def score(self, texts: Sequence[str]) -> list[dict[str, float]]:
        self.calls.append(list(texts))
        return [dict.fromkeys(self.thresholds, self.one(text)) for text in texts]

    @staticmethod
    def one(text: str) -> float:
        return 0.9 if "attack" in text else 0.6 if "doubtful" in text else 0.1


def made(options: Mapping[str, Any], scorer: WordScorer | None = None) -> tuple[Check, WordScorer]:
    scorer = scorer or WordScorer()
    return build("attack", options, Resources(lambda name: scorer)), scorer


def window(text: str, direction: Direction = "request", **more: Any) -> Window:
    return Window(Channel(direction, "user", "messages[0].content"), text, **more)


def test_it_is_found_by_its_name() -> None:
    check = build_by_name("supervisor", "attack", {}, Resources(lambda name: WordScorer()))
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


def test_a_prompt_of_fifty_words_is_scored_once() -> None:
    check, scorer = made({})
    check.scan([window("Seven words stand in this short sentence. " * 7)])
    assert [len(call) for call in scorer.calls] == [1]


def test_all_windows_are_scored_in_one_call() -> None:
    check, scorer = made({})
    scans = check.scan([window("fine"), window("an attack"), window(""), window("  \n ")])
    assert scorer.calls == [["fine", "an attack"]]
    assert [len(scan.findings) for scan in scans] == [0, 1, 0, 0]
    assert [scan.settled for scan in scans] == [4, 9, 0, 4]


def test_blank_text_asks_no_model() -> None:
    check, scorer = made({})
    check.scan([window(" \n")])
    assert scorer.calls == []


def test_a_long_request_is_cut_with_context_and_no_character_is_left_out() -> None:
    text = "The boats went out before the sun had risen. " * 60
    check, scorer = made({"threshold": 0})
    (scan,) = check.scan([window(text)])
    borders = [(finding.start, finding.end) for finding in scan.findings]
    assert borders[0][0] == 0
    assert borders[-1][1] == len(text)
    assert all(first[1] == second[0] for first, second in pairwise(borders))
    assert all(text[start - 2 : start] == ". " for start, _ in borders[1:])
    assert all(len(scored) <= 900 for scored in scorer.calls[0])
    assert all(
        text[start - 150 : end] in scored for (start, end), scored in zip(borders[1:], scorer.calls[0][1:], strict=True)
    )


def test_an_attack_across_a_border_is_seen() -> None:
    words = "attack"
    for before in range(860, 910):
        text = "x" * (before - 400) + " " + "y" * 399 + words + "z" * 300
        check, _ = made({})
        assert check.scan([window(text)])[0].findings, before


def test_text_without_any_space_is_cut_at_the_cap() -> None:
    check, _ = made({"threshold": 0})
    (scan,) = check.scan([window("x" * 2000)])
    assert [(finding.start, finding.end) for finding in scan.findings] == [(0, 900), (900, 1575), (1575, 2000)]


def test_words_without_sentences_are_cut_at_a_space() -> None:
    check, _ = made({"threshold": 0})
    text = "word " * 300
    (scan,) = check.scan([window(text)])
    assert len(scan.findings) == 2
    assert text[scan.findings[0].end - 1] == " "


def test_an_answer_settles_at_an_early_sentence_end() -> None:
    check, _ = made({})
    text = "This is the first sentence of an answer that is being streamed to somebody now. And th"
    (scan,) = check.scan([window(text, "response", last=False)])
    assert text[: scan.settled] == "This is the first sentence of an answer that is being streamed to somebody now. "
    assert scan.keep == 0


def test_an_answer_without_a_border_yet_waits() -> None:
    check, scorer = made({})
    (scan,) = check.scan([window("Not yet", "response", last=False)])
    assert (scan.settled, scan.keep, scan.findings) == (0, 0, ())
    assert scorer.calls == []


def test_the_next_window_is_scored_with_what_was_kept() -> None:
    check, scorer = made({})
    first = "A sentence of the answer that is long enough to be a segment by itself, and then some more. " * 5
    (scan,) = check.scan([window(first, "response", last=False)])
    assert 0 < scan.keep < scan.settled
    rest = first[scan.keep :] + "The end."
    (end,) = check.scan([window(rest, "response", start=scan.keep, settled=scan.settled)])
    assert end.settled == len(first) + 8
    assert scorer.calls[-1][-1].endswith("The end.")
    assert len(scorer.calls[-1][-1]) > 100


def test_digests_tell_options_and_models_apart() -> None:
    other = WordScorer()
    other.digest = "sha256:other"
    digests = {made({})[0].digest, made({"threshold": 0.5})[0].digest, made({}, other)[0].digest}
    assert len(digests) == 3
    assert made({})[0].digest == made({})[0].digest


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        ({"treshold": 0.5}, "treshold", "unknown option `treshold`; did you mean `threshold`?"),
        ({"zzz": 1}, "zzz", "unknown option `zzz`; known: label, labels, model, threshold, window_chars"),
        ({"label": "injektion"}, "label", "the model has no label `injektion`; did you mean `injection`?"),
        ({"labels": ["harm", "x"]}, "labels", "the model has no label `x`; known: harm, injection"),
        ({"label": "harm", "labels": ["harm"]}, "label", "give `label` or `labels`, not both"),
        ({"label": 3}, "label", "must be a label"),
        ({"labels": []}, "labels", "must be a list of at least one label"),
        ({"labels": "harm"}, "labels", "must be a list of at least one label"),
        ({"threshold": 1.5}, "threshold", "must be a number from 0 to 1"),
        ({"threshold": True}, "threshold", "must be a number from 0 to 1"),
        ({"threshold": "high"}, "threshold", "must be a number from 0 to 1"),
        ({"model": ""}, "model", "must be the name of a model"),
        ({"model": 1}, "model", "must be the name of a model"),
        ({"window_chars": 10}, "window_chars", "must be a whole number from 200 to 4000"),
        ({"window_chars": True}, "window_chars", "must be a whole number from 200 to 4000"),
        ({"window_chars": 500.0}, "window_chars", "must be a whole number from 200 to 4000"),
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
    def scorer(name: str) -> WordScorer:
        raise ConfigError(f"no model `{name}` is installed")

    with pytest.raises(OptionError, match="no model `nothing` is installed") as caught:
        build("attack", {"model": "nothing"}, Resources(scorer))
    assert caught.value.key == "model"
