"""The audit log: a chain of records in files, signed checkpoints, sinks that receive its lines."""

from __future__ import annotations

from guardproxy.audit.record.chain import open_line
from guardproxy.audit.record.document import ENTRY_VERSION, Closing, Gap, Intent, Record
from guardproxy.audit.record.document_schema import log_schema
from guardproxy.audit.record.entries import AnyEntry, Better, Comparison, Judged, OperatorEntry, PolicyChanged, Reviewed
from guardproxy.audit.record.private import NO_SEALING, Owner, Sealing
from guardproxy.audit.record.versions import entry_of, read_entry, read_record
from guardproxy.audit.storage.disk import Disk, folder_lock, reason, replace_file
from guardproxy.audit.writing.log_file import Entry, FileSink, Rotation
from guardproxy.audit.writing.segment import numbers, path_of

__all__ = [
    "ENTRY_VERSION",
    "NO_SEALING",
    "AnyEntry",
    "Better",
    "Closing",
    "Comparison",
    "Disk",
    "Entry",
    "FileSink",
    "Gap",
    "Intent",
    "Judged",
    "OperatorEntry",
    "Owner",
    "PolicyChanged",
    "Record",
    "Reviewed",
    "Rotation",
    "Sealing",
    "entry_of",
    "folder_lock",
    "log_schema",
    "numbers",
    "open_line",
    "path_of",
    "read_entry",
    "read_record",
    "reason",
    "replace_file",
]
