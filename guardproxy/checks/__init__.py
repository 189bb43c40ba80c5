"""Checks turn text into findings. Each check is a file or a folder with its name in policies (`use: pii`)."""

from __future__ import annotations

from guardproxy.checks._shared.asking.question import JudgeQuestion
from guardproxy.checks._shared.declared.allowing import ALLOW
from guardproxy.checks._shared.declared.contract import (
    AskedModel,
    Embedder,
    PairJudge,
    PairScores,
    Query,
    Resources,
    ScoredPiece,
    Scorer,
    Tag,
    Tagger,
    TextPair,
    build,
    check_names,
    options,
    own_names,
    with_partner,
)
from guardproxy.checks._shared.declared.foreign import foreign, hint
from guardproxy.checks._shared.declared.options import Option, Options, options_digest, with_defaults
from guardproxy.checks._shared.taint.fingerprint import Fingerprint, fingerprint_of, is_name
from guardproxy.checks.http import VERSION
from guardproxy.checks.llm import QuestionOutcome
from guardproxy.checks.supervisor import Supervisor
from guardproxy.checks.supervisor import build as build_supervisor
from guardproxy.checks.topic import FittedTopic, TopicCheck, fit_topics
from guardproxy.concurrency import ScanStopped, stop_point, stoppable
from guardproxy.findings import QUICK, Check, Traits

__all__ = [
    "ALLOW",
    "QUICK",
    "VERSION",
    "AskedModel",
    "Check",
    "Embedder",
    "Fingerprint",
    "FittedTopic",
    "JudgeQuestion",
    "Option",
    "Options",
    "PairJudge",
    "PairScores",
    "Query",
    "QuestionOutcome",
    "Resources",
    "ScanStopped",
    "ScoredPiece",
    "Scorer",
    "Supervisor",
    "Tag",
    "Tagger",
    "TextPair",
    "TopicCheck",
    "Traits",
    "build",
    "build_supervisor",
    "check_names",
    "fingerprint_of",
    "fit_topics",
    "foreign",
    "hint",
    "is_name",
    "options",
    "options_digest",
    "own_names",
    "stop_point",
    "stoppable",
    "with_defaults",
    "with_partner",
]
