"""What is known about an exchange before it runs: nothing if it is live, its record if it is replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from guardproxy.audit.record import RecordedText
from guardproxy.checks import Check
from guardproxy.events import Event
from guardproxy.policy import MatchVerdict
from guardproxy.redaction import Restoration, Restoring


class History(Protocol):
    """The values that a replayed exchange takes from its record. A live exchange computes them."""

    @property
    def conversation(self) -> str:
        """The pseudonym of the conversation; empty if it must be derived from the request."""

    @property
    def matched(self) -> Mapping[str, MatchVerdict]:
        """The recorded verdicts of the policies' conditions, by `Match.digest`."""

    @property
    def prompt_mark(self) -> str:
        """The letters in the marks of texts that the user did not write; empty if they must be derived."""

    @property
    def restores_system(self) -> bool:
        """Whether values of system messages are restored too, as older versions did."""

    @property
    def recalled(self) -> Mapping[str, int] | None:
        """How many entries of the memory were read, by use; `None` if the request tells their names. A record does not keep the
        ids of conversations, so a replay cannot name them."""

    @property
    def documents(self) -> Sequence[RecordedText] | None:
        """The documents in the texts of the request, and what is around them; `None` if they must be found."""

    def restoring(self, values: Mapping[str, str], restorations: Mapping[str, Restoration]) -> Check:
        """The check that finds the placeholders `values`, in the places that `restorations` allow."""

    def tokens(self, attempt: int, estimated: int) -> int:
        """The tokens of an attempt, which is counted from 0. `estimated`: the count that the exchange computed."""

    def measures(self, computed: Callable[[], Mapping[str, int]]) -> Mapping[str, int]:
        """The measures of the request's difficulty. `computed`: measures the request."""

    def trouble(self, attempt: int, computed: str) -> str:
        """Why an answer that arrives well should come from another upstream. `attempt`: its number, from 0; `computed`: what
        the exchange computed."""

    def approved_by(self, place: tuple[int, str, str]) -> str:
        """Who has approved the call with a text; empty if nobody did, or if that is not recorded. `place`: the number of the
        answer, the direction and the path of the text."""

    def quotable(self, is_asked: bool) -> bool:
        """Whether text that is quoted to the model must be scanned first. `is_asked`: whether a rule may quote text."""

    def repairable(self, events: Sequence[Event]) -> Sequence[Event]:
        """The events of an answer to keep for a repair of its texts."""


class Live:
    """The history of a live exchange: empty."""

    conversation = ""
    prompt_mark = ""
    matched: Mapping[str, MatchVerdict] = {}
    restores_system = False
    recalled: Mapping[str, int] | None = None
    documents: Sequence[RecordedText] | None = None

    def restoring(self, values: Mapping[str, str], restorations: Mapping[str, Restoration]) -> Check:
        return Restoring(values, restorations)

    def tokens(self, attempt: int, estimated: int) -> int:
        return estimated

    def measures(self, computed: Callable[[], Mapping[str, int]]) -> Mapping[str, int]:
        return computed()

    def trouble(self, attempt: int, computed: str) -> str:
        return computed

    def approved_by(self, place: tuple[int, str, str]) -> str:
        return ""

    def quotable(self, is_asked: bool) -> bool:
        return is_asked

    def repairable(self, events: Sequence[Event]) -> Sequence[Event]:
        return events


LIVE = Live()
