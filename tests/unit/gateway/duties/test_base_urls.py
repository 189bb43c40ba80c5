"""A wrong base URL is answered with the sentence that helps, for every route of the table."""

from __future__ import annotations

import re

import pytest

from guardproxy.config import Config
from guardproxy.errors import DownstreamError
from guardproxy.gateway import UNKNOWN, Head, Routes
from guardproxy.gateway.duties.base_urls import LIMIT_STEPS, base_url_advice, beginnings
from guardproxy.wire import installed

ROUTES = [route for codec in installed().codecs for route in codec.routes]
TABLE = Routes(Config().network.pass_through)
KNOWN = [re.sub(r"\{\w+\}", "m", route) for route in (*ROUTES, *Config().network.pass_through)]
# What is left of the others could be any path.
SAYING = [route for route in KNOWN if not re.fullmatch(r"\w+ /\w+/m", route)]


def said(method: str, path: str) -> str:
    with pytest.raises(DownstreamError) as refused:
        TABLE.admit(Head("1", method, path, route=UNKNOWN))
    return str(refused.value)


def is_known(route: str) -> bool:
    return TABLE.route_of(*route.split(" ")) != UNKNOWN


@pytest.mark.parametrize("route", KNOWN)
@pytest.mark.parametrize("wrong", ["/v1", "/v1/v1", "/proxy", "/my/gateway", "/v1/chat/completions"])
def test_a_beginning_too_much_is_named(route: str, wrong: str) -> None:
    method, path = route.split(" ")
    if is_known(f"{method} {wrong}{path}"):
        return
    message = said(method, f"{wrong}{path}")
    named = re.search(r"`(\w+ /\S+)` is(?: meant)?: ", message)
    assert named, message
    assert is_known(named[1])
    # Another route may need a smaller change; its call is the same.
    assert named[1].rpartition("/")[2] == path.rpartition("/")[2]
    assert re.search(r"(?:is|meant): (leave `/|write `/|the base URL of the client lacks `/)", message)


@pytest.mark.parametrize("route", [route for route in SAYING if route.split("/")[1] not in ("openai",)])
def test_a_beginning_that_is_missing_is_named(route: str) -> None:
    method, path = route.split(" ")
    first, _, rest = path.strip("/").partition("/")
    if is_known(f"{method} /{rest}"):
        return
    message = said(method, f"/{rest}")
    named = re.search(r"`(\w+ /\S+)` is(?: meant)?: the base URL of the client lacks `/", message)
    assert named, message
    assert is_known(named[1])
    assert named[1].endswith(f"/{rest}")
    assert first


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/chat/completions", "`POST /v1/chat/completions` is: the base URL of the client lacks `/v1`"),
        ("/v1/v1/messages", "`POST /v1/messages` is: leave `/v1` out of the base URL of the client"),
        (
            "/api/chat/completions",
            "`POST /v1/chat/completions` is: write `/v1` for `/api` in the base URL of the client",
        ),
        (
            "/v1/chat/completions/chat/completions",
            "`POST /v1/chat/completions` is meant: leave `/chat/completions` out of the base URL of the client",
        ),
        ("/v1/chat/completions/", "`POST /v1/chat/completions` is meant: leave the slash at the end of the path out"),
        ("/responses", "`POST /v1/responses` is meant: the base URL of the client lacks `/v1`"),
        ("/openai/v1/v1/responses", "`POST /openai/v1/responses` is: leave `/v1` out of the base URL of the client"),
    ],
)
def test_the_sentence(path: str, advice: str) -> None:
    assert said("POST", path).endswith(
        f"this route is not guarded, but {advice}" if "` is: " in advice else f". If {advice}"
    )


@pytest.mark.parametrize(
    "path", ["/", "/foo", "/v1/foo/bar", "/a" * LIMIT_STEPS + "/v1/messages", "/b/c/d/e/f/v1/messages"]
)
def test_other_paths_get_the_list_of_routes(path: str) -> None:
    message = said("POST", path)
    assert message.startswith("this route is not guarded: guardproxy reads ")
    assert all(route in message for route in ROUTES)


def test_the_work_is_bounded() -> None:
    known = beginnings(ROUTES)
    asked: list[str] = []

    def pattern_of(route: str) -> str:
        asked.append(route)
        return ""

    assert base_url_advice("POST", "/a" * LIMIT_STEPS, known, pattern_of) == ("", "")
    assert len(asked) <= LIMIT_STEPS * len(known)
    assert base_url_advice("POST", "/a" * 4000, known, pattern_of) == ("", "")
    assert len(asked) <= LIMIT_STEPS * len(known)
