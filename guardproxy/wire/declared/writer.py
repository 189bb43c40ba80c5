"""Writes a declared format: requests, answers, streams and errors, by the pointers of its declaration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from guardproxy.events import Path
from guardproxy.findings import Kind
from guardproxy.wire.contract.writing import CutText, JsonAuthor, Prompt, Reply
from guardproxy.wire.declared.contract import concrete, framing_of
from guardproxy.wire.declared.declaration import BY_ROLE, DeclaredFormat, Texts
from guardproxy.wire.declared.pointers import EACH, ROLES, Pointer, put, value
from guardproxy.wire.json import walk

_ROLE_OF: dict[Kind, str] = {kind: role for role, kind in reversed(list(ROLES.items()))}


class DeclaredAuthor(JsonAuthor):
    """The author. `request_map`: the map of requests, by which the prompt is read."""

    def __init__(self, declaration: DeclaredFormat, request_map: Any) -> None:
        self._of = declaration
        self._request_map = request_map
        self.framing = framing_of(declaration)
        stream = declaration.stream
        self.END = stream.end_text if stream.end is None else put({}, stream.end, stream.end_value)
        route = declaration.routes[0]
        self.ROUTE = _filled(route)
        self.PROMPT_PATH: Path = concrete(self._place("user"))

    def _place(self, kind: Kind) -> Pointer:
        """The first place of a request for a text of this kind; that of the first text if there is none."""
        texts = self._of.request.texts
        own = [place for place, known in texts if known == kind]
        own += [place for place, known in texts if known == BY_ROLE and kind in _ROLE_OF]
        return own[0] if own else texts[0][0]

    # Requests.

    def read(self, tree: Any) -> Prompt:
        """The prompt of a request. Raises `ValueError` when it has no text of a user."""
        texts = self._texts(tree)
        asked = [text for kind, text in texts if kind in ("user", "tool_result")]
        if not self.is_request(tree) or not asked:
            raise ValueError("the request has no text of a user")
        request = self._of.request
        model = value(tree, request.model)
        return Prompt(
            model=model if isinstance(model, str) else "",
            text=asked[-1],
            tool_result=[kind for kind, _ in texts if kind in ("user", "tool_result")][-1] == "tool_result",
            system=" ".join(text for kind, text in texts if kind == "system"),
            prompt_words=sum(len(text.split()) for _, text in texts),
            stream=self.is_streamed(tree),
        )

    def _texts(self, tree: Any) -> list[tuple[Kind, str]]:
        leaves = walk(tree, self._request_map)
        return [(leaf.leaf.kind, leaf.text) for leaf in leaves if leaf.leaf.how == "text" and not leaf.key]

    def is_streamed(self, tree: Any) -> bool:
        """Whether a request asks for a stream."""
        switch = value(tree, self._of.request.stream)
        return self._of.has_streams and (self._of.request.streams if switch is None else switch is True)

    def is_request(self, tree: Any) -> bool:
        """Whether a tree looks like a request."""
        return isinstance(tree, dict) and self._of.request.texts[0][0][0] in tree

    def request(self, prompt: Prompt) -> dict[str, Any]:
        """A request."""
        tree: dict[str, Any] = {}
        if prompt.system and self._has_own("system"):
            self._say(tree, "system", prompt.system)
        self._say(tree, "user", prompt.text)
        if self._of.request.model:
            put(tree, self._of.request.model, prompt.model)
        return put(tree, self._of.request.stream, prompt.stream) if self._of.request.stream else tree

    def _has_own(self, kind: Kind) -> bool:
        return any(known == kind for _, known in self._of.request.texts)

    def _say(self, tree: dict[str, Any], kind: Kind, text: str) -> dict[str, Any]:
        place = self._place(kind)
        if dict(self._of.request.texts)[place] == BY_ROLE:
            put(tree, (*place[: place.index(EACH) + 1], self._of.request.role), _ROLE_OF.get(kind, "user"))
        return put(tree, place, text)

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
        """A request with one text of a kind."""
        tree = self._say({}, "user", "")
        match kind:
            case "unmapped":
                return {**tree, "x_unknown": text}
            case "metadata" if not self._has_own("metadata"):
                place = self._of.request.model or self._of.request.structure[0]
                return put(tree, place, text)
        return self._say({} if dict(self._of.request.texts)[self._place(kind)] == BY_ROLE else tree, kind, text)

    # Answers.

    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
        """A plain answer."""
        tree = _with(self._of.answer.texts, "assistant", _said(reply))
        for place, count in (
            (self._of.answer.prompt_tokens, prompt.prompt_words),
            (self._of.answer.answer_tokens, reply.words),
        ):
            if place:
                put(tree, place, count)
        return tree

    def whole_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        empty = _with(self._of.answer.texts, "assistant", "")
        return self._tree_with(kind, text, self._of.answer.texts, self._of.answer.structure, empty)

    def _tree_with(
        self, kind: Kind, text: str, texts: Texts, structure: Sequence[Pointer], tree: dict[str, Any]
    ) -> dict[str, Any] | None:
        if kind == "unmapped":
            return {**tree, "x_delta": {"x_unknown": text}}
        place = next((place for place, known in texts if known == kind), None)
        if place is None and kind == "metadata" and structure:
            place = structure[0]
        return None if place is None else put(tree, place, text)

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        """A list of models."""
        return {"models": list(names)}

    # Streams.

    def items(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[Any]:
        """The items of a stream; none if the format has no streams."""
        if self._of.has_streams:
            yield from (_with(self._of.stream.texts, "assistant", piece) for piece in cut(_said(reply)))
            yield self.END

    def frames_with(self, kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
        """A stream with one text of a kind; `None` if the format has no streams, or if they have no place for the text."""
        return super().frames_with(kind, pieces) if self._of.has_streams else None

    def items_with(self, kind: Kind, pieces: Sequence[str]) -> list[Any] | None:
        stream = self._of.stream
        flows = kind == "unmapped" or any(known == kind for _, known in stream.texts)
        parts = pieces if flows and kind != "metadata" else ["".join(pieces)]
        trees = [self._tree_with(kind, part, stream.texts, stream.structure, {}) for part in parts]
        return None if None in trees else [*trees, self.END]

    def is_end(self, item: Any) -> bool:
        stream = self._of.stream
        ends = (value(item, place) == last for place, last in stream.ends)
        is_last = item == self.END if stream.end is None else any(ends)
        return bool(is_last or value(item, self._of.error))

    def error(self, status: int, message: str) -> dict[str, Any]:
        """The body of an error."""
        return put({}, self._of.error, message)

    def error_event(self, message: str) -> bytes:
        """An error in the middle of a stream, and the end of the stream."""
        return super().error_event(message) + (self.event(self.END) if self._of.stream.end_text else b"")


def _filled(route: str) -> str:
    """A route with a name for each parameter."""
    out, _, rest = route.partition("{")
    while rest:
        _, _, after = rest.partition("}")
        more, _, rest = after.partition("{")
        out += f"a-name{more}"
    return out


def _with(texts: Texts, kind: Kind, text: str) -> dict[str, Any]:
    """A tree with a text at the first place for its kind; empty if there is no such place."""
    place = next((place for place, known in texts if known == kind), None)
    return {} if place is None else put({}, place, text)


def _said(reply: Reply) -> str:
    return reply.text or reply.refusal or "\n".join(call.in_words() for call in reply.calls)
