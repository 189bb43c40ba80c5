"""Runs the tests that stand in policies, explains decisions, and scans texts without a server."""

from __future__ import annotations

from guardproxy.policytest.contrasts import Part, contrast
from guardproxy.policytest.explaining import REQUEST_KINDS, RESPONSE_KINDS, Explained, Ruled, explain, scene_of
from guardproxy.policytest.judging import Fault
from guardproxy.policytest.junit_xml import junit
from guardproxy.policytest.playing import Shown
from guardproxy.policytest.running import Ran, run_tests, untested
from guardproxy.policytest.scan import scan_text

__all__ = [
    "REQUEST_KINDS",
    "RESPONSE_KINDS",
    "Explained",
    "Fault",
    "Part",
    "Ran",
    "Ruled",
    "Shown",
    "contrast",
    "explain",
    "junit",
    "run_tests",
    "scan_text",
    "scene_of",
    "untested",
]
