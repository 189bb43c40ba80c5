"""What an exchange notes while it runs, for its record: of each direction, of each answer of the model, of itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from guardproxy.decisions import UNPLANNED, Plan
from guardproxy.errors import DownstreamError, Shortage
from guardproxy.events import Fault
from guardproxy.exchange.gate import Entry, Gate
from guardproxy.exchange.lanes import Lane
from guardproxy.findings import Detail
from guardproxy.gateway import StoreAnswered
from guardproxy.wire import AnswerFacts
from guardproxy.wire.json import dotted, is_plain_key


@dataclass(slots=True)
class Side:
    """What is noted of one direction while it runs. `runs`: which lane's text came, in the order of the frames that
    left, as `[lane, end offset]`; lane -1 is a frame without text."""

    gate: Gate
    read: bool = True
    runs: list[tuple[int, int]] = field(default_factory=list)
    uninspected: dict[str, str] = field(default_factory=dict)  # places -> the kind of what stands there
    _ends: dict[int, int] = field(default_factory=dict)

    def note(self, entry: Entry) -> None:
        """A frame leaves."""
        for path, media in zip(entry.opaque, entry.media, strict=True):
            self.uninspected[dotted(path)] = media
        texts = [(piece.lane.index, piece.end) for piece in entry.pieces if not piece.text.again]
        for lane, end in texts or [(-1, 0)]:
            if self._ends.get(lane) == end:  # noted before
                continue
            if lane >= 0:
                self._ends[lane] = end
            if self.runs and self.runs[-1][0] == lane:
                self.runs.pop()
            self.runs.append((lane, end))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One answer of the model. `decision`: what became of it; `cut`: it was ended before its end; `counted`: its tokens are
    the upstream's own count, else they are estimated from its characters. Times in seconds of the driver's clock."""

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
    tokens: int
    output_tokens: int
    counted: bool
    price: float


@dataclass(slots=True)
class Notes:
    """What an exchange notes beside texts. `times`: seconds of the driver's clock; `seals`: keyed digests of bodies."""

    model: str = ""
    language: str = ""
    conversation: str = ""  # its pseudonym
    stream: bool = False
    streamed: bool = False
    status: int = 0
    upstream_status: int | None = None
    unix_s: float = 0.0
    times: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    seals: dict[str, str] = field(default_factory=dict)
    scans: int = 0
    signs: int = 0  # of life, while an answer was held back
    refusal: DownstreamError | None = None
    answers: tuple[StoreAnswered, ...] = ()  # of the gateway's store, to duties
    plan: Plan = UNPLANNED
    fault: Fault | None = None
    no_capacity: tuple[str, Shortage] | None = None  # the check that gave no verdict, and why


def is_unmapped(lane: Lane) -> bool:
    """Whether a text stands in a field that its format does not have; a new field's plain name is none."""
    return (lane.unmapped or lane.channel.kind == "unmapped") and not (
        lane.key and is_plain_key("".join(lane.text.parts))
    )
