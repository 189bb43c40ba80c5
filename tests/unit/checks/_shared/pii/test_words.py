"""Words around a match: spaCy's tokens, and what Presidio makes of them."""

from __future__ import annotations

import re
from random import Random
from types import SimpleNamespace

import pytest

from guardproxy.checks._shared.pii.whole import nlp_engine
from guardproxy.checks._shared.pii.words import LOOK, Surroundings, Words, closes, words
from tests.kit.checks import PROSE

EN = words("en")
SIGNS = "abcXYZ0129.,:;-_/()[]'\"!?@#€%’“”é…<>=*& "


def chunks(language: str, count: int) -> list[str]:
    """Chunks of exceptions, signs, letters, and digits, glued together."""
    random = Random(language)
    special = [text for text in words(language).special if text.strip() and " " not in text]
    found = PROSE.split() + special
    for _ in range(count):
        found.append("".join(random.choices(SIGNS.strip(), k=random.randint(1, 9))))
        found.append(random.choice(special) + random.choice("/-):., ").strip() + random.choice([*special, ""]))
        found.append(random.choice("([\"'") + random.choice(special) + random.choice(")].,;!?"))
        found.append(
            random.choice(PROSE.split()) + random.choice("0123456789") + random.choice(["km", "$", "%", "-x", ".Y"])
        )
    return [part for each in found for part in each.split()]


@pytest.mark.parametrize("language", ["en", "es", "de", "fr", "it", "nl"])
def test_chunks_are_cut_as_spacy_cuts_them(language: str) -> None:
    ours, theirs = words(language), nlp_engine(language).nlp[language].tokenizer
    for chunk in chunks(language, 400):
        tokens = [token.text for token in theirs(chunk)]
        assert ours._join(ours._split(chunk, ours.special)) == tokens
        counted = [word for _, word in ours.tokens(chunk) if word]
        assert [end for end, _ in ours.tokens(chunk)][-1] == len(chunk)
        assert counted or not ours.surely(chunk), chunk
        assert len(counted) <= ours.most(chunk), chunk


def test_what_is_remembered_holds_nothing_personal_and_has_a_bound() -> None:
    cut = words("en")
    cut.known.clear()
    for chunk in ("(212)", "ada@example.org", "x" * 40, "card,", "12345"):
        cut.tokens(chunk)
    assert list(cut.known) == ["card,"]
    for at in range(9000):
        cut.tokens("".join(chr(97 + int(digit)) for digit in str(at)))
    assert len(cut.known) <= 8192


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("card 5", True),
        ("mastercards 5", True),
        ("card5", True),
        ("Card the of is my 5", True),  # stop words
        ("card , ( - 5", True),  # signs
        ("card a1 b2 c3 d4 5", True),
        ("card a1 b2 c3 d4 e6 5", False),
        ("card red blue green white black 5", False),
        ("card\n\n \n x 5", True),  # white space that is more than a space is a word
        ("card \n x \n y \n z 5", False),
        ("5 card", False),
        ("(5 card", False),  # the next word that counts is the number
        ("a:5 card", True),  # a token with a colon does not count, so the next word does
        ("a:5 is the card", True),
        ("a:5 is not my old card", False),
        ("a:5", False),
        ("İcard card5x 5", True),
        ("İ card 5", True),
        ("the nice car 5", False),
        (" 5", False),
        ("x " * 20 + "card(x), y 5", True),
    ],
)
def test_support(text: str, near: bool) -> None:
    assert Surroundings(EN, text, True).support(text.index("5"), ("card",)) is near


def test_a_stop_word_is_no_context_whatever_it_holds() -> None:
    assert Surroundings(EN, "call 5", True).support(5, ("call",)) is False
    assert Surroundings(EN, "phone call 5", True).support(11, ("call", "phone")) is True


def test_only_whole_chunks_within_reach_count() -> None:
    assert Surroundings(EN, "card " + "the " * 200 + "5", True).support(805, ("card",)) is True
    far = "card " + "the " * 300
    assert Surroundings(EN, far + "5", True).support(len(far), ("card",)) is False
    assert Surroundings(EN, "card" + "x" * LOOK + "5", True).support(LOOK + 4, ("card",)) is False
    assert Surroundings(EN, "a:5 " + "the " * 300 + "card", True).support(2, ("card",)) is False
    assert Surroundings(EN, "a:5 " + "-" * LOOK + " card", True).support(2, ("card",)) is False
    assert Surroundings(EN, "a:5 " + "-" * 500 + "card" + "-" * LOOK, True).support(2, ("card",)) is False
    assert (
        Surroundings(EN, "y" * (LOOK + 9) + "5 card", True).support(LOOK + 9, ("card",)) is True
    )  # what is cut does not count


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("card 5", None),
        ("card 5 ", True),
        ("x 5 ", False),
        ("a:5 ", None),
        ("a:5 is ", None),
        ("a:5 is car", None),
        ("a:5 it was fun ", False),
    ],
)
def test_what_is_not_known_yet(text: str, known: bool | None) -> None:
    assert Surroundings(EN, text, False).support(text.index("5"), ("card",)) is known


def test_a_place_may_be_asked_about_again() -> None:
    around = Surroundings(EN, "red card blue car x1 and 5 then", True)
    assert [around.support(25, (word,)) for word in ("card", "then", "bl", "x", "zz")] == [
        True,
        False,
        True,
        True,
        False,
    ]
    other = Surroundings(EN, "card and a:5 is the phone", True)
    assert [other.support(11, (word,)) for word in ("phone", "card", "ph")] == [True, True, True]


def test_a_sign_between_words_is_none_at_the_front() -> None:
    rules = SimpleNamespace(
        token_match=None,
        url_match=None,
        prefix_search=None,
        suffix_search=None,
        infix_finditer=re.compile("-").finditer,
    )
    cut = Words("x", rules, {}, {}, lambda word: False, lambda word: word == "-")
    assert [word for _, word in cut.tokens("-a-b")] == ["-a", "", "b"]
    rules.infix_finditer = None
    assert cut._split("-c-d", {}) == ["-c-d"]


def test_a_place_in_a_space_belongs_to_the_next_token() -> None:
    assert Surroundings(EN, "x card y", True).support(1, ("card",)) is True
    assert Surroundings(EN, "x y ", True).support(3, ("card",)) is False
    assert closes("ab cd ef", 2) == 5


@pytest.mark.parametrize("language", ["xx1", "ja", "zh"])
def test_a_language_without_rules_is_refused(language: str) -> None:
    with pytest.raises(ValueError, match="language"):
        words(language)
