"""The engine: which patterns are asked where, and what is settled."""

from __future__ import annotations

from typing import Any

import pytest
import regex

from guardproxy.checks._shared.pii import recognizers as known
from guardproxy.checks._shared.pii.cover import cover
from guardproxy.checks._shared.pii.engine import Engine, Span, exact, hits, without_contained
from guardproxy.checks._shared.pii.words import LOOK, words
from tests.kit.pii import analyzer, recognizers


def _recognizer(*patterns: str, context: Any = None, entity: str = "X") -> Any:
    known.presidio()
    from presidio_analyzer import Pattern, PatternRecognizer

    made = [Pattern(f"p{at}", pattern, 0.5) for at, pattern in enumerate(patterns)]
    return PatternRecognizer(entity, patterns=made, context=context)


def _engine(*recognizers: Any, detect: Any = None) -> Engine:
    made, _ = known.sources(list(recognizers), words("en"), None, 0)
    return Engine(made, known.boost(), detect)


def _cover(pattern: str) -> str:
    return cover(pattern, int(regex.DOTALL | regex.MULTILINE | regex.IGNORECASE)).body


def _spans(engine: Engine, text: str, last: bool = True) -> list[tuple[int, int]]:
    return [span[:2] for span in engine.step(text, 0, last)[0]]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a*", "baab"),
        ("a*|b", "baab"),
        (r"\b\d{9}\b", "1" * 300 + " 123456789"),
        (r"\d{3}(?=x)", "1234" * 60 + "x"),
        (r"(?<=id\s*)\d+", "id \n\n 12 and 34, id56"),
        (r"(?<!id\s*)\d+", "id 12 and 34"),
        (r"\w+@(?!b)", "a" * 200 + "@b c@d"),
        (r"^a$", "a\nb\na"),
        (r"\Aa|b\Z", "a a b b"),
        (r"a\b", "a٣ a"),
    ],
)
def test_a_pattern_finds_what_presidio_finds(pattern: str, text: str) -> None:
    made = _recognizer(pattern)
    assert {span[:4] for span in _engine(made).step(text, 0, True)[0]} == analyzer([made], "en")(text)


def test_a_lookbehind_without_a_bound_sees_as_far_as_context_does() -> None:
    engine = _engine(_recognizer(r"(?<=id\s*)\d+"))
    assert _spans(engine, "id" + " " * (LOOK - 2) + "1") != []
    assert _spans(engine, "id" + " " * LOOK + "1") == []


def test_settled_lies_before_what_is_open_and_in_no_match() -> None:
    engine = _engine(_recognizer(r"ab+c", r"xa"))
    assert engine.step("z abb", 0, False) == ([], 2)
    assert engine.step("zxab", 0, False) == ([], 1)
    assert engine.step("zxab ", 0, False) == ([Span(1, 3, "X", 0.5, False)], 5)
    assert engine.step("abbc", 0, False)[1] == 0  # it could be followed by anything, but that is seen a character late
    assert engine.step("abbc.", 0, False)[1] == 5


def test_a_match_that_begins_behind_an_open_place_waits() -> None:
    """RE2 sees a match from the first `1` on; the pattern's own begins where nothing is decided yet."""
    engine = _engine(_recognizer(r"(?<!x)1\d(?!0)"), _recognizer("z.{4}", entity="Z"))
    assert engine.step("z x119.", 0, False)[1] == 7
    assert engine.step("x12z 13", 0, False) == ([], 3)


def test_a_finding_waits_for_its_context() -> None:
    engine = _engine(_recognizer(r"\bQ\d", context=["card"]))
    assert engine.step("card Q1", 0, False) == ([], 5)
    assert engine.step("card Q1.", 0, False) == ([], 5)
    assert engine.step("card Q1. ", 0, False) == ([Span(5, 7, "X", 0.85, False)], 9)


def test_a_score_that_context_cannot_change_waits_for_nothing() -> None:
    made, _ = known.sources([*known.recognizers_for("CREDIT_CARD", "en")], words("en"), 0.9, 0)
    card = "4111 1111 1111 1111"
    assert Engine(made, known.boost()).step(f"card {card}.", 0, False) == ([Span(5, 24, "CREDIT_CARD", 1.0, True)], 25)


def test_only_recognizers_for_the_language_of_the_text_count() -> None:
    for language, count in (("en", 1), (None, 1), ("de", 0)):
        engine = _engine(_recognizer("a"), detect=lambda text, start, language=language: language)
        assert len(_spans(engine, "a")) == count


def test_a_pattern_of_a_user_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_TIMEOUT_S", 0.05)
    engine = _engine(_recognizer(r"(?:\w|\w\w)*(?<!a)="))  # to RE2, which knows no look-behind, there is a match
    with pytest.raises(TimeoutError):
        engine.step("a" * 60 + "=", 0, True)


def test_a_pattern_whose_findings_cannot_count_is_not_asked() -> None:
    made, _ = known.sources([_recognizer("a", context=["card"]), _recognizer("b")], words("en"), 0.86, 0)
    assert made == []
    made, _ = known.sources([_recognizer("a", context=["card"]), _recognizer("b")], words("en"), 0.85, 0)
    assert [source.bodies for source in made] == [(_cover("a"),)]


def test_duplicates_are_dropped_as_presidio_drops_them() -> None:
    known.presidio()
    from presidio_analyzer import EntityRecognizer, RecognizerResult

    spans = [
        Span(start, start + length, entity, score, False)
        for start in range(4)
        for length in range(1, 4)
        for entity in "AB"
        for score in (0.3, 0.5)
        if (start * 7 + length * 3 + len(entity) + int(score * 10)) % 3
    ]
    results = [RecognizerResult(span.entity, span.start, span.end, span.score) for span in spans]
    kept = EntityRecognizer.remove_duplicates(results)
    assert {span[:4] for span in without_contained(spans)} == {
        (one.start, one.end, one.entity_type, one.score) for one in kept
    }


def test_which_patterns_may_match() -> None:
    assert hits(("a",), b"b", 0) == (0,)
    assert list(hits(("a", r"\bb"), b"xb", 1)) == []
    assert list(hits(("a", r"\bb"), b" b", 1)) == [1]
    assert regex.compile("a").pattern == exact("a", 0).pattern


def test_every_recognizer_of_presidio_gives_sources() -> None:
    made, whole = known.sources(recognizers("en", every=True), words("en"), None, 0)
    assert whole == []
    assert len(made) == len(recognizers("en", every=True)) > 80
