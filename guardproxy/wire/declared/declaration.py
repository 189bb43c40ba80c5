"""The declaration of a wire format: frozen values that the section `formats` of a policy file becomes.

Every text that a pointer names has a kind. Every other string of a request, an answer or a frame is read as `unmapped`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from guardproxy.findings import Kind
from guardproxy.wire.declared.pointers import EACH, Pointer

Framing = Literal["sse", "ndjson", "none"]
FRAMINGS: tuple[Framing, ...] = ("sse", "ndjson", "none")
BY_ROLE = "by_role"
"""In place of a kind: the role of the message decides."""
END_TEXTS = ("[DONE]",)
REQUEST_KINDS: tuple[Kind, ...] = (
    *("system", "user", "assistant", "tool_arguments", "tool_definition", "tool_result"),
    *("reasoning", "refusal", "metadata"),
)
RESPONSE_KINDS: tuple[Kind, ...] = ("assistant", "tool_arguments", "tool_result", "reasoning", "refusal", "metadata")
_DIGEST_CHARS = 12

Texts = tuple[tuple[Pointer, str], ...]
"""Pointers to texts, with a kind or `BY_ROLE`."""


@dataclass(frozen=True, slots=True)
class RequestPlaces:
    """The places of a request. `structure`: words of the format. `role`: the name of the field with the role of a message.
    `model`, `stream`: the places of the model's name and of the switch for streams; `streams`: whether a request without that
    switch asks for a stream."""

    texts: Texts
    structure: tuple[Pointer, ...] = ()
    role: str = "role"
    model: Pointer | None = None
    stream: Pointer | None = None
    streams: bool = False


@dataclass(frozen=True, slots=True)
class AnswerPlaces:
    """The places of a plain answer. `prompt_tokens`, `answer_tokens`: the places of the counts of tokens."""

    texts: Texts
    structure: tuple[Pointer, ...] = ()
    prompt_tokens: Pointer | None = None
    answer_tokens: Pointer | None = None


@dataclass(frozen=True, slots=True)
class StreamPlaces:
    """The frames of a stream. `texts`: the parts of texts, which go on in later frames. The stream ends with the data
    `end_text`, or with a frame that has the value `end_value` at `end`, or a value at a place of `more_ends`. `events`: the
    names of events that pass. `media`: the content type."""

    framing: Framing
    texts: Texts = ()
    structure: tuple[Pointer, ...] = ()
    end_text: str = ""
    end: Pointer | None = None
    end_value: Any = None
    events: tuple[str, ...] = ()
    media: str = "text/event-stream"
    more_ends: tuple[tuple[Pointer, Any], ...] = field(default=(), repr=False)

    @property
    def ends(self) -> tuple[tuple[Pointer, Any], ...]:
        """Returns the places and values of frames that end the stream; empty if it ends with `end_text`."""
        return () if self.end is None else ((self.end, self.end_value), *self.more_ends)


@dataclass(frozen=True, slots=True)
class DeclaredFormat:
    """A wire format. `error`: the place of the message of an error, in an error's body and in a frame."""

    name: str
    routes: tuple[str, ...]
    request: RequestPlaces
    answer: AnswerPlaces
    stream: StreamPlaces
    error: Pointer

    @property
    def digest(self) -> str:
        """Identifies the content of the declaration."""
        more = repr(self.stream.more_ends) if self.stream.more_ends else ""  # other declarations keep their digests
        return hashlib.sha256(f"{self!r}{more}".encode()).hexdigest()[:_DIGEST_CHARS]

    def twins(self) -> tuple[tuple[Pointer, Pointer], ...]:
        """Returns the pointers to texts of a stream, each with the pointer to the same text of a plain answer: the first text
        of a kind is the first of that kind in the other, and so on. A text without a twin stands for itself."""
        left = list(self.answer.texts)
        pairs: list[tuple[Pointer, Pointer]] = []
        for place, kind in self.stream.texts:
            twin = next((text for text in left if text[1] == kind and text[0].count(EACH) == place.count(EACH)), None)
            if twin:
                left.remove(twin)
            pairs.append((place, twin[0] if twin else place))
        return tuple(pairs)

    @property
    def has_streams(self) -> bool:
        return self.stream.framing != "none"
