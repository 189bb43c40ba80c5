"""The headers of an answer that tell a client what its limits leave, in the words of each API.

In: what is left of each limit. Out: headers. OpenAI: `x-ratelimit-remaining-requests: 59` and `x-ratelimit-reset-requests:
6m0s`. Anthropic: `anthropic-ratelimit-requests-remaining: 59`, with the time of the reset. The APIs of Google and Ollama have
no such headers. Kept: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

SHOWN = ("requests", "tokens")  # the units that the APIs tell of


class Remaining(msgspec.Struct, frozen=True):
    """What is left of a limit. `reset_s`: the seconds until all of it is left."""

    unit: str
    limit: int
    remaining: int
    reset_s: float


def limit_headers(left: Sequence[Remaining], provider: str, unix_s: float) -> dict[str, str]:
    """Returns the headers for an answer in the format of a provider. Of several limits of a unit, the one with the smallest
    share left is told."""
    told: dict[str, tuple[float, int, Remaining]] = {}
    for limit in left:
        rank = limit.remaining / limit.limit if limit.limit else 0.0, limit.remaining
        if limit.unit in SHOWN and (limit.unit not in told or rank < told[limit.unit][:2]):
            told[limit.unit] = (*rank, limit)
    headers: dict[str, str] = {}
    for unit in SHOWN:
        if unit in told:
            headers |= _headers(told[unit][2], provider, unix_s)
    return headers


def _headers(limit: Remaining, provider: str, unix_s: float) -> Mapping[str, str]:
    if provider == "anthropic":
        base = f"anthropic-ratelimit-{limit.unit}"
        reset = _utc(int(unix_s + limit.reset_s))
        return {f"{base}-limit": str(limit.limit), f"{base}-remaining": str(limit.remaining), f"{base}-reset": reset}
    if provider != "openai":
        return {}
    return {
        f"x-ratelimit-limit-{limit.unit}": str(limit.limit),
        f"x-ratelimit-remaining-{limit.unit}": str(limit.remaining),
        f"x-ratelimit-reset-{limit.unit}": duration(limit.reset_s),
    }


@lru_cache(maxsize=256)
def _utc(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """Returns a time as OpenAI writes it: `12ms`, `1.5s`, `6m0s`, `2h0m3s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    if seconds < 60:
        return f"{round(seconds, 3):g}s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
