"""Tests chunk invariance of the supervisor check: the findings are those of the whole text, however it is cut into windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.checks import Check, Query, Resources, Scorer
from guardproxy.checks.supervisor import _SENTENCE_END, FIRST_CHARS, LabelThresholds, Segments, Supervisor, build
from guardproxy.findings import KINDS, Channel, Direction, Finding, Window
from guardproxy.inference.models import Settings, find, load
from tests.kit.piece_models import piece_model
from tests.kit.plain_texts import ATTACKS
from tests.kit.supervisor import FakeScorer, hashed

RESOURCES = Resources(lambda name: FakeScorer(hashed, 120, 30))

PIECES = r"""
a|word |Sentence. |Really?! |He said "no." |。|！|! |？ |.| |...|.) |   |é|𝒳|a longer run of words without any end
""".strip().split("|")
DISGUISED = [
    "%61b ",
    "\uff41\uff42. ",
    "a\u200bb ",
    "cGxlYXNlIGF0dGFjayB0aGVtIG5vdw== ",
    "\U000e0061\U000e0062 ",
    "x\by",
]
pieces = st.sampled_from([*PIECES, "\n", "\n\n", "\t", "\u200b", "\u2028", "\ud800", "x" * 50, *DISGUISED])
texts = st.lists(pieces, min_size=10, max_size=150).map("".join)
directions: st.SearchStrategy[Direction] = st.sampled_from(["request", "response"])


def scan_in_chunks(check: Check, text: str, cuts: Sequence[int], direction: Direction) -> list[Finding]:
    """Scans like a gate: passes the text that has arrived, from `keep` on, and the end at last."""
    channel = Channel(direction, "assistant", "choices[0].delta.content")
    found: list[Finding] = []
    keep = settled = 0
    ends = [*sorted(cuts), len(text)]
    for at, end in enumerate(ends):
        window = Window(channel, text[keep:end], keep, settled, at == len(ends) - 1)
        (scan,) = check.scan([window])
        assert scan.keep <= scan.settled
        assert settled <= scan.settled <= end
        assert scan.keep >= keep
        assert all(settled <= finding.start < finding.end <= scan.settled for finding in scan.findings)
        found += scan.findings
        keep, settled = scan.keep, scan.settled
    assert settled == len(text)
    return found


def made(size: int) -> Supervisor:
    """The check with small segments, also for a model whose own segments are longer than any text here."""
    check = build("attack", {"labels": ["injection", "harm"], "threshold": 0.3, "window_chars": size}, RESOURCES)
    assert isinstance(check, Supervisor)
    return replace(check, cut={**check.cut, "request": Segments(size, size // 4, early=False)})


@settings(max_examples=600, deadline=None)
@given(texts, st.data(), directions, st.sampled_from([200, 260, 900]))
def test_findings_do_not_depend_on_the_cuts(text: str, data: st.DataObject, direction: Direction, size: int) -> None:
    check = made(size)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=30))
    assert scan_in_chunks(check, text, cuts, direction) == scan_in_chunks(check, text, [], direction)


@settings(max_examples=60, deadline=None)
@given(texts.map(lambda text: text[:700]), directions)
def test_findings_do_not_depend_on_cuts_at_every_character(text: str, direction: Direction) -> None:
    check = made(200)
    assert scan_in_chunks(check, text, range(len(text)), direction) == scan_in_chunks(check, text, [], direction)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(texts, directions), max_size=4))
def test_a_batch_gives_what_its_windows_give_alone(given_texts: list[tuple[str, Direction]]) -> None:
    check = made(200)
    windows = [Window(Channel(direction, "user", "x"), text) for text, direction in given_texts]
    assert check.scan(windows) == [check.scan([window])[0] for window in windows]


@settings(max_examples=300, deadline=None)
@given(texts, directions)
def test_every_character_is_judged(text: str, direction: Direction) -> None:
    check = replace(made(200), wanted={kind: (LabelThresholds("harm", {"harm": 0.0}),) for kind in KINDS})
    (scan,) = check.scan([Window(Channel(direction, "user", "x"), text)])
    covered = {at for finding in scan.findings for at in range(finding.start, finding.end)}
    assert {at for at, char in enumerate(text) if not char.isspace()} <= covered


@settings(max_examples=200, deadline=None)
@given(texts, st.data())
def test_the_first_words_of_an_answer_are_settled_early(text: str, data: st.DataObject) -> None:
    """They are settled at the first end of a sentence after `FIRST_CHARS`, whatever follows. The check never holds more than
    one window back."""
    check = made(200)
    channel = Channel("response", "assistant", "choices[0].delta.content")
    here = data.draw(st.integers(0, len(text)))
    (scan,) = check.scan([Window(channel, text[:here], last=False)])
    assert here - scan.settled < 200
    ends = [match.end() for match in _SENTENCE_END.finditer(text[:200]) if match.end() >= FIRST_CHARS]
    if ends and here >= ends[0]:
        assert scan.settled >= ends[0]


ANSWER = (
    "The recipe needs two eggs, some flour and a little patience. Stir it slowly, or lumps will form in the batter. "
    f"{ATTACKS[0]} "
    "Then bake it for half an hour. While it cools, wash the bowl and put the spoons away, for nobody else will do it. "
) * 2


def unremembered(folder: Path) -> Scorer:
    """The model without a cache, so that each text is judged anew."""
    return load(folder, settings=Settings(workers=2, remembered=0))


@cache
def shipped() -> Scorer:
    return unremembered(find())


@cache
def between(text: str) -> float:
    """A threshold that some piece of the text reaches in an answer, and none does without its attack."""
    outputs = tuple(output for outputs in shipped().labels["injection"].values() for output in outputs)
    queries = [Query(part, outputs, False, "assistant") for part in (text, text.replace(ATTACKS[0], ""))]
    bad, fine = (max(max(piece.scores.values()) for piece in pieces) for pieces in shipped().judge(queries))
    assert fine < bad
    return (bad + fine) / 2


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, len(ANSWER)), max_size=12), directions)
def test_findings_of_the_shipped_model_do_not_depend_on_the_cuts(cuts: list[int], direction: Direction) -> None:
    options = {"label": "injection", "threshold": between(ANSWER), "first_stage": bool(len(cuts) % 2)}
    check = build("attack", options, Resources(lambda name: shipped()))
    found = scan_in_chunks(check, ANSWER, cuts, direction)
    assert found == scan_in_chunks(check, ANSWER, [], direction)
    assert found


@cache
def of_pieces() -> Scorer:
    return unremembered(piece_model(first_stage=True).folder)


LONG = ANSWER * 3 + (ANSWER + "One attack. ") * 3 + ANSWER * 3


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, len(LONG)), max_size=12), directions)
def test_findings_of_a_model_that_reads_pieces_do_not_depend_on_the_cuts(cuts: list[int], direction: Direction) -> None:
    """Its network gives each piece a score of its own, and its first stage clears most of them."""
    options = {"label": "jailbreak", "threshold": 0.9, "first_stage": bool(len(cuts) % 2)}
    check = build("attack", options, Resources(lambda name: of_pieces()))
    whole = scan_in_chunks(check, LONG, [], direction)
    assert whole
    assert scan_in_chunks(check, LONG, cuts, direction) == whole
