"""Conformance suites: test whether a check or a wire format, built in or from a plug-in, keeps the common promises.

They need no test runner: each function returns, or raises an `AssertionError` that describes the failure.
"""

from __future__ import annotations

from guardproxy.testing.checks import (
    CHANNEL,
    assert_every_split,
    assert_invariant,
    assert_promise,
    assert_traits,
    scan_in_chunks,
    whole,
)
from guardproxy.testing.formats import PROMISES, codec, promises

__all__ = [
    "CHANNEL",
    "PROMISES",
    "assert_every_split",
    "assert_invariant",
    "assert_promise",
    "assert_traits",
    "codec",
    "promises",
    "scan_in_chunks",
    "whole",
]
