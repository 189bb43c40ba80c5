"""Runs the tests of policies, explains decisions, and scans texts without a server."""

from __future__ import annotations

from guardproxy.policytest.contrasts import Fragment, contrast
from guardproxy.policytest.explaining import Explanation, RuleOutcome, explain, kinds_of, scene_of
from guardproxy.policytest.judging import Mismatch
from guardproxy.policytest.junit_xml import junit
from guardproxy.policytest.playing import Delivery
from guardproxy.policytest.running import CaseResult, run_tests, untested
from guardproxy.policytest.scan import scan_text

__all__ = [
    "CaseResult",
    "Delivery",
    "Explanation",
    "Fragment",
    "Mismatch",
    "RuleOutcome",
    "contrast",
    "explain",
    "junit",
    "kinds_of",
    "run_tests",
    "scan_text",
    "scene_of",
    "untested",
]
