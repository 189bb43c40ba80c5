"""What the formats of OpenAI's APIs share: errors, lists of models, and codecs and authors of answers with choices.

In a stream of choices each frame holds parts of some choices. A choice ends with `finish_reason`, the stream with `[DONE]`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from guardproxy.events import Event, Frame, Opaque, Path
from guardproxy.wire.contract.codec import AnswerFacts
from guardproxy.wire.contract.writing import CutText, JsonAuthor, Prompt, Reply, in_turns
from guardproxy.wire.decoding.decoding import StreamDecoder, counts, index_of
from guardproxy.wire.decoding.frame_cache import Filler
from guardproxy.wire.decoding.json_codec import JsonCodec
from guardproxy.wire.framing import Framing, StreamEvent, sse
from guardproxy.wire.framing.sse import frame
from guardproxy.wire.json import is_word, objects, write
from guardproxy.wire.request.azure import model_of

DONE = b"data: [DONE]\n\n"
"""The event that ends a stream."""
CREATED_S = 1_700_000_000
PADDINGS = ("obfuscation", "p")  # of OpenAI; of Mistral
"""The members of frames that hide the lengths of texts."""
_HEAD = ("id", "object", "created", "model")
_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_exceeded",
}


def upstream_error(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """Writes the body of an error as a model's API does."""
    kind = _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": code or kind}}


def models(names: Sequence[str]) -> dict[str, Any]:
    """Writes the answer of `GET /v1/models`."""
    data = [{"id": name, "object": "model", "created": CREATED_S, "owned_by": "guardproxy"} for name in names]
    return {"object": "list", "data": data}


def notice(tree: Any, seen: AnswerFacts) -> None:
    """Reads the usage, the model and the reasons of the end from an answer or a frame."""
    usage, model = tree.get("usage"), tree.get("model")
    if type(usage) is dict:
        seen.usage = counts(usage)
    if type(model) is str:
        seen.model = model
    for choice in objects(tree.get("choices")):
        if type(reason := choice.get("finish_reason")) is str:
            seen.finish.append(reason)


def _is_plain(value: Any) -> bool:
    """Whether our own ending may repeat a value of a frame's head. A value that is not a word was text and may have been
    edited."""
    return is_word(value) if isinstance(value, str) else isinstance(value, int)


class OpenAIAuthor(JsonAuthor):
    """Writes a format of OpenAI's API."""

    END: Any = "[DONE]"
    framing: Framing = sse

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return models(names)

    def error(self, status: int, message: str) -> dict[str, Any]:
        return upstream_error(status, message)

    def error_event(self, message: str) -> bytes:
        return super().error_event(message) + self.event(self.END)


class ChoicesAuthor(OpenAIAuthor):
    """Writes a format whose answers are choices. `OBJECT`: the `object` of a frame."""

    OBJECT: str

    @abstractmethod
    def choices(self, prompt: Prompt, reply: Reply, ident: str, number: int, cut: CutText) -> Iterator[dict[str, Any]]:
        """Yields the parts of a choice in a stream, the last with the reason of its end."""

    @abstractmethod
    def head(self, prompt: Prompt, ident: str) -> dict[str, Any]:
        """Returns the fields of an answer before its choices."""

    def items(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[Any]:
        head = {**self.head(prompt, ident), "object": self.OBJECT}

        def chunk(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> dict[str, Any]:
            tree: dict[str, Any] = {**head, "choices": choices}
            if prompt.with_usage:
                tree["usage"] = usage
            if prompt.with_obfuscation:
                tree["obfuscation"] = "x" * (len(write(choices)) % 16)
            return tree

        for choice in in_turns(self.choices(prompt, reply, ident, number, cut) for number in range(prompt.count)):
            yield chunk([choice])
        if prompt.with_usage:
            yield chunk([], self.usage(prompt, reply))
        yield self.END

    def usage(self, prompt: Prompt, reply: Reply) -> dict[str, Any]:
        """Returns the counts of tokens."""
        output = reply.words * prompt.count
        return {
            "prompt_tokens": prompt.prompt_words,
            "completion_tokens": output,
            "total_tokens": prompt.prompt_words + output,
        }

    def options(self, tree: Any) -> dict[str, Any]:
        asked = tree.get("stream_options") or {}
        return {
            "stream": bool(tree.get("stream")),
            "count": int(tree.get("n") or 1),
            "limit_words": tree.get("max_completion_tokens") or tree.get("max_tokens"),
            "with_usage": bool(asked.get("include_usage")),
            "with_obfuscation": bool(asked.get("include_obfuscation")),
        }


@dataclass(slots=True)
class ChoicesDecoder(StreamDecoder):
    """A stream of choices. `head`: the fields before `choices` of a sent frame; `shown`: the choices whose start the client
    received, but not their end."""

    remembers: ClassVar[bool] = True
    fillers: ClassVar[Mapping[Path, Filler]] = {(name,): "padding" for name in PADDINGS}
    head: dict[str, Any] = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)
    _unfinished: set[int] = field(default_factory=set)  # choices that began and are not in `_finished`
    _finished: set[int] = field(default_factory=set)

    def special(self, event: StreamEvent) -> list[Event] | None:
        if event.data is None or event.data.strip() != b"[DONE]":
            return None
        return [*self.finish(), Opaque(Frame(DONE, streamed=True, terminal=True))]

    def after(self, tree: Any) -> list[Event]:
        notice(tree, self.seen)
        events: list[Event] = []
        for choice in objects(tree.get("choices")):
            index = index_of(choice)
            if choice.get("finish_reason"):
                self._finished.add(index)
                self._unfinished.discard(index)
                events += self.close_run(f"choices[{index}]")
            elif index not in self._finished:
                self._unfinished.add(index)
            self.complete = not self._unfinished
        if tree.get("error"):
            self.complete = True
            events += self.close_all()
        return events

    def sent(self, frame: Frame) -> None:
        tree = frame.tree if isinstance(frame.tree, dict) else {}
        if not self.head and tree.get("id"):  # taken from a sent frame, so its words were scanned
            self.head = {key: tree[key] for key in _HEAD if _is_plain(tree.get(key))}
        for choice in objects(tree.get("choices")):
            (self.shown.discard if choice.get("finish_reason") else self.shown.add)(index_of(choice))

    def ending(self, kind: str, choice: Mapping[str, Any]) -> bytes:
        """Writes the end of a stream that a filter stopped. `kind`: the `object` of frames; `choice`: the fields of a choice
        that ends."""
        head = {"id": "", "object": kind, "created": 0, "model": "", **self.head}
        ends = [{"index": index, **choice, "finish_reason": "content_filter"} for index in sorted(self.shown or {0})]
        return b"".join(frame(write({**head, "choices": [end]})) for end in ends) + DONE


D = TypeVar("D", bound=StreamDecoder)
C = TypeVar("C", bound=ChoicesDecoder)


class OpenAICodec(JsonCodec[D]):
    """A codec with OpenAI's errors."""

    provider = "openai"

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        kind = "invalid_request_error" if status < 500 else "server_error"
        return write({"error": {"message": message, "type": kind, "param": field, "code": code}})


class ChoicesCodec(OpenAICodec[C]):
    """A codec of answers with `choices`."""

    stream_end = DONE

    def model_of(self, path: str, tree: dict[str, Any]) -> str:
        return model_of(path, tree)

    def without_end(self, frame: Frame, tree: Any) -> Any:
        for choice in objects(tree.get("choices")):
            choice["finish_reason"] = None
        tree.pop("usage", None)
        return tree
