"""The check `repetition`: stretches of repeated words, ordinary texts without any, and streams."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks import Resources, build
from guardproxy.checks import repetition as module
from guardproxy.checks.repetition import LONGEST
from guardproxy.errors import OptionError
from guardproxy.findings import Channel, Facts, Passage, Sources, Window
from guardproxy.testing import assert_promise
from tests.kit.checks import CHANNEL, PROSE, assert_every_split, held_words, scan_in_chunks, whole
from tests.kit.play import CHAT, MESSAGES, Play, policy_set

SENTENCE = "The same sentence comes again and again in here. "


def check(**options: Any) -> Any:
    return build("repetition", "loop", options, Resources())


CHECK = check()


def test_a_loop_is_found_from_its_third_turn_on() -> None:
    text = PROSE + SENTENCE * 9 + "The end."
    (finding,) = assert_every_split(check(), text)
    assert (finding.label, finding.score > 0.5) == ("REPEATED", True)
    assert text[finding.end :].strip() == "end.", "the sentence begins with `the`, too"
    assert 2 * len(SENTENCE) < finding.start - len(PROSE) < 3 * len(SENTENCE)


def test_a_long_loop_is_several_findings() -> None:
    found = whole(CHECK, SENTENCE * 100)
    assert [round(finding.score, 1) for finding in found] == [0.8, 0.9, 0.9, 1.0, 1.0]
    assert all(finding.end - finding.start < LONGEST * 8 for finding in found)
    assert found[-1].end == len(SENTENCE * 100) - 1


@pytest.mark.parametrize("unit", ["a", "ha", "!", "🙂", "=-", "字", "word ", "WORD word\n"])
def test_a_short_unit_without_end_is_found(unit: str) -> None:
    assert whole(CHECK, unit * 2000) != []


@pytest.mark.parametrize("text", ["", "a" * 200, PROSE, SENTENCE * 2, PROSE + PROSE, "ha" * 40])
def test_ordinary_texts_are_not(text: str) -> None:
    assert assert_every_split(CHECK, text[:500]) == whole(CHECK, text) == []


def test_what_is_said_twice_is_found_if_the_policy_says_so() -> None:
    text = PROSE + PROSE
    found = whole(check(times=2), text)
    assert found[0].start < len(PROSE) + 60
    assert found[-1].end >= len(text) - 2


def test_no_cut_changes_what_is_found() -> None:
    parts = ["one two three four five six seven ", "eight nine ten ", "x" * 50, "!" * 40, "\n", " ", "_", "é", "\ud800"]
    assert_promise(check(times=2, words=10), parts, 400)


def test_a_stream_is_held_only_while_its_words_repeat() -> None:
    assert max(held_words(CHECK, PROSE)) <= 1
    held: list[int] = []
    scan_in_chunks(CHECK, SENTENCE * 60, range(1, len(SENTENCE * 60)), held)
    assert max(held) <= LONGEST * 8


def test_memory_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 50)
    known = SENTENCE * 8
    assert len(whole(CHECK, known + PROSE)) == 1
    assert whole(CHECK, PROSE + known) == []
    assert len(whole(CHECK, SENTENCE * 3 + PROSE + known)) == 1


def test_reviewers_are_told_of_options_that_find_ordinary_texts() -> None:
    assert [advice.key for advice in check(times=2, words=10).traits.advice] == ["times", "words"]
    assert CHECK.traits.advice == ()


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(OptionError, match="`times` must be a whole number from 2 to 100"):
        check(times=1)


def test_a_window_without_the_state_of_the_one_before_is_refused() -> None:
    with pytest.raises(ValueError, match="state"):
        CHECK.scan([Window(CHANNEL, "x", 5, 5)])


def request(*texts: str) -> Facts:
    passages = (Passage("user", f"messages[{number}].content", text) for number, text in enumerate(texts))
    return Facts(request=Sources((), passages=tuple(passages)))


def scanned(facts: Facts, number: int, cuts: tuple[int, ...] = (), **options: Any) -> list[tuple[int, int]]:
    assert facts.request is not None
    passage = facts.request.passages[number]
    every, keep, settled, state = [], 0, 0, None
    for end in (*cuts, len(passage.text)):
        window = Window(
            Channel("request", "user", passage.path),
            passage.text[keep:end],
            keep,
            settled,
            end == len(passage.text),
            facts,
            state,
        )
        (scan,) = check(**options).scan([window])
        every += [(finding.start, finding.end) for finding in scan.findings]
        keep, settled, state = scan.keep, scan.settled, scan.state
    return every


def test_a_passage_that_is_sent_again_and_again_is_found_where_it_comes_for_the_third_time() -> None:
    passage = PROSE[:400]
    facts = request(passage, f"Look: {passage}", "short", f"And again: {passage} Well?", passage)
    found = [scanned(facts, number, conversation=True) for number in range(5)]
    assert [len(each) for each in found] == [0, 0, 0, 1, 1]
    ((start, end),) = found[3]
    assert start < 50
    assert end <= 11 + 400
    assert [scanned(facts, number) for number in range(5)] == [[]] * 5, "without the option, a text counts alone"
    for cuts in ((50,), (12, 100, 300), tuple(range(1, 400))):
        assert scanned(facts, 3, cuts, conversation=True) == found[3]


def test_a_text_of_an_unknown_place_counts_alone() -> None:
    facts = request(PROSE, PROSE, PROSE)
    (scan,) = check(conversation=True).scan([Window(CHANNEL, PROSE, facts=facts)])
    assert scan.findings == ()
    assert whole(check(conversation=True), PROSE) == []


def test_the_memory_of_a_request_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 1100)
    passage = PROSE[:400]
    assert scanned(request(passage, passage, passage), 2, conversation=True) != []
    assert scanned(request("x y " * 600, passage, passage, passage), 3, conversation=True) == []


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
def test_a_request_that_repeats_a_passage_is_blocked(route: str) -> None:
    policy = "policy: p\nchecks: {bloat: {use: repetition, conversation: true}}\n"
    policies = policy_set(policy + "rules: [{id: no-bloat, on: request, when: bloat, action: block}]\n")
    passage = PROSE[:400]
    turns = [{"role": role, "content": passage} for role in ("user", "assistant", "user")]
    for count, is_blocked in ((1, False), (3, True)):
        play = Play(policies, route).ask({"model": "m", "max_tokens": 9, "messages": turns[:count]})
        assert play.exchange.is_over == is_blocked
