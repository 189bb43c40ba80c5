"""Token data that is read the same in every format; `withhold` of the formats is tested with each format."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.wire.decoding.token_data import drop, joined, outside, strip


def entry(token: str, **more: Any) -> dict[str, Any]:
    return {"token": token, "logprob": -0.5, "bytes": list(token.encode()), **more}


def test_fields_and_rows_of_numbers_are_dropped_but_where_they_are_kept() -> None:
    gone: dict[str, None] = {}
    tree = {"tokens": ["a"], "kept": {"tokens": ["a"]}, "new": [[1, 2, 3, 4], 5], "few": [1, 2], "top_logprobs": 5}
    drop(tree, gone.setdefault, {"tokens"}, {"kept"})
    assert tree == {"kept": {"tokens": ["a"]}, "new": [[], 5], "few": [1, 2], "top_logprobs": 5}
    assert list(gone) == ["tokens", "numbers"]


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([entry("he"), entry("llo")], "hello"),
        ([{"token": "hello"}], "hello"),
        ([], ""),
        ([entry("\\xc3", bytes=[0xC3]), entry("\\xa9", bytes=[0xA9])], "é"),
        ([entry("\\xc3", bytes=[0xC3])], None),
        ([entry("x", bytes=[104])], None),
        ("hello", None),
        ([{"logprob": 1}], None),
    ],
)
def test_entries_join_to_their_text(entries: Any, text: str | None) -> None:
    assert joined(entries) == text


def test_what_could_be_another_text_is_stripped() -> None:
    gone: dict[str, None] = {}
    entries = [entry("a", top_logprobs=[entry("a"), entry("secret")], id=17)]
    strip(entries, gone.setdefault)
    assert entries == [entry("a", top_logprobs=[entry("a"), {"token": "", "bytes": [], "logprob": -0.5}])]
    assert list(gone) == ["top_logprobs", "logprobs"]


@pytest.mark.parametrize(
    ("new", "left"),
    [("hello my you", "hello|you"), ("hello jo@ab.io you", "hello| jo@|ab.io| you"), ("", ""), ("x", "")],
)
def test_entries_outside_of_an_edit_stay(new: str, left: str) -> None:
    entries = [entry(token) for token in ("hello", " jo@", "ab.io", " you")]
    assert "|".join(kept["token"] for kept in outside(entries, "hello jo@ab.io you", new)) == left.replace(
        "|you", "| you"
    )
