"""Calls checks: passes windows in slices, validates the answers and turns errors into scans."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from guardproxy.checks import Check, stop_point
from guardproxy.errors import NoCapacityError
from guardproxy.findings import Scan, Window, failed_scan

_log = logging.getLogger(__name__)

SLICE_CHARS = 8192  # characters of small windows in one call of a check, between two stop points
SLICE_WINDOWS = 32


def run_slices(check: Check, windows: Sequence[Window]) -> list[Scan]:
    """Scans many windows in slices. Runs in a thread."""
    scans: list[Scan] = []
    for some in _slices(windows):
        stop_point()
        scans += run(check, some)
    return scans


def _slices(windows: Sequence[Window]) -> Iterator[list[Window]]:
    some: list[Window] = []
    chars = 0
    for window in windows:
        if some and (len(some) >= SLICE_WINDOWS or chars + len(window.text) > SLICE_CHARS):
            yield some
            some, chars = [], 0
        some.append(window)
        chars += len(window.text)
    if some:
        yield some


def run(check: Check, windows: list[Window]) -> list[Scan]:
    try:
        return checked(windows, check.scan(windows))
    except Exception as error:
        return broken(check, windows, error)


def broken(check: Check, windows: Sequence[Window], error: Exception) -> list[Scan]:
    """The scans of a check that raised an error. Logs the error."""
    report(check, error)
    return [failed_scan(window, error) for window in windows]


def report(check: Check, error: Exception) -> None:
    """Logs that a check raised an error."""
    name = type(error).__name__  # never the message: it may quote the text
    if isinstance(error, NoCapacityError):
        _log.info("no capacity", extra={"check": check.name, "reason": error.shortage.value})
    else:
        _log.error("check failed", extra={"check": check.name, "error": name})


def checked(windows: Sequence[Window], scans: list[Scan]) -> list[Scan]:
    if len(scans) != len(windows):
        raise ValueError("a check must answer every window")
    return [_sound(window, scan) for window, scan in zip(windows, scans, strict=True)]


def _sound(window: Window, scan: Scan) -> Scan:
    """Holds a check to its contract, so that a careless plug-in fails closed instead of leaking."""
    if scan.error or scan.no_capacity is not None:
        name = scan.error or "no_capacity"
        return Scan((), window.settled, window.start, name, no_capacity=scan.no_capacity)
    end = window.start + len(window.text)
    settled = end if window.last else scan.settled
    fine = scan.keep <= scan.settled and window.settled <= scan.settled <= end and scan.keep >= window.start
    fine = fine and all(
        window.settled <= finding.start <= finding.end <= end for finding in (*scan.findings, *scan.allowed)
    )
    if not fine:
        return Scan((), window.settled, window.start, "broken_contract")
    return scan if settled == scan.settled else replace(scan, settled=settled)
