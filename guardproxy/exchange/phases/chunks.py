"""The documents and results of tools of a request: cuts them out, for rules with the action `drop_chunk`, and collects them,
for checks that compare an answer with them.

In: the frame of the request, and the rules that held. Out: edits of all texts of each chunk with a finding. A chunk is what
came from one source: a document, or one result of a tool with all its parts. Its place in the request stays, as a call without
a result is refused by providers: its first text becomes a note, and its other texts become empty.

Decision: docs/decisions/0052-retrieved-texts-are-compared-by-words.md
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from guardproxy.decisions import DropChunk
from guardproxy.events import Path, Text
from guardproxy.exchange.gate.gate import Piece, QueuedFrame
from guardproxy.exchange.phases.stage import RequestDraft
from guardproxy.findings import Passage, Sources
from guardproxy.policy import BoundRules, Outcome
from guardproxy.wire.json import is_word, reach

NOTE = "[removed by policy]"
_KEY = "removed"


def drop_chunks(entry: QueuedFrame, outcomes: Iterable[Outcome]) -> None:
    """Edits the lanes of the chunks that enforced rules cut out, before the frame is rendered."""
    dropped = {outcome.channel for outcome in outcomes if outcome.enforced and isinstance(outcome.decision, DropChunk)}
    if not dropped:
        return
    tree = entry.frame.tree
    roots = {chunk_of(piece.text.path, tree) for piece in entry.pieces if piece.lane.channel in dropped}
    noted: set[Path] = set()
    for piece in entry.pieces:
        root = chunk_of(piece.text.path, tree)
        if root not in roots or piece.text.fixed or _names_a_call(piece.text):
            continue
        is_plain = not (piece.text.key or piece.text.number)
        _cut(piece, NOTE if is_plain and root not in noted else "")
        if is_plain:
            noted.add(root)


def _names_a_call(text: Text) -> bool:
    """Whether a text is the name of a called tool, by which a provider finds the call of a result."""
    return text.path[-1] == "name" and not text.key and is_word(text.text)


def _cut(piece: Piece, note: str) -> None:
    """Puts a note instead of a whole text. A key stays a key, and a number becomes a number."""
    lane = piece.lane
    end = len(lane.text.view.text) if lane.text.view else lane.text.total
    lane.rewrite.edits[:] = []
    lane.rewrite.fitted.clear()
    lane.rewrite.edit(0, end, f"{_KEY}_{lane.index}" if piece.text.key else note)


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
        forms.sources = sources_of(draft.texts, known.earlier if known is not None else ())
