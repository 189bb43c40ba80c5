"""The audit log: a chain of records in files, signed checkpoints, sinks that receive its lines."""

from __future__ import annotations

from guardproxy.audit.proof.checkpointer import Checkpointer, Signing
from guardproxy.audit.proof.copies import Copies, read_copies
from guardproxy.audit.proof.folder import NO_KEY, LogReport, logs_of, verify_signed_folder
from guardproxy.audit.proof.inventory import found_states
from guardproxy.audit.proof.keys import private_key, public_key, signer_of, write_key
from guardproxy.audit.proof.note import PrivateKey, SignedNote
from guardproxy.audit.proof.proofs import ConsistencyProof, Proven, check, compare_receipt, read_proof
from guardproxy.audit.proof.prover import prove_consistency, prove_record
from guardproxy.audit.proof.store import CheckpointStore, read_note, write_note
from guardproxy.audit.proof.verification import CheckpointReport
from guardproxy.audit.proof.witness import witness
from guardproxy.audit.record.chain import open_line
from guardproxy.audit.record.document import (
    ENTRY_VERSION,
    SERVER_ERROR,
    UPSTREAM_5XX,
    Closing,
    Gap,
    Intent,
    Record,
    RecordedAnswer,
    RecordedAttempt,
    RecordedDecision,
    RecordedError,
    RecordedFault,
    RecordedFinding,
    RecordedOrigin,
    RecordedPlaces,
    RecordedRequest,
    RecordedSaving,
    RecordedShortage,
    RecordedSide,
    RecordedText,
    RecordedValues,
)
from guardproxy.audit.record.document_schema import log_schema
from guardproxy.audit.record.entries import AnyEntry, Better, Comparison, Judged, OperatorEntry, PolicyChanged, Reviewed
from guardproxy.audit.record.feedback import RecordedFeedback, RecordedJudge, RecordedOpinion
from guardproxy.audit.record.private import NO_SEALING, Owner, Private, PrivateRecord, Sealing
from guardproxy.audit.record.tasks import (
    RecordedCache,
    RecordedDuty,
    RecordedField,
    RecordedLikeness,
    RecordedPlan,
    RecordedPrompt,
    RecordedRefusal,
    RecordedRoute,
)
from guardproxy.audit.record.versions import entry_of, read_entry, read_record
from guardproxy.audit.shipping.acknowledged import LoggedEntry, confirmed_entries, last_confirmed
from guardproxy.audit.shipping.intents import abandoned_intents, closing, open_intents_of
from guardproxy.audit.shipping.shipping import Arrears, Batch, Sent, Shipper, Target, position_of, sent_of, ship_on
from guardproxy.audit.shipping.targets import Sink, open_sink, sink_opener, target_of
from guardproxy.audit.storage.disk import Disk, folder_lock, reason, replace_file
from guardproxy.audit.writing.log_file import Entry, FileSink, Rotation
from guardproxy.audit.writing.segment import numbers, path_of

__all__ = [
    "ENTRY_VERSION",
    "NO_KEY",
    "NO_SEALING",
    "SERVER_ERROR",
    "UPSTREAM_5XX",
    "AnyEntry",
    "Arrears",
    "Batch",
    "Better",
    "CheckpointReport",
    "CheckpointStore",
    "Checkpointer",
    "Closing",
    "Comparison",
    "ConsistencyProof",
    "Copies",
    "Disk",
    "Entry",
    "FileSink",
    "Gap",
    "Intent",
    "Judged",
    "LogReport",
    "LoggedEntry",
    "OperatorEntry",
    "Owner",
    "PolicyChanged",
    "Private",
    "PrivateKey",
    "PrivateRecord",
    "Proven",
    "Record",
    "RecordedAnswer",
    "RecordedAttempt",
    "RecordedCache",
    "RecordedDecision",
    "RecordedDuty",
    "RecordedError",
    "RecordedFault",
    "RecordedFeedback",
    "RecordedField",
    "RecordedFinding",
    "RecordedJudge",
    "RecordedLikeness",
    "RecordedOpinion",
    "RecordedOrigin",
    "RecordedPlaces",
    "RecordedPlan",
    "RecordedPrompt",
    "RecordedRefusal",
    "RecordedRequest",
    "RecordedRoute",
    "RecordedSaving",
    "RecordedShortage",
    "RecordedSide",
    "RecordedText",
    "RecordedValues",
    "Reviewed",
    "Rotation",
    "Sealing",
    "Sent",
    "Shipper",
    "SignedNote",
    "Signing",
    "Sink",
    "Target",
    "abandoned_intents",
    "check",
    "closing",
    "compare_receipt",
    "confirmed_entries",
    "entry_of",
    "folder_lock",
    "found_states",
    "last_confirmed",
    "log_schema",
    "logs_of",
    "numbers",
    "open_intents_of",
    "open_line",
    "open_sink",
    "path_of",
    "position_of",
    "private_key",
    "prove_consistency",
    "prove_record",
    "public_key",
    "read_copies",
    "read_entry",
    "read_note",
    "read_proof",
    "read_record",
    "reason",
    "replace_file",
    "sent_of",
    "ship_on",
    "signer_of",
    "sink_opener",
    "target_of",
    "verify_signed_folder",
    "witness",
    "write_key",
    "write_note",
]
