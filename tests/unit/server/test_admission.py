"""Ids are random, of one length, and never the same."""

from __future__ import annotations

import os
import re

import pytest

from guardproxy.server.admission import IDS_AT_ONCE, RandomIds


def test_ids_are_all_different_and_need_few_system_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    read = os.urandom

    def counting(size: int) -> bytes:
        calls.append(size)
        return read(size)

    monkeypatch.setattr(os, "urandom", counting)
    first, second = RandomIds(), RandomIds()
    found = [ids.next() for ids in (first, second) for _ in range(3 * IDS_AT_ONCE)]
    assert len(set(found)) == len(found)
    assert all(re.fullmatch("[0-9a-f]{24}", each) for each in found)
    assert len(calls) == 6
