"""Which frames are remembered, and which are like them. `tests/property/test_alike.py` compares with reading every frame."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.events import Path
from guardproxy.wire import NOT_KEPT
from guardproxy.wire.decoding.decoding import nothing
from guardproxy.wire.decoding.frame_cache import _OTHER, _OTHERS, FRAMES, Alike, Filler
from guardproxy.wire.json import UNMAPPED, TreeLeaf, read, text, walk


def leaf_of(value: str) -> TreeLeaf:
    return TreeLeaf(("a", 0, "b"), value, text("assistant"))


def frame(value: str, more: str = "1") -> bytes:
    return f'{{"a": [{{"b": {json.dumps(value, ensure_ascii=False)}, "c": {more}}}]}}'.encode()


def remembering(*values: str) -> Alike:
    alike = Alike({})
    for value in values:
        alike.remember(frame(value), read(frame(value)), [leaf_of(value)], nothing)
    return alike


def test_a_text_may_be_written_with_escapes() -> None:
    for value in ('a"b', "a\\b", "one\ntwo", "\u00fc\U0001f600", '{\n  "city": "'):
        data = json.dumps({"a": [{"b": value, "c": 1}]}).encode()
        assert remembering("hello ").find(data) == (read(data), [leaf_of(value)])
        alike = Alike({})
        alike.remember(data, read(data), [leaf_of(value)], nothing)
        assert alike.find(data.replace(json.dumps(value).encode(), b'"there "')) == (
            {"a": [{"b": "there ", "c": 1}]},
            [leaf_of("there ")],
        )


def test_what_is_not_like_a_remembered_frame() -> None:
    alike = remembering("hello ")
    assert alike.find(frame("there ")) == (read(frame("there ")), [leaf_of("there ")])
    for data in (frame(""), frame("4111"), frame(NOT_KEPT), frame("hello ", "2")):
        assert alike.find(data) is None
    assert alike.find(frame("word ").replace(b"word", b"\xff\xfe")) is None, "no UTF-8"
    assert alike.find(frame("word ").replace(b"word", b"wo\nrd")) is None, "no JSON"
    assert alike.find(frame("word ").replace(b"word", b"wo\\ud800rd")) is None, "half of a surrogate pair"
    assert alike.find(frame("word ").replace(b"word", b"wo\\xrd")) is None, "no escape of JSON"
    assert alike.find(frame("word ").replace(b'"word ', b'"word \\')) is None, "the text does not end"
    assert alike.find(b'{"a": [{"b": "') is None, "shorter than what is around the text"


def test_what_is_not_remembered() -> None:
    for value in ("", "4111", NOT_KEPT, "long " * 4000):
        assert remembering(value)._frames == remembering()._frames, value
    alike = Alike({})
    for data, path in (
        (b'{"a": ["hello "]}', ("a", 0)),
        (b'{"\\u0061": "hello "}', ("a",)),
        (b'{"a\\":":"hello "}', ('a":',)),
        (b'{"a\\":":1,\n"a\\\\":"hello "}', ("a\\",)),  # a string seems to begin at the end of the first key
    ):
        alike.remember(data, read(data), [TreeLeaf(path, "hello ", text("assistant"))], nothing)
    alike.remember(frame("hello ")[:-1], read(frame("hello ")), [leaf_of("hello ")], nothing)
    alike.remember(frame("other "), read(frame("hello ")), [leaf_of("hello ")], nothing)
    assert not alike._frames
    for leaf in (
        TreeLeaf(("a", 0, "b"), "hello ", UNMAPPED),
        TreeLeaf(("a", 0, "b"), "hello ", text("user"), key=True),
        TreeLeaf(("a", 0, "b"), "hello ", text("user"), number=True),
        TreeLeaf(("a", 0, "b"), "hello ", text("user"), encode=str),
    ):
        alike = Alike({})
        alike.remember(frame("hello "), read(frame("hello ")), [leaf], nothing)
        assert alike.find(frame("there ")) is None


def test_few_frames_of_a_stream_of_different_frames_are_remembered() -> None:
    """A run of frames that are alike is found again, however late it comes."""
    alike, remembered, last = Alike({}), [], None
    for number in range(1, 101):
        data = frame("hello ", str(number))
        assert alike.find(data) is None
        alike.remember(data, read(data), [leaf_of("hello ")], nothing)
        if alike._frames[-1] is not last:
            remembered.append(number)
            last = alike._frames[-1]
    assert remembered == [1, 2, 3, 4, 8, 16, 32, 64]
    assert len(alike._frames) == 1, "the others were of no use"
    assert alike.find(frame("there ", "64"))
    data = frame("hello ", "101")
    alike.remember(data, read(data), [leaf_of("hello ")], nothing)
    assert alike.find(frame("there ", "101")), "a frame was like one, so the next may be remembered"


@pytest.mark.parametrize("count", range(1, 20))
def test_frames_that_take_turns_do_not_drive_each_other_out(count: int) -> None:
    """To remember a frame costs as much as is saved by a frame that is like one."""
    alike, found, remembered, last = Alike({}), 0, 0, None
    for number in range(200):
        data = frame("hello ", str(number % count))
        if alike.find(data):
            found += 1
            continue
        alike.remember(data, read(data), [leaf_of("hello ")], nothing)
        remembered += alike._frames[-1] is not last
        last = alike._frames[-1]
    assert found >= 200 - 2 * count or count > FRAMES
    assert remembered <= found + 20


def test_frames_do_not_share_the_way_to_their_text() -> None:
    alike = remembering("hello ")
    first, second = alike.find(frame("one ")), alike.find(frame("two "))
    assert first
    assert second
    first[0]["a"][0]["b"] = "changed"
    assert second[0] == read(frame("two "))
    assert alike.find(frame("three ")) == (read(frame("three ")), [leaf_of("three ")])


FILLERS: dict[Path, Filler] = {("n", "count"): "count", ("pad",): "padding", ("at",): "moment"}
MODEL = TreeLeaf(("model",), "some model", UNMAPPED)


def filled(value: str, count: object = 12, pad: object = "aB3", at: object = "2025-10-01T12:00:00.5Z") -> bytes:
    tree = {"model": "some model", "n": {"count": count}, "a": [{"b": value}], "pad": pad, "at": at}
    return json.dumps(tree, ensure_ascii=False).encode()


def test_values_that_a_provider_fills_in_may_differ() -> None:
    alike = Alike(FILLERS)
    alike.remember(filled("hello "), read(filled("hello ")), [MODEL, leaf_of("hello ")], nothing)
    for data in (
        filled("there "),
        filled("there ", 0),
        filled("there ", 99999999, "", "2031-12-31T23:59:59Z"),
        filled("x", 7, "k" * 48),
    ):
        tree = read(data)
        assert alike.find(data) == (tree, [MODEL, leaf_of(tree["a"][0]["b"])])
    for data in (
        filled("there ", 123456789),
        filled("there ", 1.5),
        filled("there ", -1),
        filled("there ", "12"),
        filled("there ", None),
        filled("there ", pad="k" * 49),
        filled("there ", pad="two words"),
        filled("there ", pad="AKIAIOSFODNN7EXAMPLE"),
        filled("there ", pad="a4111111111111111b"),
        filled("there ", at="yesterday"),
        filled("there ", at="2025-10-01T12:00:00+02:00"),
        filled("there ").replace(b"some model", b"another"),
        filled("there ").replace(b'"at"', b'"on"'),
    ):
        assert alike.find(data) is None, data


def test_fillers_may_be_missing_or_of_another_form_or_place() -> None:
    for data in (
        b'{"a": [{"b": "hello "}]}',
        b'{"a": [{"b": "hello "}], "n": {"count": 123456789}}',
        b'{"a": [{"b": "hello "}], "n": {"other": 1}, "pad": "two words"}',
        b'{"a": [{"b": "hello "}], "n": {"count": "5"}, "at": 5}',
        b'{"a": [{"b": "hello "}], "n": [{"count": 1}]}',
        b'{"count": 5, "a": [{"b": "hello "}], "n": {"count": 5}}',  # the first `count` is at another place
    ):
        alike = Alike(FILLERS)
        alike.remember(data, read(data), [leaf_of("hello ")], nothing)
        other = data.replace(b"hello ", b"there ")
        assert (found := alike.find(other)) is None or found == (read(other), [leaf_of("there ")])
        assert (found is None) == data.startswith(b'{"count"')


@pytest.mark.parametrize(
    ("name", "tried", "later"),
    [
        ("b", _OTHER, "unread"),
        ("pad", _OTHERS["padding"], "unread"),
        ("at", _OTHERS["moment"], "2031-12-31T23:59:59Z"),
        ("count", _OTHERS["count"], 12),
    ],
)
def test_a_value_at_another_place_is_never_that_of_its_place(name: str, tried: Any, later: Any) -> None:
    """Also if both are the value that is tried: the first frame would hide what the other place holds later."""

    def frame(other: Any) -> bytes:
        value = {"b": "hello ", "pad": "aB3", "at": "2025-10-01T12:00:00Z", "count": 1, name: tried}
        its = {"n": {"count": value["count"]}, "a": [{"b": value["b"]}], "pad": value["pad"], "at": value["at"]}
        return json.dumps({"new": {name: other}, **its}, ensure_ascii=False).encode()

    def leaves(data: bytes) -> list[TreeLeaf]:
        tree = read(data)
        return [*walk(tree["new"], UNMAPPED, ("new",)), leaf_of(tree["a"][0]["b"])]

    alike = Alike(FILLERS)
    alike.remember(frame(tried), read(frame(tried)), leaves(frame(tried)), nothing)
    assert (found := alike.find(frame(later))) is None or found == (read(frame(later)), leaves(frame(later)))


def test_a_text_that_stands_twice_is_found_at_its_place() -> None:
    data = b'{"model": "hello ", "b": "hello there", "a": [{"b": "hello "}]}'
    leaves = [TreeLeaf(("model",), "hello ", UNMAPPED), leaf_of("hello ")]
    alike = Alike({})
    alike.remember(data, read(data), leaves, nothing)
    other = data.replace(b'[{"b": "hello "', b'[{"b": "there "')
    assert alike.find(other) == (read(other), [leaves[0], leaf_of("there ")])


def test_frames_with_two_texts_or_a_row_or_a_filler_that_is_text_are_not_remembered() -> None:
    data = filled("hello ", pad="two words")
    padded = TreeLeaf(("pad",), "two words", UNMAPPED)
    row = TreeLeaf(("c", 0), "4111 1111", UNMAPPED, number=True, parts=(("c", 0), ("c", 1)))
    for leaves in (
        [leaf_of("hello "), leaf_of("hello ")],
        [leaf_of("hello "), row],
        [leaf_of("hello "), padded],
        [MODEL],
    ):
        alike = Alike(FILLERS)
        alike.remember(data, read(data), leaves, nothing)
        assert alike.find(data) is None
