"""The audit log: a chain of records in files, sinks that receive its lines, masks for sensitive values."""

from __future__ import annotations

from guardproxy.audit.chain import ChainHead, open_line
from guardproxy.audit.confirmed import LoggedEntry, confirmed_entries, last_confirmed
from guardproxy.audit.disk import reason
from guardproxy.audit.document import (
    ENTRY_VERSION,
    Closing,
    Gap,
    Intent,
    LogEntry,
    Record,
    RecordedAnswer,
    RecordedAttempt,
    RecordedDecision,
    RecordedDuty,
    RecordedError,
    RecordedFault,
    RecordedField,
    RecordedFinding,
    RecordedPlaces,
    RecordedPlan,
    RecordedRequest,
    RecordedSaving,
    RecordedSealing,
    RecordedShortage,
    RecordedSide,
    RecordedText,
)
from guardproxy.audit.document_schema import log_schema
from guardproxy.audit.entries import AnyEntry, Erased, Rotated, Unsealed
from guardproxy.audit.folder import NO_KEY, LogReport, logs_of, verify_folder
from guardproxy.audit.intents import abandoned_intents, closing, open_intents_of
from guardproxy.audit.masking import Moves, OffsetMap, Span, beside, mask, merge
from guardproxy.audit.private import Owner, OwnerKind, Private, PrivateRecord, Sealing
from guardproxy.audit.segment import numbers, path_of
from guardproxy.audit.sinks import Sink, open_sink
from guardproxy.audit.sinks.file import FileSink, Receiver
from guardproxy.audit.values import ValueMatcher
from guardproxy.audit.versions import entries_of, entry_of, read_entry, read_record

__all__ = [
    "ENTRY_VERSION",
    "NO_KEY",
    "AnyEntry",
    "ChainHead",
    "Closing",
    "Erased",
    "FileSink",
    "Gap",
    "Intent",
    "LogEntry",
    "LogReport",
    "LoggedEntry",
    "Moves",
    "OffsetMap",
    "Owner",
    "OwnerKind",
    "Private",
    "PrivateRecord",
    "Receiver",
    "Record",
    "RecordedAnswer",
    "RecordedAttempt",
    "RecordedDecision",
    "RecordedDuty",
    "RecordedError",
    "RecordedFault",
    "RecordedField",
    "RecordedFinding",
    "RecordedPlaces",
    "RecordedPlan",
    "RecordedRequest",
    "RecordedSaving",
    "RecordedSealing",
    "RecordedShortage",
    "RecordedSide",
    "RecordedText",
    "Rotated",
    "Sealing",
    "Sink",
    "Span",
    "Unsealed",
    "ValueMatcher",
    "abandoned_intents",
    "beside",
    "closing",
    "confirmed_entries",
    "entries_of",
    "entry_of",
    "last_confirmed",
    "log_schema",
    "logs_of",
    "mask",
    "merge",
    "numbers",
    "open_intents_of",
    "open_line",
    "open_sink",
    "path_of",
    "read_entry",
    "read_record",
    "reason",
    "verify_folder",
]
