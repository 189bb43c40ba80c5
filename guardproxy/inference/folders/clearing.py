"""What the first network of a model folder may clear: `first_stage` in `config.json`.

It says which column belongs to an output, below which estimate a row is cleared for it, and from which threshold of a policy
on this may be done: the limits are chosen for the attacks that the encoder finds at that threshold, and a policy that asks for
less certainty would lose more of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardproxy.errors import ConfigError
from guardproxy.inference.folders.folder import is_number

_COLUMNS_AT_MOST = 256


@dataclass(frozen=True, slots=True)
class Clearing:
    """How rows are cleared for an output. `column`: of the first network. `below`: a row with a lower estimate is cleared.
    `least`: the lowest threshold of a policy for which this holds; never below `below`, so that an estimate of a
    cleared row is never a finding."""

    column: int
    below: float
    least: float


def read(path: Path, entries: Any, outputs: Sequence[str]) -> dict[str, Clearing]:
    """Reads `first_stage` of a configuration, for a model with these outputs. Raises `ConfigError`.

    `path`: of the configuration, for messages.
    """
    if not isinstance(entries, dict) or not set(entries) <= set(outputs):
        raise ConfigError(f"{path}: `first_stage` must map outputs to `column`, `below` and `least`")
    clearing = {}
    for output, entry in entries.items():
        if not isinstance(entry, dict) or set(entry) != {"column", "below", "least"}:
            raise ConfigError(f"{path}: `first_stage`: `{output}` must have `column`, `below` and `least`")
        column, below, least = entry["column"], entry["below"], entry["least"]
        if isinstance(column, bool) or not isinstance(column, int) or not 0 <= column < _COLUMNS_AT_MOST:
            raise ConfigError(f"{path}: `first_stage`: the `column` of `{output}` must be a column of the network")
        if not is_number(below, 0, 1) or not is_number(least, below, 1):
            raise ConfigError(
                f"{path}: `first_stage`: `{output}` must have a `below` and a `least` of 0 to 1, in order"
            )
        clearing[output] = Clearing(column, float(below), float(least))
    return clearing
