"""Edits the text that goes on, and masks the text that the record shows.

In: a lane's settled findings, and values of earlier turns. Out: its edits (redacted values, restored placeholders), its masks
(values that the record must not show), and a stop if a schema accepts no replacement for a value. Kept: the values of the
exchange, so that the client gets them back in the answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice, takewhile
from operator import and_, attrgetter

from guardproxy.audit.record import RecordedPlaces
from guardproxy.checks import Check
from guardproxy.concurrency import lazy
from guardproxy.decisions import Stop
from guardproxy.events import Path
from guardproxy.exchange.gate.earlier import GivenValues, TurnValues
from guardproxy.exchange.gate.lanes import CHECK_ERROR, Lane
from guardproxy.findings import Finding
from guardproxy.policy import BoundRules
from guardproxy.redaction import (
    EVERYWHERE,
    MASK_ALL,
    PLACEHOLDER_OPERATOR,
    REMOVAL,
    RESTORE,
    WITHHELD,
    Operator,
    Restoration,
    Restoring,
    mask,
    merge,
    stand_in,
)
from guardproxy.wire import is_chance
from guardproxy.wire.json import edited_leaves, places


@dataclass(frozen=True, slots=True)
class _Cut:
    """A span that a rule redacts, or a placeholder to restore (`label` is `RESTORE`). `back`: the value may be restored."""

    start: int
    end: int
    label: str
    finding: Finding
    operator: Operator = PLACEHOLDER_OPERATOR
    back: bool = False
    rule: str = ""
    restoration: Restoration = EVERYWHERE

    @property
    def has_origin(self) -> bool:
        """Whether the value is at fault for where it came from, so that it is not restored either."""
        return any(detail.origin is not None for detail in self.finding.details)


@dataclass
class _Group:
    """Cuts that overlap, by start; of those with the same start, the longest comes first. `end`: the largest end of the
    cuts."""

    cuts: list[_Cut]
    end: int
    token: str = ""  # the placeholder of its text, once it was made

    @property
    def first(self) -> _Cut:
        return self.cuts[0]

    @lazy
    def back(self) -> bool:
        """Whether the value may be restored."""
        return all(cut.back for cut in self.cuts)

    @lazy
    def restoration(self) -> Restoration:
        """The places where the value may be restored: those that all cuts allow."""
        return reduce(and_, (cut.restoration for cut in self.cuts))

    @lazy
    def is_placeholder(self) -> bool:
        """Whether every cut puts a placeholder."""
        return all(cut.operator == PLACEHOLDER_OPERATOR for cut in self.cuts)


@dataclass(frozen=True, slots=True)
class _Part:
    """A string of a lane that cuts touch: the whole lane, or leaf `index` of its view."""

    start: int
    end: int
    text: str
    edited: str
    number: bool = False
    index: int | None = None


@dataclass(slots=True)
class Editor:
    """Edits and masks the lanes of an exchange. `mint(label, value)` makes a placeholder, `hashed(hash_type, value)` a keyed
    hash. `values`: replacement -> value to restore; `restorations`: replacement -> places where the value may be restored.
    `tokens`: value -> placeholder, for the record. `from_system`: values of system messages are restored too, as older
    versions did. `turn`: the values that later turns may need, and those of earlier turns."""

    mint: Callable[[str, str], str]
    hashed: Callable[[str, str], str]
    restoring_of: Callable[[Mapping[str, str], Mapping[str, Restoration]], Check] = Restoring
    bound: BoundRules | None = None
    from_system: bool = False
    values: dict[str, str] = field(default_factory=dict)
    restorations: dict[str, Restoration] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    restoring: Check | None = None
    """The check that finds placeholders of the exchange, once a text needs it."""
    turn: TurnValues = field(init=False)
    _sensitive: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.turn = TurnValues(self.values, self.restorations)

    @property
    def restores(self) -> bool:
        """Whether an answer may hold placeholders whose values the client gets back."""
        return bool(self.values or self.turn.earlier)

    def begin_restoring(self) -> Check:
        """Returns the check that finds placeholders of the exchange."""
        if self.restoring is None:
            self.restoring = self.restoring_of(self.values, self.restorations)
        return self.restoring

    def edit(self, lane: Lane, findings: Sequence[Finding]) -> None:
        """Decides the edits and masks of newly settled findings, which lie after all earlier ones."""
        cuts: list[_Cut] = []
        masks: list[tuple[int, int, str]] = []
        for finding in findings:
            start, end = finding.start, finding.end
            if finding.check == RESTORE:
                self.turn.meet(lane.text.scanned(start, end))
                if finding.label in WITHHELD or lane.place.fixed:
                    continue
                cuts.append(_Cut(start, end, RESTORE, finding))
                continue
            if finding.label == CHECK_ERROR:
                continue
            edit = self.bound.edit(lane.channel, finding) if self.bound else None
            if edit and lane.judged and lane.channel.kind == "tool_definition":
                lane.text.is_gone = True  # nothing can take the place of a part of it
                continue
            # The place accepts no edit, so a finding there ends the exchange: not for digits that an id has by chance.
            if edit and lane.place.fixed and is_chance("".join(lane.text.parts), lane.text.scanned(start, end)):
                continue
            if edit and (lane.place.fixed or lane.judged or (start == end and self._is_of_call(finding.check))):
                self._stop_at(lane, finding, edit.rule)
            elif edit:
                operator = edit.operators.of(finding.label)
                if operator == PLACEHOLDER_OPERATOR and self._finds_sentences(finding.check):
                    operator = REMOVAL
                back = edit.restores(finding.label) and self._knows(lane)
                cuts.append(_Cut(start, end, finding.label, finding, operator, back, edit.rule, edit.restoration))
            if edit or self._is_sensitive(finding.check):
                masks.append((start, end, finding.label))
        gone = [group for group in _groups(cuts) if not self._restored(lane, group)]
        if gone and (lane.shape or lane.encoded):
            self._fit(lane, gone)
        for start, end, label in merge(masks):
            token = self._token(label, lane.text.scanned(start, end))
            lane.rewrite.masks.append((start, end, lane.rewrite.replacement_for(start, end) or token))

    def _restored(self, lane: Lane, group: _Group) -> bool:
        """Makes the edit of cuts that overlap. Returns whether the edit restores a value and redacts nothing."""
        first = group.first
        start, end = first.start, group.end
        text = lane.text.scanned(start, end)
        is_known = text in self.values and any(cut.label == RESTORE and cut.end == end for cut in group.cuts)
        if is_known and not any(cut.has_origin for cut in group.cuts):
            # The span is a placeholder of this exchange, so the client knows the value.
            lane.rewrite.edit(start, end, self.values[text])
            return True
        token = self._token("VALUE" if first.label == RESTORE else first.label, text)
        lane.rewrite.edit(start, end, self._put(lane, group, text, token))
        # Within a number, digits went upstream and not the placeholder, so there is nothing to restore.
        if group.back and not lane.rewrite.replacement_for(start, end):
            self._keep(token, text, [group])
            self.turn.give(token, [(lane.channel.kind, cut.finding.check, cut.finding.label) for cut in group.cuts])
        return False

    def _knows(self, lane: Lane) -> bool:
        """Whether the client's user may see the values of a text. System messages belong to the application, not to the
        user."""
        is_of_system = lane.channel.kind == "system" or lane.place.is_in_system
        return lane.channel.direction == "request" and (not is_of_system or self.from_system)

    def _keep(self, token: str, value: str, groups: Iterable[_Group]) -> None:
        """Notes a value that may be restored, in the places that all groups allow."""
        where = reduce(and_, (group.restoration for group in groups))
        # A value may be found twice, by rules that differ: the stricter one counts.
        self.restorations[token] = self.restorations[token] & where if token in self.restorations else where
        self.values[token] = value

    def recall(self, groups: Sequence[GivenValues]) -> None:
        """Takes the values of the turns to which the request refers."""
        if self.bound is not None:
            self.turn.recall(groups, self.bound)

    def known(self) -> Mapping[str, str]:
        """What the record must not show: value -> placeholder."""
        return {**{value: token for token, value in self.turn.met.items()}, **self.tokens}

    def masked_values(self) -> Mapping[str, str]:
        """What no text that is kept or sent elsewhere may show: value -> placeholder."""
        return self.known() if self.turn.met else self.tokens

    def hide(self, label: str, value: str) -> None:
        """Notes a value that the record must not show, wherever it is."""
        self.tokens[value] = self.mint(label, value)

    def restored_places(self) -> tuple[RecordedPlaces, ...]:
        """The places where values may be restored, without duplicates, for the record. Of earlier turns, only the values that
        the answer holds count."""
        known = self.turn.known_restorations() if self.turn.earlier else self.restorations
        if not known:
            return ()
        return tuple(
            RecordedPlaces(
                kinds=None if where.kinds is None else tuple(sorted(where.kinds)), urls=tuple(sorted(where.hosts))
            )
            for where in sorted(set(known.values()), key=str)
        )

    def _put(self, lane: Lane, group: _Group, text: str, token: str) -> str:
        """The replacement for a group's text. A key gets a placeholder, as a constant could make two keys equal."""
        operator = PLACEHOLDER_OPERATOR if lane.place.key else group.first.operator
        is_joined = operator.joins and all(cut.operator == operator for cut in group.cuts)
        if operator.shows and len(group.cuts) > 1 and not is_joined:
            operator = MASK_ALL  # the visible part of a value may belong to an overlapping value
        put = operator.apply(text, token, self.hashed)
        if operator.shows and put.strip(operator.masking_char):
            self.tokens.setdefault(put, token)  # the record does not show the visible part of a mask either
        return put

    # Places that do not accept every text.

    def _fit(self, lane: Lane, gone: Sequence[_Group]) -> None:
        """Replaces the edits that a schema does not accept by texts that it accepts, or notes a stop."""
        spots = places(lane.text.view.raw) if lane.text.view else {}
        for part in _parts(lane):
            first = bisect_right(gone, part.start, key=attrgetter("end"))  # groups are sorted and do not overlap
            cuts = list(takewhile(lambda group: group.first.start < part.end, islice(gone, first, None)))  # noqa: B023
            if not cuts:  # all edits here restore values
                continue
            start = lane.text.view.leaves[part.index].start if lane.text.view and part.index is not None else 0
            path, is_key = spots.get(start, ((), False))
            if part.number:
                self._fit_number(lane, part, cuts, path)
            elif is_key or lane.place.key:
                self._fit_key(lane, part, cuts, path)
            elif lane.shape:
                self._fit_value(lane, part, cuts, path)

    def _fit_key(self, lane: Lane, part: _Part, gone: Sequence[_Group], path: Path) -> None:
        answers = lane.channel.direction == "response"
        if answers and lane.shape and lane.shape.declares(path):
            lane.rewrite.fitted[part.index or 0] = part.text  # the client must find the key by its own name
        elif part.index is not None and not all(group.is_placeholder for group in gone):
            # not a redacted value: the record masks its parts
            lane.rewrite.fitted[part.index or 0] = self.mint(gone[0].first.label, part.text)

    def _fit_number(self, lane: Lane, part: _Part, gone: Sequence[_Group], path: Path) -> None:
        if lane.shape and lane.channel.direction == "response":
            constraints = lane.shape.constraints(path, "number", "integer")
            if not any(constraint.takes(float(part.edited)) for constraint in constraints):
                self._stop(lane, gone[0].first)

    def _fit_value(self, lane: Lane, part: _Part, gone: Sequence[_Group], path: Path) -> None:
        assert lane.shape is not None  # noqa: S101 - asked by the caller
        constraints = lane.shape.constraints(path)
        free = all(constraint.free for constraint in constraints)
        if free and any(constraint.has_length(part.edited) for constraint in constraints):
            return
        first = gone[0].first
        if not gone[0].token:
            gone[0].token = self._token(first.label, lane.text.scanned(first.start, gone[0].end))
        replacement = stand_in(constraints, gone[0].token)
        if lane.channel.direction == "request":
            # APIs do not validate the arguments of earlier tool calls, so a placeholder is accepted anywhere. A replacement
            # that fits the schema is used only if it can be restored.
            if replacement and replacement.own and self.values.get(replacement.text, part.text) == part.text:
                lane.rewrite.fitted[part.index or 0] = replacement.text
                if all(group.back for group in gone):
                    self._keep(replacement.text, part.text, gone)
        elif replacement:
            lane.rewrite.fitted[part.index or 0] = replacement.text
        elif not free:
            self._stop(lane, first)

    @staticmethod
    def _stop(lane: Lane, cut: _Cut) -> None:
        message = "a policy redacts a value where the schema takes nothing in its place"
        lane.rewrite.stops[cut.finding] = Stop(cut.rule, message)

    @staticmethod
    def _stop_at(lane: Lane, finding: Finding, rule: str) -> None:
        field = lane.channel.path.rpartition(".")[2]
        message = f"a policy redacts a value in `{field}`, which cannot be edited; leave the value out there"
        lane.rewrite.stops[finding] = Stop(rule, message)

    def _token(self, label: str, text: str) -> str:
        if text not in self.tokens:
            self.tokens[text] = self.mint(label, text)
        return self.tokens[text]

    def _is_of_call(self, check: str) -> bool:
        """Whether a check judges calls, whose faults need not lie in a text that an edit could replace."""
        built = self.bound.checks.values() if self.bound else ()
        return any(candidate.name == check and candidate.traits.needs_call for candidate in built)

    def _finds_sentences(self, check: str) -> bool:
        """Whether what a check finds is taken out as a whole."""
        built = self.bound.checks.values() if self.bound else ()
        return any(candidate.name == check and candidate.traits.finds_sentences for candidate in built)

    def _is_sensitive(self, check: str) -> bool:
        """Whether the record must not show what the check found."""
        if check not in self._sensitive:
            built = self.bound.checks.values() if self.bound else ()
            named = next((candidate for candidate in built if candidate.name == check), None)
            # Of a check that is not known, the record assumes the worst.
            self._sensitive[check] = named is None or named.traits.is_sensitive
        return self._sensitive[check]


def _groups(cuts: Sequence[_Cut]) -> Iterator[_Group]:
    """Groups of cuts that overlap, in the order of the text."""
    group: _Group | None = None
    for cut in sorted(cuts, key=lambda cut: (cut.start, -cut.end)):
        if group is None or cut.start >= group.end:
            if group is not None:
                yield group
            group = _Group([], cut.end)
        group.cuts.append(cut)
        group.end = max(group.end, cut.end)
    if group is not None:
        yield group


def _parts(lane: Lane) -> Iterator[_Part]:
    """The strings and numbers of a lane that its edits touch."""
    if lane.text.view is None:
        whole = lane.text.scanned(0, lane.text.total)
        yield _Part(0, lane.text.total, whole, mask(whole, lane.rewrite.edits)[0], lane.place.number)
        return
    for index, text in edited_leaves(lane.text.view, lane.rewrite.edits).items():
        leaf = lane.text.view.leaves[index]
        yield _Part(leaf.at, leaf.at + len(leaf.text), leaf.text, text, leaf.number, index)
