"""The histogram of durations gives the samples that the client library gives for the same observations."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from guardproxy.server.observing.metrics import BOUNDS_S, Durations

SEEN_S = (0.0, 0.0005, 0.001, 0.0011, 0.7, 300.0, 301.0)


def samples(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


def test_the_samples_are_those_of_the_client_library() -> None:
    expected, own = CollectorRegistry(), CollectorRegistry()
    library = Histogram("d", "Text.", ("route",), buckets=BOUNDS_S, registry=expected)
    durations = Durations("d", "Text.", ("route",), own)
    for route in ("GET /a", "GET /b"):
        for seen_s in SEEN_S:
            library.labels(route).observe(seen_s)
            durations.labels(route).observe(seen_s)
    assert samples(own) == samples(expected)


def test_a_histogram_without_labels_begins_at_zero() -> None:
    expected, own = CollectorRegistry(), CollectorRegistry()
    library = Histogram("d", "Text.", buckets=BOUNDS_S, registry=expected)
    durations = Durations("d", "Text.", (), own)
    assert samples(own) == samples(expected)
    library.observe(0.02)
    durations.observe(0.02)
    assert samples(own) == samples(expected)
