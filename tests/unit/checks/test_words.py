"""The check `words`: names in every form, phrases that hide them, streams, and lists that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks import Resources, build
from guardproxy.checks import words as module
from guardproxy.checks.words import MOST_CHARS, MOST_WORDS, NAME_CHARS_LIMIT, NAMES_LIMIT
from guardproxy.errors import OptionError
from guardproxy.testing import assert_promise
from tests.kit.checks import (
    PROSE,
    assert_every_split,
    assert_invariant,
    assert_values,
    held_words,
    scan_in_chunks,
    whole,
)

NAMES = [
    "Umbrella",
    "Coca-Cola",
    "AT&T",
    "Lloyd's",
    "Booking.com",
    "Müller AG",
    "腾讯",
    "삼성",
    "C++",
    "Company",
    "हिन्दी",
    "Apple",
    "がん",
]


def check(*names: str, **options: Any) -> Any:
    return build("words", "words", {"words": list(names or NAMES), **options}, Resources())


CHECK = check(unless=["apple pie", "no at and t"])


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("We buy umbrella, UMBRELLA and Umbrella.", ["umbrella", "UMBRELLA", "Umbrella"]),
        ("The Umbrella's plan, two umbrellas, the umbrellas' plan", ["Umbrella", "umbrellas", "umbrellas"]),
        ("Uмbrеllа, ûmbrella, Ｕmbrella, um\u200bbrella", ["Uмbrеllа", "ûmbrella", "Ｕmbrella", "um\u200bbrella"]),
        ("dW1icmVsbGEgaXMgZmluZQ==", ["dW1icmVsbGEgaXMgZmluZQ=="]),
        ("Coca Cola, CocaCola, coca_cola and **Coca** Cola", ["Coca Cola", "CocaCola", "coca_cola", "Coca** Cola"]),
        ("Coca\nCola. Coca. Cola. Coca, Cola. Coca\n\nCola. Coca           Cola", ["Coca\nCola"]),
        ("AT&T, at & t, At and T, at t, no at and t", ["AT&T", "at & t", "At and T"]),
        ("Lloyd’s and Lloyds, not Lloyd", ["Lloyd’s", "Lloyds"]),
        ("booking.com, not booking", ["booking.com"]),
        ("Mueller AG, Muller AG, Müller AG", ["Mueller AG", "Muller AG", "Müller AG"]),
        ("我用腾讯的服务, 삼성전자는, がん, かん", ["腾讯", "삼성", "がん"]),
        ("हिन्दी है", ["हिन्दी"]),
        ("C++ and C + +, not C", ["C++", "C + +"]),
        ("two companies", ["companies"]),
        ("an apple pie, an apple, apple pies", ["apple"]),
        ("umbrellaumbrella, umbrellas1, umbrell", []),
        ("rock 'n' roll, don't", []),
        (f"{'x' * 200}'umbrella umbrella", ["umbrella"]),
        (f"{'é' * 127} umbrella {'é' * 300}umbrella", ["umbrella"]),
        (f"{'x' * 200}'", []),
        ("umbrella''umbrella 'umbrella'", ["umbrella", "umbrella", "umbrella"]),
        ("\ud800umbrella", ["umbrella"]),
        ("", []),
    ],
)
def test_a_name_is_found_in_each_of_its_forms(text: str, values: list[str]) -> None:
    assert_values(CHECK, text, values)


@pytest.mark.parametrize(
    ("text", "score"), [("UMBRELLA", 1.0), ("umbrellas", 0.9), ("CocaCola", 0.9), ("ûmbrella", 0.8), ("ûmbrellas", 0.8)]
)
def test_the_score_says_how_near_a_form_is(text: str, score: float) -> None:
    assert [finding.score for finding in whole(check(evasions="off"), text)] == [score]


def test_capital_letters_count_if_the_policy_says_so() -> None:
    same = check("Target", "iPhone", "Target Corp", case="same")
    assert_values(
        same, "a target, Target, TARGETS, iphone, iPhone, Target corp", ["Target", "TARGETS", "iPhone", "Target"]
    )


def test_plurals_may_be_left_out() -> None:
    assert_values(check(inflected=False), "umbrellas, Umbrella's, umbrella", ["umbrella"])


def test_the_longest_name_counts() -> None:
    both = check("Blue", "Blue Sky Airlines", "Sky", "Sky Airlines Ltd")
    assert_values(both, "blue sky airlines, Blue Sky Airways", ["blue sky airlines", "Blue", "Sky"])


def test_names_of_different_case_are_different_names() -> None:
    assert_values(check("US", "us bank", case="same"), "US and us, us bank", ["US", "us bank"])


def test_no_cut_changes_what_is_found() -> None:
    parts = [
        "Umbrella",
        "umbr",
        "Coca",
        "-",
        " ",
        "Cola",
        "'",
        "’s",
        "AT",
        "&",
        "腾",
        "讯",
        "\n",
        ".",
        "é",
        "Apple",
        " pie",
    ]
    assert_promise(CHECK, [*parts, "x" * 70, "Lloyd", "C++", "\u0301", "\u200b"], 400)
    assert_promise(check(evasions="off"), [*parts, "x" * 70, "Lloyd", "C++"], 400)


def test_little_of_a_stream_is_held() -> None:
    assert max(held_words(CHECK, PROSE)) <= 1
    long = " ".join(f"w{number}" for number in range(MOST_WORDS))
    assert max(held_words(check(long), f"{long} and so on")) <= MOST_WORDS + 1
    held: list[int] = []
    scan_in_chunks(check(evasions="off"), "x" * 4000, range(1, 4000), held)
    assert max(held) <= 2 * MOST_CHARS


@pytest.mark.parametrize("filler", ["", "x", "coca ", "é" * 700, "x" * 1399 + "'", "Umbrella " * 300])
def test_a_long_text_is_read_in_blocks(filler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = check(evasions="off")
    text = f"{PROSE}{filler}{'Coca-Cola, Umbrella. ' * 3}{PROSE} Booking.com {'z' * 3000} Umbrella {PROSE}"
    at_once = whole(plain, text)
    monkeypatch.setattr(module, "BLOCK", 1400)
    assert whole(plain, text) == at_once
    assert len(at_once) >= 7
    assert_invariant(plain, text, range(7, len(text), 211))


def test_a_long_list_costs_no_more() -> None:
    names = [f"company {number}" for number in range(3000)]
    assert_every_split(check(*names), "the company 2999 and company 3000")
    assert [finding.label for finding in whole(check(*names, label="RIVAL"), "Company 17")] == ["RIVAL"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "`words` must be a list"),
        ({"words": []}, "at least one name"),
        ({"words": "Umbrella"}, "`words` must be a list of names"),
        ({"words": [7]}, "quote a number"),
        ({"words": [" "]}, "non-empty"),
        ({"words": ["!!!"]}, f"has 1 to {MOST_WORDS} words"),
        ({"words": ["x" * (MOST_CHARS + 1)]}, f"at most {MOST_CHARS} letters"),
        ({"words": ["w " * (MOST_WORDS + 1)]}, f"has 1 to {MOST_WORDS} words"),
        ({"words": ["x" * (NAME_CHARS_LIMIT + 1)]}, f"at most {NAME_CHARS_LIMIT} characters"),
        ({"words": ["x"] * (NAMES_LIMIT + 1)}, f"at most {NAMES_LIMIT} entries"),
        ({"words": ["x"], "unless": ["?"]}, "an entry of `unless`"),
        ({"words": ["x"], "label": ""}, "`label`"),
        ({"words": ["x"], "case": "some"}, "`case` must be one of"),
    ],
)
def test_a_wrong_list_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        build("words", "words", options, Resources())


def test_reviewers_are_told_of_names_that_are_found_everywhere() -> None:
    advice = check("GE", "Umbrella", "三星", unless=["umbrella stand", "apple pie"]).traits.advice
    assert [(each.key, each.item, each.serious) for each in advice] == [("words", 0, False), ("unless", 1, True)]
    assert check("GE", case="same").traits.advice == ()


def test_the_digest_follows_the_names() -> None:
    assert check("a b", "c d").digest == check("c d", "a b").digest
    assert check("a b").digest != check("a c").digest
    assert check("a b", case="same").digest != check("a b").digest
