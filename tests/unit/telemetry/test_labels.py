"""A label has a bounded number of values."""

from __future__ import annotations

from guardproxy.telemetry.labels import OTHER, BoundedLabels


def test_the_first_values_keep_their_names() -> None:
    labels = BoundedLabels(2)
    assert [labels.of(value) for value in "abcabd"] == ["a", "b", OTHER, "a", "b", OTHER]
