"""Routes as patterns: what they match, what they refuse, and which of them overlap."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.contract.routes import Route

GENERATE = "POST /v1beta/models/{model}:generateContent"


def test_a_parameter_is_read() -> None:
    route = Route(GENERATE)
    assert route.parameters == ("model",)
    assert route.path == "/v1beta/models/{model}:generateContent"
    assert route.match("POST /v1beta/models/gemini-2.5-flash:generateContent") == {"model": "gemini-2.5-flash"}
    assert Route("POST /v1/messages").match("POST /v1/messages") == {}


@pytest.mark.parametrize(
    "asked",
    [
        "GET /v1beta/models/m:generateContent",
        "POST /v1beta/models/m:generatecontent",
        "POST /v1beta/models/m:generateContent/",
        "POST /v1beta/models/m:generateContentX",
        "POST /x/v1beta/models/m:generateContent",
        "POST /v1beta/models/:generateContent",
        "POST /v1beta/models/a/b:generateContent",
        "POST /v1beta/models/a:b:generateContent",
        "POST /v1beta/models/a%2e:generateContent",
        "POST /v1beta/models/.m:generateContent",
        "POST /v1beta/models/m:generateContent\n",
        f"POST /v1beta/models/{'m' * 129}:generateContent",
        "POST /v1beta/models/078-05-1120:generateContent",
        "POST /v1beta/models/é:generateContent",
    ],
)
def test_what_does_not_match(asked: str) -> None:
    assert Route(GENERATE).match(asked) is None


def test_a_date_at_the_end_of_a_model_is_no_number() -> None:
    assert Route(GENERATE).match("POST /v1beta/models/m-4.1-2025-04-14:generateContent")


@pytest.mark.parametrize(
    "text", ["/v1/messages", "POST v1", "post /v1", "POST /a b", "POST /{A}", "POST /{a", "POST /{}", "POST /a?b", ""]
)
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match="is not a route"):
        Route(text)


def test_two_parameters_of_one_name() -> None:
    with pytest.raises(ValueError, match="two parameters of one name"):
        Route("POST /{a}/{a}")


@pytest.mark.parametrize(
    ("left", "right", "overlaps"),
    [
        ("POST /a", "POST /a", True),
        ("POST /a", "GET /a", False),
        ("POST /a", "POST /a/", False),
        ("POST /{x}", "POST /a", True),
        ("POST /{x}", "POST /a:b", False),
        ("POST /{x}:b", "POST /a:b", True),
        ("POST /{x}:b", "POST /{y}:c", False),
        ("POST /{x}/b", "POST /a/{y}", True),
        ("POST /{x}/b", "POST /a/c{y}", False),
        ("POST /{x}-b", "POST /a-{y}", True),
        ("POST /{x}", "POST /{x}/{y}", False),
        ("POST /a{x}", "POST /a", False),
    ],
)
def test_overlaps(left: str, right: str, overlaps: bool) -> None:
    assert Route(left).overlaps(Route(right)) == overlaps
    assert Route(right).overlaps(Route(left)) == overlaps


patterns = st.lists(st.sampled_from(["a", "b", "/", ":", "{x}", "-"]), max_size=5).map(
    lambda parts: "POST /" + re.sub(r"\{x\}", lambda match: f"{{x{match.start()}}}", "".join(parts))
)


@given(patterns, patterns, st.text(alphabet="ab/:-", max_size=6))
def test_what_both_match_overlaps(left: str, right: str, path: str) -> None:
    asked = f"POST /{path}"
    if Route(left).match(asked) is not None and Route(right).match(asked) is not None:
        assert Route(left).overlaps(Route(right))
