"""Material for the suite of wire formats: texts by an author, and the texts that a codec reads from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardproxy.errors import DownstreamError
from guardproxy.events import End, Event, Fault, Frame, Opaque, Text
from guardproxy.findings import Channel, Kind
from guardproxy.wire import Codec, Decoder
from guardproxy.wire.json import read, write

LIMIT_BYTES = 1 << 20


@dataclass(slots=True)
class DecodedTexts:
    """The texts that a codec decoded. `texts`: the text of each channel. `ends`: how often each channel was closed.
    `open`: the open channels. `fault`: the code of a fault, or empty. `terminal`: the number of frames that end the
    answer."""

    texts: dict[Channel, str] = field(default_factory=dict)
    ends: dict[Channel, int] = field(default_factory=dict)
    open: set[Channel] = field(default_factory=set)
    frames: list[Frame] = field(default_factory=list)
    media: set[str] = field(default_factory=set)
    fault: str = ""
    terminal: int = 0

    def see(self, events: Iterable[Event]) -> None:
        """Adds the next events."""
        for event in events:
            match event:
                case Text(channel=channel, text=text):
                    if not event.again:
                        self.texts[channel] = self.texts.get(channel, "") + text
                        self.open.add(channel)
                case End(channel=channel):
                    self.ends[channel] = self.ends.get(channel, 0) + 1
                    self.open.discard(channel)
                case Opaque():
                    self.media |= set(event.media)
                case Fault():
                    self.fault = event.code
            if isinstance(event, (Text, Opaque)) and not any(event.frame is frame for frame in self.frames[-1:]):
                self.frames.append(event.frame)
                self.terminal += event.frame.terminal

    def of(self, kind: Kind) -> list[str]:
        """Returns the texts of a kind."""
        return [text for channel, text in self.texts.items() if channel.kind == kind]

    def holds(self, word: str) -> bool:
        """Whether a text contains a word."""
        return any(word in text for text in self.texts.values())

    @property
    def summary(self) -> tuple[dict[Channel, str], dict[Channel, int], str]:
        """Returns the members that must not depend on how the bytes are cut."""
        return self.texts, self.ends, self.fault


def decoder_of(codec: Codec, *, streamed: bool, failed: bool = False) -> Decoder:
    """Returns a decoder that reads every text, as for an answer that a rule may edit or stop."""
    return codec.decoder(streamed=streamed, failed=failed, limit_bytes=LIMIT_BYTES, guarded=True)


def read_answer(codec: Codec, parts: Iterable[bytes], *, streamed: bool, failed: bool = False) -> DecodedTexts:
    """Decodes an answer that arrives in these parts."""
    decoder, reading = decoder_of(codec, streamed=streamed, failed=failed), DecodedTexts()
    for part in parts:
        reading.see(decoder.feed(part))
    reading.see(decoder.end())
    return reading


def path_of(codec: Codec) -> str:
    """Returns the path for which the author of the codec writes."""
    return codec.author.ROUTE.partition(" ")[2]


def read_request(codec: Codec, tree: Any) -> tuple[DecodedTexts, Frame] | None:
    """Decodes a request. Returns its texts and its frame; `None` if the codec refuses the request."""
    try:
        request = codec.read_request(path_of(codec), "", codec.write_body(tree))
    except DownstreamError:
        return None
    reading = DecodedTexts()
    reading.see(request.events())
    return reading, request.frame


def texts_of(codec: Codec, tree: Any) -> list[Text]:
    """Returns the texts of a request."""
    request = codec.read_request(path_of(codec), "", codec.write_body(tree))
    return [event for event in request.events() if isinstance(event, Text)]


def with_new_fields(tree: Any, word: str) -> Iterator[Any]:
    """Yields copies of the tree, each with an unknown field in another of its objects."""
    for path in list(_objects(tree, ())):
        copy = read(write(tree))
        node = copy
        for step in path:
            node = node[step]
        node["x_new_field"] = word
        yield copy


def _objects(node: Any, at: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(node, dict):
        yield at
        for key, child in node.items():
            yield from _objects(child, (*at, key))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _objects(child, (*at, index))


def halves(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Returns the data in two parts, for every cut."""
    return ((data[:at], data[at:]) for at in range(len(data) + 1))


def splits(text: str) -> Iterator[Sequence[str]]:
    """Yields the text in two pieces, for every cut, and in single letters."""
    yield from ((text[:at], text[at:]) for at in range(1, len(text)))
    yield tuple(text)
