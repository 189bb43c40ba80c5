"""What the page Policies keeps in memory for all people: the folder, drafts, proposals and workbenches.

In: the console. Out: its desk, which is made once. The remarks about the files are kept until a file changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from guardproxy.audit import ENTRY_VERSION, PolicyChanged
from guardproxy.audit.sealing import operator_log
from guardproxy.config import package_folder
from guardproxy.console.contract import Console, Visit
from guardproxy.console.pages.policies.drafts import DraftTable, Proposal
from guardproxy.console.pages.policies.files import PolicyFolder
from guardproxy.console.pages.policies.tasks import (
    BenchReply,
    CancelledTask,
    FailedTask,
    LintReply,
    LintTask,
    PolicySource,
)
from guardproxy.console.pages.policies.workshop import SLOW_S, Workshop

_NAME = "policies"
PATIENCE_S = 8.0  # of a page that waits for remarks
READING = "The files are being read. The page shows them in a moment."
WHOLE = "files"  # the place of remarks about the files as they are


@dataclass(slots=True)
class Desk:
    """See above. `linted`: the remarks about the files, and the state of the files that they are about."""

    folder: PolicyFolder
    drafts: DraftTable = field(default_factory=DraftTable)
    workshop: Workshop = field(default_factory=Workshop)
    linted: tuple[Any, LintReply] | None = None
    reading: asyncio.Task[BenchReply] | None = None

    def source(self, instead: Mapping[str, bytes] | None = None) -> PolicySource:
        """Returns where the policies are. `instead`: the contents of drafts."""
        return PolicySource(str(self.folder.path), dict(instead or {}))

    def with_drafts(self, name: str) -> PolicySource:
        """Returns the policies with the drafts of a person."""
        return self.source({draft.name: draft.content for draft in self.drafts.of(name).values() if draft.is_changed})

    async def remarks(self, visit: Visit) -> tuple[LintReply, str]:
        """Returns the remarks about the files, with their coverage; or why there are none. `READING`: they are being read."""
        stamp = await visit.console.run(self.folder.stamp)
        if self.linted is not None and self.linted[0] == stamp:
            return self.linted[1], ""
        if self.reading is None:
            self.reading = asyncio.get_running_loop().create_task(self._read(stamp))
        reading = self.reading
        done, _ = await asyncio.wait({reading}, timeout=PATIENCE_S)
        if not done:
            return LintReply(), READING
        reply = reading.result()
        return (reply, "") if isinstance(reply, LintReply) else (LintReply(), getattr(reply, "why", READING))

    async def _read(self, stamp: object) -> BenchReply:
        try:
            reply = await self.workshop.ask("", WHOLE, LintTask(self.source(), covered=True), SLOW_S)
        finally:
            self.reading = None
        if isinstance(reply, LintReply):
            self.linted = stamp, reply
        return reply

    async def close(self) -> None:
        """Ends what goes on."""
        if self.reading is not None:
            self.reading.cancel()
            await asyncio.wait({self.reading})
        await self.workshop.close()

    async def remarks_about(
        self, visit: Visit, source: PolicySource, place: str
    ) -> LintReply | FailedTask | CancelledTask:
        """Returns the remarks about drafts, or why there are none."""
        reply = await self.workshop.ask(visit.login.name, place, LintTask(source))
        return reply if isinstance(reply, (LintReply, CancelledTask)) else FailedTask(getattr(reply, "why", "no reply"))


def desk_of(console: Console) -> Desk:
    """Returns the desk of a console."""
    if _NAME not in console.shared:
        path = console.policies[0]
        desk = Desk(PolicyFolder(path, not _is_shipped(path)))
        desk.workshop.bench.first = LintTask(desk.source())
        console.shared[_NAME] = desk
        console.closing.append(desk.close)
    made: Desk = console.shared[_NAME]
    return made


def _is_shipped(path: Path) -> bool:
    return path.resolve().is_relative_to(package_folder("policies").resolve())


def engine() -> str:
    """Returns the version of guardproxy that entries of the log name."""
    try:
        return f"guardproxy {version('guardproxy')}"
    except PackageNotFoundError:
        return "guardproxy dev"


def note_change(audit: Path, proposal: Proposal, at_s: float) -> None:
    """Says in the log that files of policies change. Raises `AuditError`."""
    entry = PolicyChanged(
        v=ENTRY_VERSION,
        at=at_s,
        engine=engine(),
        files=PolicyChanged.changed({file.name: (file.base, file.digest) for file in proposal.files}),
        by=proposal.by,
        approved_by=proposal.approved_by,
        why=proposal.why,
    )
    with operator_log(audit, engine()) as append:
        append(entry)
