"""A check for the badge numbers of ACME: `B` and six digits whose sum is a multiple of seven."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardproxy.checks import Option, Resources, Traits, options_digest, with_defaults
from guardproxy.findings import Finding, Scan, Window

BADGE = re.compile(r"(?<!\w)B([0-9]{6})(?!\w)")
OPTIONS = {"score": Option("The score of a finding.", {"type": "number", "minimum": 0, "maximum": 1}, default=1.0)}


@dataclass(frozen=True)
class Badges:
    name: str
    digest: str  # of all that findings depend on: equal digests promise equal findings
    score: float
    traits: Traits  # how it must be treated: its findings are values, it is quick, and it has one label

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        # A word that more text may make longer is not decided yet: that is all that chunk invariance asks for.
        text = window.text if window.last else window.text[: len(window.text) - len(window.text.split(" ")[-1])]
        matches = (match for match in BADGE.finditer(text) if sum(map(int, match[1])) % 7 == 0)
        found = (
            Finding(window.start + m.start(), window.start + m.end(), self.name, "BADGE", self.score) for m in matches
        )
        return Scan(tuple(found), settled=window.start + len(text), keep=window.start + len(text))


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Badges:
    given = with_defaults(options, OPTIONS)
    traits = Traits(is_slow=False, labels=frozenset(("BADGE",)))
    return Badges(name, options_digest("badge", 1, options), float(given["score"]), traits)
