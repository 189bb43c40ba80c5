"""Lanes: what is held to its end, what raw checks see meanwhile, what may be quoted."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.events import End, Frame, Text
from guardproxy.exchange.gate.gate import Gate
from guardproxy.exchange.gate.lanes import CHECK_ERROR, JOINED, Lane, LaneText, unedited
from guardproxy.findings import JOINED_CHARS, Channel, Finding, Scan, Traits, Wait, Window
from guardproxy.redaction.placeholders import RESTORE
from guardproxy.redaction.shapes import Shape
from tests.kit.checks import promise

ANSWER = Channel("response", "assistant", "answer")
SHAPE = Shape("response_format", {"type": "object"})


RAW = Traits(is_raw=True)


@dataclass(frozen=True)
class Digits:
    """Finds runs of nines; `raw`: in JSON as it stands."""

    name: str = "digits"
    digest: str = ""
    raw: bool = False
    error: str = ""

    @property
    def traits(self) -> Traits:
        return Traits(is_raw=self.raw)

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        text, end = window.text, window.start + len(window.text)
        if self.error:
            return Scan((), window.settled, window.start, self.error)
        settled = end if window.last else window.start + len(text.rstrip("9"))
        found, at = [], 0
        while (low := text.find("9", at)) >= 0:
            at = low + len(text[low:]) - len(text[low:].lstrip("9"))
            if window.settled <= window.start + low and window.start + at <= settled:
                found.append(Finding(window.start + low, window.start + at, self.name, "NINES", 1.0))
        return Scan(tuple(found), max(settled, window.settled), max(settled, window.settled))


@dataclass(frozen=True)
class Sentences(Digits):
    """Settles whole sentences, of at most four words."""

    def _scan(self, window: Window) -> Scan:
        settled = window.start + (len(window.text) if window.last else window.text.rfind(".") + 1)
        return Scan((), settled, settled, wait=Wait(frozenset("."), 3, 20))


@dataclass(frozen=True)
class Strict:
    """A raw check that takes no `!`."""

    name: str = "strict"
    digest: str = ""
    traits: Traits = RAW

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        out = []
        for window in windows:
            end, at = window.start + len(window.text), window.text.find("!")
            found = (Finding(window.start + at, window.start + at + 1, self.name, "WRONG", 1.0),) if at >= 0 else ()
            out.append(Scan(found, end, end))
        return out


def turn(gate: Gate) -> None:
    while jobs := gate.jobs():
        list(gate.learn([job.check.scan([job.window])[0] for job in jobs]))


def flow(parts: Sequence[str], *checks: Any, quotes: bool = False, end: bool = True) -> Gate:
    """A gate that got the text in parts, one frame each."""
    gate = Gate(lambda channel: checks, quotes=quotes)
    for part in parts:
        gate.push([Text(ANSWER, part, Frame(b"", streamed=True), ("x",), encoded=True, shape=SHAPE)])
        turn(gate)
    if end:
        gate.push([End(ANSWER)])
        turn(gate)
    return gate


def leaving(gate: Gate) -> str:
    return "".join(new for entry in gate.release() for _, new in entry.texts()[0])


@dataclass(frozen=True)
class Words:
    """Finds words, which are one text until it ends; a word of `known` is allowed."""

    words: tuple[str, ...]
    known: tuple[str, ...] = ()
    partner_of: str = ""
    name: str = "words"
    digest: str = ""

    @property
    def traits(self) -> Traits:
        return Traits(partner_of=self.partner_of)

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        if not window.last:
            return Scan((), window.settled, window.start)
        places = {word: window.start + window.text.index(word) for word in self.words}
        every = [Finding(at, at + len(word), self.name, word.upper(), 1.0) for word, at in places.items()]
        parts = [
            [finding for finding in every if (finding.label.lower() in self.known) is known] for known in (False, True)
        ]
        end = window.start + len(window.text)
        return Scan(tuple(parts[0]), end, end, allowed=tuple(parts[1]))


@pytest.mark.parametrize("known", [(), ("jo@ab",)])
def test_a_name_gives_way_to_an_allowed_value_as_to_a_finding(known: tuple[str, ...]) -> None:
    text = "ann jo@ab bob, jo@ab"
    names = Words(("ann jo@ab bob",), partner_of="x")
    gate = Gate(lambda channel: (Words(("jo@ab",), known), names))
    for part in (text[:5], text[5:]):
        gate.push([Text(ANSWER, part, Frame(b"", streamed=True), ("x",))])
        turn(gate)
    gate.push([End(ANSWER)])
    turn(gate)
    (lane,) = gate.lanes.every
    spans = [(finding.start, finding.end) for finding in lane.progress.findings]
    assert spans == [(0, 3), (4, 9), (10, 13)] if not known else [(0, 3), (10, 13)]
    assert [(finding.start, finding.end) for finding in lane.progress.allowed] == ([(4, 9)] if known else [])


def test_an_allowed_value_is_settled_as_a_whole() -> None:
    """A check that is done with a text waits for the end of a value that another check allows."""
    allowed = Finding(2, 8, "a", "MAIL", 1.0)
    gate = Gate(lambda channel: (Digits(),))
    gate.push([Text(ANSWER, "a long text", Frame(b"", streamed=True), ("x",))])
    (job,) = gate.jobs()
    list(gate.learn([Scan((), 5, 5, allowed=(allowed,))]))
    (lane,) = gate.lanes.every
    assert (job.check.name, lane.progress.settled, lane.progress.allowed) == ("digits", 2, [])


def test_json_that_only_raw_checks_read_flows() -> None:
    gate = flow(['{"a": ', '"b"'], Strict(), end=False)
    (lane,) = gate.lanes.every
    assert (lane.progress.held, lane.encoded, lane.json) == (False, False, True)
    assert leaving(gate) == '{"a": "b"'


def test_json_that_another_check_reads_is_held_and_raw_checks_see_it_meanwhile() -> None:
    gate = flow(['{"a": ', "!"], Strict(), Digits(), end=False)
    (lane,) = gate.lanes.every
    assert (lane.progress.held, lane.encoded, lane.json) == (True, True, True)
    assert leaving(gate) == ""
    assert [(at, one.label) for _, _, at, one in gate.ahead()] == [(0, "WRONG")]


def test_a_text_with_a_shape_is_held_too() -> None:
    gate = Gate(lambda channel: (Strict(), Digits()))
    gate.push([Text(ANSWER, "a99", Frame(b"", streamed=True), ("x",), shape=SHAPE)])
    turn(gate)
    assert leaving(gate) == ""
    gate.push([Text(ANSWER, "9", Frame(b"", streamed=True), ("x",), shape=SHAPE), End(ANSWER)])
    turn(gate)
    (lane,) = gate.lanes.every
    assert [(one.start, one.end) for one in lane.progress.findings] == [(1, 4)]
    assert lane.end_of(lane.progress.findings[0]) == lane.text.total
    assert leaving(gate) == "a999"


def test_what_is_quoted_is_read_first() -> None:
    """The fault is shown only when the text up to it was scanned; what lies behind it is not quoted."""
    gate = Gate(lambda channel: (Strict(), Digits()), quotes=True)
    gate.push([Text(ANSWER, '{"a": "\\u0039\\u0039", !', Frame(b"", streamed=True), ("x",), encoded=True)])
    jobs = gate.jobs()
    assert [job.check.name for job in jobs] == ["strict"]
    list(gate.learn([Strict().scan([job.window])[0] for job in jobs]))
    assert list(gate.ahead()) == []
    (job,) = gate.jobs()
    assert job.window.text.startswith("a\n99\n")
    list(gate.learn([Digits().scan([job.window])[0]]))
    assert [one.label for _, _, _, one in gate.ahead()] == ["WRONG"]
    (lane,) = gate.lanes.every
    assert lane.quotation.lane is not None
    assert [one.label for one in lane.quotation.lane.progress.findings] == ["NINES"]
    assert lane.progress.findings[0].label == "WRONG", "what is quoted adds nothing to what was found"


@pytest.mark.parametrize("checks", [(Strict(),), (Strict(), Digits(name=RESTORE))])
def test_what_nobody_else_reads_needs_no_reading(checks: tuple[Any, ...]) -> None:
    gate = flow(["!"], *checks, quotes=True)
    assert gate.lanes.every[0].quotation.lane is None


def test_what_is_only_judged_is_read_before_it_is_quoted() -> None:
    gate = Gate(lambda channel: (Strict(), Digits()), quotes=True)
    frame = Frame(b"")
    gate.push([Text(ANSWER, '{"a!": 99, "b": "c99"}', frame, ("x",), judged=True), End(ANSWER)])
    (job,) = gate.jobs()
    list(gate.learn([Strict().scan([job.window])[0]]))
    assert list(gate.release()) == []
    turn(gate)
    (entry,) = gate.release()
    assert [one.label for piece in entry.pieces for _, one in piece.findings()] == ["WRONG"]
    quote = gate.lanes.every[0].quotation.lane
    assert quote is not None
    assert (quote.text.total, quote.text.view is not None) == (gate.lanes.every[0].text.total, True)


def test_a_raw_check_that_fails_on_a_held_text_is_quoted_up_to_there() -> None:
    gate = flow(["ab"], Digits("raw", raw=True, error="ValueError"), Digits(), quotes=True, end=False)
    (lane,) = gate.lanes.every
    assert [one.label for one in lane.progress.findings] == [CHECK_ERROR]
    assert lane.quotation.lane is not None
    assert lane.quotation.lane.text.total == 2


@promise
@given(st.text(alphabet='9a!"\\u003: {}', max_size=30), st.lists(st.integers(0, 30), max_size=5))
def test_a_fault_and_what_is_quoted_do_not_depend_on_the_cuts(text: str, cuts: list[int]) -> None:
    def told(parts: list[str]) -> Any:
        lane = next(iter(flow(parts, Strict(), Digits(), quotes=True).lanes.every), Lane(ANSWER, (), False))
        quote = lane.quotation.lane
        return (
            sorted(lane.progress.findings),
            lane.quotation.fault_end,
            quote and ("".join(quote.text.parts), quote.progress.findings),
        )

    places = [0, *sorted(min(one, len(text)) for one in cuts), len(text)]
    parts = [text[low:high] for low, high in itertools.pairwise(places)]
    first = told([text])
    again = told(parts)
    # A raw check that goes on finds more as more comes; only the first fault ends an answer.
    assert first[1:] == again[1:]
    assert [one for one in first[0] if one.check == "digits"] == [one for one in again[0] if one.check == "digits"]


def test_the_arguments_of_a_call_are_held_whoever_reads_them() -> None:
    gate = Gate(lambda channel: (Strict(),))
    call = Channel("response", "tool_arguments", "call")
    gate.push([Text(call, '{"a": 1', Frame(b"", streamed=True), ("x",), encoded=True)])
    turn(gate)
    assert (gate.lanes.every[0].progress.held, leaving(gate)) == (True, "")
    gate.push([End(call)])
    turn(gate)
    assert leaving(gate) == '{"a": 1'


@given(data=st.data())
def test_a_text_of_many_parts_reads_as_one(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=10)) * data.draw(st.integers(1, JOINED))
    whole = "".join(chr(0x100 + at) for at in range(sum(sizes)))
    text = LaneText()
    for end, size in zip(itertools.accumulate(sizes), sizes, strict=True):
        text.append(whole[end - size : end])
        start = data.draw(st.integers(0, end))
        assert text.part(start, end) == whole[start:end]
        assert text.total == end
    assert text.parts[0] == whole[: sizes[0]]  # forms read the first part as it came
    assert "".join(text.parts) == whole
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(whole)), st.integers(0, len(whole)))))
    assert text.part(start, end) == whole[start:end]
    assert len(text.parts) <= 1 + JOINED + len(sizes) // JOINED


@dataclass(frozen=True)
class Letters:
    """Finds runs of `letters`, and settles up to the last run. A partner joins them."""

    letters: str
    partner_of: str = ""
    name: str = "letters"
    digest: str = ""

    @property
    def traits(self) -> Traits:
        return Traits(partner_of=self.partner_of, joins=frozenset(["X"] if self.partner_of else []))

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        text, shift = window.text, window.start
        ends = len(text) if window.last else len(text.rstrip(self.letters))
        runs = [match.span() for match in re.finditer(f"[{self.letters}]+", text[:ends])]
        found = tuple(
            Finding(shift + low, shift + high, self.name, "X", 1.0)
            for low, high in runs
            if shift + low >= window.settled
        )
        return Scan(found, shift + ends, shift + ends)


PAIR = Letters("ab"), Letters("bc", partner_of="x")


def _flowing(parts: Sequence[str], *, end: bool = True) -> Gate:
    """A gate through which a stream of plain text went."""
    gate = Gate(lambda channel: PAIR)
    for part in parts:
        gate.push([Text(ANSWER, part, Frame(b"", streamed=True), ("x",))])
        turn(gate)
    gate.push([End(ANSWER)] if end else [])
    turn(gate)
    return gate


def _joined(parts: Sequence[str]) -> list[tuple[int, int]]:
    (lane,) = _flowing(parts).lanes.every
    return [(finding.start, finding.end) for finding in lane.progress.findings]


def test_parts_that_touch_are_one_finding() -> None:
    assert _joined(["aa, cc\nbb. cc"]) == [(0, 9), (11, 13)]
    assert _joined(["aa, aa - aa"]) == [(0, 2), (4, 6), (9, 11)]  # a check joins its own findings itself
    assert _joined(["aaccc"]) == [(0, 5)]


def test_a_finding_waits_for_what_may_touch_it() -> None:
    assert leaving(_flowing(["cc, "], end=False)) == ""
    assert leaving(_flowing(["cc, ", "z"], end=False)) == "cc, z"
    assert leaving(_flowing(["cc" + " " * 20], end=False)) == "cc" + " " * 20


def test_what_waits_has_a_limit() -> None:
    (lane,) = _flowing(["cccc, "] * 200, end=False).lanes.every
    assert lane.text.total - lane.progress.settled <= JOINED_CHARS + 6


_WORDS = st.sampled_from(["a", "b", "c", "aa", "bc", "ab", ", ", "\n", "- ", " ", "z", "b" * 90])


@promise
@given(st.lists(_WORDS, min_size=1, max_size=14), st.data())
def test_what_is_joined_does_not_depend_on_the_cuts(words: list[str], data: st.DataObject) -> None:
    text = "".join(words)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
    places = [0, *sorted(cuts), len(text)]
    assert _joined([text[low:high] for low, high in itertools.pairwise(places)]) == _joined([text])


def test_values_of_two_keys_are_not_joined() -> None:
    gate = Gate(lambda channel: PAIR)
    call = Channel("request", "tool_arguments", "call")
    gate.push([Text(call, '{"z": "cc", "y": ["bb", "cc c"]}', Frame(b""), ("x",), encoded=True), End(call)])
    turn(gate)
    (lane,) = gate.lanes.every
    assert [lane.text.scanned(finding.start, finding.end) for finding in lane.progress.findings] == ["cc", "bb", "cc c"]


@pytest.mark.parametrize(
    ("span", "before"),
    [
        ((0, 2), (0, 2)),
        ((0, 3), (0, 5)),
        ((2, 3), (2, 5)),
        ((3, 6), (5, 8)),
        ((6, 8), (8, 10)),
        ((7, 12), (8, 12)),
        ((5, 9), (7, 10)),
        ((10, 14), (10, 14)),
        ((12, 14), (12, 14)),
    ],
)
def test_a_span_of_an_edited_text_is_found_in_the_text(span: tuple[int, int], before: tuple[int, int]) -> None:
    edits = [(2, 5, "x"), (8, 10, "abcd")]  # 0123456789abcd -> 01x567abcdabcd
    assert unedited(edits, *span) == before
    assert unedited([], *span) == span


def test_a_scan_waits_while_the_check_that_lags_settles_nothing_more() -> None:
    lane = Lane(ANSWER, (Digits(), Sentences()), encoded=False)

    def scanned(text: str, *, all_text: bool = False) -> int:
        """The number of windows for some more text."""
        lane.text.append(text)
        windows = lane.windows(all_text=all_text)
        if windows:
            lane.learn(windows, [lane.progress.checks[number].scan([window])[0] for number, window in windows])
        return len(windows)

    assert scanned("It") == 2
    assert scanned(" is") == scanned(" late") == 0
    assert lane.progress.is_patient
    assert scanned(" now", all_text=True) == 2
    assert not lane.progress.is_patient
    assert scanned(".") == 2
    assert lane.progress.settled == 15
    assert scanned(" 9") == 0
    assert scanned("9. It") == 2
    assert [finding.end for finding in lane.progress.findings] == [18]
    assert scanned(" is a") == 0
    assert scanned(" day or two") == 2
    lane.text.ended = True
    assert scanned("") == 2
    assert lane.progress.settled == lane.text.total
