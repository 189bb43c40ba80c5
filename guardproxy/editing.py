"""What stands for what was found: in the text that goes on, and in the record.

In: a lane's settled findings. Out: its edits (what a redact rule cuts out, what a placeholder gives back) and its masks
(what the record must not show). Kept: the values of this exchange, so that the answer's reader gets them back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from guardproxy.checks import Check
from guardproxy.findings import Finding
from guardproxy.gate import CHECK_ERROR, Lane
from guardproxy.placeholders import RESTORE, Restoring
from guardproxy.policy.evaluate import Bound
from guardproxy.record import merge


@dataclass(slots=True)
class Editor:
    """`mint(label, value)` makes a placeholder. `values`: placeholder -> value, to restore. `tokens`: value ->
    placeholder, for the record."""

    mint: Callable[[str, str], str]
    restoring_of: Callable[[Mapping[str, str]], Check] = Restoring
    bound: Bound | None = None
    values: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    restoring: Check = field(init=False)
    _sensitive: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restoring = self.restoring_of(self.values)

    def edit(self, lane: Lane, found: Sequence[Finding]) -> None:
        """Decides the edits and masks of newly settled findings, which lie after all earlier ones."""
        edits: list[tuple[int, int, str]] = []
        masks: list[tuple[int, int, str]] = []
        gone: list[tuple[int, int]] = []  # spans whose value must not come back
        for finding in found:
            span = (finding.start, finding.end)
            if finding.check == RESTORE:
                edits.append((*span, RESTORE))
                continue
            if finding.label == CHECK_ERROR:
                continue
            edit = self.bound.edit(lane.channel, finding) if self.bound else None
            if edit:
                edits.append((*span, finding.label))
                if not edit.restore or lane.channel.direction == "response":
                    gone.append(span)
            if edit or self._is_sensitive(finding.check):
                masks.append((*span, finding.label))
        for start, end, label in merge(edits):
            text = lane.text_of(start, end)
            if text in self.values:  # an edit of nothing but a placeholder of ours: the client knows the value
                lane.edit(start, end, self.values[text])
                continue
            token = self._token("VALUE" if label == RESTORE else label, text)
            lane.edit(start, end, token)
            if not lane.stand_in(start, end) and not any(start < high and low < end for low, high in gone):
                self.values[token] = text
        for start, end, label in merge(masks):
            token = self._token(label, lane.text_of(start, end))
            lane.masks.append((start, end, lane.stand_in(start, end) or token))

    def _token(self, label: str, text: str) -> str:
        return self.tokens.setdefault(text, self.mint(label, text))

    def _is_sensitive(self, check: str) -> bool:
        """Whether the record must not show what the check found. One that judges whole texts says `sensitive = False`."""
        if check not in self._sensitive:
            built = self.bound.checks.values() if self.bound else ()
            named = next((one for one in built if one.name == check), None)
            self._sensitive[check] = bool(getattr(named, "sensitive", True))
        return self._sensitive[check]
