"""Strict JSON: what `json` accepts, less everything that two parsers could read differently."""

from __future__ import annotations

import json
import math
import re
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guardproxy.wire.json import strict
from guardproxy.wire.json.numbers import SpelledFloat, SpelledInt
from guardproxy.wire.json.replacing import plain
from guardproxy.wire.json.strict import DEPTH_LIMIT, JsonFault, read, read_string, skim, write, write_line

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
PARTS = st.lists(
    st.sampled_from(
        ['{"a":', '"a"', "[", "]", "{", "}", ",", ":", " ", "\n", "1", "-", "1e9", "1e999", "NaN", "Infinity", "true", "null",
         '"\\ud800"', '"\\ud83d\\ude00"', '"\\u0041"', '"é"', "\ufeff", '"\t"', '{"a":1,"a":2}', "00", ".5", "'", '"\\x"',
         '{"b":1}', "9" * 5000]
    ),
    max_size=8,
).map("".join)  # fmt: skip


SPELLED = ((SpelledInt, int), (SpelledFloat, float))


def same(one: Any, other: Any) -> bool:
    """Equal in value and type, all the way down. A number may also keep its spelling."""
    if type(one) is not type(other) and (type(one), type(other)) not in SPELLED:
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def refused_class(text: str) -> str | None:
    """Which of the classes that are refused the JSON text belongs to, found in another way than `read` does."""
    found: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in items}) != len(items):
            found.append("duplicate_key")
        return dict(items)

    def number(written: str) -> float:
        if math.isinf(float(written)):  # no float is so large
            found.append("invalid_number")
        return float(written)

    constant = lambda _: found.append("invalid_number")  # noqa: E731
    json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_float=number)
    if re.search(r"\\ud8(?!3d\\ude00)", json.dumps(json.loads(text))):
        found.append("invalid_encoding")
    if text.startswith("\ufeff"):
        found.append("invalid_encoding")
    return found[0] if found else None


def attempt(data: bytes) -> tuple[Any, JsonFault | None]:
    try:
        return read(data), None
    except JsonFault as fault:
        return None, fault


SPECIAL = re.compile(r"NaN|Infinity|\\ud[89a-f]")  # tested on their own


@given(tree=TREES, escaped=st.booleans(), indent=st.none() | st.integers(0, 3))
def test_every_tree_that_json_writes_is_read_with_the_same_value(tree: Any, escaped: bool, indent: int | None) -> None:
    text = json.dumps(tree, ensure_ascii=escaped, indent=indent)
    if not SPECIAL.search(json.dumps(tree)):
        assert same(read(text.encode()), json.loads(text))


@given(text=PARTS)
@example("1e900")
@example("-1e999")
def test_what_json_refuses_is_refused_and_what_it_accepts_has_the_same_value(text: str) -> None:
    got, fault = attempt(text.encode())
    try:
        plain = json.loads(text)
    except ValueError:
        assert fault
        return
    if fault:
        assert refused_class(text) or "9" * 5000 in text
    else:
        assert refused_class(text) is None
        assert same(got, plain)


@given(data=st.binary(max_size=40))
def test_any_bytes_give_a_tree_or_a_fault_that_does_not_quote_them(data: bytes) -> None:
    _, fault = attempt(data)
    if fault:
        assert fault.code
        assert not any(len(word) > 7 and word.decode("latin-1") in str(fault) for word in data.split())


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b'{"a": 1, "a": 2}', "duplicate_key", "the key `a` appears twice in an object"),
        (b'[{"b": {"x y": 1, "x y": 2}}]', "duplicate_key", "the key `?` appears twice in an object"),
        (b'{"b": 1, "c": 1, "b": 2}', "duplicate_key", "the key `b`"),
        (b"NaN", "invalid_number", "NaN and Infinity are not JSON"),
        (b"[-Infinity]", "invalid_number", "NaN and Infinity are not JSON"),
        (b"1e999", "invalid_number", "a number is too large"),
        (b"[-1e999]", "invalid_number", "a number is too large"),
        (b"9" * 4001, "invalid_number", "a number has too many digits"),
        (b'"\\ud800"', "invalid_encoding", "half of a surrogate pair"),
        (b'{"\\ude00": [1, 2]}', "invalid_encoding", "half of a surrogate pair"),
        (b'[[1, "x", {"a": ["\\ud83d x \\ude00"]}]]', "invalid_encoding", "half of a surrogate pair"),
        (b"\xff\xfe{\x00}\x00", "invalid_encoding", "not UTF-8"),
        (b'"\xed\xa0\x80"', "invalid_encoding", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "invalid_encoding", "begins with a byte order mark"),
        (b"{}\n\n[]", "invalid_json", "more text follows"),
        (b'{"a": 1,\n "b" 2}', "invalid_json", "not JSON at line 2 column 6"),
        (b'"a\tb"', "invalid_json", "not JSON at line 1 column 3"),
        (b"", "invalid_json", "not JSON at line 1 column 1"),
        (b"[" * (DEPTH_LIMIT + 1) + b"]" * (DEPTH_LIMIT + 1), "too_deep", "nested deeper than 100"),
    ],
)
def test_each_refused_class_has_its_code(data: bytes, code: str, says: str) -> None:
    with pytest.raises(JsonFault) as caught:
        read(data)
    assert caught.value.code == code
    assert says in str(caught.value)


def test_the_limits_are_where_they_are_said_to_be() -> None:
    deep = b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT
    assert write(read(deep)) == deep
    assert read(b"[" + b",".join([b"{}"] * 500) + b"]") == [{}] * 500
    assert read(b'["' + b'{[\\"' * 200 + b'"]') == ['{["' * 200], "brackets in strings are no nesting"
    assert read(b"9" * 4000) == int("9" * 4000)
    assert read(b"1e308") == 1e308
    assert read(b'"\\ud83d\\ude00"') == "\U0001f600"
    assert read(b" \t\r\n{} \n") == {}


def test_a_parser_that_gives_up_on_depth_is_a_fault_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deep:
        def raw_decode(self, text: str, at: int) -> Any:
            raise RecursionError

    monkeypatch.setattr("guardproxy.wire.json.strict._decoder", Deep())
    with pytest.raises(JsonFault, match="nested deeper"):
        read(b"[]")


@pytest.mark.timing
@pytest.mark.parametrize("unit", [b"[", b'{"a":', b'\\"', b'"', b"]", b'"[', b"\\"])
def test_hostile_bytes_take_time_in_step_with_their_size(unit: bytes) -> None:
    """Also a string without an end, full of escaped quotes: it must not be looked through again from each of them."""

    def best(count: int) -> float:
        data = b"[" * 101 + b'"' + unit * count
        times = []
        for _ in range(3):
            began = time.perf_counter()
            with pytest.raises(JsonFault):
                read(data)
            times.append(time.perf_counter() - began)
        return min(times)

    assert best(100_000) < 0.05 + 20 * best(10_000)


@given(st.text(max_size=3), st.text(st.sampled_from('a\\"u0d8 \n\x1f/é\U0001f600'), max_size=8), st.text(max_size=3))
@example("", "\\ud83d\\ude00", "")
@example("", "\\ud83d", "")
@example("[", "unended", "")
def test_a_string_in_a_text_is_read_as_alone(before: str, inner: str, after: str) -> None:
    written = f'{before}"{inner}"{after}'
    try:
        value, end = read_string(written, len(before))
    except JsonFault:
        with pytest.raises(JsonFault):
            read(f'"{inner}"'.encode())
    else:
        assert read(written[len(before) : end].encode()) == value


def test_integers_stay_exact_when_written() -> None:
    for number in (2**63, 10**30, -(10**40), 2**53 + 1):
        assert write({"seed": number}) == b'{"seed":%d}' % number
        assert read(write([number])) == [number]
    assert write({"é": "\U0001f600"}) == '{"é":"\U0001f600"}'.encode()
    assert write({"é": 10**30}) == f'{{"é":{10**30}}}'.encode()


def test_json_that_nobody_inspects_is_skimmed() -> None:
    assert skim(b'{"a": [1, "x"]}') == {"a": [1, "x"]}
    for data in (b"{", b"", b"NaN", b"\xff", b"[" * 100_000):
        with pytest.raises(JsonFault, match="not JSON"):
            skim(data)


def test_a_line_has_no_other_end_of_a_line() -> None:
    text = "a\u2028b\u2029c\u0085d é"
    line = write_line({"a": text})
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line) == {"a": text}
    assert write_line({"a": "é"}) == write({"a": "é"})


@pytest.mark.parametrize(
    "token", ["-0", "-0.0", "0.0", "1.10", "1e5", "1E+2", "1e16", "0.1000000000000000055511", "9" * 30]
)
def test_numbers_stay_as_they_were_spelled(token: str) -> None:
    data = b'{"a":[%b,{"b":%b}]}' % (token.encode(), token.encode())
    tree = read(data)
    assert write(tree) == data
    assert tree == json.loads(data)
    assert write({**tree, "c": 10**30}) == data[:-1] + b',"c":%d}' % 10**30
    assert read(data, keeps_spelling=False) == tree
    assert {*map(type, read(data, keeps_spelling=False)["a"])} <= {int, float, dict}
    assert plain(tree) == tree
    assert type(plain(tree)["a"][0]) in (int, float)


def test_numbers_that_are_written_as_they_were_read_are_plain() -> None:
    assert [type(number) for number in read(b"[0, -1, 0.5, 1.0, 123456789012345678]")] == [int, int, float, float, int]


class Word(str):
    """A derived type."""

    __slots__ = ()


class Members(dict[str, Any]):
    """A derived type."""


class Items(list[Any]):
    """A derived type."""


class Size(int):
    """A derived type."""


def test_derived_types_are_written_like_their_bases() -> None:
    tree = {"a": Word("b"), "c": Members(d=Items([Size(1), True, None]))}
    assert write(tree) == b'{"a":"b","c":{"d":[1,true,null]}}'
    assert write({1: 10**30}) == b'{"1":%d}' % 10**30
    with pytest.raises(TypeError):
        write({"a": object()})


def outcome(data: bytes) -> object:
    try:
        return read(data)
    except JsonFault as fault:
        return fault.code, str(fault)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@given(st.one_of(PARTS, TREES.map(json.dumps), TREES.map(lambda tree: json.dumps(tree, ensure_ascii=False))))
@example('["\\\\",["]"],"a\\"[","\u2028é"]')
@example('["' + "\\u2028[" * 99 + '"]')
@example("[" * 101 + "]" * 101)
def test_long_data_is_read_in_slices_with_the_same_result(size: int, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    whole = outcome(data)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(strict, "SLICE", size)
        patched.setattr(strict, "_LONG_BYTES", size)
        assert repr(outcome(data)) == repr(whole)
        tree = whole if not isinstance(whole, tuple) else text.encode("utf-8", "replace").decode()
        in_slices = write_line(tree)
    assert in_slices == write_line(tree)


class _Noting:
    """A pattern that notes how much it reads at once."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        self.most = 0

    def sub(self, new: bytes, data: bytes) -> bytes:
        self.most = max(self.most, len(data))
        return self._pattern.sub(new, data)


@pytest.mark.parametrize("text", ["word [x] " * 100_000, "\\" * 500_001, '"[' * 200_000, "é\u2028" * 200_000])
def test_no_step_over_a_long_text_is_long(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call holds the interpreter, and with it the event loop, whichever thread it runs in."""
    strings = _Noting(strict._STRINGS)
    monkeypatch.setattr(strict, "_STRINGS", strings)
    body = json.dumps({"nested": [[] for _ in range(DEPTH_LIMIT)], "text": text}).encode()
    assert read(body)["text"] == text
    assert 0 < strings.most <= strict.SLICE + 3
