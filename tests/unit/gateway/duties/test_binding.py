"""The facts of a request by which policies are selected, and its conversation."""

from __future__ import annotations

from typing import Any

from guardproxy.events import Frame
from guardproxy.gateway import about_of, conversation_of
from guardproxy.wire import Request, RequestStatement, codec_for

ROUTE = "POST /v1/messages"


def request(model: str, tree: Any) -> Request:
    return Request(model, True, Frame(b"{}", tree=tree), list)


def test_every_model_that_a_request_names_is_a_fact() -> None:
    about = about_of(ROUTE, "acme", request("path", {"model": "body"}), RequestStatement(models=("third",)), {"x": "y"})
    assert about.named_models == ("path", "third", "body")
    assert (about.route, about.tenant, about.stream, about.headers) == (ROUTE, "acme", True, {"x": "y"})
    same = about_of(ROUTE, "", request("m", {"model": "m"}), RequestStatement(), None)
    assert (same.named_models, same.headers) == (("m",), None)
    trees: list[Any] = [[], {"model": 7}]
    for tree in trees:
        assert about_of(ROUTE, "", request("m", tree), RequestStatement(), {}).named_models == ("m",)


def test_a_conversation_has_the_name_that_it_is_given_or_that_of_its_first_words() -> None:
    codec = codec_for(ROUTE)
    assert codec
    first, other = (
        request("m", {"messages": [{"role": "user", "content": text}]}) for text in ("hello", "something else")
    )
    names = {
        conversation_of(codec, asked, tenant, named, lambda data: data.hex())
        for asked, tenant, named in (
            (first, "t", ""),
            (first, "t", ""),
            (other, "t", ""),
            (first, "u", ""),
            (first, "t", "n"),
            (other, "t", "n"),
        )
    }
    assert len(names) == 4
