"""Which frames are remembered, and which are like them. `tests/property/test_alike.py` compares with reading every frame."""

from __future__ import annotations

import json

from guardproxy.wire import NOT_KEPT
from guardproxy.wire.alike import Alike
from guardproxy.wire.json import UNMAPPED, TreeLeaf, read, text


def leaf_of(value: str) -> TreeLeaf:
    return TreeLeaf(("a", 0, "b"), value, text("assistant"))


def frame(value: str, more: str = "1") -> bytes:
    return f'{{"a": [{{"b": {json.dumps(value, ensure_ascii=False)}, "c": {more}}}]}}'.encode()


def remembering(*values: str) -> Alike:
    alike = Alike()
    for value in values:
        alike.remember(frame(value), read(frame(value)), leaf_of(value))
    return alike


def test_what_is_not_like_a_remembered_frame() -> None:
    alike = remembering("hello ")
    assert alike.find(frame("there ")) == (read(frame("there ")), leaf_of("there "))
    for data in (frame(""), frame("4111"), frame(NOT_KEPT), frame('a"b'), frame("a\\b"), frame("hello ", "2")):
        assert alike.find(data) is None
    assert alike.find(frame("word ").replace(b"word", b"\xff\xfe")) is None, "no UTF-8"
    assert alike.find(frame("word ").replace(b"word", b"wo\nrd")) is None, "no JSON"
    assert alike.find(b'{"a": [{"b": "') is None, "shorter than what is around the text"


def test_what_is_not_remembered() -> None:
    for value in ("", "4111", NOT_KEPT, 'a"b'):
        assert remembering(value)._frames == remembering()._frames, value
    elsewhere = b'{"hello ": [{"b": "hello\\u0020"}]}'  # the bytes of the text are those of a key
    alike = Alike()
    alike.remember(elsewhere, read(elsewhere), TreeLeaf(("hello ", 0, "b"), "hello ", text("assistant")))
    alike.remember(frame("hello ")[:-1], read(frame("hello ")), leaf_of("hello "))
    alike.remember(frame("other "), read(frame("hello ")), leaf_of("hello "))
    assert not alike._frames
    for leaf in (
        TreeLeaf(("a", 0, "b"), "hello ", UNMAPPED),
        TreeLeaf(("a", 0, "b"), "hello ", text("user"), key=True),
    ):
        alike = Alike()
        alike.remember(frame("hello "), read(frame("hello ")), leaf)
        assert alike.find(frame("there ")) is None


def test_a_stream_of_different_frames_is_not_remembered_for_ever() -> None:
    alike = Alike()
    for number in range(100):
        data = frame("hello ", str(number))
        assert alike.find(data) is None
        alike.remember(data, read(data), leaf_of("hello "))
    assert alike._vain == 4
    assert len(alike._frames) == 4


def test_frames_do_not_share_the_way_to_their_text() -> None:
    alike = remembering("hello ")
    first, second = alike.find(frame("one ")), alike.find(frame("two "))
    assert first
    assert second
    first[0]["a"][0]["b"] = "changed"
    assert second[0] == read(frame("two "))
    assert alike.find(frame("three ")) == (read(frame("three ")), leaf_of("three "))
