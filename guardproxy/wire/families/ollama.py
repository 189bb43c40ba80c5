"""What the formats of Ollama's API share: maps, the contract, errors, and codecs whose streams are lines of JSON.

A stream is the default: only `stream: false` asks for a plain answer. Each line holds the next parts of the texts. The line
with `done: true` ends the stream, as does a line with `error`. Calls of tools come whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from guardproxy.events import Event, Frame, Path, Text
from guardproxy.redaction import NAME, Shape, Shapes
from guardproxy.wire.contract.codec import AnswerFacts
from guardproxy.wire.contract.contract import ANY_OBJECT
from guardproxy.wire.decoding.decoding import LeafPlace, StreamDecoder
from guardproxy.wire.decoding.frame_cache import Filler
from guardproxy.wire.decoding.json_codec import JsonCodec
from guardproxy.wire.decoding.token_data import Gone, drop, joined, outside, strip
from guardproxy.wire.framing import Framing, ndjson
from guardproxy.wire.json import (
    KEYS,
    NUMBER_LIMIT,
    OTHERS,
    STRUCTURE,
    TIME,
    TOKEN_IDS,
    TOKENS,
    Map,
    MapFields,
    TreeLeaf,
    dotted,
    is_moment,
    is_word,
    members,
    reach,
    text,
    write,
)
from guardproxy.wire.json import NAME as MODEL
from guardproxy.wire.request.requests import expect_type

COUNTS = ("prompt_eval_count", "eval_count")
"""The fields that count tokens: of the request, of the answer."""
CREATED_AT = "2023-11-14T22:13:20Z"
_ENDS = ("done", "done_reason", "total_duration", "load_duration", *COUNTS, "prompt_eval_duration", "eval_duration")
_FLOWING = frozenset(("assistant", "reasoning", "unmapped"))
_OPTIONS = (
    *("numa", "num_ctx", "num_batch", "num_gpu", "main_gpu", "low_vram", "f16_kv", "logits_all", "vocab_only"),
    *("use_mmap", "use_mlock", "embedding_only", "num_thread", "num_keep", "seed", "num_predict", "top_k", "top_p"),
    *("min_p", "tfs_z", "typical_p", "repeat_last_n", "temperature", "repeat_penalty", "presence_penalty"),
    *("frequency_penalty", "mirostat", "mirostat_tau", "mirostat_eta", "penalize_newline"),
)


# Maps.


def form(value: Any) -> Map:
    """Maps `format`: a word, or the JSON Schema of the answer."""
    return text("tool_definition") if isinstance(value, (dict, list)) else STRUCTURE


REQUEST: MapFields = {
    "model": MODEL,
    "stream": STRUCTURE,
    "_debug_render_only": STRUCTURE,
    "keep_alive": text("metadata"),
    "options": {
        **dict.fromkeys(_OPTIONS, STRUCTURE),
        "stop": text("metadata"),
        OTHERS: text("metadata"),
        KEYS: text("metadata"),
    },
}
"""The fields that every request can have."""
ASKING: MapFields = {
    **REQUEST,
    **dict.fromkeys(("think", "logprobs", "top_logprobs", "truncate", "shift"), STRUCTURE),
    "format": form,
}
"""The fields that every request for an answer of a model can have."""
CALLS: Map = [
    {
        "id": STRUCTURE,
        "type": STRUCTURE,
        "function": {"index": STRUCTURE, "name": text("tool_arguments"), "arguments": text("tool_arguments")},
    }
]
RESPONSE: MapFields = {
    **dict.fromkeys(("model", "remote_model"), MODEL),
    "remote_host": text("metadata"),
    "created_at": TIME,
    **dict.fromkeys(("done", "done_reason", *COUNTS), STRUCTURE),
    **dict.fromkeys(("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"), TIME),
    "logprobs": TOKENS,
    "error": text("error"),
}
"""The fields that every answer can have."""
CONTEXT = TOKEN_IDS
"""The map of `context` in a request: a conversation as token ids."""


# Schemas and calls.


def schema_of(tree: Mapping[str, Any]) -> Any:
    """Returns the JSON Schema that a request demands of its answer; `None` if it demands none."""
    wanted = tree.get("format")
    return ANY_OBJECT if wanted == "json" else wanted if isinstance(wanted, dict) else None


def answer_shape(tree: Mapping[str, Any]) -> Shape | None:
    """Returns the shape of a JSON answer."""
    schema = schema_of(tree)
    return None if schema is None else Shape("format", None if schema is ANY_OBJECT else schema)


def shape_of_call(shapes: Shapes, tree: Any, path: Path) -> Shape | None:
    """Returns the demand on a leaf of a called tool: on its name, or on its arguments."""
    if "function" not in path:
        return None
    at = path.index("function") + 1
    if path[at:] == ("name",):
        return NAME
    if path[at : at + 1] != ("arguments",):
        return None
    return shapes.tool(reach(tree, path[:at]).get("name"), path[at + 1 :])


# Token data.


def withhold_from(tree: Any, texts: Sequence[Any]) -> list[str]:
    """Removes from a line or an answer token data that could reveal more than its texts. Returns the names of the removed
    fields."""
    gone: dict[str, None] = {}
    drop(tree, gone.setdefault)
    if tree.get("logprobs"):
        _prove(tree, texts, gone.setdefault)
    return list(gone)


def _prove(tree: Any, texts: Sequence[Any], gone: Gone) -> None:
    if joined(tree["logprobs"]) in [own for own in texts if isinstance(own, str)]:
        strip(tree["logprobs"], gone)
    else:
        del tree["logprobs"]
        gone("logprobs")


def trim(tree: Any, edits: Sequence[tuple[str, str]]) -> None:
    """Removes the log probabilities of text that an edit removed. `edits`: the old and the new texts."""
    own = joined(tree["logprobs"])
    fits = {new for old, new in edits if old == own}
    if len(fits) == 1 and own is not None:
        tree["logprobs"] = outside(tree["logprobs"], own, fits.pop())
    else:
        del tree["logprobs"]


# Reading and writing.


def notice(tree: Any, seen: AnswerFacts) -> None:
    """Reads the usage, the model and the reason of the end from an answer or a line."""
    if isinstance(tree.get("model"), str):
        seen.model = tree["model"]
    for name in COUNTS:
        if type(count := tree.get(name)) is int and abs(count) < NUMBER_LIMIT:
            seen.usage = {**seen.usage, name: count}
    if isinstance(tree.get("done_reason"), str):
        seen.finish.append(tree["done_reason"])


def upstream_error(status: int, message: str) -> dict[str, Any]:
    """Writes the body of an error as the server does."""
    return {"error": message}


def models(names: Sequence[str]) -> dict[str, Any]:
    """Writes the answer of `GET /api/tags`."""
    details = {"format": "gguf", "family": "scripted", "parameter_size": "0B", "quantization_level": "F16"}
    return {
        "models": [
            {"name": name, "model": name, "modified_at": CREATED_AT, "size": 0, "digest": "0" * 64, "details": details}
            for name in names
        ]
    }


def is_last(tree: Any) -> bool:
    """Whether a line ends the stream."""
    return tree.get("done") is True or bool(tree.get("error"))


@dataclass(slots=True)
class LineDecoder(StreamDecoder):
    """A stream of lines. `message`: the path of the object that holds the texts; `head`: the fields of a sent line that an own
    line may repeat."""

    framing: ClassVar[Framing] = ndjson
    message: ClassVar[Path] = ()
    remembers: ClassVar[bool] = True
    fillers: ClassVar[Mapping[Path, Filler]] = {("created_at",): "moment"}
    head: dict[str, Any] = field(default_factory=dict)
    _calls: int = 0  # the calls in earlier lines: each line counts its own from 0

    def place(self, tree: Any, leaf: TreeLeaf) -> LeafPlace:
        path, size = leaf.path, len(self.message)
        if path[size : size + 1] == ("tool_calls",) and len(path) > size + 1 and isinstance(at := path[size + 1], int):
            path = (*path[: size + 1], at + self._calls, *path[size + 2 :])
            return LeafPlace(leaf.leaf.kind, dotted(path), "calls", flows=False)
        return LeafPlace(leaf.leaf.kind, dotted(path), "answer", leaf.leaf.kind in _FLOWING)

    def ends(self, tree: Any) -> bool:
        return is_last(tree)

    def after(self, tree: Any) -> list[Event]:
        notice(tree, self.seen)
        calls = self.holder(tree).get("tool_calls")
        self._calls += len(calls) if isinstance(calls, list) else 0
        return self.finish() if is_last(tree) else []

    def sent(self, frame: Frame) -> None:
        tree = frame.tree if isinstance(frame.tree, dict) else {}
        if not self.head and _is_word(tree.get("model")):
            created_at = tree.get("created_at")
            moment = created_at if isinstance(created_at, str) and is_moment(created_at) else CREATED_AT
            self.head = {"model": tree["model"], "created_at": moment}

    def holder(self, tree: Any) -> Mapping[str, Any]:
        """Returns the object of a line that holds the texts."""
        return members(tree.get(self.message[0])) if self.message else members(tree)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and is_word(value)


C = TypeVar("C", bound=LineDecoder)


class LinesCodec(JsonCodec[C]):
    """A codec of Ollama's requests and answers. `blank`: the fields of a line without text."""

    provider = "ollama"
    blank: ClassVar[Mapping[str, Any]]

    def check(self, tree: dict[str, Any]) -> None:
        expect_type(tree, "model", str)
        expect_type(tree, "stream", bool)
        expect_type(tree, "options", dict)
        expect_type(tree, "format", (str, dict))

    def is_streamed(self, path: str, tree: dict[str, Any]) -> bool:
        return tree.get("stream") is not False

    def edited_tree(self, frame: Frame, texts: Sequence[tuple[Text, str]]) -> Any:
        tree = super().edited_tree(frame, texts)
        if texts and texts[0][0].channel.direction == "response" and tree.get("logprobs"):
            edits = [(old.text, new) for old, new in texts if not old.key]
            if any(old.altered for old, _ in texts):
                del tree["logprobs"]
            elif any(old != new for old, new in edits):
                trim(tree, edits)
        return tree

    def without_end(self, frame: Frame, tree: Any) -> Any:
        return {**{key: value for key, value in tree.items() if key not in _ENDS}, "done": False}

    def error(self, status: int, code: str, message: str, field: str | None = None) -> bytes:
        return write({"error": f"{message} ({code})"})

    def ending(self, decoder: C, message: str) -> bytes:
        head = {"model": "", "created_at": CREATED_AT, **decoder.head}
        return ndjson.frame(write({**head, **self.blank, "done": True, "done_reason": "content_filter"}))


def is_asked(tree: Any) -> bool:
    """Whether a tree looks like a request for a model."""
    return isinstance(tree, dict) and isinstance(tree.get("model"), str)
