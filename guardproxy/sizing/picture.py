"""Draws figures in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guardproxy.sizing.figures import PROMPT_WORDS, Sizes

WIDTH = 44


def picture(found: Sequence[Sizes], *, is_ascii: bool = False) -> Iterator[str]:
    """Yields a bar for each policy: the latency added to a prompt of 50 words at the median, and its tail to the 99th
    percentile. `is_ascii`: with signs of ASCII alone."""
    full, tail = ("#", "-") if is_ascii else ("█", "░")
    added = [sizes.prompts[PROMPT_WORDS[0]] for sizes in found]
    most = max((each.p99_ms for each in added), default=0.0) or 1.0
    name = max((len(sizes.policy) for sizes in found), default=0)
    for sizes, each in zip(found, added, strict=True):
        half = max(1, round(each.p50_ms / most * WIDTH))
        rest = max(0, round(each.p99_ms / most * WIDTH) - half)
        bar = full * half + tail * rest
        yield f"{sizes.policy.ljust(name)}  {bar.ljust(WIDTH)}  {each.p50_ms:.1f} ms, p99 {each.p99_ms:.1f} ms"
