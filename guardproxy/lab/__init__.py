"""Measures, calibrates and exports models."""

from __future__ import annotations

from guardproxy.lab.calibration import reliability
from guardproxy.lab.calibrator import CalibrationResult, calibrate
from guardproxy.lab.checkpoint import load as load_checkpoint
from guardproxy.lab.checkpoint import naming
from guardproxy.lab.exporter import ParityError, export, groups
from guardproxy.lab.folders import configure, copy, listed_files
from guardproxy.lab.judging import Judge, Judgement, find
from guardproxy.lab.judging import load as load_judge
from guardproxy.lab.plots import draw_reliability, draw_roc
from guardproxy.lab.points import share
from guardproxy.lab.reports import JudgedRow, curves, interval, report, table
from guardproxy.lab.rows import LabelledRow, RowKeys
from guardproxy.lab.texts import labelled_rows, logged_rows

__all__ = [
    "CalibrationResult",
    "Judge",
    "JudgedRow",
    "Judgement",
    "LabelledRow",
    "ParityError",
    "RowKeys",
    "calibrate",
    "configure",
    "copy",
    "curves",
    "draw_reliability",
    "draw_roc",
    "export",
    "find",
    "groups",
    "interval",
    "labelled_rows",
    "listed_files",
    "load_checkpoint",
    "load_judge",
    "logged_rows",
    "naming",
    "reliability",
    "report",
    "share",
    "table",
]
