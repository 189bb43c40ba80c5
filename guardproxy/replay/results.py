"""The result of a replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ReplayVerdict = Literal["identical", "different", "cannot be told", "not replayable"]


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The result of a replay. `verdict`: `cannot be told` means that each difference concerns a value that is masked
    in the record, or a text that was not kept, so that a new or changed check could not read it. `differences`: in
    words. `rescanned`: checks that ran again because they are new or changed. `assumed`: policies that were assumed to
    apply, because their condition depends on facts that the record does not hold, such as headers. `on_findings`: why
    only the recorded findings were judged again; empty if the texts were."""

    verdict: ReplayVerdict
    differences: tuple[str, ...] = ()
    rescanned: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    on_findings: str = ""
