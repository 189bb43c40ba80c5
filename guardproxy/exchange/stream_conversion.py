"""Writes a stored answer in the form that a request asks for: plain or streamed.

In: a query and a stored answer. Out: a stored answer in the right form. Only an answer that is one text can be written anew.
The result is decoded again, and is used only if it says the same. It keeps the id, by which a client goes on from an answer
that the provider stores.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from guardproxy.events import Fault, Opaque, Text
from guardproxy.exchange.inputs.caching import CacheQuery, StoredAnswer
from guardproxy.exchange.routes.attempts import CHARS_A_TOKEN
from guardproxy.wire import Codec, Reply

_ID = re.compile(r"[a-z]{1,16}[_-]([A-Za-z0-9_.=-]{1,400})", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Said:
    """What an answer says. `id`: its id at the upstream, without the prefix; empty if it has none. Token counts are `None` if
    the upstream did not count them; they are not compared."""

    text: str
    id: str
    model: str
    finish: tuple[str, ...]
    tokens: tuple[int | None, int | None]

    def is_same(self, other: _Said | None) -> bool:
        return other is not None and (self.text, self.finish) == (other.text, other.finish)


def reformed(query: CacheQuery, stored: StoredAnswer) -> StoredAnswer | None:
    """Returns the answer in the form that the request asks for; `None` if it cannot be written in this form."""
    media = query.codec.contract.media
    if stored.media_type != (media.streamed if stored.streamed else media.whole):
        return None  # a stream in another framing
    if stored.streamed == query.is_streamed:
        return stored
    said = _read(query.codec, stored)
    body = None if said is None else _written(query, stored, said)
    if said is None or body is None:
        return None
    again = msgspec.structs.replace(stored, streamed=query.is_streamed, media_type=query.media_type, body=body)
    return again if said.is_same(_read(query.codec, again)) else None


def _read(codec: Codec, stored: StoredAnswer) -> _Said | None:
    """Reads an answer that is one text and nothing else; returns `None` for any other answer. Metadata, such as a row of
    token counts, is written anew."""
    # The answer was within the limit when it was stored, so its own size is no reason to refuse it now.
    decoder = codec.decoder(streamed=stored.streamed, failed=False, limit_bytes=len(stored.body) + 1)
    parts: list[str] = []
    path = name = ""
    for event in [*decoder.feed(stored.body), *decoder.end()]:
        if isinstance(event, Fault) or (isinstance(event, Opaque) and event.uninspected):
            return None
        if not name and isinstance(event, (Opaque, Text)):
            name = _id_in(event.frame.tree)
        if not isinstance(event, Text) or event.again or event.channel.kind == "metadata" or event.parts:
            continue
        path = path or event.channel.path
        is_answer = codec.contract.part(event.channel) == "answer"
        if not is_answer or event.unmapped or event.encoded or event.channel.path != path:
            return None
        parts.append(event.text)
    seen = decoder.seen
    finish = tuple(dict.fromkeys(seen.finish))
    return _Said("".join(parts), name, seen.model, finish, codec.contract.tokens(seen.usage)) if parts else None


def _id_in(tree: Any) -> str:
    """Returns the id of an answer without its prefix; empty if this tree does not name it."""
    named = tree.get("response", tree) if isinstance(tree, dict) else None
    name = named.get("id") if isinstance(named, dict) else None
    found = _ID.fullmatch(name) if isinstance(name, str) else None
    return found[1] if found else ""


def _written(query: CacheQuery, stored: StoredAnswer, said: _Said) -> bytes | None:
    author = query.codec.author
    try:
        prompt = author.read(query.tree)
    except ValueError:
        return None
    # A stored text has one choice, no probabilities and no echo of the prompt, and none of them can be made up.
    if prompt.count != 1 or prompt.with_logprobs or prompt.with_echo:
        return None
    asked, answered = said.tokens
    asked = len(query.codec.write_body(query.tree)) // CHARS_A_TOKEN if asked is None else asked
    answered = len(said.text) // CHARS_A_TOKEN if answered is None else answered
    prompt = replace(prompt, model=said.model or prompt.model, stream=query.is_streamed, prompt_words=asked)
    reply, name = Reply(said.text, counted=answered), said.id or stored.source
    if query.is_streamed:
        return b"".join(author.frames(prompt, reply, name, lambda text: [text] if text else []))
    return query.codec.write_body(author.answer(prompt, reply, name))
