"""What claims to be opaque is opaque only where it looks like what it claims."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.json.opaque import NOT_KEPT, Look, decoded, inspect, inspect_url_safe, is_binary, printable
from tests.kit.media import IMAGE_URL, PDF, PNG, SIGNATURE, WAV

SECRET = "card 4111 2222 3333 4444 of jo@ab.io"


def coded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize(
    ("value", "media", "declared", "kind"),
    [
        (PNG, "image", "image/png", "image"),
        (PNG, "image", "image/jpeg", "image"),
        (PNG, "image", None, "image"),
        (PNG, "file", None, "image"),
        (PNG, "file", "application/octet-stream", "image"),
        (PDF, "file", "application/pdf", "file"),
        (WAV, "audio", None, "audio"),
        (IMAGE_URL, "url", None, "image"),
        (IMAGE_URL, "file", None, "image"),
        (f"data:application/pdf;base64,{PDF}", "file", None, "file"),
        (SIGNATURE, "signature", None, "signature"),
        (SIGNATURE, "encrypted", None, "encrypted"),
        (SIGNATURE, "pieces", None, "audio"),
        (NOT_KEPT, "signature", None, "signature"),
        (NOT_KEPT, "url", None, "file"),
    ],
)
def test_what_looks_opaque_is(value: str, media: str, declared: str | None, kind: str) -> None:
    assert inspect(value, media, declared) == Look(kind)


@pytest.mark.parametrize("media", ["image", "audio", "file", "signature", "encrypted", "pieces", "url"])
@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        "4111222233334444",
        "AKIAIOSFODNN7EXAMPLE",
        coded(SECRET),
        coded(SECRET).rstrip("="),
        coded(SECRET.encode("utf-16-le")),
        coded(SECRET.encode("utf-16")),
        coded(b"GIF89a" + SECRET.encode()),
        coded(b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1" + SECRET.encode()),
        f"data:image/png;base64,{SECRET}",
        f"data:image/png;base64,{coded(SECRET)}",
        f"data:audio/wav;base64,{PNG}",
        f"data:image/{SECRET};base64,{PNG}",
        f"data:image/png;note={SECRET};base64,{PNG}",
        f"data:text/plain,{SECRET}",
        f"data:text/plain;base64,{coded(SECRET)}",
        f"data:;base64,{coded(SECRET)}",
        f"DATA:text/plain;base64,{coded(SECRET)}",
        f" data:text/plain;base64,{coded(SECRET)}",
        f"data:text/plain;note=x;base64,{coded(SECRET)}",
        f"data:text/html,{SECRET.replace(' ', '%20').replace('4', '%34')}",
        f"data:image/svg+xml;base64,{coded(f'<svg>{SECRET}</svg>')}",
        f"data:application/json;charset=utf-8;base64,{coded(SECRET)}",
        f"data:,{SECRET}",
        "data:image/png",
        "hello",
    ],
)
def test_anything_else_is_text_that_shows_what_it_says(value: str, media: str) -> None:
    look = inspect(value, media, "image/png" if media == "image" else None)
    if value.startswith("data:audio/wav"):
        assert look.media is None, "the declared family is another"
        return
    assert look.media is None
    said = value if look.text is None else look.text
    if media != "url" or "data:" in value.lower() or "4111 2222" in value:
        bare = ("4111222233334444", "AKIAIOSFODNN7EXAMPLE", "data:image/png", "hello")
        assert "4111 2222 3333 4444" in said or value in bare or said == value


@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40))
def test_a_text_medium_is_written_back_as_it_was_coded(text: str) -> None:
    for head, media, declared in (
        ("data:text/plain;base64,", "url", None),
        ("", "file", "text/csv"),
        ("", "image", "image/svg+xml"),
    ):
        look = inspect(head + coded(text), media, declared)
        assert look.text == text
        assert look.encode is not None
        assert look.encode(text) == head + coded(text)
        assert inspect(look.encode("new"), media, declared).text == "new"
    look = inspect(f"data:,{text.replace('%', '%25')}", "url")
    assert look.text == text
    assert look.encode is not None
    assert inspect(look.encode(text), "url").text == text


@given(data=st.binary(min_size=1, max_size=60))
def test_base64_is_canonical_or_none(data: bytes) -> None:
    assert decoded(coded(data)) == data
    assert decoded(coded(data) + "\n") is None
    if coded(data).endswith("="):
        assert decoded(coded(data).rstrip("=")) is None
    assert decoded("é") is None
    assert decoded("QQ==") == b"A"
    assert decoded("QR==") is None, "the bits that are left over say something"


def test_percent_codes_that_are_no_text_are_read_and_not_written_back() -> None:
    look = inspect("data:text/plain,%ff%fecard", "media", None)
    assert look.text is not None
    assert "\xff\xfecard" in look.text
    assert (look.fixed, look.encode) == (True, None)


def test_bytes_that_are_text() -> None:
    assert printable(b"abc") == "abc"
    assert printable("né".encode()[:-1]) == "n", "cut off in the middle of a character"
    assert printable(b"") is None
    assert printable(b"a\0\x81") is None
    assert printable("abc".encode("utf-16-be")) == "abc"
    assert not is_binary("A" * 40), "one kind of character is no random data"
    assert not is_binary(SIGNATURE[:20])


def test_base64_in_the_alphabet_of_urls() -> None:
    for value, media in ((SIGNATURE, "signature"), (PNG, "image")):
        own = value.replace("+", "-").replace("/", "_")
        assert inspect_url_safe(own, media).media == inspect_url_safe(value, media).media == media
    assert inspect(SIGNATURE.replace("+", "-").replace("/", "_"), "signature").media is None
    for text in (
        "call-mara-at-her-Home-number-In-the-evening-8",
        "a_Few-4111222233334444aB",
        "mixed+and-Both/Alphabets_4aB",
    ):
        assert inspect_url_safe(text, "signature").media is None
