"""The scans of a gate: at most one is under way, and text that arrives meanwhile joins the next window."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from guardproxy.exchange.gate.editing import Editor
from guardproxy.exchange.gate.gate import Gate, Job, Lane
from guardproxy.exchange.gate.notes import Notes
from guardproxy.exchange.inputs.transcript import RunScans
from guardproxy.findings import Scan


class Scans(msgspec.Struct):
    """Asks for the scans of a gate, and gives the findings to the gate and the editor.

    The search for placeholders runs here at once. The driver runs all other jobs, by a `RunScans` command.
    """

    gate: Gate
    editor: Editor
    notes: Notes
    pending: Sequence[Job] = ()
    """All jobs under way."""
    distant: tuple[Job, ...] = ()
    """The jobs under way that the driver runs."""
    found: list[Lane] | None = None
    """The lanes with new findings, if somebody wants to know them."""

    def ask(self, *, all_text: bool = False) -> RunScans | None:
        """Runs the jobs for placeholders; returns the command for the other jobs, if any. `all_text`: see `Gate.jobs`."""
        # What the search for placeholders settles may make further jobs.
        while jobs := self.gate.jobs(all_text=all_text):
            restoring = self.editor.restoring
            self.pending = jobs
            self.distant = tuple([job for job in jobs if job.check is not restoring])
            if self.distant:
                self.notes.measures.scans += len(self.distant)
                return RunScans(self.distant)
            self.learn([])
        return None

    def drop(self) -> None:
        """Forgets the jobs under way."""
        self.pending = self.distant = ()

    def learn(self, scans: Sequence[Scan]) -> None:
        """Takes the scans of the jobs under way."""
        jobs = self.pending
        self.drop()
        answers, restoring = iter(scans), self.editor.restoring
        # In the order of the jobs, as `Gate.learn` needs it: those that ran here between those that the driver ran.
        merged = [job.check.scan([job.window])[0] if job.check is restoring else next(answers) for job in jobs]
        for lane, findings in self.gate.learn(merged):
            self.editor.edit(lane, findings)
            if self.found is not None:
                self.found.append(lane)
