"""Names in growing text: where it is cut, what the tagger is asked, what is settled, and that no cut changes anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Tag
from guardproxy.checks._shared.pii.names import CONTEXT_CHARS, CUTS, MOST_CHARS, Names, TextPiece
from guardproxy.findings import Direction, Wait
from tests.kit.checks import PROSE, promise

pytestmark = pytest.mark.heavy

PLAIN = frozenset(
    "the a of and is to in my name we met at with was it he she said that walked down harbour dr see".split()  # noqa: SIM905 - reads best as one text
)
Span = tuple[int, int, str, float]


@dataclass
class Capitals:
    """Tags runs of words with a capital; what a run is called depends on all of the text, as with a real model."""

    asked: list[str] = field(default_factory=list)
    digest: str = "sha256:capitals"
    plain: frozenset[str] = PLAIN
    timeless: frozenset[str] = PLAIN - {"at"}
    context_words: int = 24
    is_slow: bool = True

    @property
    def thresholds(self) -> Mapping[str, float]:
        return {"PERSON": 0.5, "LOCATION": 0.5, "DATE_TIME": 0.5}

    def tag(self, texts: Sequence[str]) -> list[list[Tag]]:
        self.asked += texts
        return [self._tags(text) for text in texts]

    def _tags(self, text: str) -> list[Tag]:
        labels = ("PERSON", "LOCATION", "DATE_TIME", "OTHER")
        return [
            Tag(match.start(), match.end(), labels[(len(text) + match.start()) % 4], 0.4 + len(text) % 7 / 10)
            for match in re.finditer(r"(?:the )?[A-Z]\w*(?: [A-Z]\w*)*", text)
        ]


def names(**labels: float) -> Names:
    return Names(Capitals(), labels or {"PERSON": 0.5, "LOCATION": 0.5})


def whole(one: Names, text: str, direction: Direction) -> list[Span]:
    found = one.find(text, 0, direction, True)
    assert found.settled == len(text)
    return found.spans


def in_chunks(one: Names, text: str, cuts: Sequence[int], direction: Direction, back: int = 0) -> list[Span]:
    """The spans of a text that comes in pieces; what was promised of each answer is checked on the way.

    `back`: by how much less than what is settled is used of each answer, as another part of a check may hold back more.
    """
    found: list[Span] = []
    settled = keep = read = final = 0
    wait: Wait | None = None
    known: Sequence[TextPiece] = ()
    for end in [*sorted({cut for cut in cuts if cut < len(text)}), len(text)]:
        if wait is not None and end < len(text) and not wait.is_over(text[read:end]):
            assert keep + one.find(text[keep:end], settled - keep, direction, False).settled <= final
            continue
        answer = one.find(text[keep:end], settled - keep, direction, end == len(text), known)
        assert answer == one.find(text[keep:end], settled - keep, direction, end == len(text))
        read, final, wait = end, keep + answer.settled, answer.wait
        less = min(back, answer.settled - (settled - keep)) if end < len(text) else 0
        at = keep + answer.settled - less
        at = min([at, *(keep + low for low, high, _, _ in answer.spans if keep + low < at < keep + high)])
        for low, high, label, score in answer.spans:
            assert settled <= keep + low < keep + high <= keep + answer.settled <= end
            if keep + high <= at:
                found.append((keep + low, keep + high, label, score))
        moved = answer.keep(at - keep)
        settled, keep, known = at, keep + moved, answer.whole_from(moved)
        assert keep <= settled
    return found


def parts(text: str, direction: Direction = "response", last: bool = True) -> list[TextPiece]:
    return list(names().parts(text, direction, last))


def pieces(text: str, direction: Direction = "response", last: bool = True) -> list[str]:
    return [text[part.start : part.end] for part in parts(text, direction, last)]


def test_an_answer_is_cut_into_clauses() -> None:
    text = "We met at the harbour today, and he walked down. It is the end"
    assert pieces(text) == ["We met at the harbour today,", " and he walked down.", " It is the end"]


def test_a_request_is_cut_into_sentences() -> None:
    long = "We met at the harbour today, and he walked down with a rope of the ship."
    assert pieces(f"{long} It is. {long}\n", "request") == [long, f"{' It is.'} {long}", "\n"]


def test_a_short_form_ends_no_sentence() -> None:
    assert pieces("See my friend Dr. Ada of Prof. J. R. Hill.") == ["See my friend Dr. Ada of Prof. J. R. Hill."]


def test_a_line_ends_a_piece() -> None:
    assert pieces("Name: Ada\nTown: Hull\n") == ["Name: Ada", "\nTown: Hull", "\n"]


@pytest.mark.parametrize("direction", ["request", "response"])
def test_a_piece_has_so_many_words_and_characters(direction: Direction) -> None:
    most = CUTS[direction].most_words
    found = parts("ab " * (3 * most), direction)
    assert [part.words for part in found[:3]] == [most] * 3
    assert all(part.end - part.start < MOST_CHARS + 64 for part in parts("x" * 5000 + " 漢字" * 900, direction))


def test_the_open_piece_is_the_last() -> None:
    found = parts("We met at the harbour today, and he", last=False)
    assert [part.whole for part in found] == [True, False]


@pytest.mark.parametrize(
    ("text", "released"),
    [
        ("we met at the harbour with ", "we met at the harbour "),  # the next word may make `with` part of a name
        ("we met at the harbour wi", "we met at the "),  # and `wi` may go on as any word
        ("we met at the Harbour ", "we met at "),
        ("we met at the Harbour and he walked down ", "we met at "),
        ("Harbour and he walked down ", ""),
        ("", ""),
        ("and we met. \n ", "and we met. \n "),
    ],
)
def test_plain_words_go_on_as_they_come(text: str, released: str) -> None:
    one = names()
    found = one.find(text, 0, "response", False)
    assert text[: found.settled] == released
    assert found.keep(found.settled) == 0


@pytest.mark.parametrize(
    ("new", "is_over"),
    [
        (" in", False),
        (" in the harbour and", False),
        (" in the harbour,", True),  # may end the clause
        ("\n", True),
        (" a" * 20, False),
        (" a" * 21, True),  # a clause has 24 words at most
        ("a" * 460, False),
        ("a" * 470, True),
    ],
)
def test_a_held_clause_says_which_text_leaves_it_open(new: str, is_over: bool) -> None:
    wait = names().find("we met Ada", 0, "response", False).wait
    assert wait is None  # the last word may go on
    wait = names().find("we met Ada ", 0, "response", False).wait
    assert wait is not None
    assert wait.is_over(new) is is_over


@pytest.mark.parametrize(
    "text", ["", "we met at ", "we met Ada,", "Ada said that. we", "we met Ada, he said that, she"]
)
def test_without_a_held_clause_every_text_counts(text: str) -> None:
    assert names().find(text, 0, "response", False).wait is None


def test_a_piece_of_plain_words_is_not_tagged() -> None:
    one = names()
    assert whole(one, "we met at the harbour and it is the name of my name.", "request") == []
    assert isinstance(one.tagger, Capitals)
    assert one.tagger.asked == []


def test_with_dates_wanted_digits_and_words_of_time_count() -> None:
    assert names(PERSON=0.5).is_plain("7")
    assert names(PERSON=0.5).is_plain("at")
    assert not names(DATE_TIME=0.5).is_plain("7")
    assert not names(DATE_TIME=0.5).is_plain("at")
    assert names(DATE_TIME=0.5).is_plain("the,")


def test_context_is_what_lies_before() -> None:
    text = " ".join(f"Word{at} of the name and that was it." for at in range(9))
    one = names()
    whole(one, text, "response")
    assert isinstance(one.tagger, Capitals)
    asked = one.tagger.asked
    assert asked[0].startswith("Word0")
    assert max(len(text.split()) for text in asked) <= one.tagger.context_words + CUTS["response"].most_words
    assert "Word7 of" in asked[8]
    assert "Word8 of" in asked[8]


@pytest.mark.parametrize("run", ["%$" * 30, "q.r.s." * 9, "Wort" * 9])
def test_the_context_has_a_bounded_number_of_characters(run: str) -> None:
    """A run without white space is one word here, and many for a tagger."""
    one = names()
    whole(one, "".join(f"{run} Ada\n" for _ in range(30)), "response")
    assert isinstance(one.tagger, Capitals)
    longest = max(len(text) for text in one.tagger.asked)
    assert longest <= CONTEXT_CHARS * one.tagger.context_words + CUTS["response"].line_words * (len(run) + 5)


LITTLE = [
    "B\n",
    "B, ",
    "% $ ",
    "%$&!",
    "B. ",
    "Q.R.",
    "x\n\n",
    "- ",
    "word ",
    "Anna ",
    "日本",
    "a,b,",
    "()",
    "Ortsnamen ",
]


@given(
    st.lists(st.sampled_from(LITTLE), max_size=40),
    st.lists(st.sampled_from(LITTLE), min_size=3, max_size=150),
    st.sampled_from(sorted(CUTS)),
)
def test_a_search_that_costs_little_asks_for_few_words(
    before: Sequence[str], new: Sequence[str], direction: Direction
) -> None:
    """Whatever the words and the signs are, and whatever lies before them."""
    one = Names(Capitals(context_words=12), {"PERSON": 0.5})
    known = "".join(before)
    found = one.find(known, 0, direction, False)
    keep = found.keep(found.settled)
    text, settled = (known + "".join(new))[keep:], found.settled - keep
    assert isinstance(one.tagger, Capitals)
    one.tagger.asked.clear()
    one.find(text, settled, direction, False)
    asked = sum(len(re.findall(r"\w+|[^\w\s]", piece)) for piece in one.tagger.asked)
    assert asked <= one.cost(text, settled, direction)


class Fixed(Capitals):
    """Tags what it is told to."""

    def __init__(self, *tags: Tag) -> None:
        super().__init__()
        self.tags = tags

    def _tags(self, text: str) -> list[Tag]:
        return list(self.tags)


def test_a_name_begins_with_a_letter_at_most_one_word_before_the_first_that_is_not_plain() -> None:
    text = "we met at the harbour with (the Ada) now"
    found = Names(Fixed(Tag(0, 35, "PERSON", 0.9)), {"PERSON": 0.5}).find(text, 0, "request", True).spans
    assert [(text[low:high], label) for low, high, label, _ in found] == [("the Ada", "PERSON")]


def test_what_lies_in_the_context_or_below_the_threshold_is_not_reported() -> None:
    text = "It was Ada at the harbour today, and it was Bob."
    tags = (Tag(7, 10, "PERSON", 0.9), Tag(44, 47, "PERSON", 0.4), Tag(44, 47, "ELSE", 0.9), Tag(44, 44, "PERSON", 0.9))
    found = Names(Fixed(*tags), {"PERSON": 0.5}).find(text, 33, "response", True).spans
    assert found == []


WORDS = st.sampled_from(
    [
        *PLAIN,
        "Ada",
        "Lovelace",
        "Mr.",
        "harbour,",
        "end.",
        "D.C.",
        "2019",
        "\n",
        "\n\n",
        "  ",
        "x" * 70,
        "漢字。",
        "(ok)",
        "it's",
        "—",
    ]
)
TEXTS = st.lists(WORDS, max_size=60).map(" ".join)


@promise
@given(TEXTS, st.sampled_from(["request", "response"]), st.data())
def test_no_cut_changes_what_is_found(text: str, direction: Direction, data: st.DataObject) -> None:
    one = names(PERSON=0.5, LOCATION=0.6, DATE_TIME=0.7) if data.draw(st.booleans()) else names()
    expected = whole(one, text, direction)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8))
    back = data.draw(st.sampled_from([0, 0, 3, 40]))
    assert in_chunks(one, text, cuts, direction, back) == expected
    assert in_chunks(one, text, range(1, len(text), data.draw(st.integers(1, 7))), direction) == expected


@pytest.mark.parametrize("direction", ["request", "response"])
def test_every_single_cut(direction: Direction) -> None:
    text = PROSE[:700]
    one = names()
    expected = whole(one, text, direction)
    assert expected
    for cut in range(len(text)):
        assert in_chunks(one, text, [cut], direction) == expected
