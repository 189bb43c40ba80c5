"""What is known of an exchange before it runs: nothing of a live one, and of a recorded one what its record says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from guardproxy.checks import Check
from guardproxy.events import Event
from guardproxy.policy import MatchVerdict
from guardproxy.redaction import Restoration, Restoring


class History(Protocol):
    """The source of everything that a recorded exchange takes from its record instead of working it out."""

    @property
    def conversation(self) -> str:
        """The pseudonym of the conversation; empty where it is to be derived from the request."""

    @property
    def matched(self) -> Mapping[str, MatchVerdict]:
        """Known verdicts of the policies' conditions, by `Match.digest`."""

    @property
    def restores_system(self) -> bool:
        """Whether values of system messages are restored too, as older versions did."""

    def restoring(self, values: Mapping[str, str], restorations: Mapping[str, Restoration]) -> Check:
        """The check that finds the placeholders `values`, in the places that `restorations` allow."""

    def tokens(self, attempt: int, estimated: int) -> int:
        """The tokens of an attempt, from 0. `estimated`: what the exchange itself worked out."""

    def quotable(self, is_asked: bool) -> bool:
        """Whether text that is quoted to the model must be scanned first. `is_asked`: a rule may quote some."""

    def repairable(self, events: Sequence[Event]) -> Sequence[Event]:
        """The events of an answer to keep, in case that one of its texts is repaired."""


class Live:
    """Knows nothing beforehand."""

    conversation = ""
    matched: Mapping[str, MatchVerdict] = {}
    restores_system = False

    def restoring(self, values: Mapping[str, str], restorations: Mapping[str, Restoration]) -> Check:
        return Restoring(values, restorations)

    def tokens(self, attempt: int, estimated: int) -> int:
        return estimated

    def quotable(self, is_asked: bool) -> bool:
        return is_asked

    def repairable(self, events: Sequence[Event]) -> Sequence[Event]:
        return events


LIVE = Live()
