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
from typing import Any, Literal

from guardproxy import redaction
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
    play,
)
from guardproxy.exchange import Scan as ScanCommand
from guardproxy.findings import Finding, Kind, Scan, Window
from guardproxy.policy import PolicySet
from guardproxy.redaction import PLACEHOLDER, RESTORE, Restoration, Restoring
from guardproxy.replay.comparison import UNTOUCHED, Masked, differences, moved_decisions
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
    record: Mapping[str, Any]
    done: tuple[Command, ...]
    rescanned: tuple[str, ...] = ()
    blind: frozenset[Masked] = frozenset()


def replay(record: Mapping[str, Any], policies: PolicySet) -> Replayed:
    """Runs the record's exchange again under `policies`, and compares."""
    again = rerun(record, policies)
    if isinstance(again, str):
        return Replayed("not replayable", (again,))
    found = tuple(differences(record, again.record))
    moved = list(moved_decisions(record, again.record, again.blind))
    untold = {decision["rule"] for decision, way in moved if way == "cannot be told"}
    untold -= {decision["rule"] for decision, way in moved if way != "cannot be told"}
    told = [decision for decision, way in moved if way != "cannot be told"]
    matched = again.record.get("matched", {})
    assumed = (one.name for one in policies.policies if matched.get(one.match.digest) == "unknown")
    if untold:
        lines = (f"rule `{rule}`: whether it still holds cannot be told; {_WHY}" for rule in sorted(untold))
        gone = {f"{word} `{rule}` no longer holds" for rule in untold for word in ("rule", "shadow rule")}
        found = (*lines, *(line for line in found if told and line not in gone))
    verdict: ReplayVerdict = "different" if found else "identical"
    if untold and not told:
        verdict = "cannot be told"
    return Replayed(verdict, found, again.rescanned, tuple(sorted(assumed)))


def rerun(record: Mapping[str, Any], policies: PolicySet) -> Rerun | str:
    """The record's exchange under `policies`, or why it cannot be run again."""
    if reason := _missing(record, policies):
        return reason
    codec = codec_for(record["route"])
    if codec is None:
        return "its wire format is not installed"
    memory, attempts = _Memory(record, policies), _attempts(record)
    stopped = record["outcome"] == "blocked_response" and attempts[-1]["decision"] != "late"
    recorded = Recorded(codec, record["response"], stopped, names_kinds="uninspected_kinds" in record["request"])
    exchange = Exchange(
        Setting(
            id=record["id"],
            route=record["route"],
            tenant=record["tenant"],
            codec=recorded,
            policies=policies,
            mint=lambda label, value: value if PLACEHOLDER.fullmatch(value) else redaction.mint(_KEY, "", label, value),
            seal=lambda data: "",
            hashed=lambda kind, value: redaction.hashed(_KEY, "", kind, value),
            engine=record["engine"],
            restoring=lambda values, where: _Restored(values, where, memory, record.get("restore")),
            restores_system="restore" not in record,
            conversation=record.get("conversation", ""),
            replayed=tuple(one["tokens"] for one in attempts),
            matched=record.get("matched", {}),
            tenant_name=record.get("tenant_name", None if record["tenant"] else ""),  # older records hold no names
            limits=Limits(bounds=UNBOUNDED),  # of its own time
        )
    )
    if record["request"]["body"] is None:
        done = exchange.receive(_ending(record, attempts[-1]))
        return Rerun(exchange, exchange.record(NO_CAPACITY), tuple(done))
    body, language = write(record["request"]["body"]), record.get("language", "")
    done = play(exchange, [RequestReceived(body, unix_s=record["at"], language=language, headers=None)], memory.perform)
    for number, attempt in enumerate(attempts):
        if exchange.phase == "over" or exchange.attempt < number or exchange.phase == "request":
            break
        ending = _ending(record, attempt) if number == len(attempts) - 1 else _next(attempt)
        done += _answer(exchange, memory, recorded, attempt, ending)
    if memory.unreadable:
        return f"the record keeps no text of a call that `{memory.unreadable}` would read"
    new = done[-1].record if done and isinstance(done[-1], Finish) else exchange.record("sent upstream")
    return Rerun(exchange, new, tuple(done), tuple(sorted(memory.rescanned)), frozenset(memory.blind))


def _attempts(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Every answer of the model, the last one in the same form as those before it."""
    listed: list[Mapping[str, Any]] = list(record.get("attempts", ()))
    ended = record.get("timings", {}).get("finished", 0.0)
    last = listed.pop() if listed else {"decision": record["outcome"], "tokens": 0, "ended": ended}
    every = [*listed, {**last, "response": record["response"], "usage": record["usage"]}]
    return [{**one, "signs": record.get("signs", 0) if one is every[0] else 0} for one in every]


def _answer(
    exchange: Exchange, memory: _Memory, recorded: Recorded, attempt: Mapping[str, Any], ending: Input
) -> list[Command]:
    """One recorded answer, to its end or until it is discarded. The times are the recorded ones: a budget may be of time."""
    number, at_s = exchange.attempt, attempt["ended"] / 1000
    recorded.answer, recorded.usage = attempt["response"], attempt["usage"]
    memory.at_s = at_s
    done: list[Command] = []
    memory.attempt = number
    if exchange.phase == "waiting" and attempt["response"]["status"] is not None:
        media = "text/event-stream" if attempt["response"]["streamed"] else "application/json"
        done += play(exchange, [ResponseStarted(attempt["response"]["status"], media, at_s)], memory.perform)
        if attempt["signs"]:
            done += play(exchange, [Waited(at_s + exchange.setting.limits.quiet_s)], memory.perform)
    if exchange.attempt == number and exchange.phase == "answer":
        done += play(exchange, [DataReceived(b"", at_s)], memory.perform)
    if exchange.attempt == number and exchange.phase != "over":
        done += play(exchange, [ending], memory.perform)
    return done


def _next(attempt: Mapping[str, Any]) -> Input:
    """What ended an answer that another one followed."""
    decision, at_s = attempt["decision"], attempt["ended"] / 1000
    if decision == "late":
        return Waited(at_s)
    return ResponseEnded(at_s) if decision in _KNOWN else UpstreamFailed(decision, "", at_s=at_s)


def _missing(record: Mapping[str, Any], policies: PolicySet) -> str:
    if record["outcome"] == "unknown":
        return "the end of the exchange is unknown: the process ended before its record was kept"
    if record["outcome"] in ("passed", "refused"):
        return f"the exchange was {record['outcome']}: no check saw it"
    if record["request"]["body"] is None:
        if record["outcome"] == NO_CAPACITY and record["policies"] == policies.digest:
            return ""  # no check gave a verdict, so nothing was decided
        return "the record keeps no text of the request"
    for answer in (record["response"], *(one["response"] for one in record.get("attempts", ())[:-1])):
        asked = (answer["texts"][number] for number, _ in answer["runs"] if number >= 0)
        if any(one["text"] is None and not one.get("judged") for one in asked):
            return "the record keeps no text of the answer"
    return ""


def _ending(record: Mapping[str, Any], attempt: Mapping[str, Any]) -> Input:
    outcome = record["outcome"]
    if attempt["decision"] == "late":
        return Waited(attempt["ended"] / 1000)
    if outcome == "client_closed":
        return DownstreamGone()
    if outcome == "audit_unavailable":
        return Aborted(outcome, record.get("error", {}).get("message", ""), record["status"])
    if outcome not in UNTOUCHED:
        kind = Aborted if outcome == NO_CAPACITY else UpstreamFailed  # no policy decides about the first
        return kind(outcome, record.get("error", {}).get("message", ""), record["status"])
    return ResponseEnded()


class _Memory:
    """What the recorded checks found, by attempt, place and text. `attempt`: which answer is looked at now."""

    def __init__(self, record: Mapping[str, Any], policies: PolicySet) -> None:
        self._specs = {
            check.name: policy.checks[name]
            for policy in policies.policies
            for name in policy.checks
            if (check := policies.checks.get((policy.name, name)))
        }
        self.blind: set[Masked] = set()
        self._digests: Mapping[str, str] = record["checks"]
        self._texts: dict[tuple[int, str, str, str], list[tuple[str, Mapping[str, Any]]]] = {}
        self._elsewhere: dict[tuple[int, str, str], list[tuple[str, Mapping[str, Any]]]] = {}  # of any kind
        self._values: dict[tuple[str, str], tuple[str, float]] = {}
        self.attempt = 0
        self.at_s = 0.0  # when that was over
        self.rescanned: set[str] = set()
        self.unreadable = ""  # a check that would have to read what is not kept
        answers = [one["response"] for one in record.get("attempts", ())[:-1]] + [record["response"]]
        for number, side in enumerate([record["request"], *answers]):
            for one in side["texts"]:
                place = (max(0, number - 1), "response" if number else "request", one["kind"], one["path"])
                text = " " * one["chars"] if one.get("judged") else one["text"]
                if text is not None:
                    self._texts.setdefault(place, []).append((text, one))
                    self._elsewhere.setdefault((place[0], place[1], place[3]), []).append((text, one))
                    seen = view(text).text if one.get("encoded") else text
                    for finding in one["findings"]:
                        value = seen[finding["start"] : finding["end"]]
                        self._values[finding["check"], value] = (finding["label"], finding["score"])

    def perform(self, command: ScanCommand) -> Scanned:
        """What the record says of the texts to scan."""
        return Scanned(tuple(map(self.scan, command.jobs)), self.at_s)

    def scan(self, job: Job) -> Scan:
        window, check = job.window, job.check
        same = self._digests.get(check.name) == getattr(check, "pair_digest", check.digest)
        gives_way = getattr(check, "gives_way", False)  # then what is recorded under its name is its partner's to tell
        if same and window.facts.form and window.channel.direction == "request":
            return settled(window, ())  # the schema of a request that was sent
        if same and (found := self.findings(window, check.name)) is not None:
            return settled(window, () if gives_way else found)
        if any(one.get("judged") for _, one in self._at(window)):
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
        for text, one in self._at(window):
            seen = view(text).text if one.get("encoded") else text
            if not seen.startswith(window.text, window.start):
                continue
            for finding in one["findings"]:
                start, end = finding["start"], finding["end"]
                if finding["check"] != RESTORE and start >= window.settled and PLACEHOLDER.fullmatch(seen, start, end):
                    yield Finding(start, end, finding["check"], finding["label"], finding["score"])
            return

    def _masked(self, window: Window, scan: Scan, name: str) -> Iterator[Finding]:
        """The masked values that this very check found in another text: it would find them here too."""
        restored = {one.start for one in self.findings(window, RESTORE) or ()}  # placeholders on the wire are no values
        for match in PLACEHOLDER.finditer(window.text):
            if match.end() <= scan.settled and match.start() not in restored and (name, match[0]) in self._values:
                label, score = self._values[name, match[0]]
                yield Finding(match.start(), match.end(), name, label, score)

    def _at(self, window: Window, later: int = 0) -> list[tuple[str, Mapping[str, Any]]]:
        channel = window.channel
        attempt = self.attempt + later if channel.direction == "response" else 0
        found = self._texts.get((attempt, channel.direction, channel.kind, channel.path))
        # An older record may call the kind of a place by another name.
        return found or self._elsewhere.get((attempt, channel.direction, channel.path), [])

    def findings(self, window: Window, name: str) -> tuple[Finding, ...] | None:
        """What the check of this name found in the window's text, which may be the beginning of a recorded one; `None`
        where it was not asked."""
        its = self._at(window)
        same = [one for text, one in its if _reads(text, one, window.text, str.__eq__)] or [
            one for text, one in its if _reads(text, one, window.text, str.startswith)
        ]
        if not same or name not in same[0]["checks"]:
            return None
        return tuple(
            Finding(one["start"], one["end"], name, one["label"], one["score"], repair=self._mended(window, one))
            for one in same[0]["findings"]
            if one["check"] == name and one["end"] <= len(window.text)
        )

    def _mended(self, window: Window, finding: Mapping[str, Any]) -> str | None:
        """The text that was put in place of this one: it is the next answer's."""
        return next((text for text, _ in self._at(window, later=1)), "") if finding.get("repair") else None


def _reads(text: str, one: Mapping[str, Any], window: str, same: Callable[[str, str], bool]) -> bool:
    """Whether a window is of a recorded text: of JSON in a string as it stands, or decoded."""
    return same(text, window) or (bool(one.get("encoded")) and same(view(text).text, window))


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
    told: Sequence[Mapping[str, Any]] | None = None
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
        where = {Restoration(_kinds(place["in"]), frozenset(place["urls"])) for place in self.told or ()}
        return where != set(self.restorations.values())


def _kinds(kinds: Sequence[Kind] | None) -> frozenset[Kind] | None:
    return None if kinds is None else frozenset(kinds)
