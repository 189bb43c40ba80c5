"""The documents and results of tools of a request: cuts them out, for rules with the action `drop_chunk`, and collects them,
for checks that compare an answer with them.

In: the frame of the request, and the rules that held. Out: edits of all texts of each chunk with a finding. A chunk is what
came from one source: a document, or one result of a tool with all its parts. Its place in the request stays, as a call without
a result is refused by providers: its first text becomes a note, and its other texts become empty.

Decisions:
- docs/decisions/0052-retrieved-texts-are-compared-by-words.md
- docs/decisions/0075-tagged-blocks-are-documents.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from guardproxy.decisions import DropChunk
from guardproxy.events import HOLDING, Path, Text
from guardproxy.exchange.gate.blocks import BlockGrammar
from guardproxy.exchange.gate.documents import Documents, DocumentSplitter, decoded
from guardproxy.exchange.gate.gate import Piece, QueuedFrame
from guardproxy.exchange.phases.stage import RequestDraft
from guardproxy.findings import Passage, Sources
from guardproxy.policy import BoundRules, Outcome
from guardproxy.policy.sections import DOCUMENTS
from guardproxy.wire.json import is_word, reach

NOTE = "[removed by policy]"
_KEY = "removed"
_HOLDING = frozenset(("request", kind) for kind in HOLDING)


def drop_chunks(entry: QueuedFrame, outcomes: Iterable[Outcome]) -> None:
    """Edits the lanes of the chunks that enforced rules cut out, before the frame is rendered."""
    dropped = {outcome.channel for outcome in outcomes if outcome.enforced and isinstance(outcome.decision, DropChunk)}
    if not dropped:
        return
    tree = entry.frame.tree
    roots = {_root(piece.text, tree) for piece in entry.pieces if piece.lane.channel in dropped}
    noted: set[Path] = set()
    for piece in entry.pieces:
        root = _root(piece.text, tree)
        if root not in roots or piece.text.fixed or _names_a_call(piece.text):
            continue
        # A note in place of a key or a number would change the form of the request.
        is_plain = not (piece.text.key or piece.text.number or (piece.text.excerpt and piece.text.excerpt.is_aside))
        _cut(piece, NOTE if is_plain and root not in noted else "")
        if is_plain:
            noted.add(root)


def _root(text: Text, tree: Any) -> Path:
    """Returns the chunk that a text belongs to. A document in another text is one."""
    return chunk_of(text.path, tree) if text.excerpt is None else (text.excerpt.document or text.channel.path,)


def _names_a_call(text: Text) -> bool:
    """Whether a text is the name of a called tool, by which a provider finds the call of a result."""
    return text.path[-1] == "name" and not text.key and text.excerpt is None and is_word(text.text)


def _cut(piece: Piece, note: str) -> None:
    """Puts a note instead of a whole text. A key stays a key, and a number becomes a number."""
    lane = piece.lane
    end = len(lane.text.view.text) if lane.text.view else lane.text.total
    # Edits so far lie within the span that goes, and edits of a lane must not overlap.
    lane.rewrite.edits[:] = []
    lane.rewrite.fitted.clear()
    lane.rewrite.edit(0, end, f"{_KEY}_{lane.index}" if piece.text.key else note)


def apart(texts: Iterable[tuple[Text, str]], documents: Documents | None) -> Iterator[tuple[Text, str]]:
    """Yields the texts of a request as the model gets them, with documents as texts of their own. In the text that holds one,
    blanks stand for it, so that offsets stay."""
    for text, new in texts:
        parts = documents.parts(text) if documents is not None else []
        yield text, "".join(part if owner is text else " " * len(part) for owner, part in parts) if parts else new
        for owner, part in parts:
            if owner is not text:
                yield owner, decoded(owner, part)


def sources_of(texts: Iterable[tuple[Text, str]], earlier: tuple[Any, ...] = ()) -> Sources:
    """Returns the retrieved texts of a request, the texts of its user, and all its texts, as the model gets them. `earlier`:
    what is kept of earlier ones."""
    retrieved: list[str] = []
    asked: list[str] = []
    passages: list[Passage] = []
    for text, new in texts:
        kind = text.channel.kind
        passages.append(Passage(kind, text.channel.path, new, text.key))
        if kind in ("tool_result", "document") and not text.key:
            retrieved.append(new)
        elif kind == "user":
            asked.append(new)
    return Sources(tuple(retrieved), tuple(asked), tuple(passages), earlier)


def chunk_of(path: Path, tree: Any) -> Path:
    """Returns the path of the chunk that a text belongs to: an item of a list at the top of the request (a message of a tool,
    an item, a document), or a part of a message with several parts."""
    steps = [number for number, step in enumerate(path) if isinstance(step, int)]
    if not steps:
        return path[:1]
    first = path[: steps[0] + 1]
    return first if len(steps) == 1 or not _has_parts(reach(tree, first)) else path[: steps[1] + 1]


def _has_parts(item: Any) -> bool:
    """Whether an item is a message whose parts may come from several sources. A message of a tool comes from one."""
    return (
        isinstance(item, dict)
        and ("content" in item or "parts" in item)
        and item.get("role") not in ("tool", "function")
    )


@dataclass(frozen=True, slots=True)
class DocumentStage:
    """Makes texts of their own of the documents that sections name."""

    splitter: DocumentSplitter

    @classmethod
    def of(cls, bound: BoundRules) -> DocumentStage | None:
        """Returns the stage of a set of rules; `None` if no section is carried out."""
        sections = {each.policy: each.value for each in DOCUMENTS.bound(bound.sections) if each.enforced}
        if not sections:
            return None
        tags = [name for section in sections.values() for name in section.tags]
        lines = [line for section in sections.values() for line in section.marks]
        grammar = BlockGrammar(tags, lines, has_fences=any(section.fences for section in sections.values()))
        pointers = tuple(dict.fromkeys(pointer for section in sections.values() for pointer in section.json))
        # What a policy says about its own rules must not blind those of another.
        reading = {rule.policy.name for rule in bound.rules if not rule.rule.on.isdisjoint(_HOLDING)}
        is_apart = bool(reading) and all(name in sections and sections[name].apart for name in reading)
        return cls(DocumentSplitter(grammar, pointers, is_apart))

    def amend(self, draft: RequestDraft) -> None:
        """Says how the request is split, before checks read it."""
        draft.documents = Documents(self.splitter, draft.setting.history.documents)


class ChunkStage:
    """Cuts out the documents and results of tools that rules with the action `drop_chunk` name."""

    @classmethod
    def of(cls, bound: BoundRules) -> ChunkStage | None:
        """Returns the stage of a set of rules; `None` if no rule has the action."""
        return cls() if any(isinstance(rule.decision, DropChunk) for rule in bound.rules) else None

    def amend(self, draft: RequestDraft) -> None:
        """Edits the texts of the chunks."""
        drop_chunks(draft.entry, draft.guard.tally.outcomes)


class SourceStage:
    """Keeps the retrieved texts, for checks that compare an answer with them."""

    @classmethod
    def of(cls, bound: BoundRules) -> SourceStage | None:
        """Returns the stage of a set of rules; `None` if they have no such check."""
        return cls() if bound.needs_sources else None

    def amend(self, draft: RequestDraft) -> None:
        """Notes the texts as the model gets them, without marks."""
        forms = draft.guard.forms
        known = forms.facts.sources  # what is known of earlier exchanges
        texts = draft.texts if draft.documents is None else apart(draft.texts, draft.documents)
        forms.sources = sources_of(texts, known.earlier if known is not None else ())
