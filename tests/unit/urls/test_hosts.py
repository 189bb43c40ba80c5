"""Hosts of URLs: what a policy allows, and what makes a host name of a value."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.redaction.placeholders import Restoring, mint
from guardproxy.urls.hosts import HOST, covers, host_follows, is_allowed
from tests.kit.checks import promise
from tests.kit.urls import INSIDE, PIECES, RENDERERS, Loads, scans

KEY = b"sixteen secret bytes"
SECRET = "jo4ab7io"
TOKEN = mint(KEY, "t", "NAME", SECRET)
OTHER = mint(KEY, "t", "OTHER", "the other value")
ADDRESS = "x@evil.example"
OTHERS = (
    ADDRESS,
    "evil.example",
    ".evil.example",
    "evil.example/path",
    "@evil.example/",
    "://evil.example/",
    "https://evil.example/?",
    "/evil",
    "192.0.2.1",
    "Jo Roe",
    "e.evil.example",
)


def follows(after: str, other: str = ADDRESS, *, last: bool = True) -> bool | None:
    """What is said of a value with this text behind it, where `B` stands for a placeholder."""
    text = f"x{after.replace('B', OTHER)}"
    return host_follows(text, 1, len(text), {OTHER: other}, last=last)


@pytest.mark.parametrize(
    "after", ["", " ", ".", ". ", ", B.", ".B", ".B.", ".B: mail", "B", "-B", ")", "]", ":B", ".B.B", "...B"]
)
def test_a_value_beside_an_address_comes_back(after: str) -> None:
    assert follows(after) is False


@pytest.mark.parametrize(
    "after",
    [
        ".evil.example",
        "@evil.example",
        "@B",
        ".B.evil.example",
        ".B/",
        ".B:8080",
        ".B\\x",
        "B?x",
        ".[C_bcdf]",
        ".[x",
        ":/",
        "%2eevil",
        ".[[B]",
        "." + "a" * 300,
        "a" * 300,
    ],
)
def test_a_host_behind_a_value_is_seen(after: str) -> None:
    assert follows(after) is True


@pytest.mark.parametrize(
    ("after", "other"),
    [
        (".B", "evil.example"),
        ("B", ".evil.example"),
        ("-xB", ".evil.example next"),
        ("%2B", "e.evil.example"),
        ("B", "@evil.example/"),
        ("B", "://evil.example/"),
        (":B", "//evil.example/"),
        (".B", "192.0.2.1"),
        (".BB", "evil"),
        (".B.evil.example", "Jo Roe"),
    ],
)
def test_the_value_of_the_next_placeholder_is_read(after: str, other: str) -> None:
    assert follows(after, other) is True


def test_a_path_in_the_next_value_makes_a_url_of_an_address() -> None:
    path = mint(KEY, "t", "PATH", "/x")
    text = f"x.{OTHER}{path}"
    assert host_follows(text, 1, len(text), {OTHER: ADDRESS, path: "/x"}, last=True) is True
    assert host_follows(text, 1, len(text), {OTHER: ADDRESS, path: "(x)"}, last=True) is False


@pytest.mark.parametrize("after", [".B", ".[", "", ".", "B.", ".B:", "@", "%2", ":"])
def test_what_more_text_can_change_is_open(after: str) -> None:
    assert follows(after, last=False) is None


@pytest.mark.parametrize("other", OTHERS)
@promise
@given(
    after=st.lists(st.sampled_from(["B", ".", "@", "/", ":", "[", "]", "x", "%2e", " ", "[C_b", "a" * 90]), max_size=7)
)
def test_what_is_said_of_a_beginning_holds_for_the_whole(other: str, after: list[str]) -> None:
    text = "x" + "".join(after).replace("B", OTHER)
    whole = host_follows(text, 1, len(text), {OTHER: other}, last=True)
    for end in range(1, len(text)):
        assert host_follows(text[:end], 1, end, {OTHER: other}, last=False) in (None, whole), end


@pytest.mark.parametrize("other", OTHERS)
@promise
@given(
    parts=st.lists(
        st.sampled_from([TOKEN, OTHER, ".", "-", "_", ":", "/", "@", "x", " ", "(", "%2e", "evil.example"]), max_size=9
    )
)
def test_no_value_becomes_a_part_of_a_host_name(other: str, parts: list[str]) -> None:
    """The oracle looks for a host name that holds the value, in what the client sees. An address is not one."""
    shown = read("".join(parts), other)
    assert not re.search(rf"(?<![\w.\-@]){SECRET}[\w.\-]*\.(?:evil\.example|192\.0)", shown), shown
    assert not re.search(rf"{SECRET}[\w.\-:]*@?[\w.\-]*evil\.example[/:]\S", shown), shown


@pytest.mark.parametrize("other", OTHERS)
@promise
@given(text=PIECES, inside=st.sampled_from(("", *INSIDE)), after=PIECES, glue=st.sampled_from([".", "", "@", "/", " "]))
def test_no_renderer_makes_a_url_of_two_values(other: str, text: str, inside: str, after: str, glue: str) -> None:
    source = (text + inside + after).replace("evil.example", OTHER)
    shown = read(source.replace("✱", f"{TOKEN}{glue}{OTHER}"), other)
    for page in (shown, *(renderer.render(shown) for renderer in RENDERERS)):
        reader = Loads(SECRET)
        reader.feed(re.sub(r'href="mailto:[^"]*"', "", page))  # nothing loads an address
        reader.close()
        assert not reader.found, page


def read(text: str, other: str) -> str:
    """What the client sees of a text."""
    values = {TOKEN: SECRET, OTHER: other}
    shown, at = "", 0
    for start, end, label in scans(text, [], Restoring(values)):
        shown += text[at:start] + (values[text[start:end]] if label == "PLACEHOLDER" else text[start:end])
        at = end
    return shown + text[at:]


def test_a_host_is_covered_by_itself_and_by_a_star() -> None:
    assert covers("a.example", "a.example")
    assert covers("*.example", "a.b.example")
    assert not covers("*.example", "example")
    assert not covers("a.example", "*.a.example")
    assert covers("*.example", "*.a.example")


def test_a_long_url_counts_as_not_allowed() -> None:
    assert is_allowed("https://a.example/x", {"a.example"})
    assert not is_allowed("https://a.example/" + "x" * 5000, {"a.example"})
    assert not is_allowed("https://a.example/x", ())


def test_a_host_of_a_policy_is_a_name_a_port_or_a_star() -> None:
    assert all(map(HOST.fullmatch, ("a.example", "*.a.example", "a:8080", "a")))
    assert not any(map(HOST.fullmatch, ("https://a", "a/b", "*", "a.*.b", "-a", "")))


def test_brackets_that_hold_no_value_are_read_as_they_are() -> None:
    assert follows("B[note]") is False
    assert follows("[note]B/", "evil.example") is True
    assert follows("B[note].evil.example", "a") is True
