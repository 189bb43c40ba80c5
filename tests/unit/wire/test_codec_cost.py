"""No wire format costs more than 1.5 times as much as chat, the first one: counted in calls, the same in every run."""

from __future__ import annotations

import pytest

from guardproxy.wire import Codec, codecs
from tests.kit import codec_cost
from tests.kit.codec_cost import CASES, Case

AIM = 1.5
CHAT = codecs()[0]
# The calls of one more KB of a single text, which no format should spend.
KB_CALLS = 1.0


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.unit == "chunk"])
@pytest.mark.parametrize("codec", [pytest.param(codec, id=codec.name) for codec in codecs()])
def test_a_chunk_costs_at_most_as_planned(codec: Codec, name: str) -> None:
    of_chat = codec_cost.calls_per_unit(CHAT, CASES[name])
    assert of_chat
    cost = codec_cost.calls_per_unit(codec, CASES[name])
    carried = codec_cost.is_answered(codec) and ("tool_arguments" if "tool" in name else "assistant")
    assert (cost is not None) == (carried in codec.contract.carries["response"])
    assert cost is None or 0 <= cost <= AIM * of_chat  # 0: a call of a tool comes whole


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.unit == "KB"])
@pytest.mark.parametrize("codec", [pytest.param(codec, id=codec.name) for codec in codecs()])
def test_a_short_body_costs_at_most_as_planned(codec: Codec, name: str) -> None:
    once, of_chat = codec_cost.calls_once(codec, CASES[name]), codec_cost.calls_once(CHAT, CASES[name])
    assert of_chat
    assert once is not None or not codec_cost.is_answered(codec)
    assert once is None or 0 < once <= AIM * of_chat
    more = codec_cost.calls_per_unit(codec, CASES[name])
    assert more is None or more < KB_CALLS


def test_the_work_of_a_slow_part_is_seen() -> None:
    def twice(codec: Codec, size: int) -> codec_cost.Work | None:
        work = codec_cost.chunks(codec, size)
        return work and (lambda: (work(), work()))

    slow = codec_cost.calls_per_unit(CHAT, Case("chunk", twice))
    plain = codec_cost.calls_per_unit(CHAT, CASES["chunk"])
    assert plain
    assert slow
    assert slow > AIM * plain
