"""An open stream must not keep more memory than it did: a ceiling for its bytes, and one for the bytes of each further chunk.

`python -m tools.open_streams` shows what keeps them. Ceilings are some 20 % above the measured numbers of Python 3.11.
"""

from __future__ import annotations

import pytest

from tools.hot_path import DEFAULT, NO_RULES
from tools.open_streams import measure

FEW, MANY = 10, 1000


@pytest.mark.parametrize(
    ("policy", "most", "most_for_a_chunk"),
    [pytest.param(NO_RULES, 48_000, 27, id="no rules"), pytest.param(DEFAULT, 60_000, 36, id="default policy")],
)
def test_an_open_stream_keeps_no_more_than_before(policy: str, most: int, most_for_a_chunk: int) -> None:
    few, places = measure(policy, FEW)
    assert few <= most, places
    many, places = measure(policy, MANY)
    assert (many - few) / (MANY - FEW) <= most_for_a_chunk, places
