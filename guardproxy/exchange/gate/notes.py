"""The notes of an exchange, for its record: of each direction, of each answer of the model, of the exchange itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from guardproxy.audit.record import RecordedCache
from guardproxy.decisions import UNPLANNED, Plan
from guardproxy.errors import DownstreamError, Shortage
from guardproxy.events import Fault
from guardproxy.exchange.gate.gate import Gate, QueuedFrame
from guardproxy.exchange.gate.lanes import Lane
from guardproxy.findings import Detail, ModelVerdict
from guardproxy.gateway import Refusal, StoreAnswered
from guardproxy.wire import AnswerFacts
from guardproxy.wire.json import dotted, is_plain_key


class Side(msgspec.Struct):
    """The notes of a direction. `runs`: the order in which the texts of its lanes left, as `[lane, end offset]` for each
    frame; lane -1 is a frame without text. Later frames of a lane become one run; the first frame stays apart, because an
    answer that is stopped in it was not begun. `opening`: the number of runs of the first frame."""

    gate: Gate
    read: bool = True
    runs: list[tuple[int, int]] = msgspec.field(default_factory=list)
    opening: int = 0
    uninspected: dict[str, str] = msgspec.field(default_factory=dict)  # place -> the kind of its content
    _ends: dict[int, int] = msgspec.field(default_factory=dict)

    def begin(self, *, read: bool, quotes: bool) -> None:
        """Notes whether a rule reads the texts, and whether text with a fault may be quoted to the model."""
        self.read = read
        self.gate.quotes = quotes

    def note(self, entry: QueuedFrame) -> None:
        """Notes a frame that leaves."""
        for path, media in zip(entry.opaque, entry.media, strict=True):
            self.uninspected[dotted(path)] = media
        if not self.runs and not entry.pieces:  # the only frame of an answer that no check reads
            self.runs, self.opening = [(-1, 0)], 1
            return
        texts = [(piece.lane.index, piece.end) for piece in entry.pieces if not piece.text.again]
        for lane, end in texts or [(-1, 0)]:
            if self._ends.get(lane) == end:  # noted before
                continue
            if lane >= 0:
                self._ends[lane] = end
            if len(self.runs) > self.opening and self.runs[-1][0] == lane:
                self.runs.pop()
            self.runs.append((lane, end))
        self.opening = self.opening or len(self.runs)


class TokenCount(NamedTuple):
    """The tokens of an attempt, its prompt included, and of its answer alone. `is_counted`: whether the upstream counted
    them; if not, they are estimated from characters. `price`: of a million tokens of the answer, 0 if it is not known."""

    total: int
    answer: int
    is_counted: bool
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """The notes of an answer of the model. `decision`: the decision about it; `cut`: whether it was ended early; `plan`:
    where the request for it went. Times: seconds of the driver's clock."""

    side: Side
    seen: AnswerFacts
    status: int | None
    streamed: bool
    decision: str
    rule: str
    details: tuple[Detail, ...]
    began_s: float
    ended_s: float
    cut: bool
    tokens: TokenCount
    plan: Plan


class Measures(msgspec.Struct):
    """The counts, sizes and times of an exchange, which grow while it runs. `times`: seconds of the driver's clock; `seals`:
    keyed digests of bodies; `signs`: the number of keep-alives while an answer was held back; `cache`: what the cache had.
    `is_blocked`: whether a rule refused the request; `is_delivered`: whether the client got something of an answer. `verdicts`:
    what models at upstreams said about its texts."""

    unix_s: float = 0.0
    times: dict[str, float] = msgspec.field(default_factory=dict)
    sizes: dict[str, int] = msgspec.field(default_factory=dict)
    seals: dict[str, str] = msgspec.field(default_factory=dict)
    scans: int = 0
    signs: int = 0
    cache: RecordedCache | None = None
    is_blocked: bool = False
    is_delivered: bool = False
    verdicts: list[ModelVerdict] = msgspec.field(default_factory=list)


class DutyNotes(NamedTuple):
    """What the duties of the gateway did: the answers of the store to them, and what they refused or would have refused in
    shadow mode. `model`: what a request asks for that they refused."""

    answers: tuple[StoreAnswered, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    model: str = ""


NO_DUTIES = DutyNotes()


class MissingVerdict(NamedTuple):
    """A check that had no capacity, and why."""

    check: str
    shortage: Shortage


class Notes(msgspec.Struct):
    """The notes of an exchange, its texts excepted. `failure`: why it was refused or failed, if it was."""

    model: str = ""
    language: str = ""
    conversation: str = ""  # the pseudonym of the conversation
    stream: bool = False
    streamed: bool = False
    status: int = 0
    upstream_status: int | None = None
    measures: Measures = msgspec.field(default_factory=Measures)
    duties: DutyNotes = NO_DUTIES
    plan: Plan = UNPLANNED
    failure: DownstreamError | Fault | None = None
    no_capacity: MissingVerdict | None = None


def is_unmapped(lane: Lane) -> bool:
    """Whether a text is in a field that its format does not have. A plain field name does not count as unmapped text."""
    return (lane.place.unmapped or lane.channel.kind == "unmapped") and not (
        lane.place.key and is_plain_key("".join(lane.text.parts))
    )
