"""Tests whether a check keeps the promises of all checks.

In: a check, texts. Out: nothing, or an `AssertionError` that names the text and the cut. No other part of guardproxy
runs: as in the gate, text arrives in pieces, and each window begins at the `keep` of the previous scan.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence

from guardproxy.checks import Check, Traits
from guardproxy.findings import NO_FACTS, Channel, Facts, Finding, Window

CHANNEL = Channel("response", "assistant", "choices[0].message.content")


def assert_traits(check: Check, findings: Sequence[Finding] = ()) -> None:
    """Tests that the check declares consistent traits, and that they declare the label of every finding."""
    traits = check.traits
    assert isinstance(traits, Traits), f"`{check.name}` must have `traits`, a `guardproxy.checks.Traits`"
    assert traits.looks_at, f"`{check.name}` inspects no text"
    assert traits.needs_form or not traits.own_form, "only a check that needs a schema can have its own"
    if traits.labels is not None:
        unknown = sorted({finding.label for finding in findings} - traits.labels)
        assert not unknown, f"the traits do not declare the labels {unknown}"
    if traits.partner is not None:
        assert traits.partner.name == check.name, "a partner has the name of its check"
        assert traits.partner.traits.partner_of == check.digest, "a partner names the digest of its check"
        assert_traits(traits.partner)


def whole(check: Check, text: str) -> list[Finding]:
    """Returns the findings of the text scanned as a whole."""
    (scan,) = check.scan([Window(CHANNEL, text)])
    assert not scan.error, scan.error
    assert scan.settled == len(text), "the end settles everything"
    assert_traits(check, scan.findings)
    return list(scan.findings)


def scan_in_chunks(
    check: Check, text: str, cuts: Iterable[int], held: list[int] | None = None, facts: Facts = NO_FACTS
) -> list[Finding]:
    """Returns the findings of the text cut at the offsets `cuts`, and tests every promise of `Scan` on the way.

    `held`: receives the number of characters that could not be released, for each scan except the last.
    """
    findings: list[Finding] = []
    settled = keep = 0
    state = None
    for end in [*sorted(set(cuts)), len(text)]:
        last = end == len(text)
        window = Window(CHANNEL, text[keep:end], keep, settled, last, facts, state)
        (scan,) = check.scan([window])
        assert not scan.error, scan.error
        assert settled <= scan.settled <= end, "`settled` went back or beyond the text"
        assert keep <= scan.keep <= scan.settled, "`keep` went back or beyond `settled`"
        for finding in scan.findings:
            assert settled <= finding.start < finding.end <= scan.settled, "a finding lies outside of the settled text"
        if last:
            assert scan.settled == end, "the end settles everything"
        elif held is not None:
            held.append(end - scan.settled)
        findings += scan.findings
        settled, keep, state = scan.settled, scan.keep, scan.state
        if last:
            break
    return findings


def assert_invariant(check: Check, text: str, cuts: Iterable[int]) -> None:
    """Tests that the findings do not depend on the cuts."""
    cuts = list(cuts)
    assert scan_in_chunks(check, text, cuts) == whole(check, text), f"{text!r} cut at {cuts}"


def assert_every_split(check: Check, text: str, pairs: bool = False) -> list[Finding]:
    """Tests every cut (with `pairs`, every pair of cuts) and single characters. Returns the findings."""
    expected = whole(check, text)
    cut_sets: list[Sequence[int]] = [(at,) for at in range(len(text) + 1)]
    if pairs:
        cut_sets += list(itertools.combinations(range(1, len(text)), 2))
    cut_sets.append(range(1, len(text)))
    for cuts in cut_sets:
        assert scan_in_chunks(check, text, cuts) == expected, f"{text!r} cut at {list(cuts)[:5]}"
    return expected


def assert_promise(check: Check, parts: Sequence[str], examples: int = 500, seed: int = 0) -> None:
    """Tests texts of random `parts` (values, near misses, context), cut at random. The same seed gives the same
    texts."""
    chance = random.Random(seed)  # noqa: S311 - for tests
    for _ in range(examples):
        text = "".join(chance.choices(parts, k=chance.randint(0, 8)))
        cuts = chance.sample(range(len(text) + 1), k=chance.randint(0, min(6, len(text))))
        assert_invariant(check, text, cuts)
