"""The check `gibberish`: letters that are no words, and what looks like them."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks import Resources, build
from guardproxy.checks.gibberish import odd_share
from guardproxy.errors import OptionError
from guardproxy.testing import assert_promise
from tests.kit.checks import PROSE, assert_every_split, whole


def check(**options: Any) -> Any:
    return build("gibberish", "gibberish", options, Resources())


CHECK = check()


@pytest.mark.parametrize(
    "text",
    [
        "asdfjkl qwlekj zxmcnb fjdksla",
        "Qwrtzp fghjkl vbnmx, dfgkjh sdfkjhg.",
        "hjkl hjkl fghjfghj rtzurtzu",
        "please xkqzv wvjqk pqxzj zzxqv jqwxz",
    ],
)
def test_letters_that_are_no_words_are_found(text: str) -> None:
    (finding,) = assert_every_split(CHECK, text)
    assert (finding.label, finding.start) == ("GIBBERISH", 0)
    assert finding.score >= 0.5


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "Der Leuchtturmwärter ging jeden Morgen zum Hafen hinunter und sah den Booten nach, straße, weiß.",
        "Każdego ranka stary latarnik schodził do portu i patrzył, jak łodzie wypływają.",
        "Chaque matin, le vieux gardien descendait au port et regardait les bateaux; œuvre, être.",
        "8f14e45fceea167a5a36dedd4bea2543 550e8400-e29b-41d4-a716-446655440000 dGhpcyBpcyBhIHRlc3Q=",
        "for (int i = 0; i < strnlen(ptr, sz); i++) { memcpy(&dst[i], src->bfr, szof(ptr)); }",
        "HTTP TCP XML JSON SQLX QWRTZ getHttpXml /usr/lib/xkb/qwrtz.so xqzv=5 user@qwrtz.example",
        "asdf qwer",
        "Каждое утро старый смотритель маяка спускался к гавани. 每天早上老灯塔看守人都会走到港口。",
        "",
    ],
)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert whole(CHECK, text) == []


def test_the_score_is_the_share_of_letters_in_odd_words() -> None:
    assert odd_share("lighthouse xkqzvwvjqk", 12) == 0.5
    assert odd_share("harbour", 12) is None
    assert len(whole(check(threshold=0.4), "lighthouse harbour xkqzvwvjqkzzqx")) == 1


def test_no_cut_changes_what_is_found() -> None:
    assert_promise(
        check(window_chars=100), ["asdfjkl ", "qwlekj", " the harbour ", "\n", "zxmcnb.", "é", "1", "_"], 200
    )


def test_reviewers_are_told_of_a_low_threshold() -> None:
    assert [advice.serious for low in (0.3, 0.05) for advice in check(threshold=low).traits.advice] == [False, True]
    assert CHECK.traits.advice == ()


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(OptionError, match="`letters` must be a whole number from 8 to 400"):
        check(letters=1)
