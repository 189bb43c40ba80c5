"""Checks, their input and their output: channels, windows, findings.

Offsets are code points of a channel's whole text, end exclusive, never of a chunk.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, get_args

from guardproxy.errors import NoCapacityError, Shortage

Direction = Literal["request", "response"]

Kind = Literal[
    "system",
    "user",
    "assistant",
    "tool_result",
    "tool_arguments",
    "tool_definition",
    "reasoning",
    "refusal",
    "metadata",
    "error",
    "unmapped",
]

KINDS: tuple[Kind, ...] = get_args(Kind)

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
ALL_PLACES: frozenset[tuple[Direction, Kind]] = frozenset(
    (direction, kind) for direction in DIRECTIONS for kind in KINDS
)


@dataclass(frozen=True, slots=True)
class Channel:
    """Where a text sits.

    `direction`: on its way to the model or back. `kind`: the role of the text. `path`: a JSON path that tells this text
    from the others of the same kind (`messages[2].content`, `choices[0].delta.content`); the same path is the same
    text, however many frames bring it.
    """

    direction: Direction
    kind: Kind
    path: str


class Form:
    """What a text must be: JSON that fits `schema`, or (`words`) one of these words. `call`: it is the arguments of a call.
    Equal schemas are equal forms; `key` identifies one, and is made when it is asked for: a schema may be large."""

    __slots__ = ("_key", "call", "schema", "words")

    def __init__(
        self, schema: Any = None, words: tuple[str, ...] | None = None, key: str = "", *, call: bool = False
    ) -> None:
        self.schema = schema
        self.words = words
        self.call = call
        self._key = key

    @property
    def key(self) -> str:
        if not self._key:
            plain = json.dumps([self.schema, self.words, self.call], sort_keys=True)
            self._key = hashlib.sha256(plain.encode()).hexdigest()
        return self._key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Form) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a text beside the text. `model`: the one that was asked; `form`: what the text must be, where the
    request or the policy says so; `streamed`: it comes in frames; `language`: the one that the request's header names."""

    route: str = ""
    model: str = ""
    form: Form | None = None
    streamed: bool = False
    language: str = ""


NO_FACTS = Facts()


@dataclass(frozen=True, slots=True)
class Window:
    """Text handed to a check.

    `leaves`: of JSON that was read as one text, where each of its strings and numbers begins in `text`.
    `text` begins at offset `start` of the channel's text. What lies before `settled` (`start <= settled`) was reported
    by earlier scans and is here as context only. `last`: no more text will come. `state`: what the scan before gave as
    its `state`; each is used once.
    """

    channel: Channel
    text: str
    start: int = 0
    settled: int = 0
    last: bool = True
    facts: Facts = field(default=NO_FACTS, compare=False)
    state: Any = field(default=None, compare=False, repr=False)
    leaves: tuple[int, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Detail:
    """A fault at one place of a value, in words that a model can act on.

    `place`: a path such as `items[2].name`, empty for the whole value; `shown`: the same without words that the text
    itself made up, for the record. `said`: those words, where they help (a key that is not allowed).
    """

    place: str
    shown: str
    expected: str
    found: str
    said: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something that a check found in a text. `start`, `end`, `score` have Presidio's meaning; `score` is 0.0 to 1.0.

    `details`: what is wrong, place by place. `repair`: a whole text that would be right instead, to be checked anew.
    """

    start: int
    end: int
    check: str
    label: str
    score: float
    details: tuple[Detail, ...] = field(default=(), compare=False)
    repair: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Scan:
    """A check's answer to one window.

    `findings`: those that begin at or after the window's `settled` and end at or before the new `settled`. `settled`: no
    continuation whatever can change the findings before this offset; never inside a finding; never below the window's
    `settled`; the end of the text when the window is the last. `keep`: the next window of this channel must begin here (`keep
    <= settled`), so that words before it still count. `error`: the check failed (a class name, never text); then `settled` is
    that of the window and `findings` is empty. `no_capacity`: the check did not run, or not in time, so there is no verdict.
    `error` is set too, so that code that ignores this member sees a failure and never a verdict. `state`: a value that the
    check gets back with the next window of this text.
    """

    findings: tuple[Finding, ...]
    settled: int
    keep: int
    error: str = ""
    state: Any = field(default=None, compare=False, repr=False)
    no_capacity: Shortage | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Advice:
    """What a reviewer should know about an option of a check.

    `key`: the option. `item`: the number of the entry, if the option is a list. `serious`: it is likely to be a mistake.
    """

    key: str
    message: str
    item: int | None = None
    serious: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """How a check must be treated: part of the contract of `Check`.

    Every default is the safe choice. A check that wraps another one passes these on with `dataclasses.replace`.
    """

    is_sensitive: bool = True
    """Its findings are values that no record may show. False for a check that judges a text as a whole."""

    is_slow: bool = True
    """Even a small window can take more than a millisecond, so it is never scanned on the event loop."""

    is_raw: bool = False
    """Reads JSON inside a string as it stands, while it grows. Other checks read it decoded, at its end."""

    needs_form: bool = False
    """Scans only texts that have a form: `Facts.form` is set."""

    own_form: Form | None = None
    """The form of every answer to a request that asks for no form. Only for checks that need a form."""

    judges_whole: bool = False
    """Its verdict is about the text as a whole, so a rule that blocks holds an answer back to its end."""

    offers_repairs: bool = False
    """Its findings may carry a text to send in place of the model's (`Finding.repair`)."""

    labels: frozenset[str] | None = None
    """Every label that its findings can have; `None` if that is not known."""

    looks_at: frozenset[tuple[Direction, Kind]] = ALL_PLACES
    """The texts in which it can find something. For `policy lint` and `--coverage`: rules alone decide what is scanned."""

    advice: tuple[Advice, ...] = ()
    """What `policy lint` prints about its options."""

    partner: Check | None = field(default=None, compare=False, repr=False)
    """A second check with the same name, which goes through each text at its own pace."""

    partner_of: str = ""
    """For a partner: the digest of the check that it belongs to. Spans of that check are cut out of the partner's findings."""


QUICK = Traits(is_slow=False)
"""The traits of a check that may be scanned on the event loop, and of which nothing else is known."""


class Check(Protocol):
    """Something that scans text.

    `name`: the name in its findings. `digest`: identifies everything that its findings depend on (code version, options,
    rules, model files); equal digests give equal findings for equal windows. `traits`: how it must be treated.
    """

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def traits(self) -> Traits: ...

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        """One `Scan` for each window, in order. Synchronous and free of side effects; may run in any thread."""
        ...


def failed(window: Window, error: Exception) -> Scan:
    """The scan of a window whose check raised `error`. Only the name of its class is kept: a message may quote the text."""
    shortage = error.shortage if isinstance(error, NoCapacityError) else None
    return Scan((), window.settled, window.start, type(error).__name__, no_capacity=shortage)


def give_way(weak: Sequence[Finding], strong: Sequence[Finding], text_of: Callable[[int, int], str]) -> list[Finding]:
    """The parts of each weak finding that no strong finding of its check covers, if they hold a letter or digit.

    `text_of(start, end)`: the scanned text.
    """
    left: list[Finding] = []
    covered = {check: _joined(strong, check) for check in {finding.check for finding in weak}} if strong else {}
    for finding in weak:
        at = finding.start
        starts, ends = covered.get(finding.check, ((), ()))
        first, after = bisect_right(ends, finding.start), bisect_left(starts, finding.end)
        for start, end in [*zip(starts[first:after], ends[first:after], strict=True), (finding.end, finding.end)]:
            rest = text_of(at, start) if start > at else ""
            if any(map(str.isalnum, rest)):
                low, high = start - len(rest.lstrip()), at + len(rest.rstrip())
                left.append(replace(finding, start=low, end=high))
            at = max(at, end)
    return left


def _joined(findings: Sequence[Finding], check: str) -> tuple[list[int], list[int]]:
    """The starts and the ends of what the findings of a check cover, in order and apart."""
    starts: list[int] = []
    ends: list[int] = []
    for start, end in sorted((finding.start, finding.end) for finding in findings if finding.check == check):
        if ends and start <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            starts.append(start)
            ends.append(end)
    return starts, ends
