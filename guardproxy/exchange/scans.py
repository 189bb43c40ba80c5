"""The scans of one gate: at most one is under way, and what arrives meanwhile joins the next window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guardproxy.exchange.editing import Editor
from guardproxy.exchange.gate import Gate, Job
from guardproxy.exchange.notes import Notes
from guardproxy.exchange.transcript import Scan as ScanCommand
from guardproxy.findings import Scan


@dataclass(slots=True)
class Scans:
    """Asks for the scans of a gate, and gives what was found to the gate and the editor.

    Placeholders are searched here at once. Everything else is a `Scan` command for the driver.
    """

    gate: Gate
    editor: Editor
    notes: Notes
    pending: Sequence[Job] = ()
    """The jobs under way, those of placeholders included."""
    distant: tuple[Job, ...] = ()
    """The jobs under way that the driver runs."""

    def ask(self, *, all_text: bool = False) -> ScanCommand | None:
        """Scans what can be scanned at once; returns the command for the rest. `all_text`: see `Gate.jobs`."""
        while jobs := self.gate.jobs(all_text=all_text):
            restoring = self.editor.restoring
            self.pending = jobs
            self.distant = tuple([job for job in jobs if job.check is not restoring])
            if self.distant:
                self.notes.scans += len(self.distant)
                return ScanCommand(self.distant)
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
        merged = [job.check.scan([job.window])[0] if job.check is restoring else next(answers) for job in jobs]
        for lane, findings in self.gate.learn(merged):
            self.editor.edit(lane, findings)
