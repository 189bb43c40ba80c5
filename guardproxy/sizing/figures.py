"""What is measured of one policy, and how figures follow from what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PROMPT_WORDS = (50, 500, 5000)
"""The lengths of prompts."""
STREAM_CHUNKS = 100
TOKENS_A_S = 50.0
"""The chunks per second of a model that writes at an ordinary speed."""


@dataclass(frozen=True, slots=True)
class Added:
    """What the proxy adds to a request, in milliseconds: at the median, and at the 99th percentile of the proxy less the median
    of the bare path."""

    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, bare_s: Sequence[float], guarded_s: Sequence[float]) -> Added:
        """Compares the times of two paths, in seconds."""
        base = percentile(bare_s, 0.5)
        return cls(_ms(percentile(guarded_s, 0.5) - base), _ms(percentile(guarded_s, 0.99) - base))


@dataclass(frozen=True, slots=True)
class Sizes:
    """The figures of a policy. `prompts`: by words; `turn`: of an agent whose history was read before. `requests_s`, `streams`:
    what one core serves, of prompts of 50 words and of streams of 50 chunks a second; 0 where the system does not say what a
    process takes. `memory_mib`: of the process, with its models; `refused`: the requests that a rule refused."""

    policy: str
    prompts: dict[int, Added]
    turn: Added
    first_text: Added
    requests_s: float
    streams: float
    memory_mib: float
    refused: int = 0


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def per_core(count: int, cpu_s: float) -> float:
    """Returns how many one core serves in a second; 0 if its processor time is not known."""
    return round(count / cpu_s, 1) if cpu_s > 0 else 0.0


def streams_per_core(chunks: int, cpu_s: float) -> float:
    """Returns how many streams at `TOKENS_A_S` one core serves at once."""
    return round(per_core(chunks, cpu_s) / TOKENS_A_S, 1)


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 2)
