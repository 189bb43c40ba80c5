"""Canonical JSON in pieces: the same bytes as in one call, no piece that is large, and the same line for the same record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.audit.record import canonical as module
from guardproxy.audit.record.canonical import PIECE_WEIGHT, canonical, pieces
from guardproxy.audit.record.chain import ChainHead, seal, seal_small
from guardproxy.errors import AuditError

HEAD = ChainHead(3, "a" * 64)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.text(st.characters(categories=("Cs", "Ll")), max_size=6)
)
VALUES = st.recursive(
    LEAVES, lambda value: st.lists(value, max_size=6) | st.dictionaries(st.text(max_size=6), value, max_size=6)
)
RECORDS = st.dictionaries(st.text(max_size=6).filter(lambda key: key not in ("seq", "prev", "hash")), VALUES)


def sealed_in_two_calls(record: dict[str, Any], before: ChainHead) -> bytes:
    """A line as it was written before records were encoded in pieces."""
    whole = {**record, "seq": before.seq + 1, "prev": before.hash}
    digest = hashlib.sha256(b"\x00" + canonical(whole)).hexdigest()
    return canonical({**whole, "hash": digest}) + b"\n"


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_WEIGHT", 24)
    monkeypatch.setattr(module, "GROUP", 3)


def written(value: Any) -> bytes:
    try:
        return b"".join(pieces(value))
    except TypeError:
        return canonical(value)


@pytest.mark.usefixtures("small_pieces")
@given(VALUES)
def test_the_pieces_of_a_value_are_its_canonical_form(value: Any) -> None:
    assert written(value) == canonical(value)


@pytest.mark.usefixtures("small_pieces")
@given(RECORDS)
def test_a_line_does_not_depend_on_the_pieces(record: dict[str, Any]) -> None:
    line, head = seal(record, HEAD)
    assert line == sealed_in_two_calls(record, HEAD)
    assert json.loads(line)["hash"] == head.hash


@given(RECORDS)
def test_a_line_of_one_piece_is_the_same(record: dict[str, Any]) -> None:
    assert seal(record, HEAD)[0] == sealed_in_two_calls(record, HEAD)
    assert seal_small({**record}, HEAD)[0] == sealed_in_two_calls(record, HEAD)


@pytest.mark.parametrize("size", [250, 252, 253, 254, 255, 256, 300, 2000])
@pytest.mark.usefixtures("small_pieces")
def test_the_encoder_refuses_the_same_depth_in_pieces(size: int) -> None:
    value: Any = "ä" * 60
    for _ in range(size):
        value = [value, "ö" * 60]
    try:
        expected = canonical(value)
    except AuditError:
        with pytest.raises(TypeError):
            list(pieces(value))
        return
    assert written(value) == expected


LARGE: dict[str, dict[str, Any]] = {
    "one text": {"text": "ab\n" * 200_000},
    "many texts": {"texts": [{"path": f"messages[{index}].content", "text": "hello"} for index in range(5_000)]},
    "many keys": {f"key {index}": index for index in range(20_000)},
    "texts in keys": {f"{index}" * 10_000: {"x": ["é" * 100_000]} for index in range(3)},
    "lone surrogates": {"texts": ["é\n" * 100_000, "\ud800", {"\udc00": ["x"] * 9_000}]},
    "pairs of surrogates": {"texts": ["\ud83d\ude00" * 100_000, {"\ud83d\ude00": "x"}]},
    "large integers": {"texts": ["é\n" * 100_000, 2**70, 1e300]},
    "numbers": {"runs": [[index, 7] for index in range(50_000)]},
}


def counted(sizes: list[int], encode: Callable[..., bytes | str], value: Any, **options: Any) -> bytes | str:
    data = encode(value, **options)
    sizes.append(len(data))
    return data


@pytest.mark.parametrize("name", LARGE)
def test_no_call_of_the_encoder_writes_a_large_part(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    record = LARGE[name]
    sizes: list[int] = []
    for encoder in (orjson, json):
        monkeypatch.setattr(encoder, "dumps", partial(counted, sizes, encoder.dumps))
    line, _ = seal(record, HEAD)
    monkeypatch.undo()
    assert line == sealed_in_two_calls(record, HEAD)
    assert max(sizes) <= 6 * PIECE_WEIGHT, "the largest call: a character takes up to six bytes"
    # Beside the line itself, some keys are written by themselves. What is encoded before an encoder refuses a part of it
    # is encoded again.
    tries = 3 if "surrogates" in name or name == "large integers" else 1
    assert sum(sizes) <= (tries + 0.1) * len(line)


def test_what_is_no_json_is_refused() -> None:
    for value in ({1, 2}, object(), {"x": [{3}]}, {(1, 2): 3}):
        with pytest.raises(AuditError):
            seal({"x": value, "text": "a" * PIECE_WEIGHT}, HEAD)


def test_keys_that_are_no_text_become_text_in_large_records_too() -> None:
    record = {"text": "a" * 2 * PIECE_WEIGHT, "by_number": {1: "x"}}
    assert seal(record, HEAD)[0] == sealed_in_two_calls(record, HEAD)
    assert seal_small({**record}, HEAD)[0] == sealed_in_two_calls(record, HEAD)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_know_is_refused(number: float) -> None:
    with pytest.raises(AuditError):
        seal({"x": number, "half of a pair": "\ud800"}, HEAD)
