"""Which documents a request has, and where an answer counts their characters."""

from __future__ import annotations

from typing import Any

from guardproxy.events import Count
from guardproxy.redaction.shapes import Shapes
from guardproxy.wire.formats.anthropic_messages.citations import cited, documents

PLAIN = {"type": "document", "source": {"type": "text", "data": "x"}}
PDF = {"type": "document", "source": {"type": "base64", "data": "x"}}


def test_the_documents_of_a_request() -> None:
    result = {"type": "tool_result", "content": [PLAIN, {"type": "text", "text": "x"}]}
    content: list[Any] = [PLAIN, PDF, "x", {"type": "document", "source": 5}, result]
    request = {"messages": [{"content": "x"}, {"content": content}, {"content": [PLAIN]}]}
    assert documents(request) == (
        *("messages[1].content[0].source.data", "", "", "messages[1].content[4].content[0].source.data"),
        "messages[2].content[0].source.data",
    )
    assert documents({}) == ()


def note(index: Any, kind: str = "char_location") -> dict[str, Any]:
    return {"type": kind, "document_index": index, "start_char_index": 1, "end_char_index": 2}


def test_where_an_answer_counts() -> None:
    shapes = Shapes(documents=("a", "", "b"))
    answer = {"content": [{"text": "x", "citations": [note(0), note(1), note(2, "page_location"), note(2)]}]}
    where = ("content", 0, "citations")
    assert cited(shapes, answer) == tuple(
        Count((*where, at, "start_char_index"), (*where, at, "end_char_index"), text, of_request=True)
        for at, text in ((0, "a"), (3, "b"))
    )
    assert [len(cited(shapes, {"citation": note(index)})) for index in (0, 3, -1, "0", True, None)] == [
        1,
        0,
        0,
        0,
        0,
        0,
    ]
    assert cited(Shapes(), answer) == cited(Shapes(documents=("", "")), answer) == ()
