"""Writes what the duties of the gateway did, for the record.

In: the answers of the store to duties, and their refusals. Out: parts of a record. Kept: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from guardproxy.audit import RecordedDuty, RecordedRefusal
from guardproxy.gateway import Refusal, StoreAnswered


def recorded_answers(answers: Sequence[StoreAnswered]) -> tuple[RecordedDuty, ...]:
    """Returns the answers of the store to duties, in order."""
    return tuple([RecordedDuty(duty=told.duty, answers=told.answers) for told in answers])


def recorded_refusals(refusals: Sequence[Refusal]) -> tuple[RecordedRefusal, ...]:
    """Returns what duties refused, and what they would have refused in shadow mode."""
    return tuple([_refusal(refusal) for refusal in refusals])


def _refusal(refusal: Refusal) -> RecordedRefusal:
    mode: Literal["enforce", "shadow"] = "enforce" if refusal.enforced else "shadow"
    return RecordedRefusal(duty=refusal.duty, name=refusal.name, policy=refusal.policy, code=refusal.code, mode=mode)
