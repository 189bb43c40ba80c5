"""Sentences about short texts, for the check `grounded`: some that the text supports, and some that it does not.

The texts and sentences are made up. `TUNED`: the cases by which the check's numbers were chosen. `HELD_OUT`: cases that were
written before and measured afterwards, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from guardproxy.checks import PairScores, TextPair


@dataclass(frozen=True, slots=True)
class Case:
    """A text with sentences. `wrong`: a sentence with what is wrong in it."""

    source: str
    right: tuple[str, ...]
    wrong: tuple[tuple[str, str], ...]


TUNED = (
    Case(
        "The ferry to Lindholm leaves from pier 4 at 7:15 every morning except Sunday. The crossing takes 50 minutes. "
        "Bicycles travel free of charge, and dogs need a ticket for 3 euros.",
        (
            "The ferry to Lindholm departs from pier 4 at 7:15 in the morning.",
            "The crossing takes about 50 minutes.",
            "You can take your bicycle free of charge, but a dog needs a ticket for 3 euros.",
        ),
        (
            ("number", "The ferry to Lindholm leaves from pier 6 at 7:15 every morning."),
            ("name", "The ferry continues to Osterby after it has reached Lindholm."),
            ("added", "Breakfast is served on board in a restaurant with a view of the harbour."),
            ("negated", "Bicycles do not travel free of charge."),
        ),
    ),
    Case(
        "Employees receive 28 days of paid leave per year. Up to 5 unused days may be carried over until the end of March. "
        "Requests are approved by the team lead within one week.",
        (
            "Employees get 28 days of paid leave each year.",
            "Unused days, up to 5, may be carried over until the end of March.",
            "The team lead approves requests within a week.",
        ),
        (
            ("number", "Employees receive 30 days of paid leave per year."),
            ("added", "Part-time staff can exchange their leave for a bonus payment."),
            ("added", "Requests must be submitted through the payroll portal three months ahead."),
            ("exchanged", "Up to 28 unused days may be carried over until the end of March."),
        ),
    ),
    Case(
        "The Halden 200 pump moves 340 litres per minute at a pressure of 6 bar. Its filter is cleaned every 250 hours of "
        "operation. The warranty ends after two years or when a seal is broken.",
        (
            "At 6 bar, the Halden 200 moves 340 litres per minute.",
            "The filter has to be cleaned every 250 operating hours.",
            "Once a seal is broken, the warranty ends.",
        ),
        (
            ("number", "The filter is cleaned every 500 hours of operation."),
            ("name", "The Halden 200 was designed by engineers of Corvex in Bremen."),
            ("added", "Spare parts are delivered overnight to customers in rural areas."),
            ("negated", "The warranty never ends when a seal is broken."),
        ),
    ),
    Case(
        "Mara Okafor joined the council in 2016 and has led the housing committee since 2021. Under her lead the committee "
        "approved 1,200 flats near the old rail yard.",
        (
            "Mara Okafor has led the housing committee since 2021.",
            "The committee approved 1200 flats close to the old rail yard.",
            "She joined the council in 2016.",
        ),
        (
            ("number", "Okafor joined the council in 2014."),
            ("name", "The committee was led by Jonas Brandt before her."),
            ("added", "Critics feared rising rents and heavy traffic in neighbouring streets."),
            ("exchanged", "Mara Okafor has led the council since 2021."),
        ),
    ),
)

HELD_OUT = (
    Case(
        "The reading room is open from 9 to 18 on weekdays. Manuscripts are ordered one day before the visit. Photographs "
        "without flash are permitted; scans cost 0.40 euros per page.",
        (
            "On weekdays the reading room opens at 9 and closes at 18.",
            "You have to order manuscripts one day before your visit.",
            "Photographs are permitted if you do not use flash.",
            "A scan costs 0.40 euros per page.",
        ),
        (
            ("number", "Scans cost 0.80 euros per page."),
            ("name", "The reading room was donated by the Wexler Foundation."),
            ("added", "Visitors leave bags and coats in lockers at the entrance."),
            ("negated", "Photographs without flash are not permitted."),
        ),
    ),
    Case(
        "Version 3.2 of the backup tool encrypts archives with AES-256 by default. Older archives stay readable. Restoring a "
        "single file no longer needs the whole archive in memory.",
        (
            "Archives are encrypted with AES-256 by default in version 3.2.",
            "You can still read older archives.",
            "To restore a single file, the tool does not load the whole archive into memory any more.",
        ),
        (
            ("number", "Version 3.4 encrypts archives by default."),
            ("name", "The tool uploads archives to Amazon as soon as they are written."),
            ("added", "A graphical interface shows progress and lets users pause transfers."),
            ("exchanged", "Older archives are encrypted with AES-256 by default."),
        ),
    ),
    Case(
        "The clinic treats outpatients on Tuesday and Thursday. Blood samples are taken before 10 in the morning on an empty "
        "stomach. Results arrive by post after four working days.",
        (
            "Outpatients are treated on Tuesday and Thursday.",
            "Blood samples are taken in the morning before 10, on an empty stomach.",
            "You receive the results by post after four working days.",
        ),
        (
            ("number", "Blood samples are taken before 12 on an empty stomach."),
            ("name", "Outpatients are treated on Monday and Thursday."),
            ("added", "Parking spaces for patients lie behind the main building."),
            ("exchanged", "Results arrive by post on an empty stomach before 10 in the morning."),
        ),
    ),
    Case(
        "The orchard grows 14 kinds of apples on six hectares. The harvest begins in late August and ends in October. Juice "
        "is pressed on site and sold in bottles of one litre.",
        (
            "On six hectares, the orchard grows 14 kinds of apples.",
            "The apple harvest starts in late August and ends in October.",
            "The juice is pressed on site, and it is sold in one-litre bottles.",
        ),
        (
            ("number", "The orchard grows 40 kinds of apples."),
            ("name", "The juice won a medal at the fair in Leipzig."),
            ("added", "School classes may pick fruit and bake cakes under supervision."),
            ("negated", "Juice is never pressed on site."),
        ),
    ),
    Case(
        "Parcels under 2 kg are delivered within three days. Heavier parcels need a signature. A parcel that nobody accepts is "
        "kept at the depot for ten days and then sent back.",
        (
            "A parcel under 2 kg is delivered within three days.",
            "Parcels that are heavier need a signature.",
            "If nobody accepts a parcel, the depot keeps it for ten days.",
        ),
        (
            ("number", "Parcels under 5 kg are delivered within three days."),
            ("name", "Heavier parcels are carried by Norlink couriers."),
            ("added", "Customers can choose an evening slot in the mobile application."),
            ("negated", "Heavier parcels need no signature."),
        ),
    ),
)


def figures(cases: tuple[Case, ...], is_found: Callable[[str, str], bool]) -> dict[str, tuple[int, int]]:
    """How many sentences of each kind were found, and how many there are; `right`: sentences that the text supports.
    `is_found(source, sentence)`: whether the check finds the sentence."""
    counts: dict[str, tuple[int, int]] = {}
    for case in cases:
        for kind, sentence in (*(("right", right) for right in case.right), *case.wrong):
            found, every = counts.get(kind, (0, 0))
            counts[kind] = found + bool(is_found(case.source, sentence)), every + 1
    return dict(sorted(counts.items()))


YES, NO, OPEN = PairScores(0.9, 0.05, 0.05), PairScores(0.05, 0.9, 0.05), PairScores(0.2, 0.1, 0.7)


class Reading:
    """Implements `guardproxy.checks.PairJudge` by a function of the two texts. `asked`: every call."""

    digest = "sha256:reading"
    points: ClassVar = {"supported": 0.5, "contradicted": 0.6, "sure": 0.95}

    def __init__(self, scores: Callable[[str, str], PairScores]) -> None:
        self._scores = scores
        self.asked: list[list[TextPair]] = []

    def judge(self, pairs: Sequence[TextPair]) -> list[PairScores]:
        self.asked.append(list(pairs))
        return [self._scores(*pair) for pair in pairs]


def by_words(first: str, second: str) -> PairScores:
    """Supports what it has, contradicts what has `not`."""
    return NO if " not " in second else YES if "ticket" in second and "ticket" in first else OPEN
