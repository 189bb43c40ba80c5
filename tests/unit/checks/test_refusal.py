"""The check `refusal`: sentences that decline, sentences that do not, streams, and another model that is asked instead."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks import Resources, build
from guardproxy.checks.refusal import CHARS
from guardproxy.errors import OptionError
from guardproxy.findings import Channel, Window
from guardproxy.testing import assert_promise
from tests.kit.checks import PROSE, assert_every_split, held_words, scan_in_chunks, whole
from tests.kit.play import CHAT, MESSAGES, policy_set
from tests.kit.retry import Attempts, ask


def check(**options: Any) -> Any:
    return build("refusal", "refused", options, Resources())


CHECK, ALL = check(), check(find=["declined", "unable"], threshold=0)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m really sorry, but as an AI language model, I cannot provide that.",
        "I apologize, but I am not able to write this text.",
        "Unfortunately, I have to decline.",
        "I must respectfully decline your request.",
        "I cannot assist with creating malware.",
        "I won't engage in this conversation.",
        "**I am unable to fulfil this request.**",
        "While I don't condone this, here is a story.",
        "It is not appropriate for me to say so.",
        "This goes against my guidelines.",
        "Es tut mir leid, aber ich kann dir dabei nicht helfen.",
        "Ich kann leider nicht dabei helfen.",
        "Je suis désolé, mais je ne peux pas le faire.",
        "Lo siento, pero no puedo hacerlo.",
        "Mi dispiace, ma non posso.",
        "很抱歉，我无法回答。",
        "申し訳ありませんが、できません。",
    ],
)
def test_a_sentence_that_declines_is_found(text: str) -> None:
    found = assert_every_split(CHECK, text)
    assert {finding.label for finding in found} == {"DECLINED"}


@pytest.mark.parametrize(
    "text",
    [
        "I can help with that.",
        "I can't help but admire the view.",
        "I couldn't help it, I cannot help thinking of it.",
        "I'm sorry to hear about your loss. Here are some ways to cope:",
        "I can't wait to see what comes next!",
        "They cannot provide it, and you must decline the offer.",
        "As an AI language model, I use a process called deep learning.",
        "Unfortunately, the war went on.",
        PROSE,
        "",
    ],
)
def test_a_sentence_that_declines_nothing_is_not(text: str) -> None:
    assert assert_every_split(CHECK, text[:CHARS]) == []


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I don't have access to real-time data.", "UNABLE"),
        ("I am unable to browse the web.", "UNABLE"),
        ("As an AI language model, I do not hold opinions.", "UNABLE"),
        ("It is never acceptable to lie.", "DECLINED"),
    ],
)
def test_what_the_model_cannot_do_is_found_if_the_policy_says_so(text: str, label: str) -> None:
    assert [finding.label for finding in assert_every_split(ALL, text)] == [label]
    assert whole(CHECK, text) == []


def test_a_threshold_that_nothing_reaches_finds_nothing() -> None:
    assert whole(check(threshold=1), "I'm sorry, but I can't help with that.") == []
    assert [finding.score for finding in whole(check(), "I'm sorry, but I can't help with that.")] == [0.95]


def test_only_the_beginning_is_read_and_the_rest_leaves_at_once() -> None:
    late = "word " * 60 + "I cannot provide that."
    assert assert_every_split(CHECK, late) == []
    assert len(whole(check(chars=400), late)) == 1
    edge = "word " * 56 + "I cannot provide that."
    assert edge.index("provide") + 7 < CHARS < len(edge)
    assert len(assert_every_split(CHECK, edge)) == 1
    assert max(held_words(CHECK, f"{PROSE} I")[CHARS:]) == 0


def test_no_cut_changes_what_is_found() -> None:
    parts = [
        "I'm sorry, ",
        "but ",
        "I ",
        "can't ",
        "cannot ",
        "help ",
        "it",
        "provide ",
        "that",
        ". ",
        "\n",
        "x" * 40,
        "é",
    ]
    assert_promise(CHECK, parts, 300)
    assert_promise(check(chars=40, threshold=0), parts, 300)


def scan(channel: Channel, text: str, cuts: list[int], **options: Any) -> list[tuple[int, int, float]]:
    found, keep, settled = [], 0, 0
    for end in [*cuts, len(text)]:
        (one,) = check(**options).scan([Window(channel, text[keep:end], keep, settled, end == len(text))])
        found += [(finding.start, finding.end, finding.score) for finding in one.findings]
        keep, settled = one.keep, one.settled
    return found


def test_what_an_api_calls_a_refusal_is_one() -> None:
    channel = Channel("response", "refusal", "choices[0].message.refusal")
    for cuts in ([], [3], [1, 5, 7]):
        assert scan(channel, " No way. ", cuts) == [(1, 8, 1.0)]
        assert scan(channel, "  ", cuts[:1] and [1]) == []
        assert scan(channel, "No way.", cuts, find=["unable"]) == []
    assert scan(channel, "no" * 400, [100, 500]) == [(0, CHARS, 1.0)]


@pytest.mark.parametrize(("direction", "kind"), [("request", "assistant"), ("response", "reasoning")])
def test_other_texts_are_not_read(direction: Any, kind: Any) -> None:
    assert scan(Channel(direction, kind, "p"), "I cannot help with that.", []) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"find": ["no"]}, "unknown word `no`"),
        ({"threshold": 2}, "`threshold` must be a number from 0 to 1"),
        ({"chars": 3}, "`chars` must be a whole number from 20 to 4000"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        check(**options)


ROUTING = """\
policy: p
checks: {refused: {use: refusal}}
rules:
  - id: other
    on: response
    when: refused
    action: retry
    attempts: 0
    early: true
    then: fallback
    fallback: {model: big, upstream: strong}
"""


@pytest.mark.parametrize("route", [CHAT, MESSAGES])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("step", [0, 1, 40])
def test_another_model_is_asked_for_what_the_first_refuses(route: str, stream: bool, step: int) -> None:
    attempts = Attempts(policy_set(ROUTING), ask(route, stream=stream, schema=None), route)
    attempts.say("I'm sorry, but I can't help with that. " + PROSE, range(step, 3000, step) if step else ())
    assert [body["model"] for body in attempts.bodies] == ["m", "big"]
    assert attempts.sent[-1].target == "strong"
    attempts.say("Here is what you asked for.")
    record = attempts.play.record
    assert [attempt["decision"] for attempt in record["attempts"]] == ["fallback", "answered"]
    client = attempts.play.client.decode()
    assert "sorry" not in client
    assert record["outcome"] == "answered"


def test_an_answer_that_the_second_model_refuses_too_is_blocked() -> None:
    attempts = Attempts(policy_set(ROUTING), ask(schema=None))
    attempts.say("I cannot provide that.").say("I cannot provide that.")
    assert attempts.over
    assert attempts.play.record["outcome"] == "blocked_response"


def test_an_answer_that_is_none_leaves_while_it_comes() -> None:
    attempts = Attempts(policy_set(ROUTING), ask(stream=True, schema=None))
    attempts.say(PROSE, range(50, 5000, 50))
    assert len(attempts.sent) == 1
    assert attempts.play.record["outcome"] == "answered"


def test_little_is_held() -> None:
    held: list[int] = []
    scan_in_chunks(CHECK, PROSE, range(1, len(PROSE)), held)
    assert max(held) < CHARS
