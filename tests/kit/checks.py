"""Driving a check as the gate does: text arrives in pieces, each scan begins at the `keep` of the one before."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from guardproxy.checks import Check
from guardproxy.testing import CHANNEL, assert_every_split, assert_invariant, scan_in_chunks, whole

__all__ = [
    "CHANNEL",
    "EXAMPLES",
    "PROSE",
    "assert_every_split",
    "assert_invariant",
    "assert_values",
    "held_words",
    "promise",
    "scan_in_chunks",
]
__all__ += ["whole"]
EXAMPLES = {"long": 20_000, "quick": 10}.get(os.environ.get("HYPOTHESIS_PROFILE", ""), 200)

promise = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

PROSE = """Every morning the old lighthouse keeper walked down to the harbour and watched the boats go out. He knew
most of the crews by name, and they knew him, although nobody could say for how long he had lived on the rock. When
the fog came in from the north he would light the lamp himself, against all the rules, and sit beside it with a pot of
strong tea. "It is not the light that brings them home," he used to say; "it is the thought that somebody is awake."

In the autumn a young engineer arrived with a well-made plan to automate the station. She measured the tower, counted
the steps, and drew careful diagrams of everything: the lens, the clockwork, the rusty crane. The keeper followed her
from room to room, saying little, and answered her questions as exactly as he could. By the end of the week they had
become friends. She wrote in her report that the mechanism was worn but sound, and that the cheapest repair would be
to leave the old man where he was, give him a better stove, and ask him to write things down. The office agreed, which
surprised both of them, and so the lamp is lit by hand to this day whenever the weather turns bad.
"""


def held_words(check: Check, text: str) -> list[float]:
    """For each character of the text as it arrives, how many words (begun ones included) are held."""
    held: list[int] = []
    scan_in_chunks(check, text, range(1, len(text)), held)
    return [len(text[end - count : end].split()) for end, count in enumerate(held, 1)]


def assert_values(check: Check, text: str, values: list[str]) -> None:
    """Asserts that the findings in a text are `values`, in order, and that no cut of the text changes them."""
    assert [text[finding.start : finding.end] for finding in whole(check, text)] == values
    assert_every_split(check, text)
