"""What the workbench is asked to do, and what it answers: values that go between two processes.

In: tasks. Out: replies, as bytes and back. Tasks hold texts of people; they go through a pipe only.
"""

from __future__ import annotations

import msgspec

HEADER_BYTES = 4
MOST_BYTES = 256 * 1024 * 1024


class MarkedPart(msgspec.Struct, frozen=True):
    """A part of a text. `kind`: a class of spans; empty for plain text. `title`: what was found there."""

    text: str
    kind: str = ""
    title: str = ""


class PolicySource(msgspec.Struct, frozen=True):
    """Where policies are. `path`: a folder or a file; `instead`: contents that are not read from there, by their names."""

    path: str
    instead: dict[str, bytes] = {}


class FileMark(msgspec.Struct, frozen=True):
    """A remark about a place in a file. `weight`: error, warning or note."""

    file: str
    line: int
    column: int
    weight: str
    message: str
    code: str = ""


class RuleWords(msgspec.Struct, frozen=True):
    """A rule in words."""

    id: str
    words: str
    line: int
    mode: str
    action: str


class PolicyWords(msgspec.Struct, frozen=True):
    """A policy in words. `matches`: what its `match` asks; `sections`: what its sections do; `tests`: names and lines."""

    name: str
    file: str
    description: str
    matches: str
    mode: str
    rules: tuple[RuleWords, ...] = ()
    sections: tuple[str, ...] = ()
    tests: tuple[tuple[str, int], ...] = ()
    checks: tuple[str, ...] = ()


class CoverageCell(msgspec.Struct, frozen=True):
    """A kind of text of a format, and the checks that read it."""

    format: str
    direction: str
    kind: str
    checks: tuple[str, ...]


class FieldCell(msgspec.Struct, frozen=True):
    """A field that bypasses checks, and whether requests with it pass."""

    field: str
    why: str
    state: str
    formats: tuple[str, ...]


class LintTask(msgspec.Struct, frozen=True, tag="lint"):
    """Asks for the remarks about policies, and for what they say in words."""

    source: PolicySource
    covered: bool = False


class LintReply(msgspec.Struct, frozen=True, tag="linted"):
    """Remarks and words. `digest`: of the set, as the proxy states it; empty if it has errors."""

    marks: tuple[FileMark, ...] = ()
    policies: tuple[PolicyWords, ...] = ()
    coverage: tuple[CoverageCell, ...] = ()
    fields: tuple[FieldCell, ...] = ()
    digest: str = ""

    @property
    def errors(self) -> tuple[FileMark, ...]:
        return tuple(mark for mark in self.marks if mark.weight == "error")


class PlayTask(msgspec.Struct, frozen=True, tag="play"):
    """Asks what policies do with an exchange. `request`, `answer`: texts, JSON, or a stream as it was recorded; `record`: a
    line of the log instead of both. `kind`: of a plain text of the request. `size`: of the pieces of a stream, in characters;
    0: no stream. `with_models`: whether checks that load a model run."""

    source: PolicySource
    request: str = ""
    answer: str = ""
    record: bytes = b""
    route: str = ""
    kind: str = ""
    model: str = ""
    tenant: str = ""
    size: int = 0
    with_models: bool = False


class PlayedText(msgspec.Struct, frozen=True):
    """A text with its findings marked."""

    direction: str
    path: str
    kind: str
    parts: tuple[MarkedPart, ...]


class PlayedFinding(msgspec.Struct, frozen=True):
    """A finding. `is_allowed`: a policy allows the value, so no rule sees it."""

    check: str
    label: str
    place: str
    text: str
    score: float
    is_allowed: bool = False
    origins: tuple[str, ...] = ()


class PlayedRule(msgspec.Struct, frozen=True):
    """A rule and why it did or did not decide. `state`: decided, held, shadow or no."""

    policy: str
    rule: str
    action: str
    state: str
    why: str


class PlayedStep(msgspec.Struct, frozen=True):
    """A step of a stream. `held`, `released_chars`, `arrived_chars`: counts after the step."""

    number: int
    arrived: str
    released: str
    held: str
    why: tuple[str, ...]
    arrived_chars: int
    held_chars: int
    released_chars: int
    ending: str = ""


class PlayedStream(msgspec.Struct, frozen=True):
    """A simulated stream. `differences`: from the result of the whole answer; there are none, whatever the cuts. `more`:
    steps that are left out. `what`: which text is streamed."""

    steps: tuple[PlayedStep, ...]
    most_held: int
    differences: tuple[str, ...] = ()
    more: int = 0
    what: str = ""


class PlayReply(msgspec.Struct, frozen=True, tag="played"):
    """What policies do with an exchange. `problem`: why it cannot be played. `sent`, `shown`: texts by place that the model
    and the client get; `None`: nothing. `elsewhere`: policies that do not apply. `distant`: checks that are not run here,
    since they ask services or models elsewhere; `waiting`: checks that load a model and have not run yet."""

    problem: str = ""
    decision: str = ""
    trouble: str = ""
    policies: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    texts: tuple[PlayedText, ...] = ()
    findings: tuple[PlayedFinding, ...] = ()
    rules: tuple[PlayedRule, ...] = ()
    sent: tuple[tuple[str, str], ...] | None = None
    shown: tuple[tuple[str, str], ...] | None = None
    more: tuple[str, ...] = ()
    stream: PlayedStream | None = None
    no_stream: str = ""
    distant: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    ms: float = 0.0
    is_recorded: bool = False


class TryTask(msgspec.Struct, frozen=True, tag="try"):
    """Asks for the results of the tests of policies. `file`: only those of this file."""

    source: PolicySource
    file: str = ""


class TriedTest(msgspec.Struct, frozen=True):
    """A test. `state`: passed, failed or skipped; `faults`: what was expected and what was there."""

    policy: str
    name: str
    line: int
    state: str
    faults: tuple[str, ...] = ()


class TryReply(msgspec.Struct, frozen=True, tag="tried"):
    """The results of tests. `untested`: rules that hold in no test. `problem`: why the policies could not be loaded."""

    tests: tuple[TriedTest, ...] = ()
    untested: tuple[str, ...] = ()
    problem: str = ""

    @property
    def failed(self) -> int:
        return sum(test.state == "failed" for test in self.tests)


class DiffTask(msgspec.Struct, frozen=True, tag="diff"):
    """Asks what policies would change on recorded traffic. `log`: the folder of the log; `since_s`: Unix time of the first
    exchange; `most`: the exchanges that are replayed, newest first."""

    old: PolicySource
    new: PolicySource
    log: str
    since_s: float
    until_s: float
    most: int


class DiffChange(msgspec.Struct, frozen=True):
    """A difference between the files. `effect`: loosens, tightens, either or neutral."""

    policy: str
    words: str
    effect: str


class DiffExample(msgspec.Struct, frozen=True):
    """An exchange that changes."""

    id: str
    at: float
    route: str
    before: str
    after: str
    where: str
    parts: tuple[MarkedPart, ...]


class DiffGroup(msgspec.Struct, frozen=True):
    """Exchanges that a rule changes in the same way."""

    policy: str
    rule: str
    way: str
    action: str
    count: int
    examples: tuple[DiffExample, ...]


class DiffReply(msgspec.Struct, frozen=True, tag="diffed"):
    """What would change. `headline`: in words; `counts`: exchanges by what became of them; `reasons`: why some cannot be
    replayed."""

    headline: str = ""
    changes: tuple[DiffChange, ...] = ()
    counts: dict[str, int] = {}
    reasons: dict[str, int] = {}
    outcomes: tuple[tuple[str, str, int], ...] = ()
    groups: tuple[DiffGroup, ...] = ()
    rescanned: tuple[str, ...] = ()
    problem: str = ""


class TaskProgress(msgspec.Struct, frozen=True, tag="progress"):
    """How far a task is: parts that are done, of all."""

    done: int
    total: int


class FailedTask(msgspec.Struct, frozen=True, tag="failed"):
    """A task failed. `why`: says no text of it."""

    why: str


class CancelledTask(msgspec.Struct, frozen=True, tag="cancelled"):
    """A task was cancelled."""


class CancelTask(msgspec.Struct, frozen=True, tag="cancel"):
    """Asks to end the task that runs."""

    number: int


BenchTask = LintTask | PlayTask | TryTask | DiffTask
BenchReply = LintReply | PlayReply | TryReply | DiffReply | FailedTask | CancelledTask


class SentTask(msgspec.Struct, frozen=True):
    """A task with its number, or the wish to cancel one."""

    number: int
    what: BenchTask | CancelTask


class ReturnedReply(msgspec.Struct, frozen=True):
    """A reply with the number of its task."""

    number: int
    what: BenchReply | TaskProgress


def encode(message: SentTask | ReturnedReply) -> bytes:
    """Returns a message with its length in front."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def decode_sent(body: bytes) -> SentTask:
    """Reads a message to the workbench."""
    return msgspec.msgpack.decode(body, type=SentTask)


def decode_returned(body: bytes) -> ReturnedReply:
    """Reads a message of the workbench."""
    return msgspec.msgpack.decode(body, type=ReturnedReply)
