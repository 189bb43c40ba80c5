"""JSON in a string: whole, cut off or broken, every text in it is a leaf, and edits put nothing else out of place."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.json.numbers import stand_in
from guardproxy.wire.json.text import apart, places, rewrite, view

TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
LONG = st.integers(10**9, 10**16) | st.integers(-(10**16), -(10**9))
TREES = st.recursive(
    TEXTS | LONG | st.integers(-99, 99) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def leaves(raw: str) -> list[str]:
    return [leaf.text for leaf in view(raw).leaves]


def expected(tree: Any) -> list[str]:
    """The strings, keys and long numbers of a tree, in the order of the document."""
    if isinstance(tree, dict):
        return [text for key, child in tree.items() for text in ([key] if key else []) + expected(child)]
    if isinstance(tree, list):
        return [text for child in tree for text in expected(child)]
    if isinstance(tree, str):
        return [tree] if tree else []
    return [str(tree)] if isinstance(tree, int) and not isinstance(tree, bool) and abs(tree) >= 10**8 else []


def put(raw: str, edits: list[tuple[int, int, str]]) -> str:
    out, at = "", 0
    for start, end, text in rewrite(view(raw), edits):
        out += raw[at:start] + text
        at = end
    return out + raw[at:]


@given(tree=TREES, escaped=st.booleans(), indent=st.none() | st.integers(0, 2))
def test_the_leaves_of_valid_json_are_its_strings_keys_and_long_numbers(
    tree: Any, escaped: bool, indent: int | None
) -> None:
    seen = view(json.dumps(tree, ensure_ascii=escaped, indent=indent))
    assert [leaf.text for leaf in seen.leaves] == expected(tree)
    assert seen.text == "\n".join(expected(tree))
    for leaf in seen.leaves:
        assert seen.text[leaf.at : leaf.at + len(leaf.text)] == leaf.text


@given(tree=TREES, escaped=st.booleans(), spans=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=4))
def test_edits_keep_json_valid_and_everything_else_as_it_was(
    tree: Any, escaped: bool, spans: list[tuple[int, int]]
) -> None:
    raw = json.dumps(tree, ensure_ascii=escaped)
    seen = view(raw)
    edits: list[tuple[int, int, str]] = []
    for start, size in sorted(spans):
        if start + size <= len(seen.text) and (not edits or edits[-1][1] <= start):
            edits.append((start, start + size, '[X"\\]'))
    changed = put(raw, edits)
    json.loads(changed)
    shown = seen.text
    for start, end, text in reversed(apart(seen, edits)):
        shown = shown[:start] + text + shown[end:]
    assert view(changed).text == "\n".join(line for line in leaves(changed))
    for index, leaf in enumerate(seen.leaves):
        if not any(start < leaf.at + len(leaf.text) and leaf.at < end for start, end, _ in edits):
            assert leaf.text in leaves(changed), index
    assert shown.replace("\n", "") == view(changed).text.replace("\n", "")


@given(raw=st.text(max_size=40), cut=st.integers(0, 40))
def test_any_text_has_a_view_and_its_letters_are_in_it(raw: str, cut: int) -> None:
    seen = view(raw[:cut])
    for leaf in seen.leaves:
        assert 0 <= leaf.start < leaf.end <= len(raw)
    if "\\" not in raw and not any(word in raw for word in ("true", "false", "null")):
        for char in raw[:cut]:
            assert char in seen.text or not char.isalpha()


@pytest.mark.parametrize(
    ("raw", "texts"),
    [
        ('{"a": "\\u0034\\u0031"}', ["a", "41"]),
        ('{"a": "x\\/y\\n\\t\\"z\\\\"}', ["a", 'x/y\n\t"z\\']),
        ('"\\ud83d\\ude00"', ["\U0001f600"]),
        ('"\\ud83d x \\ude00"', ["\ufffd x \ufffd"]),
        ('"\\q\\u12"', ["qu12"]),
        ('{"a": "b', ["a", "b"]),
        ('{"a": "b\\', ["a", "b"]),
        ('{"a": "b\\u00', ["a", "bu00"]),
        ("hello there", ["hello there"]),
        ("4111 2222 3333 4444", ["4111 2222 3333 4444"]),
        ("[1, 4111222233334444, -1.5e9, 12345678, true, null]", ["4111222233334444"]),
        ("[1234567.89, 12345678e9, 1e5]", ["1234567.89", "12345678000000000"]),
        ("{a: b, c: [d e, 5]} f", ["a: b, c", "d e, 5", "f"]),
        ("true story", ["true story"]),
        ("'a' 5", ["'a' 5"]),
        ("", []),
        (" \n,:{}[]", []),
        ('""', []),
    ],
)
def test_what_is_a_leaf(raw: str, texts: list[str]) -> None:
    assert leaves(raw) == texts


@pytest.mark.parametrize(
    ("raw", "edits", "changed"),
    [
        ('{"a": "x \\u0041 y"}', [(2, 3, "[T]")], '{"a": "[T] A y"}'),
        ('{"a": "b"}', [(0, 1, "[T]")], '{"[T]": "b"}'),
        ('{"ab": "cd", "ef": "gh"}', [(1, 7, "[T]")], '{"a[T]": "", "f": "gh"}'),
        ('{"a": 4111222233334444}', [(2, 18, "[T]")], '{"a": 1000000000000000}'),
        ('{"a": 4111222233334444}', [(6, 10, "[T]")], '{"a": 4111100033334444}'),
        ('{"a": -4111222233334444}', [(2, 19, "[T]")], '{"a": 10000000000000000}'),
        ('{"a": 0.4111222233}', [(3, 4, "[T]")], '{"a": 100000000000}'),
        ('{"a": 4111222233e5}', [(2, 17, "[T]")], '{"a": 100000000000000}'),
        ('{"a": hello there}', [(2, 7, "[T]")], '{"a": "[T] there"}'),
        ('{"a": "b"', [], '{"a": "b"'),
        ('"a" "b"', [(0, 1, "x"), (2, 3, '"')], '"x" "\\""'),
    ],
)
def test_an_edit_is_written_back(raw: str, edits: list[tuple[int, int, str]], changed: str) -> None:
    assert put(raw, edits) == changed


def test_a_stand_in_has_the_length_of_what_it_stands_for() -> None:
    assert [stand_in(count) for count in (1, 2, 16)] == ["1", "10", "1000000000000000"]


@pytest.mark.timing
@pytest.mark.parametrize("unit", ['"', '\\"', " ", "a ", ", ", '"\\', "1,", "\\u00"])
def test_hostile_text_takes_time_in_step_with_its_size(unit: str) -> None:
    def best(count: int) -> float:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            view('{"a": "' + unit * count)
            view("x" + unit * count)
            times.append(time.perf_counter() - began)
        return min(times)

    assert best(40_000) < 0.05 + 12 * best(10_000)


def where(raw: str) -> dict[str, tuple[Any, bool]]:
    """What begins at each place, and where it stands."""
    return {raw[start : start + 1]: (list(path), key) for start, (path, key) in places(raw).items()}


def test_places() -> None:
    assert where('{"a": 1, "b": [2, {"c": "d"}, 3], "\\u0065": null}') == {
        "a": (["a"], True),
        "1": (["a"], False),
        "b": (["b"], True),
        "2": (["b", 0], False),
        "c": (["b", 1, "c"], True),
        "d": (["b", 1, "c"], False),
        "3": (["b", 2], False),
        "\\": (["e"], True),
        "n": (["e"], False),
    }
    assert where('"a"') == {"a": ([], False)}
    assert where("") == {}


@pytest.mark.parametrize(
    "raw", ["}", "]", ",", ":", '{"a', '{"a": [1,, 2}', '["a": 1]', "{{{", "a, b", '"a" "b"', "]]{1"]
)
def test_places_of_what_is_no_json_are_some(raw: str) -> None:
    assert all(0 <= start <= len(raw) for start in places(raw))


@given(
    tree=st.recursive(
        st.integers(0, 9), lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner), max_leaves=8
    )
)
def test_places_are_paths(tree: Any) -> None:
    raw = json.dumps(tree)
    for start, (path, key) in places(raw).items():
        node = tree
        for step in path:
            node = node[step]
        assert key or raw[start] == str(node)


@pytest.mark.parametrize(
    "raw", ['{"card": [4111, 1111, 1111, 1111]}', '{"a": 4111, "b": "1111", "c": 1111, "d": "1111"}']
)
def test_parts_of_a_number_are_read_as_one(raw: str) -> None:
    assert view(raw).text.splitlines()[-1] == "4111 1111 1111 1111"


def test_a_leaf_that_is_edited_by_itself_and_in_a_row_stays_a_number() -> None:
    seen = view('["41111111", 11111111]')
    alone, row = seen.text.splitlines()
    start = seen.text.index(row)
    edits = [(0, len(alone), "x"), (start, start + len(row), "x")]
    raw = seen.raw
    for low, high, put in reversed(rewrite(seen, edits)):
        raw = raw[:low] + put + raw[high:]
    assert json.loads(raw) == ["10000000", 10000000]


def test_an_edit_of_a_line_break_between_leaves_changes_nothing() -> None:
    seen = view('["ab", "cd"]')
    assert rewrite(seen, [(2, 3, "x")]) == []
