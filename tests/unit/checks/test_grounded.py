"""The check `grounded`: what it finds in made-up answers, in any pieces, at a linear cost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.checks import Resources, build
from guardproxy.checks._shared.grounding.sentences import CAP
from guardproxy.checks.grounded import MOST_PLACES, sentences
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import Channel, Facts, Finding, Sources, Window
from guardproxy.inference.models import Models
from tests.kit.documents_and_statements import TOLD
from tests.kit.grounding import HELD_OUT, TUNED, figures

PLACE = Channel("response", "assistant", "x")
CHECK = build("grounded", "support", {}, Resources())
FERRY = TUNED[0].source


def found(text: str, *sources: str, asked: tuple[str, ...] = ()) -> tuple[Finding, ...]:
    (scan,) = CHECK.scan([Window(PLACE, text, facts=Facts(sources=Sources(sources, asked)))])
    assert scan.settled == len(text)
    return scan.findings


def is_found(source: str, sentence: str) -> bool:
    return bool(found(sentence, source))


def test_the_figures_of_the_documentation() -> None:
    assert figures(TUNED, is_found) == {
        "added": (5, 5), "exchanged": (0, 2), "name": (3, 3), "negated": (0, 2), "number": (4, 4), "right": (0, 12)
    }  # fmt: skip
    assert figures(HELD_OUT, is_found) == {
        "added": (5, 5), "exchanged": (0, 2), "name": (5, 5), "negated": (0, 3), "number": (5, 5), "right": (1, 16)
    }  # fmt: skip

    hard = {
        kind: sum(is_found(told.document, sentence) for told in TOLD for sentence in getattr(told, kind))
        for kind in ("true", "altered", "added")
    }
    assert hard == {"true": 20, "altered": 14, "added": 46}  # of 94, 78 and 48


def test_the_shipped_network_finds_more_than_words() -> None:
    """Scores differ a little between machines, so the bounds are loose."""
    check = build("grounded", "support", {"by": "meaning"}, Resources(pairs=Models().pairs))

    def scanned(source: str, *sentences: str) -> list[tuple[Finding, ...]]:
        facts = Facts(sources=Sources((source,)))
        return [scan.findings for scan in check.scan([Window(PLACE, text, facts=facts) for text in sentences])]

    found = figures(HELD_OUT, lambda source, sentence: bool(scanned(source, sentence)[0]))
    assert [found[kind] for kind in ("added", "name", "number")] == [(5, 5)] * 3
    assert found["negated"][0] >= 1
    assert found["right"][0] <= 4
    for case in HELD_OUT:  # in company, and with remembered scores, the verdicts are the same
        alone = [scanned(case.source, sentence)[0] for sentence in case.right]
        assert scanned(case.source, *case.right) == alone


def test_a_finding_is_the_sentence_with_its_score() -> None:
    text = 'It takes 50 minutes.  "The ferry sails to Osterby at night." Dogs need a ticket for 3 euros.'
    (finding,) = found(text, FERRY)
    assert text[finding.start : finding.end] == '"The ferry sails to Osterby at night."'
    assert (finding.check, finding.label, finding.score) == ("support", "UNSUPPORTED", 1.0)
    assert finding.details[0].expected == "a statement that the documents support"


@pytest.mark.parametrize(
    ("text", "sources", "asked"),
    [
        ("The moon is made of green cheese and honey.", (), ()),
        ("Shall I book a table at the restaurant of the harbour?", (FERRY,), ()),
        ("Gladly! Here it is.", (FERRY,), ()),
        ("For your 7 bicycles the crossing is free of charge.", (FERRY,), ("We have 7 bicycles.",)),
        ("The crossing takes 50.0 minutes and dogs need a ticket.", (FERRY,), ()),
        ("", (FERRY,), ()),
    ],
)
def test_what_is_no_unsupported_statement(text: str, sources: tuple[str, ...], asked: tuple[str, ...]) -> None:
    assert found(text, *sources, asked=asked) == ()


def test_words_from_places_far_apart_do_not_support_a_sentence() -> None:
    far = "Red paint dries slowly. " + "Nothing happens here today. " * 3 + "Green boats sink quickly."
    assert found("Red paint sinks green boats quickly near harbours.", far)
    assert not found("Green boats sink quickly.", far)
    assert found("Ships carry golden treasure across oceans.", "Ships carry.", "Golden treasure.", "Across oceans.")


def test_a_word_that_many_sentences_have_counts_wherever_it_is() -> None:
    many = "The valve opens. " * (MOST_PLACES + 2) + "A sensor measures pressure."
    assert not found("The valve opens when a sensor measures pressure.", many)


@given(cuts=st.lists(st.integers(1, 1500), max_size=10), size=st.integers(0, 3), last=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_findings_do_not_depend_on_the_pieces(cuts: list[int], size: int, last: bool) -> None:
    long = "unknown words without any end " * (12 * size)
    text = f"The ferry leaves at 7:15. {long}It costs 99 euros per bicycle!\nThe crossing takes 50 minutes" + "." * last
    places = sorted({*(cut for cut in cuts if cut < len(text)), len(text)})
    facts = Facts(sources=Sources((FERRY,)))
    findings: list[Finding] = []
    settled, keep = 0, 0
    for place in places:
        (scan,) = CHECK.scan([Window(PLACE, text[keep:place], keep, settled, place == len(text), facts)])
        findings += scan.findings
        settled, keep = scan.settled, scan.keep
    assert tuple(findings) == found(text, FERRY)


def test_a_sentence_without_an_end_is_cut() -> None:
    text = "word " * CAP
    ends = list(sentences(text, 0, last=False))
    assert all(end - start <= CAP for start, end in ends)
    assert ends[-1][1] > len(text) - CAP
    assert list(sentences("x" * (2 * CAP), 0, last=True)) == [(0, CAP), (CAP, 2 * CAP)]


@pytest.mark.parametrize("value", [2, -1, "high", True])
def test_a_wrong_option_is_an_error(value: Any) -> None:
    with pytest.raises(OptionError, match="`support` must be a number from 0 to 1"):
        build("grounded", "g", {"support": value}, Resources())


def test_by_meaning_needs_a_model() -> None:
    def missing(name: str) -> Any:
        raise ConfigError(f"no model `{name}`: pip install it")

    with pytest.raises(OptionError, match="started without models"):
        build("grounded", "g", {"by": "meaning"}, Resources())
    with pytest.raises(OptionError, match="no model `pairs`: pip install it"):
        build("grounded", "g", {"by": "meaning"}, Resources(pairs=missing))
    with pytest.raises(OptionError, match="`supported` needs `by: meaning`"):
        build("grounded", "g", {"supported": 0.7}, Resources())


def test_the_digest_of_a_check_by_words_is_that_of_earlier_releases() -> None:
    assert CHECK.digest == build("grounded", "other", {"by": "words", "support": 0.6}, Resources()).digest
    assert CHECK.digest == "sha256:a65d84b7cc9fd8af852f5c965e6d52c7a9ecf37c71ad25fc49fe2f3687484393"


def test_the_index_is_made_once_for_an_exchange() -> None:
    sources = Sources((FERRY,))
    CHECK.scan([Window(PLACE, "The ferry leaves from pier 4.", facts=Facts(sources=sources))])
    (made,) = sources.made.values()
    CHECK.scan([Window(PLACE, "The ferry leaves from pier 9.", facts=Facts(sources=sources))])
    assert list(sources.made.values()) == [made]
