"""Work in slices: it gives what one call on the whole gives, and no call sees more than a slice."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guardproxy.concurrency import ScanStopped, stoppable
from guardproxy.wire.json import chunked as slices
from guardproxy.wire.json.opaque import inspect, printable
from tests.kit.media import PDF, PNG, SIGNATURE, WAV

CODED = st.text("AQgz059+/-_= \n\x1c", max_size=60) | st.binary(max_size=60).map(
    lambda data: base64.b64encode(data).decode()
)
DATA = (
    st.binary(max_size=80)
    | st.text(max_size=30).map(str.encode)
    | st.text(max_size=30).map(lambda text: text.encode("utf-16"))
)


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "SLICE", 12)
        patch.setattr(slices, "ESCAPED_SLICE", 4)
        yield


@given(CODED)
@example("QQ==QQ==" * 3)
@example("AAAA" * 3 + "====")
@example("AAAA" * 3 + "A===")
def test_base64(payload: str) -> None:
    stripped = re.sub(r"\s", "", payload).translate({45: 43, 95: 47}).rstrip("=")
    for text in (payload, stripped, stripped + "=" * (-len(stripped) % 4)):
        expected: bytes | None
        try:
            expected = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            expected = None
        if not text.endswith("==="):  # which is never canonical
            assert slices.from_base64(text) == expected
    assert slices.standard_base64(payload).decode() == stripped + "=" * (-len(stripped) % 4)


@given(DATA)
def test_bytes(data: bytes) -> None:
    assert slices.to_base64(data) == base64.b64encode(data).decode()
    assert list(slices.runs(data)) == re.findall(rb"[\x20-\x7e]{8,}", data)
    assert [slices.zeros(data, first) for first in (0, 1)] == [data[first::2].count(0) for first in (0, 1)]
    for coding in ("utf-8", "utf-16-le", "utf-16-be", "latin-1"):
        assert slices.decoded(data, coding, "replace") == data.decode(coding, "replace")
    assert slices.begun(data) == text_that_may_be_cut(data)
    if data.decode("utf-8", "ignore").encode() == data:
        assert slices.decoded(data, "utf-8") == data.decode()
    else:
        with pytest.raises(UnicodeDecodeError):
            slices.decoded(data, "utf-8")


def text_that_may_be_cut(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        return data[: error.start].decode() if error.reason == "unexpected end of data" else None


@given(st.text("%4aé+ ", max_size=60) | st.text(max_size=30).map(quote))
@example("%" * 40)
@example("a" + "%41" * 20)
def test_percent(text: str) -> None:
    assert slices.unquoted(text) == unquote_to_bytes(text)


@given(st.text("1a ", max_size=60), st.integers(1, 9))
def test_patterns(text: str, length: int) -> None:
    pattern = re.compile(f"1{{{length}}}")
    assert slices.has(pattern, text, length) == bool(pattern.search(text))


@given(st.text(" \n\u00a0dData:x", max_size=40))
@example(" " * 11 + "DATA:x")
@example(" " * 24)
def test_the_first_word(text: str) -> None:
    assert slices.is_blank_before(text, "data:") == bool(re.match(r"\s*data:", text, re.IGNORECASE))


@pytest.mark.parametrize("media", ["image", "audio", "file", "signature", "url"])
@pytest.mark.parametrize("declared", [None, "text/plain", "image/png"])
@given(
    st.sampled_from([PNG, PDF, WAV, SIGNATURE, f"data:image/png;base64,{PNG}"]) | CODED | st.text(max_size=60),
    st.sampled_from(["", "data:,", "data:text/plain;base64,", " DATA:image/png;base64,"]),
    st.sampled_from(["", "=", "%41%", "é"]),
)
def test_what_is_seen_does_not_depend_on_the_slices(
    media: str, declared: str | None, body: str, head: str, tail: str
) -> None:
    value = head + body + tail
    look = inspect(value, media, declared)
    edited = look.encode("new ä" * 9) if look.encode else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "SLICE", 1 << 20)
        whole = inspect(value, media, declared)
        assert (look.media, look.text, look.fixed) == (whole.media, whole.text, whole.fixed)
        assert edited == (whole.encode("new ä" * 9) if whole.encode else None)


def test_bytes_without_a_control_are_text() -> None:
    assert printable(("né" * 20).encode()[:-1]) == "né" * 19 + "n"
    assert printable(b"\xff" * 40) is None
    assert printable(("né" * 20).encode("utf-16-le")) == "né" * 20


@pytest.mark.parametrize(
    ("value", "media"),
    [
        (PNG, "image"),
        (PNG + "!", "image"),
        (SIGNATURE, "signature"),
        (" " * 200, "url"),
        ("data:," + "%41" * 90, "url"),
        (base64.b64encode(b"hello" * 40).decode(), "file"),
    ],
)
def test_a_long_string_is_given_up_between_two_slices(value: str, media: str) -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1

    with stoppable(look):
        inspect(value, media)
    assert looks >= len(value) // 12
    left = looks // 2

    def stop() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ScanStopped

    with stoppable(stop), pytest.raises(ScanStopped):
        inspect(value, media)
