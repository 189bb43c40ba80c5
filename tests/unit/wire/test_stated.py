"""What a request states of itself, in every dialect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.stated import Stated, stated


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({}, Stated()),
        ([], Stated()),
        ({"max_tokens": 5, "messages": [{}, {}]}, Stated(5, 2)),
        ({"max_completion_tokens": 7, "max_tokens": 5}, Stated(7)),
        ({"max_output_tokens": 9, "input": "hello"}, Stated(9, 1)),
        ({"max_tokens": True, "messages": "x", "tools": {}}, Stated(0, 1)),
        ({"max_tokens": -1}, Stated()),
        ({"max_tokens": 10**30}, Stated(2**63 - 1)),
        ({"messages": 3, "max_tokens": 1.5}, Stated()),
        (
            {
                "tools": [
                    {"type": "function", "function": {"name": "a"}},
                    {"type": "custom", "custom": {"name": "b"}},
                    {"name": "c", "type": "custom"},
                    {"type": "web_search"},
                    {"function": "d"},
                    3,
                    {"name": 4},
                ]
            },
            Stated(tools=("a", "b", "c", "web_search")),
        ),
    ],
)
def test_what_has_another_type_counts_as_absent(tree: Any, said: Stated) -> None:
    assert stated(tree) == said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["max_tokens", "messages", "input", "tools", "name", "function", "custom", "type"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_tree_is_read(tree: Any) -> None:
    said = stated(tree)
    assert 0 <= said.max_tokens < 2**63
    assert said.messages >= 0
    assert all(isinstance(name, str) for name in said.tools)
