"""The passages that may support a sentence: found by shared words, at a linear cost."""

from __future__ import annotations

from guardproxy.checks._shared.grounding.passages import (
    MOST_PASSAGE_WORDS,
    MOST_PLACES,
    SourceIndex,
    bare_words,
)
from guardproxy.checks._shared.grounding.sentences import COMMON, stem, words_of
from guardproxy.findings import Passage, Sources

FERRY = (
    "The ferry to Lindholm leaves from pier 4 at 7:15. The crossing takes two hours. Dogs need a ticket for 3 euros."
)


def index_of(*texts: str, asked: tuple[str, ...] = ()) -> SourceIndex:
    return SourceIndex.of(
        Sources(texts, asked, tuple(Passage("document", f"d{at}", text) for at, text in enumerate(texts)))
    )


def stems_of(sentence: str) -> list[str]:
    return [stem(word) for word in words_of(sentence) if word.lower() not in COMMON]


def found(index: SourceIndex, sentence: str, most: int = 3) -> list[str]:
    return [index.passage(*each.span) for each in index.candidates(stems_of(sentence), most)]


def filler(count: int, words: int = 12) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz0123"
    rows = ([f"{letters[at]}{letters[word]}" for word in range(words - 1)] for at in range(count))
    return " ".join(f"Zet {' '.join(row)}." for row in rows)


def test_the_best_passage_comes_first_and_passages_do_not_overlap() -> None:
    index = index_of(filler(20) + " " + FERRY, "Nothing here. Dogs bark at night.")
    passages = found(index, "The dogs on the ferry")
    assert "Dogs need a ticket" in passages[0]
    assert len(set(passages)) == len(passages) == 2
    assert len(found(index, "The dogs on the ferry", 1)) == 1
    assert found(index, "Quantum physics") == []


def test_a_passage_is_a_few_sentences() -> None:
    index = index_of(filler(26, 20))
    (passage,) = found(index, "pc pd pe pf", 1)
    assert len(words_of(passage)) <= 2 * MOST_PASSAGE_WORDS
    assert passage.count("Zet") in (3, 4)
    place = index.place(*index.candidates(["pd"], 1)[0].span)
    assert (place.kind, place.path) == ("document", "d0")
    assert " pd " in index.texts[0].text[place.start : place.end]


def test_a_passage_does_not_reach_into_the_next_text() -> None:
    texts = ("Dogs bark.", "Cats purr.", filler(20))
    assert found(index_of(*texts), "dogs") == ["Dogs bark."]
    assert found(index_of(*texts[:2]), "dogs") == ["Dogs bark.", "Cats purr."]  # of few passages all are compared


def test_a_word_that_very_many_sentences_have_counts_for_nothing() -> None:
    index = index_of("Valves open. " * (MOST_PLACES + 2) + "Sensors measure.")
    assert found(index, "valves") == []
    assert len(index._places[stem("valve")]) == MOST_PLACES + 1
    assert "Sensors measure." in found(index, "sensors valves")[0]


def test_lines_that_go_on_are_one_sentence() -> None:
    index = index_of("The ferry leaves\nfrom pier 4.\n\n-\n* Dogs need\na ticket\nof three")
    assert [index.passage(at, at + 1) for at in range(len(index._units))] == [
        "The ferry leaves from pier 4.", "* Dogs need a ticket of three"
    ]  # fmt: skip
    assert len(index_of("word word\n" * 100)._units) > 2


def test_texts_without_places_are_read_too() -> None:
    index = SourceIndex.of(Sources((FERRY,)))
    assert index.place(*index.candidates(stems_of("dogs"), 1)[0].span).path == ""


def test_what_is_known() -> None:
    index = index_of(FERRY + " It ran for 1.5 years, from 9 pm to v1.2.3 on.", asked=("We have 7 bicycles.",))
    assert {"7", "bicyc", "lindh", "1.5"} <= index.known
    assert {"19:15", "7", "120", "18", "300", "21", "21:00"} <= index.reckoned
    assert index_of("No numbers.").reckoned == set()


def test_equal_sentences() -> None:
    assert bare_words("- **The crossing** takes two hours [2].") == "the crossing takes two hours"
    assert bare_words("Two words.") == ""
    index = index_of(FERRY)
    assert index.passage(*2 * (index.whole["the crossing takes two hours"],))[:0] == ""
    at = index.whole["the crossing takes two hours"]
    assert index.passage(at, at + 1) == "The crossing takes two hours."
