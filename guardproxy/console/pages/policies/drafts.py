"""Edits of policies in memory: drafts of people, and proposals that a second person approves.

In: contents, names of people, times. Out: drafts and proposals, or `DraftError`. Nothing is on disk, and nobody sees the
draft of another person before it is proposed.

Rules that must hold
- A proposal is a fixed set of contents with one digest. Who approves sends that digest, and these contents are saved.
- The person who proposed does not approve. Names that differ only in case or in the form of letters are one person.
- A further edit of a proposed file makes the proposal void.
- All that is kept is bounded; the oldest goes first.

Decision: docs/decisions/0084-two-people-change-policies-in-the-console.md
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from guardproxy.console.pages.policies.files import LIMIT_BYTES, FileError, NewContent, digest_of, refuse_name

LIMIT_DRAFTS = 20  # of a person
LIMIT_PEOPLE = 200
LIMIT_PROPOSALS = 100
LIMIT_KEPT_BYTES = 64 * 1024 * 1024
WHY_CHARS = 500
ProposalState = Literal["waiting", "approved", "refused", "saving", "saved", "void"]
OPEN_STATES: tuple[ProposalState, ...] = ("waiting", "approved")
_WORTH: Mapping[ProposalState, int] = {"waiting": 1, "approved": 1, "saving": 2}
"""Which proposals are kept longest; 0 for those that are over."""


class DraftError(Exception):
    """An edit is refused. The message may be shown."""


def person_of(name: str) -> str:
    """Returns a name in the form that is equal for all spellings of a person's name."""
    # Otherwise `ann` could approve what `Ann` or `ａｎｎ` proposed, from a second account of the same person.
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


@dataclass(frozen=True, slots=True)
class PolicyDraft:
    """A file as a person edits it. `base`: the digest of the file when the edit began; `None`: there was none."""

    name: str
    base: str | None
    content: bytes

    @property
    def digest(self) -> str:
        return digest_of(self.content)

    @property
    def is_changed(self) -> bool:
        return self.digest != self.base


@dataclass(frozen=True, slots=True)
class Proposal:
    """Drafts that a person proposes. `digest`: covers the names, bases and contents of all files. `at_s`: Unix time. `told`:
    what became of it, in words."""

    id: str
    by: str
    why: str
    files: tuple[PolicyDraft, ...]
    at_s: float
    state: ProposalState = "waiting"
    approved_by: str = ""
    told: str = ""

    @property
    def digest(self) -> str:
        digest = hashlib.sha256()
        for file in self.files:
            for part in (file.name.encode(), (file.base or "").encode(), file.digest.encode()):
                # Lengths keep the parts apart: `ab` and `c` must not have the digest of `a` and `bc`.
                digest.update(len(part).to_bytes(8, "big") + part)
        return f"sha256:{digest.hexdigest()}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    def contents(self) -> dict[str, NewContent]:
        """Returns what is saved."""
        return {file.name: NewContent(file.base, file.content) for file in self.files}

    def is_of(self, name: str) -> bool:
        """Whether a person proposed it."""
        return person_of(self.by) == person_of(name)

    def involves(self, name: str) -> bool:
        """Whether a person proposed or approved it."""
        return person_of(name) in (person_of(self.by), person_of(self.approved_by))


@dataclass(slots=True)
class DraftTable:
    """The drafts of all people, and proposals by id."""

    _drafts: dict[str, dict[str, PolicyDraft]] = field(default_factory=dict)
    _proposals: dict[str, Proposal] = field(default_factory=dict)

    # Drafts.

    def of(self, name: str) -> Mapping[str, PolicyDraft]:
        """Returns the drafts of a person, by the names of the files."""
        return self._drafts.get(person_of(name), {})

    def put(self, name: str, draft: PolicyDraft) -> PolicyDraft:
        """Keeps a draft of a person. Raises `DraftError`."""
        try:
            refuse_name(draft.name)
        except FileError as error:
            raise DraftError(str(error)) from None
        if len(draft.content) > LIMIT_BYTES:
            raise DraftError(f"a file of policies has at most {LIMIT_BYTES:,} bytes")
        own = self._drafts.pop(person_of(name), {})
        self._drafts[person_of(name)] = own
        before = own.pop(draft.name, None)
        own[draft.name] = draft
        while len(own) > LIMIT_DRAFTS:
            del own[next(iter(own))]
        while len(self._drafts) > 1 and (len(self._drafts) > LIMIT_PEOPLE or self._bytes() > LIMIT_KEPT_BYTES):
            del self._drafts[next(iter(self._drafts))]
        # Keeping the same content again is no edit: a page does so whenever it asks for remarks.
        if before is None or before.content != draft.content:
            self._void(name, draft)
        return draft

    def drop(self, name: str, file: str) -> None:
        """Forgets a draft of a person."""
        self._drafts.get(person_of(name), {}).pop(file, None)

    # Proposals.

    def proposals(self) -> list[Proposal]:
        """Returns all proposals, newest first."""
        return list(reversed(self._proposals.values()))

    def proposal(self, id: str) -> Proposal:
        """Returns a proposal. Raises `DraftError`."""
        if id not in self._proposals:
            raise DraftError("there is no such proposal any more; proposals are kept in memory")
        return self._proposals[id]

    def propose(self, name: str, why: str, id: str, at_s: float) -> Proposal:
        """Proposes the changed drafts of a person. Raises `DraftError`."""
        files = tuple(draft for _, draft in sorted(self.of(name).items()) if draft.is_changed)
        if not files:
            raise DraftError("nothing is changed")
        if not why.strip():
            raise DraftError("say why the policies change: the log keeps it, and the second person reads it")
        if len(why) > WHY_CHARS:
            raise DraftError(f"the reason has at most {WHY_CHARS} characters")
        for proposal in self.proposals():
            if proposal.is_of(name) and proposal.is_open:
                self._set(proposal, "void", "the person proposed another change")
        made = Proposal(id, name, " ".join(why.split()), files, at_s)
        self._proposals[id] = made
        # What is over goes first. One that is being saved stays: its files are about to be on the disk, and its end is noted.
        while len(self._proposals) > LIMIT_PROPOSALS:
            oldest = min(self._proposals.values(), key=lambda proposal: _WORTH.get(proposal.state, 0))
            del self._proposals[oldest.id]
        return made

    def approve(self, id: str, name: str, digest: str) -> Proposal:
        """Approves a proposal. `digest`: of what the person saw. Raises `DraftError`."""
        proposal = self.proposal(id)
        if proposal.is_of(name):
            raise DraftError("another person approves: the one who proposes cannot")
        self._expect(proposal, "waiting", digest)
        self._proposals[id] = approved = replace(proposal, state="approved", approved_by=name)
        return approved

    def refuse(self, id: str, name: str, told: str = "") -> Proposal:
        """Refuses a proposal, or takes one's own back. Raises `DraftError`."""
        proposal = self.proposal(id)
        if not proposal.is_open:
            raise DraftError(f"the proposal is {proposal.state} already")
        words = f"{name} {'took it back' if proposal.is_of(name) else 'refused it'}"
        return self._set(proposal, "refused", f"{words}: {told}" if told.strip() else words)

    def begin_to_save(self, id: str, digest: str) -> Proposal:
        """Takes an approved proposal to save it: nobody else saves it meanwhile. Raises `DraftError`."""
        proposal = self.proposal(id)
        self._expect(proposal, "approved", digest)
        return self._set(proposal, "saving", "")

    def not_saved(self, id: str) -> None:
        """Gives a proposal back that could not be saved. It is approved as before."""
        self._set(self._proposals[id], "approved", "")

    def saved(self, id: str, told: str) -> Proposal:
        """Notes that a proposal is saved. The drafts of its files go."""
        proposal = self._set(self._proposals[id], "saved", told)
        own = self._drafts.get(person_of(proposal.by), {})
        for file in proposal.files:
            if file.name in own and own[file.name].digest == file.digest:
                del own[file.name]
        return proposal

    def _expect(self, proposal: Proposal, state: ProposalState, digest: str) -> None:
        if proposal.state != state:
            raise DraftError(f"the proposal is {proposal.state}, not {state}")
        if proposal.digest != digest:
            raise DraftError("the proposal is not the one that was shown; read it again")

    def _set(self, proposal: Proposal, state: ProposalState, told: str) -> Proposal:
        self._proposals[proposal.id] = changed = replace(proposal, state=state, told=told)
        return changed

    def _void(self, name: str, draft: PolicyDraft) -> None:
        """Makes proposals void whose file was edited further."""
        for proposal in self.proposals():
            others = (file for file in proposal.files if file.name == draft.name and file.digest != draft.digest)
            if proposal.is_open and proposal.is_of(name) and any(others):
                self._set(proposal, "void", f"`{draft.name}` was edited further")

    def _bytes(self) -> int:
        return sum(len(draft.content) for own in self._drafts.values() for draft in own.values())
