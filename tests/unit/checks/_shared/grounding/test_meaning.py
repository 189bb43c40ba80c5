"""Groundedness by meaning: verdicts, calls of the model, places of passages, and the promise on chunks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.checks import Check, PairScores, Resources, TextPair, build
from guardproxy.checks._shared.grounding.meaning import TOGETHER
from guardproxy.errors import NoCapacityError, OptionError, Shortage
from guardproxy.findings import Channel, Facts, Finding, Passage, Scan, Sources, ValueOrigin, Window
from tests.kit.documents_and_statements import NOTHING, TOLD
from tests.kit.grounding import NO, OPEN, YES, Reading, by_words

PLACE = Channel("response", "assistant", "x")
FERRY = (
    "The ferry to Lindholm leaves from pier 4 at 7:15. The crossing takes two hours. Dogs need a ticket for 3 euros."
)


def checked(judge: Reading, **options: Any) -> Check:
    return build("grounded", "facts", {"by": "meaning", **options}, Resources(pairs=lambda name: judge))


def sources_of(*texts: str, asked: tuple[str, ...] = ()) -> Sources:
    return Sources(texts, asked, tuple(Passage("document", f"d{at}", text) for at, text in enumerate(texts)))


def places(ground: Finding) -> list[ValueOrigin]:
    return [detail.origin for detail in ground.details if detail.origin is not None]


def scanned(check: Check, text: str, sources: Sources | None) -> Scan:
    (scan,) = check.scan([Window(PLACE, text, facts=Facts(sources=sources))])
    assert scan.settled == len(text)
    return scan


def far(*texts: str) -> str:
    """Texts of which each is a passage of its own."""
    filler = " ".join(f"Z{at}" + f" q{at}" * 30 + "." for at in range(10))
    return f" {filler} ".join(texts)


def test_verdicts_with_their_places() -> None:
    judge = Reading(by_words)
    text = (
        "Dogs want a ticket. The crossing does not take hours. Night ferries leave from Lindholm. Hello! Does it float?"
    )
    scan = scanned(checked(judge), text, sources_of(FERRY))
    assert [(text[each.start : each.end], each.label, each.score) for each in scan.findings] == [
        ("The crossing does not take hours. ", "CONTRADICTED", 0.9),
        ("Night ferries leave from Lindholm. ", "UNSUPPORTED", 0.8),
    ]
    assert [each.details[0].place for each in scan.findings] == ["sentence 2", "sentence 3"]
    assert scan.findings[0].details[0].found == "a sentence that they contradict"
    assert [(each.label, text[each.start : each.end].strip()) for each in scan.grounds] == [
        ("SUPPORTED", "Dogs want a ticket."), ("CONTRADICTED", "The crossing does not take hours.")
    ]  # fmt: skip
    assert all(
        (place.path, place.start, place.end) == ("d0", 0, len(FERRY)) for each in scan.grounds for place in places(each)
    )
    assert len(judge.asked) == 2  # the second is for sentences that the best passage does not support
    assert judge.asked[0][0] == TextPair(FERRY, "Dogs want a ticket.")
    core = "The ferry to Lindholm leaves from pier 4 at 7:15."
    assert TextPair(core, "Night ferries leave from Lindholm.") in judge.asked[1]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("the crossing takes TWO hours!", None),
        ("Yes, dogs need a ticket for 3 euros [1].", None),
        ("The crossing takes two hours; dogs need a ticket for 3 euros.", None),
        ("Dogs need a ticket for 3 euros, and the crossing takes two hours.", None),
        ("The crossing takes 9 hours.", "UNSUPPORTED"),
        ("The crossing was built by Corvex.", "UNSUPPORTED"),
        ("I could not find anything about cats.", None),
        ("", None),
        ("\n- \n", None),
    ],
)
def test_what_needs_no_model(text: str, label: str | None) -> None:
    judge = Reading(by_words)
    scan = scanned(checked(judge), text, sources_of(FERRY))
    assert [each.label for each in scan.findings] == ([label] if label else [])
    assert all(each.score == 1.0 for each in scan.findings)
    assert judge.asked == []


def test_words_that_no_passage_of_a_long_text_has_need_no_model() -> None:
    judge = Reading(by_words)
    (finding,) = scanned(checked(judge), "Quantum physics surprises everybody.", sources_of(far(FERRY, FERRY))).findings
    assert (finding.label, finding.score, judge.asked) == ("UNSUPPORTED", 1.0, [])
    scanned(checked(judge), "Quantum physics surprises everybody.", sources_of(FERRY))
    assert judge.asked


@pytest.mark.parametrize("is_long", [False, True])
def test_what_is_certain_without_a_model(is_long: bool) -> None:
    every = "\n\n".join(told.document for told in TOLD)
    check = checked(Reading(lambda first, second: YES))
    found = dict.fromkeys(("true", "altered", "added", "nothing"), 0)
    for told in TOLD:
        sources = sources_of(every if is_long else told.document)
        rows = {"true": told.true, "altered": told.altered, "added": told.added, "nothing": NOTHING}
        for kind, its in rows.items():
            found[kind] += sum(bool(scanned(check, sentence, sources).findings) for sentence in its)
    altered, added = (4, 23) if is_long else (8, 26)  # of 78 and 48
    assert found == {"true": 0, "altered": altered, "added": added, "nothing": 0}


def test_each_of_these_states_something() -> None:
    check = checked(Reading(lambda first, second: OPEN), supported=1)
    for told in TOLD:
        for sentence in (*told.true, *told.altered, *told.added):
            assert scanned(check, sentence, sources_of(told.document)).findings, sentence


def test_without_texts_nothing_is_found() -> None:
    judge = Reading(by_words)
    for sources in (None, sources_of(), sources_of(asked=("We need tickets for dogs.",))):
        assert scanned(checked(judge), "The ferry does not sail to the moon.", sources).findings == ()
    assert judge.asked == []


def test_a_sentence_is_judged_against_further_passages_and_their_union() -> None:
    both = far("The ferry leaves from pier 4.", "The ferry costs 3 euros.")
    judge = Reading(lambda first, second: YES if "pier 4" in first and "3 euros" in first else OPEN)
    scan = scanned(checked(judge), "The ferry from pier 4 costs 3 euros.", sources_of(both))
    assert scan.findings == ()
    assert len(places(scan.grounds[0])) == 2
    assert places(scan.grounds[0])[0].start < places(scan.grounds[0])[1].start
    assert [len(call) for call in judge.asked] == [1, 3]
    judge = Reading(lambda first, second: OPEN)
    scanned(
        checked(judge), "The ferry leaves early.", sources_of(far("The ferry leaves early.", "A ferry leaves early."))
    )
    assert [len(call) for call in judge.asked] == []  # it stands there
    scanned(
        checked(judge), "A big ferry leaves early.", sources_of(far("The ferry leaves early.", "A ferry leaves early."))
    )
    assert [len(call) for call in judge.asked] == [1, 2]  # the second passage adds no word
    scanned(
        checked(judge),
        "A big red ferry leaves early.",
        sources_of(far("Red big ferry leaves early.", "Birds are early.")),
    )
    assert [len(call) for call in judge.asked] == [1, 2, 1, 1]  # the second passage has few of the words
    scanned(checked(judge), "A big red ferry leaves early.", sources_of("Red big ferry leaves early."))
    assert [len(call) for call in judge.asked] == [1, 2, 1, 1, 1]  # of one sentence
    judge = Reading(lambda first, second: OPEN)
    (finding,) = scanned(checked(judge, passages=1), "The ferry from pier 4 costs 3 euros.", sources_of(both)).findings
    assert finding.label == "UNSUPPORTED"
    assert [len(call) for call in judge.asked] == [1, 1]


def test_a_passage_that_supports_outweighs_one_that_does_not() -> None:
    both = far("The ferry leaves from pier 4 at night.", "The ferry leaves from pier 4 at dawn.")
    judge = Reading(lambda first, second: YES if "dawn" in first and "night" not in first else NO)
    scan = scanned(checked(judge), "The ferry leaves from pier 4 early.", sources_of(both))
    assert scan.findings == ()
    assert scan.grounds[0].label == "SUPPORTED"


def test_a_pronoun_means_the_sentence_before() -> None:
    """Its words find the passage. The network judges the sentence alone, as the one before may be wrong."""
    judge = Reading(lambda first, second: OPEN)
    text = "The harbour master is strict. He paints boats. They rust quickly. Cats want fish."
    every = far("Boats rust.", "Cats like fish.", "The harbour master paints.")
    scanned(checked(judge, passages=1), text, sources_of(every))
    assert [pair.second for pair in judge.asked[0]] == [
        "The harbour master is strict.", "He paints boats.", "They rust quickly.", "Cats want fish."
    ]  # fmt: skip
    assert ["master" in pair.first for pair in judge.asked[0]] == [True, True, True, False]


def test_an_item_of_a_list_is_judged_with_the_sentence_before_the_list() -> None:
    judge = Reading(lambda first, second: OPEN)
    text = "The ferry carries:\n- Large dogs\n- old mail\n\n## Fares And More\nLindholm Ferry\nDogs want tickets.\n"
    text += "- rare dogs\n"
    scanned(checked(judge), text, sources_of(FERRY))
    assert [pair.second for pair in judge.asked[0]] == [
        "The ferry carries: Large dogs", "The ferry carries: old mail", "Dogs want tickets.", "rare dogs"
    ]  # fmt: skip


def test_many_sentences_are_judged_in_several_calls() -> None:
    judge = Reading(lambda first, second: YES)
    scanned(checked(judge), "Dogs want tickets here. " * (2 * TOGETHER + 1), sources_of(FERRY))
    assert [len(call) for call in judge.asked] == [TOGETHER, TOGETHER, 1]


def test_a_model_without_capacity_gives_no_verdict() -> None:
    def busy(first: str, second: str) -> PairScores:
        raise NoCapacityError(Shortage.FULL, "busy")

    with pytest.raises(NoCapacityError):
        scanned(checked(Reading(busy)), "Dogs want tickets.", sources_of(FERRY))


def test_the_index_is_made_once_for_an_exchange_and_each_check() -> None:
    sources = sources_of(FERRY)
    check = checked(Reading(by_words))
    scanned(check, "Dogs want a ticket.", sources)
    (made,) = sources.made.values()
    scanned(check, "Dogs want a ticket.", sources)
    assert list(sources.made.values()) == [made]


def test_options_name_points_or_probabilities() -> None:
    judge = Reading(lambda first, second: YES)
    for options in ({"supported": "sure"}, {"supported": 0.91}):
        assert scanned(checked(judge, **options), "Dogs want tickets.", sources_of(FERRY)).findings
    digests = {
        checked(judge, **options).digest for options in ({}, {"supported": 0.9}, {"passages": 2}, {"contradicted": 1})
    }
    assert len(digests) == 4
    assert checked(judge, supported="supported").digest == checked(judge, supported=0.5).digest


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"supported": "shure"}, "no operating point `shure`; did you mean `sure`"),
        ({"supported": True}, "must be a number from 0 to 1, or the name"),
        ({"contradicted": 2}, "must be a number from 0 to 1, or the name"),
        ({"support": 0.5}, "`support` needs `by: words`"),
        ({"model": ""}, "must be the name of a model"),
        ({"passages": 0}, "whole number from 1 to 8"),
        ({"by": "luck"}, "one of words, meaning"),
    ],
)
def test_a_wrong_option_is_an_error(options: Any, error: str) -> None:
    with pytest.raises(OptionError, match=error):
        checked(Reading(by_words), **options)


PIECES = st.sampled_from(
    ["Dogs want a ticket. ", "The crossing does not take hours. ", "They cost 3 euros.\n", "It floats. ", "Dr. Lind ",
     "pier 4 ", ". ", "word ", "\n", "9 hours ", "\U0001f600 ", "words without an end " * 20]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join), st.lists(st.integers(0, 1500), max_size=10))
@settings(max_examples=150, deadline=None)
def test_verdicts_do_not_depend_on_the_pieces(text: str, places: list[int]) -> None:
    check = checked(Reading(by_words))
    facts = Facts(sources=sources_of(FERRY))
    findings: list[Finding] = []
    grounds: list[Finding] = []
    settled = keep = 0
    state: Any = None
    cuts = [*sorted(place for place in places if place < len(text)), len(text)]
    for number, place in enumerate(cuts):
        window = Window(PLACE, text[keep:place], keep, settled, number == len(cuts) - 1, facts, state)
        (scan,) = check.scan([window])
        findings += scan.findings
        grounds += scan.grounds
        settled, keep, state = scan.settled, scan.keep, scan.state
    whole = scanned(checked(Reading(by_words)), text, sources_of(FERRY))
    assert (tuple(findings), tuple(grounds)) == (whole.findings, whole.grounds)
    assert [each.details for each in findings] == [each.details for each in whole.findings]
