"""Reads a policy file into rules: its keys, rules, variables, `extends`, declared formats; also its JSON Schema."""

from __future__ import annotations

from guardproxy.policy.file.document_schema import schema
from guardproxy.policy.file.load import Files, PolicyErrors, build_checks, load_file, load_folder, parse

__all__ = [
    "Files",
    "PolicyErrors",
    "build_checks",
    "load_file",
    "load_folder",
    "parse",
    "schema",
]
