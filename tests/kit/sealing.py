"""Sealed records for tests: policies that seal, exchanges under them, and key stores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from guardproxy.audit.record.document import ENTRY_VERSION, Record
from guardproxy.audit.record.entries import Judged
from guardproxy.audit.record.private import PrivateRecord
from guardproxy.audit.record.versions import entry_of
from guardproxy.audit.sealing.operator_key import StaticKey
from guardproxy.audit.sealing.sealer import Sealer
from guardproxy.audit.sealing.store import KeyStore
from guardproxy.policy.deciding.evaluate import PolicySet
from tests.kit.play import Play, chat_frames, policy_set

OPERATOR = StaticKey(b"o" * 32, "file:operator")
OTHER = StaticKey(b"p" * 32, "file:other")
MAIL = "mara.lindqvist" + "@" + "example.com"
KEPT = """
policy: kept
checks: {mail: {use: pattern, label: MAIL, patterns: ["[a-z.]+@[a-z.]+[a-z]"]}}
rules:
  - {id: mail, on: request, when: mail, action: redact, restore: true}
  - {id: watch, on: response, when: mail, action: flag}
"""


@cache
def policies(audit: str = "{keep: sealed}", text: str = KEPT) -> PolicySet:
    """Policies with this `audit`."""
    return policy_set(f"{text}audit: {audit}\n")


def asked(content: str = f"write to {MAIL} please", **more: Any) -> dict[str, Any]:
    return {"model": "small", "messages": [{"role": "user", "content": content}], **more}


def played(rules: PolicySet, body: dict[str, Any], answer: str = f"hello, {MAIL} it is") -> Record:
    """The record of an exchange."""
    return Play(rules).ask(body).stream(chat_frames([{"content": answer}])).finish.record


def private(body: dict[str, Any] | None = None, audit: str = "{keep: sealed}", **more: Any) -> PrivateRecord:
    """The record of an exchange whose texts are to be sealed."""
    record = played(policies(audit), body or asked(**more))
    assert isinstance(record, PrivateRecord)
    return record


def scored(name: str = "id") -> Judged:
    """The entry of a judge about the exchange."""
    about: dict[str, Any] = {
        "policy": "graded",
        "upstream": "u",
        "model": "m",
        "rubric": "r",
        "scale": (1, 5),
        "ms": 1.0,
    }
    return Judged(v=ENTRY_VERSION, at=1.0, id=name, engine="test", score=4, **about)


def store_at(folder: Path, operators: Sequence[StaticKey] = (OPERATOR,), *, create: bool = True) -> KeyStore:
    return KeyStore(folder / "seal.keys", operators, create=create)


def sealed(sealer: Sealer, record: PrivateRecord) -> Record:
    """The sealed record, as a log holds it."""
    (written,) = sealer.seal([record])
    assert not isinstance(written, Exception)
    entry = entry_of(written.document)
    assert isinstance(entry, Record)
    return entry
