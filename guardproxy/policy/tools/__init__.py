"""Examines a set of policies: lint, coverage, names of tenants, prices for its limits, policies for comments in feedback."""

from __future__ import annotations

from guardproxy.policy.tools.costs import refuse_unpriced
from guardproxy.policy.tools.coverage_table import CoverageRow, FieldRow, coverage, denied_fields, field_table, table
from guardproxy.policy.tools.feedback import feedback_policies
from guardproxy.policy.tools.lint import Note, notes
from guardproxy.policy.tools.tenancy import refuse_strangers

__all__ = [
    "CoverageRow",
    "FieldRow",
    "Note",
    "coverage",
    "denied_fields",
    "feedback_policies",
    "field_table",
    "notes",
    "refuse_strangers",
    "refuse_unpriced",
    "table",
]
