"""The journal of received requests."""

from __future__ import annotations

import threading

import pytest

from guardproxy.demo.journal import Journal, ReceivedRequest


def received(path: str) -> ReceivedRequest:
    return ReceivedRequest("POST", path, {}, b"")


def test_it_keeps_the_newest_and_tells_of_each() -> None:
    told: list[ReceivedRequest] = []
    journal = Journal(limit=2, notice=told.append)
    for path in ("/a", "/b", "/c"):
        journal.add(received(path))
    assert [entry.path for entry in journal.all()] == ["/b", "/c"]
    assert [entry.path for entry in told] == ["/a", "/b", "/c"]
    journal.clear()
    assert journal.all() == []


def test_a_thread_can_wait_for_the_end_of_a_request() -> None:
    journal, entry = Journal(), received("/a")
    journal.add(entry)
    other = threading.Thread(target=journal.end, args=(entry, "gone"))
    other.start()
    assert journal.wait(lambda entries: [one for one in entries if one.ended == "gone"]) == [entry]
    other.join()
    assert entry.ended_s >= entry.started_s


def test_waiting_has_an_end() -> None:
    with pytest.raises(TimeoutError, match="0 requests"):
        Journal().wait(lambda entries: entries, timeout_s=0.01)
