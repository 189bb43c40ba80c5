"""Driving a check as the gate does: text arrives in pieces, each scan begins at the `keep` of the one before."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence

from hypothesis import HealthCheck, settings

from guardproxy.checks import Check
from guardproxy.findings import NO_FACTS, Channel, Facts, Finding, Window

CHANNEL = Channel("response", "assistant", "choices[0].message.content")
EXAMPLES = 20_000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 200

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


def whole(check: Check, text: str) -> list[Finding]:
    """The findings of the text scanned at once."""
    (scan,) = check.scan([Window(CHANNEL, text)])
    assert not scan.error
    assert scan.settled == len(text)
    return list(scan.findings)


def scan_in_chunks(
    check: Check, text: str, cuts: Iterable[int], held: list[int] | None = None, facts: Facts = NO_FACTS
) -> list[Finding]:
    """The findings of the text cut at the offsets `cuts`; every promise of `Scan` is checked on the way.

    `held`: gets, for each scan but the last, how many characters could not be released.
    """
    findings: list[Finding] = []
    settled = keep = 0
    state = None
    for end in [*sorted(set(cuts)), len(text)]:
        last = end == len(text)
        window = Window(CHANNEL, text[keep:end], keep, settled, last, facts, state)
        (scan,) = check.scan([window])
        assert not scan.error
        assert settled <= scan.settled <= end, "settled shrank or ran ahead of the text"
        assert keep <= scan.keep <= scan.settled, "keep went back or beyond settled"
        for finding in scan.findings:
            assert settled <= finding.start < finding.end <= scan.settled, "a finding outside of what it settled"
        if last:
            assert scan.settled == end, "the end settles everything"
        elif held is not None:
            held.append(end - scan.settled)
        findings += scan.findings
        settled, keep, state = scan.settled, scan.keep, scan.state
        if last:
            break
    for finding in findings:
        assert finding.end <= len(text)
    return findings


def assert_invariant(check: Check, text: str, cuts: Iterable[int]) -> None:
    """The findings do not depend on the cuts."""
    cuts = list(cuts)
    assert scan_in_chunks(check, text, cuts) == whole(check, text), f"cut at {cuts}"


def assert_every_split(check: Check, text: str, pairs: bool = False) -> list[Finding]:
    """Cuts at every border (and every pair of borders), and one character at a time. Returns the findings."""
    expected = whole(check, text)
    cuts: list[Sequence[int]] = [(at,) for at in range(len(text) + 1)]
    if pairs:
        cuts += list(itertools.combinations(range(1, len(text)), 2))
    cuts.append(range(1, len(text)))
    for each in cuts:
        assert scan_in_chunks(check, text, each) == expected, f"cut at {list(each)[:5]}"
    return expected


def held_words(check: Check, text: str) -> list[float]:
    """For each character of the text as it arrives, how many words (begun ones included) are held."""
    held: list[int] = []
    scan_in_chunks(check, text, range(1, len(text)), held)
    return [len(text[end - count : end].split()) for end, count in enumerate(held, 1)]
