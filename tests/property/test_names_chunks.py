"""Tests the shipped tagger together with the patterns: the gate learns the same findings, however a text is cut."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Resources, build, with_partner
from guardproxy.exchange.gate.gate import Lane
from guardproxy.findings import Channel, Direction, Finding
from guardproxy.inference.models import load_tagger
from tests.kit.checks import EXAMPLES, PROSE

WORDS = st.sampled_from(
    [
        *(
            "Mara",
            "Lindqvist",
            "Dr.",
            "kwame",
            "from",
            "Gothenburg,",
            "Siemens",
            "said.",
            "\n",
            "on",
            "May",
            "4th",
            "the",
        ),
        *(
            "212-555-0142",
            "mara@example.com",
            "(Norway)",
            "O'Neil",
            "—",
            "王小明",
            "x" * 90,
            "W.",
            "HELLO",
            "\u200bAda",
        ),
        *PROSE.split()[:30],
    ]
)
modest = settings(max_examples=max(40, EXAMPLES // 20), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def check() -> Any:
    entities = ["PERSON", "LOCATION", "ORGANIZATION", "DATE_TIME", "PHONE_NUMBER", "EMAIL_ADDRESS"]
    return build("pii", "pii", {"entities": entities}, Resources(tagger=cache(load_tagger)))


def learnt(text: str, cuts: list[int], direction: Direction) -> list[Finding]:
    lane = Lane(Channel(direction, "user", "text"), with_partner(check()), False)
    found: list[Finding] = []
    at = 0
    for end in [*sorted({cut for cut in cuts if cut < len(text)}), len(text)]:
        lane.text.append(text[at:end])
        at, lane.text.ended = end, end == len(text)
        if windows := lane.windows():
            found += lane.learn(windows, [lane.progress.checks[number].scan([window])[0] for number, window in windows])
            assert all(one.end <= lane.progress.settled for one in found)
    return found


@modest
@given(st.lists(WORDS, max_size=40).map(" ".join), st.sampled_from(["request", "response"]), st.data())
def test_no_cut_changes_what_is_learnt(text: str, direction: Direction, data: st.DataObject) -> None:
    whole = learnt(text, [], direction)
    assert all(before.end <= after.start for before, after in pairwise(whole))
    assert learnt(text, data.draw(st.lists(st.integers(0, len(text)), max_size=6)), direction) == whole
    assert learnt(text, list(range(1, len(text), data.draw(st.integers(3, 11)))), direction) == whole
