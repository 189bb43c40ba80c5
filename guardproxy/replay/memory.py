"""Provides a replayed exchange with the results in a record: findings of checks, tokens and conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import cast

from msgspec import structs

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedFinding, RecordedPlaces, RecordedSide, RecordedText
from guardproxy.checks import ALLOW, QUICK, Check, Traits
from guardproxy.events import Event
from guardproxy.exchange import TROUBLES, RunScans, Scanned, recollection
from guardproxy.exchange.gate import Job
from guardproxy.findings import Finding, Kind, Scan, Window
from guardproxy.policy import MatchVerdict, PolicySet
from guardproxy.redaction import PLACEHOLDER, RESTORE, Restoration, Restoring
from guardproxy.replay.comparison import MaskedValue
from guardproxy.wire.json import view

# Checks whose labels mean the same in every policy: each finds the values that another check found under the label.
_CATALOGUES = frozenset(("pii", "secrets"))


class Memory:
    """The recorded findings, by attempt, place and text. `attempt`: the number of the current answer."""

    def __init__(self, record: Record, policies: PolicySet) -> None:
        self._specs = {
            check.name: policy.checks[name]
            for policy in policies.policies
            for name in policy.checks
            if (check := policies.checks.get((policy.name, name)))
        }
        self.blind: set[MaskedValue] = set()
        self._digests = record.checks
        self._record = record
        self._texts: dict[tuple[int, str, str, str], list[tuple[str, RecordedText]]] = {}
        self._elsewhere: dict[tuple[int, str, str], list[tuple[str, RecordedText]]] = {}  # as above, for any kind
        self._values: dict[tuple[str, str], tuple[str, float]] = {}
        self.attempt = 0
        self.at_s = 0.0  # the time at which the attempt ended
        self.rescanned: set[str] = set()
        self.unreadable = ""  # the name of a check that needs a text that was not kept
        self.unasked = ""  # the name of a check that would have to ask a model elsewhere
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

    def perform(self, command: RunScans) -> Scanned:
        """Returns the recorded scans for these jobs."""
        return Scanned(tuple(map(self.scan, command.jobs)), self.at_s)

    def remembered(
        self, command: recollection.MemoryCommand
    ) -> recollection.MemoryRecalled | recollection.MemoryClaimed:
        """Returns what the exchange recalled, by the uses of the memory and in order; nothing for entries that it did not ask
        for."""
        if not isinstance(command, recollection.RecallMemory):
            return recollection.nothing_remembered(command)
        waiting = {use: list(reversed(entries)) for use, entries in self._record.recalled.items()}
        found = [waiting[key.use].pop() if waiting.get(key.use) else {} for key in command.keys]
        return recollection.MemoryRecalled(tuple(found), is_reached=not self._record.unrecalled)

    def scan(self, job: Job) -> Scan:
        window, check = job.window, job.check
        first = check.traits.partner_of  # the record has a partner's findings under its check
        same = self._digests.get(check.name) == (first or check.digest)
        if same and job.joins:
            return settle_all(window, ())  # the record has these findings in the parts
        if same and window.facts.form and window.channel.direction == "request":
            return settle_all(window, ())  # the schema of a request that was sent
        if same and (recorded := self.findings(window, check.name)) is not None:
            return settle_all(window, () if first else recorded)
        if check.traits.needs_masked:
            self.unasked = check.name  # a replay asks nobody
            return settle_all(window, ())
        # The record has no text of what is only judged. In a request the replay makes the text again.
        is_answer = window.channel.direction == "response"
        if is_answer and any(text.judged for _, text in self._at(window)):
            self.unreadable = check.name
            return settle_all(window, ())
        if is_answer and check.traits.needs_call and window.facts.call and window.facts.call.role == "piece":
            self.unreadable = check.name  # the record has only the strings of the arguments
        self.rescanned.add(check.name)
        scan = check.scan([window])[0]
        if same:
            more = () if first else tuple(self._masked_elsewhere(window, scan, check.name))
            return structs.replace(scan, findings=tuple(sorted((*scan.findings, *more))))
        return self._with_recorded_masks(window, scan, check)

    def _with_recorded_masks(self, window: Window, scan: Scan, check: Check) -> Scan:
        """Returns the scan of a new or changed check, with the recorded findings of masked values that it would
        find."""
        findings, done, wanted = list(scan.findings), scan.settled, check.traits.labels
        for finding in self._masks_in(window):
            where = (window.channel.direction, window.channel.path, finding.label)
            if wanted is not None and finding.label not in wanted:
                continue
            if not self._surely_finds(check.name, wanted, finding):
                self.blind.add(where)
            elif finding.end <= done:
                findings.append(replace(finding, check=check.name))
            elif finding.start < done:
                done = finding.start
        findings = [finding for finding in findings if finding.end <= done]
        return structs.replace(scan, findings=tuple(sorted(findings)), settled=done, keep=min(scan.keep, done))

    def _surely_finds(self, name: str, wanted: frozenset[str] | None, finding: Finding) -> bool:
        spec = self._specs.get(name)
        if spec is None or spec.use not in _CATALOGUES or wanted is None:
            return False
        if any(spec.options.get(key) for key in ALLOW):  # the masked value may be one of them
            return False
        least = spec.options.get("threshold", 0.0)
        return not isinstance(least, int | float) or finding.score >= least

    def _masks_in(self, window: Window) -> Iterator[Finding]:
        """Yields the recorded findings whose values are masked in the window's text."""
        for shown, text in self._at(window):
            seen = view(shown).text if text.encoded else shown
            if not seen.startswith(window.text, window.start):
                continue
            for finding in text.findings:
                start, end = finding.start, finding.end
                if finding.check != RESTORE and start >= window.settled and PLACEHOLDER.fullmatch(seen, start, end):
                    yield Finding(start, end, finding.check, finding.label, finding.score)
            return

    def _masked_elsewhere(self, window: Window, scan: Scan, name: str) -> Iterator[Finding]:
        """Yields masked values that this check found in another text, so that it would find them here too."""
        restored = {
            finding.start for finding in self.findings(window, RESTORE) or ()
        }  # placeholders in the live text, not masked values
        for match in PLACEHOLDER.finditer(window.text):
            if match.end() <= scan.settled and match.start() not in restored and (name, match[0]) in self._values:
                label, score = self._values[name, match[0]]
                yield Finding(match.start(), match.end(), name, label, score)

    def _at(self, window: Window, later: int = 0) -> list[tuple[str, RecordedText]]:
        channel = window.channel
        attempt = self.attempt + later if channel.direction == "response" else 0
        texts = self._texts.get((attempt, channel.direction, channel.kind, channel.path))
        # An older record may name the kind of a place differently.
        return texts or self._elsewhere.get((attempt, channel.direction, channel.path), [])

    def findings(self, window: Window, name: str) -> tuple[Finding, ...] | None:
        """Returns the recorded findings of a check in the window's text, which may be the beginning of a recorded
        text; `None` if the check did not read the text."""
        candidates = self._at(window)
        # The record has no text of what is only judged. In a request the replay makes the text again, from the same place.
        again = [text for _, text in candidates if text.judged and window.channel.direction == "request"]
        same = (
            again
            or [text for shown, text in candidates if _reads(shown, text, window.text, str.__eq__)]
            or [text for shown, text in candidates if _reads(shown, text, window.text, str.startswith)]
        )
        if not same or name not in same[0].checks:
            return None
        return tuple(
            Finding(
                finding.start, finding.end, name, finding.label, finding.score, repair=self._repair(window, finding)
            )
            for finding in same[0].findings
            if finding.check == name and finding.end <= len(window.text)
        )

    def found_in(self, window: Window, name: str) -> tuple[Finding, ...]:
        """Returns the recorded findings of a check in the whole text of a window, which may be any part of it."""
        texts = (text for _, text in self._at(window) if name in text.checks)
        return tuple(
            Finding(finding.start, finding.end, name, finding.label, finding.score)
            for text in islice(texts, 1)
            for finding in text.findings
            if finding.check == name
        )

    def _repair(self, window: Window, finding: RecordedFinding) -> str | None:
        """Returns the text that replaced this text. It is recorded with the next answer."""
        return next((shown for shown, _ in self._at(window, later=1)), "") if finding.repair else None


def _reads(shown: str, text: RecordedText, window: str, same: Callable[[str, str], bool]) -> bool:
    """Whether a window belongs to a recorded text. The window may hold the raw text of JSON, or the decoded text. Of a text
    that is only judged, the record keeps the place."""
    return text.judged or same(shown, window) or (text.encoded and same(view(shown).text, window))


def settle_all(window: Window, findings: tuple[Finding, ...]) -> Scan:
    """Returns a scan that settles a whole window."""
    return Scan(findings, window.start + len(window.text), window.start)


@dataclass(frozen=True, slots=True)
class _RestoredValues:
    """Finds only placeholders that the live run found: masks in the record have the same syntax, but were never
    restored.

    The recorded labels are used again, unless the policies restore values in other places than the record's `places`
    (`None`: the record's version has no such places).
    """

    values: Mapping[str, str]
    restorations: Mapping[str, Restoration]
    memory: Memory
    places: Sequence[RecordedPlaces] | None = None
    name: str = RESTORE
    digest: str = ""
    traits: Traits = QUICK

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        recorded = self.memory.findings(window, self.name)
        if recorded is None:
            return Restoring(self.values, self.restorations).scan([window])[0]
        if self.places is not None and self._differs():
            again = Restoring(self.values, self.restorations).scan([structs.replace(window, last=True, state=None)])[0]
            labels = {finding.start: finding.label for finding in again.findings}
            recorded = tuple(replace(finding, label=labels.get(finding.start, finding.label)) for finding in recorded)
        own = (finding for finding in recorded if window.text[finding.start : finding.end] in self.values)
        return settle_all(window, tuple(own))

    def _differs(self) -> bool:
        where = {Restoration(_kinds(place.kinds), frozenset(place.urls)) for place in self.places or ()}
        return where != set(self.restorations.values())


def _kinds(kinds: Sequence[str] | None) -> frozenset[Kind] | None:
    return None if kinds is None else frozenset(cast(Sequence[Kind], kinds))


@dataclass(frozen=True, slots=True)
class RecordedHistory:
    """The `History` of a recorded exchange. `counted_tokens`: the tokens of each attempt; `is_same_set`: whether it is replayed
    under the policies of the record.

    Answers are neither quoted nor repaired again, because the next answer is in the record.
    """

    record: Record
    memory: Memory
    counted_tokens: tuple[int, ...]
    is_same_set: bool = False

    @property
    def documents(self) -> Sequence[RecordedText] | None:
        # Under the same policies the same texts are documents, even if a mask hides a mark of one. Others may name others.
        return [text for text in self.record.request.texts if text.span is not None] if self.is_same_set else None

    @property
    def conversation(self) -> str:
        return self.record.conversation

    @property
    def matched(self) -> Mapping[str, MatchVerdict]:
        return self.record.matched

    @property
    def prompt_mark(self) -> str:
        return next((prompt.mark for prompt in self.record.prompts), "")

    @property
    def restores_system(self) -> bool:
        return self.record.restore is None

    @property
    def recalled(self) -> Mapping[str, int]:
        return {use: len(entries) for use, entries in self.record.recalled.items()}

    def restoring(self, values: Mapping[str, str], restorations: Mapping[str, Restoration]) -> Check:
        return _RestoredValues(values, restorations, self.memory, self.record.restore)

    def tokens(self, attempt: int, estimated: int) -> int:
        return self.counted_tokens[attempt] if attempt < len(self.counted_tokens) else estimated

    def measures(self, computed: Callable[[], Mapping[str, int]]) -> Mapping[str, int]:
        # A placeholder is not as long as the value that it stands for.
        recorded = {name: value for route in self.record.routing for name, value in route.measures.items()}
        return {**computed(), **recorded}

    def trouble(self, attempt: int, computed: str) -> str:
        decisions = [attempt.decision for attempt in self.record.attempts[:-1]]
        return decisions[attempt] if attempt < len(decisions) and decisions[attempt] in TROUBLES else ""

    def approved_by(self, place: tuple[int, str, str]) -> str:
        return next(
            (
                decision.approved_by
                for decision in self.record.decisions
                if decision.approved_by and (decision.attempt, decision.direction, decision.path) == place
            ),
            "",
        )

    def quotable(self, is_asked: bool) -> bool:
        return False

    def repairable(self, events: Sequence[Event]) -> Sequence[Event]:
        return ()
