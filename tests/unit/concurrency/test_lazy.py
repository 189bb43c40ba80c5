"""Values that are computed once, without a lock that objects share."""

from __future__ import annotations

import ast
from pathlib import Path
from threading import Event, Thread

import guardproxy
from guardproxy.audit.record.document import Record
from guardproxy.concurrency import lazy
from guardproxy.exchange.inputs.transcript import Finish
from tests.kit.records import plain_record

WAIT_S = 20.0  # only a test that fails waits


class Counting:
    def __init__(self) -> None:
        self.calls = 0

    @lazy
    def value(self) -> int:
        """The value."""
        self.calls += 1
        return 7


def test_a_value_is_computed_once_for_each_object() -> None:
    first, second = Counting(), Counting()
    assert [first.value, first.value, second.value] == [7, 7, 7]
    assert (first.calls, second.calls) == (1, 1)
    assert Counting.value.__doc__ == "The value."


def test_a_record_is_composed_while_another_thread_composes_another_one() -> None:
    begun, go_on, done = Event(), Event(), Event()

    def long() -> Record:
        begun.set()
        assert go_on.wait(WAIT_S)
        return plain_record(id="long")

    def short() -> None:
        assert Finish("answered", composing=lambda: plain_record(id="short")).record.id == "short"
        done.set()

    finish = Finish("answered", composing=long)
    threads = [Thread(target=lambda: finish.record), Thread(target=short)]
    threads[0].start()
    assert begun.wait(WAIT_S)
    threads[1].start()
    try:
        assert done.wait(WAIT_S), "one record waits for another"
    finally:
        go_on.set()
        for thread in threads:
            thread.join()
    assert finish.record.id == "long"


def test_nothing_uses_the_property_that_locks_a_class() -> None:
    users = [
        path.name
        for path in Path(guardproxy.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.module == "functools"
        and any(alias.name == "cached_property" for alias in node.names)
    ]
    assert users == []
