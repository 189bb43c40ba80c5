"""Drives an exchange without sockets, threads or a clock.

Replay, policy tests, the offline scan and the tests use `play`. The proxy itself uses the asynchronous driver
(`server/driving/driver.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat

from guardproxy.exchange.exchange import Exchange
from guardproxy.exchange.gate.gate import Job
from guardproxy.exchange.inputs.recollection import (
    ClaimMemory,
    MemoryClaimed,
    MemoryCommand,
    MemoryRecalled,
    RecallMemory,
    nothing_remembered,
)
from guardproxy.exchange.inputs.transcript import Command, Input, RunScans, Scanned
from guardproxy.findings import Scan

Watch = Callable[[Input, Sequence[Command]], object]


def play(
    exchange: Exchange,
    inputs: Iterable[Input],
    scan: Callable[[RunScans], Scanned],
    *,
    late: Iterable[bool] = (),
    watch: Watch | None = None,
    remembered: Callable[[MemoryCommand], MemoryRecalled | MemoryClaimed] = nothing_remembered,
) -> list[Command]:
    """Gives the inputs to the exchange and runs its scans; returns all other commands in order.

    `scan` performs a `RunScans` and returns the input that answers it. `late` has a value for each input: where it is true, the
    next input arrives before the scan has ended; it is false for inputs without a value. `watch` is called with each input
    and the commands that follow from it. `remembered` answers for the memory of earlier exchanges; without it, that is empty.
    """
    commands: list[Command] = []
    waiting: list[RunScans | MemoryCommand] = []

    def tell(event: Input) -> None:
        follows = exchange.receive(event)
        if watch is not None:
            watch(event, follows)
        for command in follows:
            if isinstance(command, (RunScans, RecallMemory, ClaimMemory)):
                waiting.append(command)
            else:
                commands.append(command)

    def finish_scans() -> None:
        while waiting:
            # At most one is under way, so it does not matter from which end they are taken.
            command = waiting.pop()
            tell(scan(command) if isinstance(command, RunScans) else remembered(command))

    for event, is_late in zip(inputs, chain(late, repeat(False)), strict=False):
        tell(event)
        if not is_late:
            finish_scans()
    finish_scans()
    return commands


def each(scan: Callable[[Job], Scan]) -> Callable[[RunScans], Scanned]:
    """Returns a function that performs a `RunScans` by running `scan` on each of its jobs."""

    def perform(command: RunScans) -> Scanned:
        return Scanned(tuple(map(scan, command.jobs)))

    return perform
