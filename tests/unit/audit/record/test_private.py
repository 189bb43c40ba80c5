"""Records that must be sealed, and a log without keys."""

from __future__ import annotations

from guardproxy.audit.record.private import NO_SEALING, seal_all
from guardproxy.errors import AuditError
from tests.kit.records import plain_record
from tests.kit.sealing import private


class Waiting:
    def __init__(self, record: object) -> None:
        self.record = record
        self.errors: list[AuditError] = []

    def settle(self, result: AuditError) -> None:
        self.errors.append(result)


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
