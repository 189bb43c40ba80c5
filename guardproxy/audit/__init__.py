"""The audit log: a chain of records in files, signed checkpoints, sinks that receive its lines, masks for sensitive values."""

from __future__ import annotations

from guardproxy.audit.chain import ChainHead, open_line
from guardproxy.audit.disk import reason
from guardproxy.audit.document import (
    ENTRY_VERSION,
    AnyEntry,
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
    RecordedShortage,
    RecordedSide,
    RecordedText,
)
from guardproxy.audit.document_schema import log_schema
from guardproxy.audit.folder import NO_KEY, LogReport, logs_of, verify_folder
from guardproxy.audit.intents import abandoned_intents, closing, open_intents_of
from guardproxy.audit.masking import Moves, OffsetMap, Span, beside, mask, merge
from guardproxy.audit.proof.checkpointer import Checkpointer, Signing
from guardproxy.audit.proof.copies import read_copies
from guardproxy.audit.proof.keys import private_key, public_key, signer_of, write_key
from guardproxy.audit.proof.note import COSIGNS, SIGNS, PrivateKey, PublicKey, SignedNote, cosign
from guardproxy.audit.proof.store import CheckpointStore, read_note
from guardproxy.audit.proof.verification import CheckpointReport, verify_checkpoints
from guardproxy.audit.rotation import Rotation
from guardproxy.audit.segment import numbers, path_of
from guardproxy.audit.sinks import Sink, open_sink
from guardproxy.audit.sinks.file import FileSink, Receiver
from guardproxy.audit.values import ValueMatcher
from guardproxy.audit.versions import entries_of, entry_of, read_entry, read_record

__all__ = [
    "AnyEntry",
    "COSIGNS",
    "ChainHead",
    "CheckpointReport",
    "CheckpointStore",
    "Checkpointer",
    "Closing",
    "ENTRY_VERSION",
    "FileSink",
    "Gap",
    "Intent",
    "LogEntry",
    "LogReport",
    "Moves",
    "NO_KEY",
    "OffsetMap",
    "PrivateKey",
    "PublicKey",
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
    "RecordedShortage",
    "RecordedSide",
    "RecordedText",
    "Rotation",
    "SIGNS",
    "SignedNote",
    "Signing",
    "Sink",
    "Span",
    "ValueMatcher",
    "abandoned_intents",
    "beside",
    "closing",
    "cosign",
    "entries_of",
    "entry_of",
    "log_schema",
    "logs_of",
    "mask",
    "merge",
    "numbers",
    "open_intents_of",
    "open_line",
    "open_sink",
    "path_of",
    "private_key",
    "public_key",
    "read_copies",
    "read_entry",
    "read_note",
    "read_record",
    "reason",
    "signer_of",
    "verify_checkpoints",
    "verify_folder",
    "write_key",
]
