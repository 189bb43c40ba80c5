"""Runs the tests of policies, explains decisions, and scans texts without a server."""

from __future__ import annotations

from guardproxy.policytest.agreement import Agreement, LabelledCase, Rate, agreement_of, read_cases
from guardproxy.policytest.contrasts import Fragment, contrast
from guardproxy.policytest.explaining import Explanation, RuleOutcome, explain, kinds_of, rule_outcomes, scene_of
from guardproxy.policytest.junit_xml import junit
from guardproxy.policytest.mismatches import Mismatch
from guardproxy.policytest.nearness import ExampleNearLine, near_line
from guardproxy.policytest.playing import Delivery, RuleHit, ScannedText, SceneResult, TextFinding
from guardproxy.policytest.running import CaseResult, run_tests, untested
from guardproxy.policytest.scan import scan_text

__all__ = [
    "Agreement",
    "CaseResult",
    "Delivery",
    "ExampleNearLine",
    "Explanation",
    "Fragment",
    "LabelledCase",
    "Mismatch",
    "Rate",
    "RuleHit",
    "RuleOutcome",
    "ScannedText",
    "SceneResult",
    "TextFinding",
    "agreement_of",
    "contrast",
    "explain",
    "junit",
    "kinds_of",
    "near_line",
    "read_cases",
    "rule_outcomes",
    "run_tests",
    "scan_text",
    "scene_of",
    "untested",
]
