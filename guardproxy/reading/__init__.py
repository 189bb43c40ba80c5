"""Reads the audit log: SQL queries, exports, the report for auditors, and the drift of traffic."""

from __future__ import annotations

from guardproxy.reading.comparisons import CandidateResults, candidate_results
from guardproxy.reading.drift import Shift, shifts
from guardproxy.reading.drift_page import drift_metrics, drift_page, verdict_of
from guardproxy.reading.exports import EXPORT_FORMS, exported_lines
from guardproxy.reading.feedback import feedback_rows
from guardproxy.reading.period import Period, baseline_hours, judged_hours, read_period
from guardproxy.reading.report import Verification, report_page
from guardproxy.reading.reviewed import GivenVerdict, ReviewedTexts, add_verdict, judged_questions, reviewed_rows
from guardproxy.reading.samples import HourlySamples, read_sample, write_sample
from guardproxy.reading.sql import LogDatabase
from guardproxy.reading.summary import TrafficSummary

__all__ = [
    "EXPORT_FORMS",
    "CandidateResults",
    "GivenVerdict",
    "HourlySamples",
    "LogDatabase",
    "Period",
    "ReviewedTexts",
    "Shift",
    "TrafficSummary",
    "Verification",
    "add_verdict",
    "baseline_hours",
    "candidate_results",
    "drift_metrics",
    "drift_page",
    "exported_lines",
    "feedback_rows",
    "judged_hours",
    "judged_questions",
    "read_period",
    "read_sample",
    "report_page",
    "reviewed_rows",
    "shifts",
    "verdict_of",
    "write_sample",
]
