"""A trace begins with an exchange, or goes on from a trusted client."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from guardproxy.telemetry.trace import begin_trace, part_id

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_new_trace_follows_from_the_id_of_the_exchange() -> None:
    trace = begin_trace("x0")
    assert trace == begin_trace("x0") != begin_trace("x1")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace.header)
    assert trace.header == f"00-{trace.trace}-{trace.call}-01"
    assert trace.parent == ""
    assert len({trace.exchange, trace.call, part_id(trace, "request"), part_id(trace, "response")}) == 4


@pytest.mark.parametrize(("flags", "is_sampled"), [("01", True), ("00", False), ("03", True), ("02", False)])
def test_the_trace_of_a_client_goes_on(flags: str, is_sampled: bool) -> None:
    trace = begin_trace("x0", f"00-{TRACE}-{SPAN}-{flags}", share=1.0 if not is_sampled else 0.0)
    assert (trace.trace, trace.parent, trace.is_sampled) == (TRACE, SPAN, is_sampled)
    assert trace.header.endswith("-01" if is_sampled else "-00")


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert begin_trace("x0", f"01-{TRACE}-{SPAN}-01-more").trace == TRACE


@pytest.mark.parametrize(
    "header",
    [
        "",
        "secret words",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}",
    ],
)
def test_another_form_begins_a_trace(header: str) -> None:
    assert begin_trace("x0", header) == begin_trace("x0")


def test_the_share_of_sampled_traces() -> None:
    sampled = Counter(begin_trace(f"x{number}", share=0.25).is_sampled for number in range(2000))
    assert 400 < sampled[True] < 600
    assert not begin_trace("x0", share=0.0).is_sampled
    assert begin_trace("x0", share=1.0).is_sampled
