"""Asks a model in any wire format: writes a question as a request, and reads the text of the answer.

In: a model, texts, a JSON Schema. Out: the path and the body of a request; then what the model said, and the tokens that it
took. Pure: the server sends. Whether a format can ask follows from the format itself: it writes a question, and reads its own
request again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from guardproxy.errors import DownstreamError
from guardproxy.events import Fault, Text
from guardproxy.wire.contract.codec import Codec
from guardproxy.wire.contract.routes import Route
from guardproxy.wire.contract.writing import Prompt
from guardproxy.wire.registry import codecs, installed

LIMIT_ANSWER_BYTES = 1 << 18
LIMIT_ANSWER_WORDS = 1024  # for formats whose servers cut an answer early unless a request says otherwise
_PARAMETER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class ModelReply(NamedTuple):
    """What a model said. `text`: of its first answer; `None` if the body is no answer of the format. `tokens`: of the request
    and of the answer, `None` if the upstream did not count them."""

    text: str | None
    tokens: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a format asks a model. `path`: where the request goes."""

    codec: Codec
    model: str
    path: str

    @classmethod
    def of(cls, name: str, model: str) -> Dialect | None:
        """Returns how an installed format asks a model; `None` if the format cannot ask, or is not installed. `name`: empty for
        the first format that can."""
        codec = installed().named(name or cls.names()[0])
        return None if codec is None else _dialect(codec, model)

    @staticmethod
    def names() -> tuple[str, ...]:
        """Returns the names of the formats that can ask a model, the first of the installed formats first."""
        return tuple(codec.name for codec in codecs() if _dialect(codec, "model") is not None)

    def body(self, system: str, text: str, schema: Mapping[str, Any] | None = None) -> bytes:
        """Writes the body of a request. `schema`: of the answer, where requests of the format can have one."""
        prompt = Prompt(self.model, text, system=system, schema=schema, limit_words=LIMIT_ANSWER_WORDS)
        return self.codec.write_body(_tree(self.codec, self.path, prompt))

    def read(self, body: bytes, media_type: str = "") -> ModelReply:
        """Reads the body of an answer. `media_type`: of the answer, which tells a stream."""
        is_streamed = media_type == self.codec.contract.media.streamed
        decoder = self.codec.decoder(streamed=is_streamed, failed=False, limit_bytes=max(LIMIT_ANSWER_BYTES, len(body)))
        events = [*decoder.feed(body), *decoder.end()]
        contract, usage = self.codec.contract, decoder.seen.usage
        prompt, answer = contract.tokens(usage)
        tokens = None if prompt is None or answer is None else (prompt, answer)
        said = [event for event in events if isinstance(event, Text) and event.channel.kind == "assistant"]
        if not said or any(isinstance(event, Fault) for event in events):
            return ModelReply(None, tokens)
        first = contract.choice_of(said[0].channel.path)
        texts = (event.text for event in said if contract.choice_of(event.channel.path) == first and not event.again)
        return ModelReply("".join(texts), tokens)


def _tree(codec: Codec, path: str, prompt: Prompt) -> Any:
    """Returns a request with the model where the format has it."""
    return codec.turns.with_model(path, codec.author.request(prompt), prompt.model)[1]


def _dialect(codec: Codec, model: str) -> Dialect | None:
    contract = codec.contract
    if not contract.serves_models or "assistant" not in contract.carries["response"]:
        return None
    empty = codec.author.request(Prompt(model, ""))
    for path in _paths(codec):
        dialect = Dialect(codec, model, codec.turns.with_model(path, empty, model)[0])
        if _asks(dialect):
            return dialect
    return None


def _paths(codec: Codec) -> Sequence[str]:
    """Returns the paths at which a model may answer: that of the author's requests, and others with the same parameters."""
    own = codec.author.ROUTE
    values = next((found for text in codec.routes if (found := Route(text).match(own)) is not None), {})
    alike = [
        _PARAMETER.sub(lambda match: values[match[1]], text)
        for text in codec.routes
        if codec.contract.is_answered(text) and set(Route(text).parameters) <= set(values)
    ]
    return [route.partition(" ")[2] for route in dict.fromkeys((own, *alike)) if route.startswith("POST ")]


def _asks(dialect: Dialect) -> bool:
    """Whether the format reads its own request as a question to this model that is answered in one piece."""
    system, text = "judge by this", "a text"
    try:
        request = dialect.codec.read_request(dialect.path, "", dialect.body(system, text))
    except DownstreamError:
        return False
    texts = [event.text for event in request.events() if isinstance(event, Text)]
    has_both = all(any(words in said for said in texts) for words in (system, text))
    return not request.stream and request.model == dialect.model and has_both
