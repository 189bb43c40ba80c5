"""Parts of a message that are read as one text: which findings count, and what each part gets."""

from __future__ import annotations

from collections.abc import Sequence

from guardproxy.exchange.gate.joining import FILLER, Joint
from guardproxy.exchange.gate.lanes import Lane
from guardproxy.findings import Channel, Direction, Finding
from guardproxy.redaction import RESTORE
from guardproxy.redaction.placeholders import IN_URL


def found(start: int, end: int, label: str = "MAIL", score: float = 1.0, check: str = "pii") -> Finding:
    return Finding(start, end, check, label, score)


def lane_of(text: str, direction: Direction = "request", is_ended: bool = True) -> Lane:
    """A lane whose checks have read its whole text."""
    lane = Lane(Channel(direction, "user", "p"), (), encoded=False)
    lane.text.append(text)
    lane.text.ended = is_ended
    lane.progress.settled = len(text)
    return lane


def joint(
    *parts: str,
    joined: Sequence[Finding] = (),
    alone: Sequence[Sequence[Finding]] = (),
    allowed: Sequence[Finding] = (),
    to: Direction = "request",
) -> Joint:
    """The parts, with the findings of both readings. `allowed`: places that policies allow in the joined text."""
    it = Joint(lane_of("", to))
    lanes = [lane_of(part, to) for part in parts]
    for lane in lanes:
        lane.progress.settled = 0
        it.add(lane)
    for lane, findings in zip(lanes, [*alone, *[()] * len(lanes)], strict=False):
        learn(it, lane, lane.text.total, findings)
    it.lane.progress.allowed += allowed
    learn(it, it.lane, it.lane.text.total, joined)
    return it


def learn(it: Joint, lane: Lane, settled: int, findings: Sequence[Finding] = ()) -> None:
    """Lets the checks of a lane settle its text up to a place."""
    lane.progress.settled = settled
    lane.progress.findings += findings
    it.learn(lane, findings)


def in_parts(it: Joint) -> list[list[tuple[int, int, str]]]:
    """The findings of each part."""
    return [[(each.start, each.end, each.label) for each in part.progress.findings] for part in it.parts]


def sent(it: Joint, *edits: tuple[int, int, str]) -> list[str]:
    """The parts after these edits of the joined text."""
    it.lane.rewrite.edits += edits
    it.hand_out()
    return [part.rewrite.whole() for part in it.parts]


def test_the_joined_text_is_that_of_all_parts() -> None:
    it = joint("ali", "ce@", "ab.io")
    assert it.lane.text.part(0, 99) == "alice@ab.io"


def test_a_value_over_borders_is_found_in_each_part() -> None:
    it = joint("mail ali", "ce@", "ab.io now", joined=[found(5, 16)])
    assert it.merge() == [found(5, 16)]
    assert in_parts(it) == [[(5, 8, "MAIL")], [(0, 3, "MAIL")], [(0, 5, "MAIL")]]


def test_a_finding_of_each_reading_counts_once() -> None:
    it = joint(
        "a b ", "c d", joined=[found(0, 1), found(4, 5, score=0.5)], alone=[[found(0, 1)], [found(0, 1), found(2, 3)]]
    )
    assert it.merge() == [found(0, 1), found(4, 5), found(6, 7)], "the higher score counts"
    assert in_parts(it) == [[(0, 1, "MAIL")], [(0, 1, "MAIL"), (2, 3, "MAIL")]]


def test_of_findings_within_each_other_the_longest_counts() -> None:
    it = joint("a bcd", "e", joined=[found(2, 4), found(2, 6, "URL")], alone=[[found(2, 5), found(3, 4, score=2.0)]])
    assert it.merge() == [found(2, 5), found(2, 6, "URL"), found(3, 4, score=2.0)]


def test_a_rest_of_a_value_is_no_finding_beside_the_value() -> None:
    it = joint("al", "ice@ab.io x", joined=[found(0, 11)], alone=[[], [found(0, 9), found(0, 9, "USER"), found(0, 11)]])
    assert it.merge() == [found(0, 11), found(2, 11, "USER"), found(2, 13)]


def test_a_part_hides_no_value_of_another_label_or_check() -> None:
    own = [found(2, 4), found(2, 4, check="words")]
    it = joint("ab", "cdef", joined=[found(0, 6, "URL")], alone=[[], own])
    assert [(each.label, each.check) for each in it.merge()] == [("URL", "pii"), ("MAIL", "pii"), ("MAIL", "words")]


def test_a_value_that_is_allowed_as_a_whole_is_allowed_in_its_parts() -> None:
    own = [[], [found(0, 10)], [found(0, 7)]]
    it = joint("help", "desk@ab.io", "x@ab.io", alone=own, allowed=[found(0, 14)])
    assert it.merge() == [found(14, 21)]
    beside = joint("a", "bc d", alone=[[], [found(0, 1), found(3, 4)]], allowed=[found(0, 2), found(0, 3)])
    assert beside.merge() == [found(4, 5)], "allowed places that overlap are one place"


def test_a_placeholder_is_restored_only_if_both_readings_restore_it() -> None:
    restored, kept = found(4, 6, RESTORE, check=RESTORE), found(4, 6, IN_URL, check=RESTORE)
    own = [[], [found(0, 2, RESTORE, check=RESTORE)]]
    assert joint("u://", "[]", joined=[kept], alone=own).merge() == [kept]
    assert joint("a/b:", "[]", joined=[restored], alone=own).merge() == [restored]
    withheld = [[], [found(0, 2, IN_URL, check=RESTORE)]]
    assert joint("a/b:", "[]", joined=[restored], alone=withheld).merge() == [kept]


def test_an_edit_begins_in_the_first_part_and_empties_the_others() -> None:
    assert sent(joint("mail ali", "ce@", "ab.io now"), (5, 16, "[M]")) == ["mail [M]", FILLER, " now"]
    assert sent(joint("ali", "ce", to="response"), (0, 5, "[M]")) == ["[M]", ""], "a client takes an empty part"
    assert sent(joint("ali", "ce \n"), (0, 5, "[M]")) == ["[M]", ". \n"], "spaces are no text for all APIs"
    assert sent(joint("a b", "c d"), (0, 1, ""), (2, 4, "[1]"), (5, 6, "[2]")) == [" [1]", " [2]"]


def test_each_part_is_masked_in_the_record() -> None:
    it = joint("ali", "ce@x")
    it.lane.rewrite.masks.append((1, 5, "[M]"))
    it.hand_out()
    assert [part.rewrite.masks for part in it.parts] == [[(1, 3, "[M]")], [(0, 2, "[M]")]]


def test_a_finding_without_text_belongs_to_one_part() -> None:
    it = joint("ab", "cd")
    assert it.shares([found(0, 0)]) == {it.parts[0]: (found(0, 0),)}
    assert it.shares([found(2, 2)]) == {it.parts[1]: (found(0, 0),)}


def test_a_part_is_settled_as_far_as_both_readings_are() -> None:
    first, second = lane_of("mail ali"), lane_of("ce@ab.io now", is_ended=False)
    it = Joint(lane_of("", is_ended=False))
    first.progress.settled = 5
    it.add(first)
    it.add(second)
    learn(it, first, 8)
    assert (it.merge(), first.progress.settled) == ([], 5), "the joined text is not read yet"
    learn(it, it.lane, 5)
    learn(it, second, 8, [found(0, 8)])
    assert (it.merge(), first.progress.settled, second.progress.settled) == ([], 5, 0)
    assert second.progress.findings == []
    learn(it, it.lane, 16, [found(5, 16)])
    assert it.merge() == [found(5, 16)]
    assert (first.progress.settled, second.progress.settled) == (8, 8)
    assert in_parts(it) == [[(5, 8, "MAIL")], [(0, 8, "MAIL")]]


def test_what_the_first_part_has_shown_before_is_not_found_again() -> None:
    first, second = lane_of("a b"), lane_of("c")
    first.progress.findings.append(found(0, 1))
    first.progress.settled = 2
    it = Joint(lane_of(""))
    it.add(first)
    it.add(second)
    learn(it, first, 3, [found(2, 3)])
    learn(it, second, 1)
    learn(it, it.lane, 4, [found(0, 1), found(2, 3)])
    assert it.merge() == [found(2, 3)]
    assert in_parts(it) == [[(0, 1, "MAIL"), (2, 3, "MAIL")], []]


def test_no_finding_of_one_reading_is_cut_where_the_other_ends() -> None:
    first, second = lane_of("ab cd"), lane_of("ef", is_ended=False)
    it = Joint(lane_of("", is_ended=False))
    first.progress.settled = 0
    it.add(first)
    it.add(second)
    learn(it, it.lane, 4)
    learn(it, first, 5, [found(3, 5)])
    assert (it.merge(), first.progress.settled) == ([], 3)
    learn(it, it.lane, 5)
    assert (it.merge(), first.progress.settled) == ([found(3, 5)], 5)


def test_the_joined_text_ends_with_its_last_part() -> None:
    it = joint("a", "b")
    assert [it.is_last(part) for part in it.parts] == [False, False]
    it.is_complete = True
    assert [it.is_last(part) for part in it.parts] == [False, True]
