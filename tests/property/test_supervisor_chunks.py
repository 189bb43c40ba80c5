"""Chunk invariance of the supervisor check: however a text is cut into windows, the findings are those of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.checks import Check, Resources
from guardproxy.checks.supervisor import Segments, Supervisor, Wanted, build
from guardproxy.findings import KINDS, Channel, Direction, Finding, Window
from tests.support_supervisor import FakeScorer, hashed

RESOURCES = Resources(lambda name: FakeScorer(hashed, 120, 30))

PIECES = r"""
a|word |Sentence. |Really?! |He said "no." |。|！|! |？ |.| |...|.) |   |é|𝒳|a longer run of words without any end
""".strip().split("|")
pieces = st.sampled_from([*PIECES, "\n", "\n\n", "\t", "\u200b", "\u2028", "\ud800", "x" * 50])
texts = st.lists(pieces, min_size=10, max_size=150).map("".join)
directions: st.SearchStrategy[Direction] = st.sampled_from(["request", "response"])


def scan_in_chunks(check: Check, text: str, cuts: Sequence[int], direction: Direction) -> list[Finding]:
    """What a gate does: hand over what has arrived, from `keep` on, and the end at last."""
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
    """With small segments on the way to the model too, whose own are longer than any text here."""
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
    check = replace(made(200), wanted={kind: (Wanted("harm", {"harm": 0.0}),) for kind in KINDS})
    (scan,) = check.scan([Window(Channel(direction, "user", "x"), text)])
    covered = {at for finding in scan.findings for at in range(finding.start, finding.end)}
    assert {at for at, char in enumerate(text) if not char.isspace()} <= covered
