"""The gate: frames leave in order, when every text in them is settled, and each finding is shown once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from guardproxy.errors import ErrorCode
from guardproxy.events import End, Event, Fault, Frame, Opaque, RunEnd, Text
from guardproxy.exchange.gate.gate import CHECK_ERROR, Gate, Job, Lane
from guardproxy.findings import QUICK, Channel, Facts, Finding, Scan, Traits, Window

A = Channel("response", "assistant", "a")
B = Channel("response", "reasoning", "b")


@dataclass
class Fake:
    """A check whose answers a test writes."""

    name: str = "fake"
    digest: str = ""
    traits: Traits = QUICK
    windows: list[Window] = field(default_factory=list)

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        raise NotImplementedError


class Frames:
    """Makes the events of frames, and remembers which frame is which."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.kept: list[Frame] = []

    def new(self, name: str) -> Frame:
        frame = Frame(name.encode())
        self.kept.append(frame)
        self.names[id(frame)] = name
        return frame

    def text(self, name: str, text: str, channel: Channel = A, **more: Any) -> Text:
        return Text(channel, text, self.new(name), ("x",), **more)


def gate(*checks: Fake) -> Gate:
    return Gate(lambda channel: checks if channel != B else ())


def learn(gate: Gate, *scans: Scan) -> list[tuple[str, list[Finding]]]:
    return [(lane.channel.path, found) for lane, found in gate.learn(scans)]


def leaving(gate: Gate, until: int | None = None) -> list[str]:
    """The frames that leave: their texts, edits applied."""
    return ["".join(new for _, new in entry.texts()[0]) or entry.frame.data.decode() for entry in gate.release()]


def finding(start: int, end: int, check: str = "fake") -> Finding:
    return Finding(start, end, check, "X", 1.0)


def test_a_frame_waits_for_its_text_and_those_behind_it_wait_too() -> None:
    frames, check = Frames(), Fake()
    it = gate(check)
    it.push([frames.text("1", "hello "), Opaque(frames.new("ping"), (("y",),)), frames.text("2", "you")])
    (job,) = it.jobs()
    assert (job.check, job.window) == (check, Window(A, "hello you", 0, 0, last=False))
    assert leaving(it) == []
    assert it.held == 9
    learn(it, Scan((), 6, 4))
    assert leaving(it) == ["hello ", "ping"]
    assert (it.held, it.empty) == (3, False)
    assert it.jobs() == [], "nothing new can be learned"
    it.push([End(A)])
    (job,) = it.jobs()
    assert job.window == Window(A, "o you", 4, 6, last=True)
    learn(it, Scan((), 9, 9))
    assert leaving(it) == ["you"]
    assert (it.held, it.empty) == (0, True)
    assert it.jobs() == []


def test_text_without_checks_is_settled_at_once() -> None:
    frames = Frames()
    it = gate()
    it.push(
        [
            frames.text("1", "hello", B),
            frames.text("2", '{"a"', Channel("response", "tool_arguments", "c"), encoded=True),
        ]
    )
    assert it.jobs() == []
    assert leaving(it) == ["hello", '{"a"']
    assert it.lanes.every[1].encoded is False, "nothing would look at the decoded text"


def test_the_slowest_check_decides_and_each_has_its_own_window() -> None:
    frames, fast, slow = Frames(), Fake("fast"), Fake("slow")
    it = gate(fast, slow)
    it.push([frames.text("1", "one two three")])
    assert [job.check.name for job in it.jobs()] == ["fast", "slow"]
    learn(it, Scan((), 13, 13), Scan((), 4, 2))
    assert leaving(it) == []
    it.push([frames.text("2", " four")])
    assert [(job.window.start, job.window.settled, job.window.text) for job in it.jobs()] == [
        (13, 13, " four"),
        (2, 4, "e two three four"),
    ]


def test_settled_never_lies_inside_a_finding() -> None:
    frames = Frames()
    it = gate(Fake("one"), Fake("two"))
    it.push([frames.text("1", "0123456789")])
    it.jobs()
    found = (finding(2, 6, "one"), finding(5, 8, "one"))
    assert learn(it, Scan(found, 8, 8), Scan((), 7, 7)) == []
    assert it.lanes.every[0].progress.settled == 2, "7 cuts the second finding, its beginning cuts the first"
    it.push([frames.text("2", "x")])
    assert [job.window.settled for job in it.jobs()] == [8, 7]
    assert learn(it, Scan((), 11, 11), Scan((), 11, 11)) == [("a", list(found))]


def test_findings_are_shown_once_in_the_frame_that_they_begin_in() -> None:
    frames = Frames()
    it = gate(Fake())
    it.push([frames.text("1", "0123"), frames.text("2", "4567"), frames.text("3", "89")])
    it.jobs()
    learn(it, Scan((finding(1, 2), finding(3, 6), finding(6, 7)), 10, 10))
    shown = [[at for piece in entry.pieces for at, _ in piece.findings()] for entry in it.release()]
    assert shown == [[1, 3], [6], []]


def test_edits_go_into_the_frames_that_they_touch() -> None:
    frames = Frames()
    it = gate(Fake())
    it.push([frames.text("1", "0123"), frames.text("2", "4567"), frames.text("3", "89")])
    it.jobs()
    learn(it, Scan((), 10, 10))
    it.lanes.every[0].rewrite.edit(1, 2, "<one>")
    it.lanes.every[0].rewrite.edit(3, 9, "<two>")
    entries = [(entry.texts(), entry.frame.data) for entry in it.release()]
    assert [([new for _, new in texts], changed) for (texts, changed), _ in entries] == [
        (["0<one>2<two>"], True),
        ([""], True),
        (["9"], True),
    ]
    assert it.lanes.every[0].rewrite.released == 10


def test_a_stop_ends_the_frame_where_it_is() -> None:
    frames = Frames()
    frame = frames.new("1")
    it = gate(Fake())
    it.push([Text(A, "0123", frame, ("x",)), Text(B, "more", frame, ("y",)), Text(A, "45", frame, ("z",))])
    it.jobs()
    learn(it, Scan((), 6, 6))
    entry = next(it.release())
    texts, changed = entry.texts(until=(entry.pieces[0], 2))
    assert [new for _, new in texts] == ["01", "", ""]
    assert changed
    assert it.lanes.every[0].rewrite.released == 2


def test_what_is_unchanged_says_so() -> None:
    frames = Frames()
    it = gate(Fake())
    it.push([frames.text("1", "0123")])
    it.jobs()
    learn(it, Scan((), 4, 4))
    assert next(it.release()).texts()[1] is False


def test_a_check_that_failed_is_a_finding_over_its_window() -> None:
    frames = Frames()
    it = gate(Fake("one"), Fake("two"))
    it.push([frames.text("1", "0123456789"), End(A)])
    it.jobs()
    found = learn(it, Scan((), 10, 10), Scan((), 0, 0, "Boom"))
    assert found == [("a", [Finding(0, 10, "two", CHECK_ERROR, 1.0)])]
    assert it.lanes.every[0].progress.settled == 10, "the text is not held forever; whoever releases sees the finding"


def test_encoded_text_is_held_to_its_end_and_scanned_decoded() -> None:
    frames, check = Frames(), Fake()
    it = gate(check)
    it.push([frames.text("1", '{"a": "\\u00', A, encoded=True)])
    assert it.jobs() == []
    it.push([frames.text("2", '34 b", "n": 4111222233334444}', A, encoded=True), End(A)])
    (job,) = it.jobs()
    assert job.window == Window(A, "a\n4 b\nn\n4111222233334444")
    learn(it, Scan((finding(2, 3), finding(8, 24)), 24, 24))
    lane = it.lanes.every[0]
    assert (lane.text.scanned(2, 3), lane.text.scanned(8, 24)) == ("4", "4111222233334444")
    lane.rewrite.edit(2, 3, "<four>")
    lane.rewrite.edit(8, 24, "<card>")
    assert lane.rewrite.edits == [(2, 3, "<four>"), (8, 24, "1000000000000000")]
    assert [lane.text.raw_start(one) for one in lane.progress.findings] == [6, 23], "before the string, at the number"
    assert leaving(it) == ['{"a": "<four> b', '", "n": 1000000000000000}']


def test_a_finding_in_nothing_is_at_the_beginning() -> None:
    frames = Frames()
    it = gate(Fake())
    it.push([frames.text("1", "{}", A, encoded=True), End(A)])
    (job,) = it.jobs()
    assert job.window.text == ""
    learn(it, Scan((), 0, 0, "Boom"))
    assert it.lanes.every[0].text.raw_start(it.lanes.every[0].progress.findings[0]) == 0


def test_a_number_keeps_its_length() -> None:
    frames = Frames()
    it = gate(Fake())
    it.push([frames.text("1", "4111222233334444", A, number=True)])
    it.jobs()
    it.lanes.every[0].rewrite.edit(0, 4, "<x>")
    assert it.lanes.every[0].rewrite.edits == [(0, 4, "1000")]
    assert Lane(A, (), False).rewrite.replacement_for(0, 4) == ""


def test_a_text_that_is_said_again_gets_what_the_first_got() -> None:
    frames = Frames()
    it = gate(Fake())
    events: list[Event] = [frames.text("1", "say it"), End(A)]
    it.push([*events, frames.text("2", "say it", A, again=True)])
    assert len(it.jobs()) == 1
    learn(it, Scan((finding(4, 6),), 6, 6))
    it.lanes.every[0].rewrite.edit(4, 6, "<x>")
    it.push([frames.text("3", "say it", A, again=True)])
    assert it.jobs() == []
    entries = [
        (entry.texts()[0][0][1], [one for piece in entry.pieces for one in piece.findings()]) for entry in it.release()
    ]
    assert [text for text, _ in entries] == ["say <x>"] * 3
    assert it.held == 0
    frame = frames.new("4")
    it.push([Text(B, "ab", frame, ("y",)), Text(A, "say it", frame, ("x",), again=True)])
    it.jobs()
    entry = next(it.release())
    assert [new for _, new in entry.texts(until=(entry.pieces[0], 1))[0]] == ["a", ""]


def test_encoded_text_that_is_said_again() -> None:
    frames = Frames()
    it = gate(Fake())
    it.push(
        [
            frames.text("1", '"\\u0034"', A, encoded=True),
            End(A),
            frames.text("2", '"\\u0034"', A, encoded=True, again=True),
        ]
    )
    it.jobs()
    learn(it, Scan((), 1, 1))
    it.lanes.every[0].rewrite.edit(0, 1, "<x>")
    assert leaving(it) == ['"<x>"', '"<x>"']


def test_a_new_text_of_an_ended_channel_is_a_new_lane() -> None:
    frames = Frames()
    it = gate(Fake())
    it.push([frames.text("1", "a"), End(A), End(A), frames.text("2", "b")])
    assert [lane.index for lane in it.lanes.every] == [0, 1]
    assert [job.window.text for job in it.jobs()] == ["a", "b"]


def test_nothing_is_taken_after_a_fault() -> None:
    frames = Frames()
    it = gate(Fake())
    fault = Fault(ErrorCode.UPSTREAM_FAILED, "y")
    it.push([frames.text("1", "a"), fault, frames.text("2", "b")])
    it.push([frames.text("3", "c")])
    assert it.fault is fault
    assert [lane.text.total for lane in it.lanes.every] == [1]


def test_windows_of_long_texts_stay_small() -> None:
    """What is scanned again does not grow with the text."""
    frames = Frames()
    it = gate(Fake())
    for number in range(50):
        it.push([frames.text(str(number), "x" * 100)])
        (job,) = it.jobs()
        assert len(job.window.text) <= 700
        at = (number + 1) * 100
        learn(it, Scan((), at, at - 50))
        assert leaving(it) == ["x" * 100]
    it.push([End(A)])
    it.jobs()
    learn(it, Scan((), 5000, 5000))
    assert leaving(it) == []
    assert len("".join(it.lanes.every[0].text.parts)) == 5000


@pytest.mark.parametrize("ended", [True, False])
def test_jobs_and_their_answers_go_in_one_order(ended: bool) -> None:
    frames = Frames()
    other = Channel("response", "assistant", "other")
    it = gate(Fake())
    it.push([frames.text("1", "ab"), frames.text("2", "cd", other), *([End(A), End(other)] if ended else [])])
    jobs = it.jobs()
    assert [job.window.channel for job in jobs] == [A, other]
    assert isinstance(jobs[0], Job)
    found = learn(it, Scan((finding(0, 1),), 2, 2), Scan((finding(1, 2),), 2, 2))
    assert found == [("a", [finding(0, 1)]), ("other", [finding(1, 2)])]


# Texts that a check reads as they stand.

ARGUMENTS = Channel("response", "tool_arguments", "call.arguments")


RAW = Traits(is_raw=True, needs_form=True)


@dataclass
class Raw(Fake):
    """Finds an x in JSON as it stands."""

    name: str = "raw"
    traits: Traits = RAW

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        out = []
        for window in windows:
            end, at = window.start + len(window.text), window.text.find("x")
            found = (Finding(window.start + at, window.start + at + 1, self.name, "X", 1.0),) if at >= 0 else ()
            out.append(Scan(found, end, end, state=(window.state or 0) + 1))
        return out


@dataclass
class Late(Fake):
    """Finds nothing, and settles nothing before the end."""

    name: str = "late"

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        return [
            Scan((), window.start + len(window.text) if window.last else window.settled, window.start)
            for window in windows
        ]


def turn(gate: Gate) -> None:
    """Answers every job."""
    while jobs := gate.jobs():
        list(gate.learn([job.check.scan([job.window])[0] for job in jobs]))


def ahead(gate: Gate) -> list[tuple[str, int, int, str]]:
    return [(piece.lane.channel.path, at, one.start, one.label) for _, piece, at, one in gate.ahead()]


def test_a_fault_in_a_call_is_known_before_its_end_and_given_once() -> None:
    frames = Frames()
    gate = Gate(lambda channel: (Raw(), Late()))
    gate.push([frames.text("one", '{"a": ', ARGUMENTS, encoded=True)])
    turn(gate)
    assert ahead(gate) == []
    gate.push([frames.text("two", "x", ARGUMENTS, encoded=True)])
    turn(gate)
    assert list(gate.release()) == []
    assert ahead(gate) == [("call.arguments", 0, 0, "X")]
    assert ahead(gate) == []
    assert gate.lanes.every[0].quotation.fault_end == 7
    gate.push([frames.text("three", "}", ARGUMENTS, encoded=True), End(ARGUMENTS)])
    turn(gate)
    assert [len(list(piece.findings())) for entry in gate.release() for piece in entry.pieces] == [0, 0, 0]


def test_what_stands_before_the_call_comes_first() -> None:
    frame = Frame(b"")
    gate = Gate(lambda channel: (Late(),) if channel == A else (Raw(),))
    gate.push([Text(A, "text", frame, ("x",)), Text(ARGUMENTS, "x", frame, ("y",), encoded=True)])
    turn(gate)
    assert ahead(gate) == [], "the text before it is not settled"
    gate.push([End(A)])
    turn(gate)
    assert ahead(gate) == [("call.arguments", 0, 0, "X")]
    other = Gate(lambda channel: (Raw(),))
    first, second = Channel("response", "tool_arguments", "one"), Channel("response", "tool_arguments", "two")
    other.push([Text(first, "{", frame, ("x",), encoded=True), Text(second, "x", frame, ("y",), encoded=True)])
    turn(other)
    assert ahead(other) == [], "the call before it is not over"
    assert ahead(Gate(lambda channel: ())) == []
    empty = Gate(lambda channel: (Raw(),))
    empty.push([Text(ARGUMENTS, "", frame, ("x",), encoded=True)])
    assert ahead(empty) == []


def test_a_check_waits_for_its_facts_and_gets_back_what_it_gave() -> None:
    told: list[Facts | None] = [None, Facts("r"), Facts("r")]
    raw = Raw()
    gate = Gate(lambda channel: (raw,), lambda gate, lane, check: told[0])
    gate.push([Text(ARGUMENTS, "a", Frame(b""), ("x",), encoded=True)])
    assert gate.jobs() == []
    told.pop(0)
    gate.push([Text(ARGUMENTS, "b", Frame(b""), ("x",), encoded=True)])
    (job,) = gate.jobs()
    assert (job.window.text, job.window.start, job.window.state, job.window.facts) == ("ab", 0, None, Facts("r"))
    list(gate.learn([raw.scan([job.window])[0]]))
    gate.push([Text(ARGUMENTS, "c", Frame(b""), ("x",), encoded=True), End(ARGUMENTS)])
    (job,) = gate.jobs()
    assert (job.window.text, job.window.start, job.window.state, job.window.last) == ("c", 2, 1, True)


def test_a_raw_check_that_fails_is_a_finding_too() -> None:
    gate = Gate(lambda channel: (Raw(),))
    gate.push([Text(ARGUMENTS, "a", Frame(b""), ("x",), encoded=True)])
    (job,) = gate.jobs()
    list(gate.learn([Scan((), job.window.settled, 0, "ValueError")]))
    assert ahead(gate) == [("call.arguments", 0, 0, CHECK_ERROR)]


def test_what_is_only_judged_is_never_sent() -> None:
    frame = Frame(b"")
    gate = Gate(lambda channel: (Raw(), Late()))
    gate.push([Text(A, "x", frame, ("x",), judged=True), End(A), Text(B, "b", frame, ("y",), altered=True), End(B)])
    turn(gate)
    (entry,) = gate.release()
    assert gate.lanes.every[0].progress.checks == (Raw(),)
    texts, changed = entry.texts()
    assert [(text.channel, new) for text, new in texts] == [(B, "b")]
    assert changed, "the frame says something else"
    assert gate.lanes.at("a") is gate.lanes.every[0]
    assert gate.lanes.at("c") is None


def test_a_check_that_settles_nothing_of_a_long_text_is_asked_less_often() -> None:
    """At the end of the text it is asked in any case."""
    frames = Frames()
    it = gate(Fake())
    asked = 0
    for number in range(400):
        it.push([frames.text(str(number), "x" * 10)])
        for _ in it.jobs():
            asked += 1
            learn(it, Scan((), 0, 0))
    assert 100 < asked < 200
    it.push([frames.text("last", "x")])
    assert it.jobs() == []
    (job,) = it.jobs(all_text=True)
    assert len(job.window.text) == 4001


def _parts(frames: Frames, *texts: str, **more: Any) -> list[Event]:
    """The events of a frame with parts that are one text."""
    frame, events = frames.new("parts"), list[Event]()
    for number, text in enumerate(texts):
        channel = Channel("response", "assistant", f"parts[{number}]")
        events += [Text(channel, text, frame, ("x",), run="parts", **more), End(channel)]
    return [*events, RunEnd("parts")]


def test_parts_are_scanned_apart_and_together_and_leave_when_all_is_known() -> None:
    check, frames = Fake(), Frames()
    it = gate(check)
    it.push(_parts(frames, "ab", "cd"))
    jobs = it.jobs()
    assert [(job.window.text, job.window.last, job.joins) for job in jobs] == [
        ("ab", True, False),
        ("cd", True, False),
        ("abcd", True, True),
    ]
    scans = [Scan((), 2, 2), Scan((finding(1, 2),), 2, 2), Scan((finding(1, 3),), 4, 4)]
    assert learn(it, *scans) == [("parts[0]", [finding(1, 3), finding(3, 4)])]
    assert leaving(it) == ["abcd"]
    assert [lane.progress.findings for lane in it.lanes.every] == [[finding(1, 2)], [finding(0, 1), finding(1, 2)]]


def test_parts_wait_for_the_joined_text() -> None:
    check, frames = Fake(), Frames()
    it = gate(check)
    it.push(_parts(frames, "ab", "cd", "e"))
    assert [job.window.text for job in it.jobs()] == ["ab", "cd", "abcde", "e"]
    assert learn(it, Scan((), 2, 2), Scan((), 2, 2), Scan((), 3, 3), Scan((), 1, 1)) == []
    assert leaving(it) == []
    assert [lane.progress.settled for lane in it.lanes.every] == [2, 1, 0]


def test_a_single_part_and_parts_that_no_check_reads_are_not_joined() -> None:
    frames = Frames()
    it = gate(Fake())
    it.push(_parts(frames, "ab"))
    assert [job.joins for job in it.jobs()] == [False]
    it = gate()
    it.push(_parts(frames, "ab", "cd"))
    assert it.jobs() == []
    assert leaving(it) == ["abcd"]
    it = gate(Fake(traits=Traits(needs_form=True)))
    it.push(_parts(frames, "ab", "cd"))
    assert [job.joins for job in it.jobs()] == [False, False]


def _block(frames: Frames, number: int, text: str) -> list[Event]:
    """The events of a part that comes in a frame of its own."""
    channel = Channel("response", "assistant", f"parts[{number}]")
    return [frames.text(text, text, channel, run="parts"), End(channel)]


def test_what_a_lone_part_holds_waits_for_the_next_part() -> None:
    check, frames = Fake(), Frames()
    it = gate(check)
    it.push(_block(frames, 0, "ab"))
    assert [(job.window.text, job.window.last, job.joins) for job in it.jobs()] == [("ab", False, False)]
    learn(it, Scan((), 1, 1))
    assert (leaving(it), it.jobs()) == ([], [])
    it.push(_block(frames, 1, "cd"))
    jobs = it.jobs()
    assert [(job.window.text, job.window.last, job.joins) for job in jobs] == [
        ("b", True, False),
        ("cd", True, False),
        ("abcd", False, True),
    ]
    assert learn(it, Scan((), 2, 2), Scan((), 2, 2), Scan((), 3, 3)) == []
    assert leaving(it) == ["ab"]
    it.push([RunEnd("parts")])
    assert [(job.window.text, job.window.last) for job in it.jobs()] == [("d", True)]
    assert learn(it, Scan((finding(3, 4),), 4, 4)) == [("parts[0]", [finding(3, 4)])]
    assert leaving(it) == ["cd"]


def test_a_lone_part_is_complete_with_its_run() -> None:
    check, frames = Fake(), Frames()
    it = gate(check)
    it.push([*_block(frames, 0, "ab"), RunEnd("parts"), RunEnd("parts"), RunEnd("other")])
    assert [(job.window.text, job.window.last, job.joins) for job in it.jobs()] == [("ab", True, False)]
    channel = Channel("response", "assistant", "parts[0]")
    it.push([frames.text("c", "c", channel, run="parts"), RunEnd("parts"), frames.text("d", "d", channel)])
    it.push([End(channel)])
    assert it.lanes.every[1].text.ended
    assert it.lanes.joints == {}


def test_a_part_that_goes_on_beside_another_stands_alone() -> None:
    """The text that is joined ends with the text of its last part."""
    check, frames = Fake(), Frames()
    it = gate(check)
    second, third = (Channel("response", "assistant", f"parts[{number}]") for number in (1, 2))
    it.push(_block(frames, 0, "ab"))
    it.push([frames.text("c", "c", second, run="parts"), frames.text("e", "e", third, run="parts")])
    it.push([frames.text("d", "d", second)])
    joint = it.lanes.joints[it.lanes.every[1]]
    assert (joint.lane.text.part(0, 99), joint.lane.text.ended) == ("abcd", False)
    it.push([End(second), End(third)])
    assert joint.lane.text.ended
    assert [len(joint.parts), set(it.lanes.joints), it.lanes.every[2].text.ended] == [
        2,
        {*it.lanes.every[:2], joint.lane},
        False,
    ]
    it.push([RunEnd("parts")])
    assert it.lanes.every[2].text.ended


def test_a_fault_in_parts_ends_the_gate() -> None:
    it = Gate(lambda channel: (Fake(),), most=1)
    it.push(_parts(Frames(), "ab", "cd"))
    assert it.fault is not None
    assert it.fault.code is ErrorCode.TOO_MANY_TEXTS
