"""Replay: a record -> a new exchange through the same code -> the differences.

The record holds every text with placeholders in place of sensitive values, what each check found in it, and the order
in which the texts came; chunk invariance is why their cuts need not be kept. A check that is unchanged (same digest) is
not run again: its findings are taken from the record, as a model's scores may differ between machines. A check that is
new, changed or newly asked of a text scans the recorded text: there a placeholder is the value that it stands for only
to the very check that found it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import msgspec

from guardproxy import redaction
from guardproxy.audit import (
    Closing,
    Record,
    RecordedAttempt,
    RecordedFinding,
    RecordedPlaces,
    RecordedSide,
    RecordedText,
)
from guardproxy.checks import Check, labels
from guardproxy.errors import NO_CAPACITY
from guardproxy.exchange import (
    Aborted,
    Command,
    DataReceived,
    DownstreamGone,
    Exchange,
    Finish,
    Input,
    Job,
    Limits,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    Scanned,
    Setting,
    UpstreamFailed,
    Waited,
)
from guardproxy.exchange import Scan as ScanCommand
from guardproxy.findings import Finding, Kind, Scan, Window
from guardproxy.policy import PolicySet
from guardproxy.redaction import PLACEHOLDER, RESTORE, Restoration, Restoring
from guardproxy.replay.comparison import UNTOUCHED, Masked, differences, is_seen, moved_decisions
from guardproxy.replay.recorded import Recorded
from guardproxy.wire import UNBOUNDED, codec_for
from guardproxy.wire.json import view, write

ReplayVerdict = Literal["identical", "different", "cannot be told", "not replayable"]
_KEY = hashlib.sha256(b"guardproxy replay: what a new rule redacts gets a placeholder of its own").digest()
_WHY = "the value stands masked in the record, and the check that found it is another one now"
# Checks whose labels mean the same in every policy: what one found, another that looks for the same label finds too.
_CATALOGUES = frozenset(("pii", "secrets"))
_KNOWN = frozenset(("retry", "repair", "fallback", "failed"))


@dataclass(frozen=True, slots=True)
class Replayed:
    """`differences`: one line each, in words; `cannot be told`: each of them is about a value that stands masked in the record,
    which a new or changed check could not read. `rescanned`: checks that were run again because they are new or changed;
    `assumed`: policies that were taken to apply, as their condition asks for headers, of which a record holds none, or for the
    tenant's name, of which an old record holds none."""

    verdict: ReplayVerdict
    differences: tuple[str, ...] = ()
    rescanned: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rerun:
    """A record's exchange, run again. `record`: the new one; `done`: what it asked of the outside; `rescanned`: as above;
    `blind`: what stands masked and could not be read again."""

    exchange: Exchange
    record: Record
    done: tuple[Command, ...]
    rescanned: tuple[str, ...] = ()
    blind: frozenset[Masked] = frozenset()


def replay(record: Record | Closing, policies: PolicySet) -> Replayed:
    """Runs the record's exchange again under `policies`, and compares. That of a closing cannot be run again."""
    again = rerun(record, policies)
    if isinstance(again, str) or isinstance(record, Closing):
        return Replayed("not replayable", (str(again),))
    found = tuple(differences(record, again.record))
    moved = list(moved_decisions(record, again.record, again.blind))
    untold = {decision.rule for decision, way in moved if way == "cannot be told"}
    untold -= {decision.rule for decision, way in moved if way != "cannot be told"}
    told = [decision for decision, way in moved if way != "cannot be told"]
    matched = again.record.matched
    assumed = (one.name for one in policies.policies if matched.get(one.match.digest) == "unknown")
    if untold:
        lines = (f"rule `{rule}`: whether it still holds cannot be told; {_WHY}" for rule in sorted(untold))
        gone = {f"{word} `{rule}` no longer holds" for rule in untold for word in ("rule", "shadow rule")}
        found = (*lines, *(line for line in found if told and line not in gone))
    verdict: ReplayVerdict = "different" if found else "identical"
    if untold and not told:
        verdict = "cannot be told"
    return Replayed(verdict, found, again.rescanned, tuple(sorted(assumed)))


def rerun(record: Record | Closing, policies: PolicySet) -> Rerun | str:
    """The record's exchange under `policies`, or why it cannot be run again."""
    if isinstance(record, Closing):
        return "the end of the exchange is unknown: the process ended before its record was kept"
    if reason := _missing(record, policies):
        return reason
    codec = codec_for(record.route)
    if codec is None:
        return "its wire format is not installed"
    memory, attempts = _Memory(record, policies), _attempts(record)
    stopped = record.outcome == "blocked_response" and attempts[-1].decision != "late"
    recorded = Recorded(codec, record.response, stopped, names_kinds=record.request.uninspected_kinds is not None)
    exchange = Exchange(
        Setting(
            id=record.id,
            route=record.route,
            tenant=record.tenant,
            codec=recorded,
            policies=policies,
            mint=lambda label, value: value if PLACEHOLDER.fullmatch(value) else redaction.mint(_KEY, "", label, value),
            seal=lambda data: "",
            hashed=lambda kind, value: redaction.hashed(_KEY, "", kind, value),
            engine=record.engine,
            restoring=lambda values, where: _Restored(values, where, memory, record.restore),
            restores_system=record.restore is None,
            conversation=record.conversation,
            replayed=tuple(attempt.tokens for attempt in attempts),
            matched=record.matched,
            tenant_name=record.tenant_name if record.tenant else "",  # `None`: an older record, which holds no name
            limits=Limits(bounds=UNBOUNDED),  # of its own time
        )
    )
    if record.request.body is None:
        done = exchange.receive(_ending(record, attempts[-1]))
        return Rerun(exchange, exchange.record(NO_CAPACITY), tuple(done))
    body, language = write(record.request.body), record.language
    done = _run(exchange, memory, RequestReceived(body, unix_s=record.at, language=language, headers=None))
    for number, attempt in enumerate(attempts):
        if exchange.phase == "over" or exchange.attempt < number or exchange.phase == "request":
            break
        ending = _ending(record, attempt) if number == len(attempts) - 1 else _next(attempt)
        done += _answer(exchange, memory, recorded, attempt, ending, record.signs if number == 0 else 0)
    if memory.unreadable:
        return f"the record keeps no text of a call that `{memory.unreadable}` would read"
    new = done[-1].record if done and isinstance(done[-1], Finish) else exchange.record("sent upstream")
    return Rerun(exchange, new, tuple(done), tuple(sorted(memory.rescanned)), frozenset(memory.blind))


def _attempts(record: Record) -> list[RecordedAttempt]:
    """Every answer of the model, the last one in the same form as those before it."""
    last = record.attempts[-1] if record.attempts else _only_attempt(record)
    return [*record.attempts[:-1], msgspec.structs.replace(last, response=record.response, usage=record.usage)]


def _only_attempt(record: Record) -> RecordedAttempt:
    return RecordedAttempt(
        decision=record.outcome,
        rule="",
        errors=(),
        cut=False,
        tokens=0,
        output_tokens=0,
        counted=False,
        began=0.0,
        ended=record.timings.get("finished", 0.0),
    )


def _answer(
    exchange: Exchange,
    memory: _Memory,
    recorded: Recorded,
    attempt: RecordedAttempt,
    ending: Input,
    signs: int,
) -> list[Command]:
    """One recorded answer, to its end or until it is discarded. The times are the recorded ones: a budget may be of time.
    `signs`: signs of life that were sent."""
    number, at_s = exchange.attempt, attempt.ended / 1000
    answer = attempt.response or recorded.answer
    recorded.answer, recorded.usage = answer, attempt.usage or {}
    memory.at_s = at_s
    done: list[Command] = []
    if exchange.phase == "waiting" and answer.status is not None:
        media = "text/event-stream" if answer.streamed else "application/json"
        done += _run(exchange, memory, ResponseStarted(answer.status, media, at_s))
        if signs:
            done += _run(exchange, memory, Waited(at_s + exchange.setting.limits.quiet_s))
    if exchange.attempt == number and exchange.phase == "answer":
        done += _run(exchange, memory, DataReceived(b"", at_s))
    if exchange.attempt == number and exchange.phase != "over":
        done += _run(exchange, memory, ending)
    return done


def _next(attempt: RecordedAttempt) -> Input:
    """What ended an answer that another one followed."""
    decision, at_s = attempt.decision, attempt.ended / 1000
    if decision == "late":
        return Waited(at_s)
    return ResponseEnded(at_s) if decision in _KNOWN else UpstreamFailed(decision, "", at_s=at_s)


def _missing(record: Record, policies: PolicySet) -> str:
    if not is_seen(record):
        return f"the exchange was {'refused' if record.is_read else 'passed'}: no check saw it"
    if record.request.body is None:
        if record.outcome == NO_CAPACITY and record.policies == policies.digest:
            return ""  # no check gave a verdict, so nothing was decided
        return "the record keeps no text of the request"
    for answer in record.answers:
        texts = (answer.texts[number] for number, _ in answer.runs if number >= 0)
        if any(text.text is None and not text.judged for text in texts):
            return "the record keeps no text of the answer"
    return ""


def _ending(record: Record, attempt: RecordedAttempt) -> Input:
    outcome = record.outcome
    message = record.error.message if record.error else ""
    if attempt.decision == "late":
        return Waited(attempt.ended / 1000)
    if outcome == "client_closed":
        return DownstreamGone()
    if outcome == "audit_unavailable":
        return Aborted(outcome, message, record.status)
    if outcome not in UNTOUCHED:
        kind = Aborted if outcome == NO_CAPACITY else UpstreamFailed  # no policy decides about the first
        return kind(outcome, message, record.status)
    return ResponseEnded()


def _run(exchange: Exchange, memory: _Memory, happened: Input) -> list[Command]:
    """The commands that are for the outside, after all scans were answered."""
    done: list[Command] = []
    todo: list[Command] = exchange.receive(happened)
    while todo:
        command = todo.pop(0)
        if isinstance(command, ScanCommand):
            memory.attempt = exchange.attempt
            todo += exchange.receive(Scanned(tuple(map(memory.scan, command.jobs)), memory.at_s))
        else:
            done.append(command)
    return done


class _Memory:
    """What the recorded checks found, by attempt, place and text. `attempt`: which answer is looked at now."""

    def __init__(self, record: Record, policies: PolicySet) -> None:
        self._specs = {
            check.name: policy.checks[name]
            for policy in policies.policies
            for name in policy.checks
            if (check := policies.checks.get((policy.name, name)))
        }
        self.blind: set[Masked] = set()
        self._digests = record.checks
        self._texts: dict[tuple[int, str, str, str], list[tuple[str, RecordedText]]] = {}
        self._elsewhere: dict[tuple[int, str, str], list[tuple[str, RecordedText]]] = {}  # of any kind
        self._values: dict[tuple[str, str], tuple[str, float]] = {}
        self.attempt = 0
        self.at_s = 0.0  # when that was over
        self.rescanned: set[str] = set()
        self.unreadable = ""  # a check that would have to read what is not kept
        sides: tuple[RecordedSide, ...] = (record.request, *record.answers)
        for number, side in enumerate(sides):
            for text in side.texts:
                place = (max(0, number - 1), "response" if number else "request", text.kind, text.path)
                shown = " " * text.chars if text.judged else text.text
                if shown is not None:
                    self._texts.setdefault(place, []).append((shown, text))
                    self._elsewhere.setdefault((place[0], place[1], place[3]), []).append((shown, text))
                    seen = view(shown).text if text.encoded else shown
                    for finding in text.findings:
                        value = seen[finding.start : finding.end]
                        self._values[finding.check, value] = (finding.label, finding.score)

    def scan(self, job: Job) -> Scan:
        window, check = job.window, job.check
        same = self._digests.get(check.name) == getattr(check, "pair_digest", check.digest)
        gives_way = getattr(check, "gives_way", False)  # then what is recorded under its name is its partner's to tell
        if same and window.facts.form and window.channel.direction == "request":
            return settled(window, ())  # the schema of a request that was sent
        if same and (found := self.findings(window, check.name)) is not None:
            return settled(window, () if gives_way else found)
        if any(text.judged for _, text in self._at(window)):
            self.unreadable = check.name
            return settled(window, ())
        self.rescanned.add(check.name)
        scan = check.scan([window])[0]
        if same:
            more = () if gives_way else tuple(self._masked(window, scan, check.name))
            return replace(scan, findings=tuple(sorted((*scan.findings, *more))))
        return self._recorded(window, scan, check)

    def _recorded(self, window: Window, scan: Scan, check: Check) -> Scan:
        """The scan with what the record says of masked values that a new or changed check looks for as well."""
        found, done = list(scan.findings), scan.settled
        for finding in self._masks_in(window):
            where = (window.channel.direction, window.channel.path, finding.label)
            wanted = labels(check)
            if wanted is not None and finding.label not in wanted:
                continue
            if not self._surely_finds(check.name, wanted, finding):
                self.blind.add(where)
            elif finding.end <= done:
                found.append(replace(finding, check=check.name))
            elif finding.start < done:
                done = finding.start
        found = [finding for finding in found if finding.end <= done]
        return replace(scan, findings=tuple(sorted(found)), settled=done, keep=min(scan.keep, done))

    def _surely_finds(self, name: str, wanted: frozenset[str] | None, finding: Finding) -> bool:
        spec = self._specs.get(name)
        if spec is None or spec.use not in _CATALOGUES or wanted is None:
            return False
        least = spec.options.get("threshold", 0.0)
        return not isinstance(least, int | float) or finding.score >= least

    def _masks_in(self, window: Window) -> Iterator[Finding]:
        """What was found in the window's text and stands masked in it."""
        for shown, text in self._at(window):
            seen = view(shown).text if text.encoded else shown
            if not seen.startswith(window.text, window.start):
                continue
            for finding in text.findings:
                start, end = finding.start, finding.end
                if finding.check != RESTORE and start >= window.settled and PLACEHOLDER.fullmatch(seen, start, end):
                    yield Finding(start, end, finding.check, finding.label, finding.score)
            return

    def _masked(self, window: Window, scan: Scan, name: str) -> Iterator[Finding]:
        """The masked values that this very check found in another text: it would find them here too."""
        restored = {one.start for one in self.findings(window, RESTORE) or ()}  # placeholders on the wire are no values
        for match in PLACEHOLDER.finditer(window.text):
            if match.end() <= scan.settled and match.start() not in restored and (name, match[0]) in self._values:
                label, score = self._values[name, match[0]]
                yield Finding(match.start(), match.end(), name, label, score)

    def _at(self, window: Window, later: int = 0) -> list[tuple[str, RecordedText]]:
        channel = window.channel
        attempt = self.attempt + later if channel.direction == "response" else 0
        found = self._texts.get((attempt, channel.direction, channel.kind, channel.path))
        # An older record may call the kind of a place by another name.
        return found or self._elsewhere.get((attempt, channel.direction, channel.path), [])

    def findings(self, window: Window, name: str) -> tuple[Finding, ...] | None:
        """What the check of this name found in the window's text, which may be the beginning of a recorded one; `None`
        where it was not asked."""
        its = self._at(window)
        same = [text for shown, text in its if _reads(shown, text, window.text, str.__eq__)] or [
            text for shown, text in its if _reads(shown, text, window.text, str.startswith)
        ]
        if not same or name not in same[0].checks:
            return None
        return tuple(
            Finding(
                finding.start, finding.end, name, finding.label, finding.score, repair=self._mended(window, finding)
            )
            for finding in same[0].findings
            if finding.check == name and finding.end <= len(window.text)
        )

    def _mended(self, window: Window, finding: RecordedFinding) -> str | None:
        """The text that was put in place of this one: it is the next answer's."""
        return next((shown for shown, _ in self._at(window, later=1)), "") if finding.repair else None


def _reads(shown: str, text: RecordedText, window: str, same: Callable[[str, str], bool]) -> bool:
    """Whether a window is of a recorded text: of JSON in a string as it stands, or decoded."""
    return same(shown, window) or (text.encoded and same(view(shown).text, window))


def settled(window: Window, found: tuple[Finding, ...]) -> Scan:
    """A scan that settles all of a window."""
    return Scan(found, window.start + len(window.text), window.start)


@dataclass(frozen=True, slots=True)
class _Restored:
    """Finds the placeholders that were found: a masked value looks like one in the record, and is none. What was said of each
    holds again, unless the policies let values come back in other places than those that are `told` in the record (`None`: the
    record was written by a version that knew no places)."""

    values: Mapping[str, str]
    restorations: Mapping[str, Restoration]
    memory: _Memory
    told: Sequence[RecordedPlaces] | None = None
    name: str = RESTORE
    digest: str = ""

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        found = self.memory.findings(window, self.name)
        if found is None:
            return Restoring(self.values, self.restorations).scan([window])[0]
        if self.told is not None and self._differs():
            again = Restoring(self.values, self.restorations).scan([replace(window, last=True, state=None)])[0]
            labels = {finding.start: finding.label for finding in again.findings}
            found = tuple(replace(finding, label=labels.get(finding.start, finding.label)) for finding in found)
        own = (finding for finding in found if window.text[finding.start : finding.end] in self.values)
        return settled(window, tuple(own))

    def _differs(self) -> bool:
        where = {Restoration(_kinds(place.kinds), frozenset(place.urls)) for place in self.told or ()}
        return where != set(self.restorations.values())


def _kinds(kinds: Sequence[str] | None) -> frozenset[Kind] | None:
    return None if kinds is None else frozenset(cast(Sequence[Kind], kinds))
