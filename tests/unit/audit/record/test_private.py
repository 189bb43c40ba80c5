"""Records that must be sealed, and a log without keys."""

from __future__ import annotations

import pytest

from guardproxy.audit.record.private import NO_SEALING, seal_all
from guardproxy.errors import AuditError
from tests.kit.records import plain_record
from tests.kit.sealing import private, scored


class Waiting:
    def __init__(self, record: object) -> None:
        self.record = record
        self.errors: list[AuditError] = []

    def settle(self, result: AuditError) -> None:
        self.errors.append(result)


def test_what_a_judge_says_about_sealed_texts_is_not_written_as_it_is() -> None:
    entry = private().with_reason(scored(), "it repeats the text")
    assert "repeats" not in repr(entry)
    with pytest.raises(AuditError, match="must be sealed"):
        entry.to_json()
    waiting = Waiting(entry)
    seal_all([waiting], NO_SEALING)
    assert len(waiting.errors) == 1


def test_without_keys_only_records_to_seal_are_refused() -> None:
    plain, sealed = Waiting(plain_record()), Waiting(private())
    seal_all([plain], NO_SEALING)
    seal_all([plain, sealed], NO_SEALING)
    assert plain.errors == []
    assert [str(error) for error in sealed.errors] == [
        "the texts of this record must be sealed, and no key is given",
    ]
    NO_SEALING.check()
    NO_SEALING.close()
