"""Measures, calibrates and exports models."""

from __future__ import annotations

from guardproxy.lab.calibration import reliability
from guardproxy.lab.calibrator import CalibrationResult, calibrate
from guardproxy.lab.exporting.checkpoint import load as load_checkpoint
from guardproxy.lab.exporting.checkpoint import naming
from guardproxy.lab.exporting.exporter import ParityError, export, groups
from guardproxy.lab.exporting.graphs import parity, write_graph, write_int8
from guardproxy.lab.folders import configure, copy, listed_files
from guardproxy.lab.judging import Judge, Judgement, find
from guardproxy.lab.judging import load as load_judge
from guardproxy.lab.learning.distil import DistilReport, distil
from guardproxy.lab.learning.labels import labelled_log
from guardproxy.lab.learning.topics import TopicFit, fitted_topics
from guardproxy.lab.plots import draw_reliability, draw_roc
from guardproxy.lab.points import share
from guardproxy.lab.reports import JudgedRow, curves, interval, report, table, with_verdicts
from guardproxy.lab.routing import highest_simple, learned_weights, route_points, shown_points
from guardproxy.lab.rows import LabelledRow, RowKeys
from guardproxy.lab.texts import labelled_rows, logged_rows

__all__ = [
    "CalibrationResult",
    "DistilReport",
    "Judge",
    "JudgedRow",
    "Judgement",
    "LabelledRow",
    "ParityError",
    "RowKeys",
    "TopicFit",
    "calibrate",
    "configure",
    "copy",
    "curves",
    "distil",
    "draw_reliability",
    "draw_roc",
    "export",
    "find",
    "fitted_topics",
    "groups",
    "highest_simple",
    "interval",
    "labelled_log",
    "labelled_rows",
    "learned_weights",
    "listed_files",
    "load_checkpoint",
    "load_judge",
    "logged_rows",
    "naming",
    "parity",
    "reliability",
    "report",
    "route_points",
    "share",
    "shown_points",
    "table",
    "with_verdicts",
    "write_graph",
    "write_int8",
]
