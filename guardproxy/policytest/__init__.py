"""Runs the tests that stand in policies, explains decisions, and scans texts without a server."""

from __future__ import annotations

from guardproxy.policytest.contrasts import Part, contrast
from guardproxy.policytest.explaining import Explained, Ruled, explain, kinds_of, scene_of
from guardproxy.policytest.judging import Fault
from guardproxy.policytest.junit_xml import junit
from guardproxy.policytest.playing import Shown
from guardproxy.policytest.running import Ran, run_tests, untested
from guardproxy.policytest.scan import scan_text

__all__ = [
    "Explained",
    "Fault",
    "Part",
    "Ran",
    "Ruled",
    "Shown",
    "contrast",
    "explain",
    "junit",
    "kinds_of",
    "run_tests",
    "scan_text",
    "scene_of",
    "untested",
]
