"""What comes behind an answer without content is dropped."""

from __future__ import annotations

from guardproxy.events import Frame
from guardproxy.exchange.phases.no_content import NoContentDecoder


def test_nothing_of_it_becomes_an_event() -> None:
    decoder = NoContentDecoder()
    decoder.sent(Frame(b"", {}))
    assert [*decoder.feed(b'{"text": "quokka"}'), *decoder.end()] == []
