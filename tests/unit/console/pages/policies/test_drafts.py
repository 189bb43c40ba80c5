"""Drafts and proposals: who may do what, and what makes an approval void."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardproxy.console.pages.policies import drafts as module
from guardproxy.console.pages.policies.drafts import DraftError, DraftTable, PolicyDraft, person_of
from guardproxy.console.pages.policies.files import LIMIT_BYTES, digest_of

BASE = digest_of(b"old")


def draft(name: str = "a.yaml", content: bytes = b"new", base: str | None = BASE) -> PolicyDraft:
    return PolicyDraft(name, base, content)


def table(*drafts: PolicyDraft, by: str = "ann") -> DraftTable:
    made = DraftTable()
    for each in drafts or (draft(),):
        made.put(by, each)
    return made


@pytest.mark.parametrize(
    ("name", "other"), [("ann", "ANN"), ("ann", " ann "), ("ann", "ａｎｎ"), ("ann b", "annb"), ("straße", "STRASSE")]
)
def test_names_that_look_alike_are_one_person(name: str, other: str) -> None:
    assert person_of(name) == person_of(other)
    made = table(by=name)
    proposal = made.propose(name, "why", "1", 1.0)
    with pytest.raises(DraftError, match="another person approves"):
        made.approve("1", other, proposal.digest)


def test_a_proposal_goes_from_one_person_to_the_next() -> None:
    made = table(draft(), draft("b.yaml", b"same", digest_of(b"same")))
    proposal = made.propose("ann", " a \n reason ", "1", 1.0)
    assert [file.name for file in proposal.files] == ["a.yaml"]
    assert (proposal.why, proposal.state, proposal.is_open) == ("a reason", "waiting", True)
    with pytest.raises(DraftError, match="waiting, not approved"):
        made.begin_to_save("1", proposal.digest)
    with pytest.raises(DraftError, match="not the one that was shown"):
        made.approve("1", "bob", "sha256:other")
    approved = made.approve("1", "bob", proposal.digest)
    assert approved.approved_by == "bob"
    assert [approved.involves(name) for name in ("ANN", "Bob ", "cid")] == [True, True, False]
    with pytest.raises(DraftError, match="approved, not waiting"):
        made.approve("1", "cid", proposal.digest)
    assert made.begin_to_save("1", proposal.digest).state == "saving"
    with pytest.raises(DraftError, match="saving, not approved"):
        made.begin_to_save("1", proposal.digest)
    made.not_saved("1")
    made.begin_to_save("1", proposal.digest)
    assert made.saved("1", "done").told == "done"
    assert "a.yaml" not in made.of("ann")
    assert proposal.contents()["a.yaml"].base == BASE
    with pytest.raises(DraftError, match="saved already"):
        made.refuse("1", "bob")


def test_the_digest_covers_names_bases_and_contents() -> None:
    proposal = table().propose("ann", "why", "1", 1.0)
    for other in (draft("b.yaml"), draft(content=b"newer"), draft(base=None)):
        assert replace(proposal, files=(other,)).digest != proposal.digest
    assert replace(proposal, why="another").digest == proposal.digest


@pytest.mark.parametrize("approved", [False, True])
def test_a_further_edit_makes_a_proposal_void(*, approved: bool) -> None:
    made = table()
    proposal = made.propose("ann", "why", "1", 1.0)
    if approved:
        made.approve("1", "bob", proposal.digest)
    made.put("ann", draft())  # the same text
    assert made.proposal("1").is_open
    made.put("bob", draft(content=b"of another person"))
    assert made.proposal("1").is_open
    made.put("ann", draft(content=b"newer"))
    assert (made.proposal("1").state, made.proposal("1").told) == ("void", "`a.yaml` was edited further")
    with pytest.raises(DraftError, match="void"):
        made.begin_to_save("1", proposal.digest)


def test_a_further_proposal_takes_the_place_of_the_first() -> None:
    made = table()
    made.propose("ann", "why", "1", 1.0)
    made.propose("ann", "why", "2", 2.0)
    assert [proposal.state for proposal in made.proposals()] == ["waiting", "void"]


def test_what_is_edited_after_saving_stays_a_draft() -> None:
    made = table()
    proposal = made.propose("ann", "why", "1", 1.0)
    made.approve("1", "bob", proposal.digest)
    made.begin_to_save("1", proposal.digest)
    made.put("ann", draft(content=b"newer"))
    made.saved("1", "")
    assert made.of("ann")["a.yaml"].content == b"newer"


def test_a_proposal_needs_a_change_and_a_short_reason() -> None:
    made = table(draft(content=b"old"))
    with pytest.raises(DraftError, match="nothing is changed"):
        made.propose("ann", "why", "1", 1.0)
    made.put("ann", draft())
    for why, words in ((" ", "say why"), ("x" * 501, "at most 500")):
        with pytest.raises(DraftError, match=words):
            made.propose("ann", why, "1", 1.0)


def test_a_proposal_is_refused_by_others_and_taken_back_by_its_author() -> None:
    made = table()
    made.propose("ann", "why", "1", 1.0)
    assert made.refuse("1", "bob", "too wide").told == "bob refused it: too wide"
    made.propose("ann", "why", "2", 2.0)
    assert made.refuse("2", "ann").told == "ann took it back"
    with pytest.raises(DraftError, match="no such proposal"):
        made.refuse("3", "ann")


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    made = DraftTable()
    with pytest.raises(DraftError, match="at most"):
        made.put("ann", draft(content=b"x" * (LIMIT_BYTES + 1)))
    with pytest.raises(DraftError, match="file name"):
        made.put("ann", draft("../a.yaml"))
    for number in range(module.LIMIT_DRAFTS + 1):
        made.put("ann", draft(f"{number}.yaml"))
    assert len(made.of("ann")) == module.LIMIT_DRAFTS
    assert "0.yaml" not in made.of("ann")
    monkeypatch.setattr(module, "LIMIT_KEPT_BYTES", 100)
    made.put("bob", draft(content=b"x" * 90))
    assert not made.of("ann")
    monkeypatch.setattr(module, "LIMIT_PEOPLE", 1)
    made.put("cid", draft())
    assert not made.of("bob")
    monkeypatch.setattr(module, "LIMIT_PROPOSALS", 2)
    for number in range(3):
        made.propose("cid", "why", str(number), 1.0)
    assert [proposal.id for proposal in made.proposals()] == ["2", "1"]
    made.drop("cid", "a.yaml")
    made.drop("nobody", "a.yaml")
    assert not made.of("cid")


def test_a_proposal_that_is_being_saved_is_kept_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT_PROPOSALS", 2)
    made = DraftTable()
    made.put("ann", draft())
    first = made.propose("ann", "why", "first", 1.0)
    made.approve("first", "bob", first.digest)
    made.begin_to_save("first", first.digest)
    made.put("cid", draft())
    for number in range(3):
        made.propose("cid", "why", str(number), 1.0)
    assert [proposal.id for proposal in made.proposals()] == ["2", "first"]
    made.not_saved("first")
    assert made.proposal("first").state == "approved"
