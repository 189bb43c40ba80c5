"""Runs the tests of policies, explains decisions, and scans texts without a server."""

from __future__ import annotations

from guardproxy.policytest.agreement import Agreement, LabelledCase, Rate, agreement_of, kappa, rate, read_cases
from guardproxy.policytest.authoring import WrittenTest, written_test
from guardproxy.policytest.contrasts import Fragment, contrast
from guardproxy.policytest.editing import EditError, PolicyText
from guardproxy.policytest.explaining import (
    Explanation,
    RuleOutcome,
    explain,
    explained,
    kinds_of,
    rule_outcomes,
    scene_of,
)
from guardproxy.policytest.junit_xml import junit
from guardproxy.policytest.mismatches import Mismatch, disagreement
from guardproxy.policytest.nearness import ExampleNearLine, near_line
from guardproxy.policytest.playing import (
    Delivery,
    RuleHit,
    ScannedText,
    SceneResult,
    TextFinding,
    replay_result,
)
from guardproxy.policytest.running import CaseResult, run_tests, untested
from guardproxy.policytest.scan import scan_job, scan_text
from guardproxy.policytest.scenes import codec_of
from guardproxy.policytest.simulating import Simulation, StreamPieces, simulate

__all__ = [
    "Agreement",
    "CaseResult",
    "Delivery",
    "EditError",
    "ExampleNearLine",
    "Explanation",
    "Fragment",
    "LabelledCase",
    "Mismatch",
    "PolicyText",
    "Rate",
    "RuleHit",
    "RuleOutcome",
    "ScannedText",
    "SceneResult",
    "Simulation",
    "StreamPieces",
    "TextFinding",
    "WrittenTest",
    "agreement_of",
    "codec_of",
    "contrast",
    "disagreement",
    "explain",
    "explained",
    "junit",
    "kappa",
    "kinds_of",
    "near_line",
    "rate",
    "read_cases",
    "replay_result",
    "rule_outcomes",
    "run_tests",
    "scan_job",
    "scan_text",
    "scene_of",
    "simulate",
    "untested",
    "written_test",
]
