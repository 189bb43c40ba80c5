"""Bars in a terminal."""

from __future__ import annotations

from guardproxy.sizing.figures import PROMPT_WORDS, Added, Sizes
from guardproxy.sizing.picture import WIDTH, picture


def sizes(policy: str, p50_ms: float, p99_ms: float) -> Sizes:
    added = Added(p50_ms, p99_ms)
    return Sizes(policy, dict.fromkeys(PROMPT_WORDS, added), added, added, 100.0, 10.0, 64.0)


def test_a_bar_is_as_long_as_its_latency() -> None:
    short, long = picture([sizes("none", 1.0, 2.0), sizes("default", 10.0, 20.0)])
    assert long == f"default  {'█' * (WIDTH // 2)}{'░' * (WIDTH // 2)}  10.0 ms, p99 20.0 ms"
    assert short.startswith("none     ██░░ ")
    assert list(picture([sizes("p", 0.0, 0.0)], is_ascii=True)) == [f"p  {'#'.ljust(WIDTH)}  0.0 ms, p99 0.0 ms"]
    assert list(picture([])) == []
