"""What the contracts of Ollama's formats share: the routes that are refused, and the signs of a client."""

from __future__ import annotations

import pytest

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway import Head
from guardproxy.gateway.duties.routes import Routes
from guardproxy.wire.families.ollama_contract import HEADERS, NO_QUERY, SIGNS
from guardproxy.wire.registry import codecs, installed


@pytest.mark.parametrize(
    ("method", "path", "advice"),
    [
        *(
            ("POST", f"/api/{name}", "Manage models on the server itself")
            for name in ("create", "pull", "push", "copy", "blobs/sha256:1")
        ),
        ("DELETE", "/api/delete", "Manage models on the server itself"),
        ("HEAD", "/api/blobs/sha256:1", "Manage models on the server itself"),
        ("POST", "/api/show", "--pass-through 'POST /api/show'"),
        ("POST", "/api/web_search", "as messages with the role `tool`"),
        ("POST", "/api/web_fetch", "as messages with the role `tool`"),
    ],
)
def test_a_route_that_no_check_can_read_is_refused_with_advice(method: str, path: str, advice: str) -> None:
    routes = Routes(["GET /api/tags"])
    head = Head("1", route=routes.route_of(method, path), method=method, path=path)
    with pytest.raises(DownstreamError) as caught:
        routes.admit(head)
    assert caught.value.code is ErrorCode.UNKNOWN_ROUTE
    assert advice in str(caught.value)
    assert installed().codec_of_client(path, {}).provider == "ollama"


@pytest.mark.parametrize("path", ["/api/tags", "/api/version", "/api/ps", "/api/chat"])
def test_a_client_is_known_by_its_path(path: str) -> None:
    assert SIGNS.match(path, {})
    assert installed().codec_of_client(path, {}).provider == "ollama"


def test_the_formats_of_the_api_share_their_headers_and_take_no_query() -> None:
    formats = [codec for codec in codecs() if codec.provider == "ollama"]
    assert len(formats) == 3
    assert all(codec.contract.headers is HEADERS for codec in formats)
    assert NO_QUERY.pattern.fullmatch("")
    assert not NO_QUERY.pattern.fullmatch("a=b")
