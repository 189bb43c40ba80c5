"""Measures, calibrates and exports models."""

from __future__ import annotations

from guardproxy.lab.calibration import fit, reliability
from guardproxy.lab.calibrator import CalibrationResult, calibrate
from guardproxy.lab.checkpoint import load as load_checkpoint
from guardproxy.lab.checkpoint import naming
from guardproxy.lab.exporter import ParityError, export, groups
from guardproxy.lab.folders import configure, copy, listed_files
from guardproxy.lab.graphs import Parity, batch, parity, write_fp16, write_graph, write_int8
from guardproxy.lab.judging import Judge, Judgement, find
from guardproxy.lab.judging import load as load_judge
from guardproxy.lab.plots import draw_reliability, draw_roc
from guardproxy.lab.points import share
from guardproxy.lab.reports import JudgedRow, curves, interval, report, table, with_verdicts
from guardproxy.lab.routing import highest_simple, learned_weights, route_points, shown_points
from guardproxy.lab.rows import LabelledRow, RowKeys
from guardproxy.lab.shares import cutoff, joint_cutoffs
from guardproxy.lab.texts import labelled_rows, logged_rows

__all__ = [
    "CalibrationResult",
    "Judge",
    "JudgedRow",
    "Judgement",
    "LabelledRow",
    "Parity",
    "ParityError",
    "RowKeys",
    "batch",
    "calibrate",
    "configure",
    "copy",
    "curves",
    "cutoff",
    "draw_reliability",
    "draw_roc",
    "export",
    "find",
    "fit",
    "groups",
    "highest_simple",
    "interval",
    "joint_cutoffs",
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
    "write_fp16",
    "write_graph",
    "write_int8",
]
