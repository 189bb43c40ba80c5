"""Reads the audit log: SQL queries, exports, and the report for auditors."""

from __future__ import annotations

from guardproxy.reading.exports import exported_lines
from guardproxy.reading.period import Period, read_period
from guardproxy.reading.report import Verification, report_page
from guardproxy.reading.sql import LogDatabase
from guardproxy.reading.summary import TrafficSummary

__all__ = [
    "LogDatabase",
    "Period",
    "TrafficSummary",
    "Verification",
    "exported_lines",
    "read_period",
    "report_page",
]
