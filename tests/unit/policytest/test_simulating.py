"""A simulated stream: what arrives, what is held and why, what leaves. The result does not depend on the cuts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.exchange.gate import Job
from guardproxy.findings import Scan
from guardproxy.policy.values import RawExchange, RequestFacts
from guardproxy.policytest.mismatches import disagreement
from guardproxy.policytest.playing import Numbers, play_scene
from guardproxy.policytest.scan import scan_job
from guardproxy.policytest.scenes import Cuts
from guardproxy.policytest.simulating import Simulation, StreamPieces, StreamStep, _Watcher, _who_holds, simulate
from guardproxy.wire import Codec, codecs
from tests.kit.play import CHAT, policy_set

POLICY = r"""
policy: test
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  bad:  {use: pattern, label: BAD, words: [forbidden]}
rules:
  - {id: mail, when: mail, action: redact, restore: true}
  - {id: bad, when: bad, action: block}
"""
ANSWER = "Hello jo@ab.io, how is al@ab.io today?"
STREAMING = [codec for codec in codecs() if codec.author.frames_with("assistant", [""]) is not None]


def simulated(
    text: str = ANSWER, size: int = 3, policy: str = POLICY, codec: Codec = STREAMING[0], *, as_bytes: bool = False
) -> Simulation:
    pieces = StreamPieces.of_text(codec, text, size)
    assert pieces is not None
    if as_bytes:
        pieces = StreamPieces.of_bytes(b"".join(pieces.pieces), size)
    body = codec.write_body(codec.author.request_with("user", "I am jo@ab.io"))
    return simulate(policy_set(policy), body, RequestFacts(codec.author.ROUTE, applies=True), pieces)


def released(simulation: Simulation, path: str = "") -> str:
    return "".join(text for step in simulation.steps for where, text in step.released if path in where)


@pytest.mark.parametrize("codec", STREAMING, ids=lambda codec: codec.name)
@pytest.mark.parametrize("text", [ANSWER, "fine " + "forbidden words", "a" * 40, "😀 jo@ab.io", "ab@cd.i"])
def test_the_result_is_that_of_the_plain_answer_for_every_cut(codec: Codec, text: str) -> None:
    request = codec.author.request_with("user", "I am jo@ab.io")
    scene = RawExchange(request, (codec.author.answer_with("assistant", text),))
    plain = play_scene(policy_set(POLICY), scene, RequestFacts(codec.author.ROUTE, applies=True), Cuts())
    for size in (1, 2, 5, 1000):
        for as_bytes in (False, True):
            if as_bytes and size == 1 and len(text) > 39:
                continue  # one text at every byte is enough
            result = simulated(text, size, codec=codec, as_bytes=as_bytes).result
            assert list(disagreement(plain, result, f"{size}", alike=False)) == []


@given(st.text("jo@ab.i frbden", max_size=30), st.integers(1, 12))
def test_what_arrives_is_released_or_held(text: str, size: int) -> None:
    simulation = simulated(text, size)
    arrived = "".join(part for step in simulation.steps for _, part in step.arrived)
    assert arrived == text + "".join(part for _, part in simulation.steps[-1].arrived if not text.endswith(part))
    for number, step in enumerate(simulation.steps[:-1]):
        before = "".join(part for each in simulation.steps[: number + 1] for _, part in each.arrived)
        assert all(before.endswith(part.text) and part.reasons for part in step.held)
    assert simulation.steps[-1].held == ()
    assert simulation.most_held == max(sum(len(part.text) for part in step.held) for step in simulation.steps)


def test_a_value_is_held_until_it_is_whole_and_the_step_says_why() -> None:
    simulation = simulated("so jo@ab.io!", 3)
    held = next(step.held[0] for step in simulation.steps if step.held and "ab." in step.held[0].text)
    assert (held.start, held.text) == (3, "jo@ab.")
    assert held.reasons == (
        "what comes next may change what `bad` says of “.”",
        "what comes next may change what `mail` says of “jo@ab.”",
        "a placeholder may go on in “jo@ab.”, whose value would be restored",
    )
    assert released(simulation) == "so [MAIL_1]!"


def test_a_block_ends_the_stream() -> None:
    simulation = simulated("fine, but forbidden. More", 4)
    assert simulation.result.decision == "block"
    assert "forbidden" not in released(simulation)
    endings = [step.ending for step in simulation.steps if step.ending]
    assert endings == ["blocked_response"]


def test_checks_that_wait_for_the_same_text_are_named_together() -> None:
    first = simulated("dear [MAI", 3).steps[1].held[0]
    assert first.reasons[0] == "what comes next may change what `bad`, `mail` say of “dea”"
    assert first.reasons[1] == "a placeholder may go on in “dea”, whose value would be restored"


def test_a_long_text_that_waits_is_scanned_more_rarely() -> None:
    simulation = simulated("a" * 2500, 50)
    reasons = {reason for step in simulation.steps for part in step.held for reason in part.reasons}
    assert "the text that waits is long, so the next scan waits for more of it" in reasons
    assert any("“…aaa" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("settled", "why"),
    [(3, "a finding at its end may still grow"), (4, "its event is sent when all that came before it is settled")],
)
def test_what_else_may_hold_a_text(settled: int, why: str) -> None:
    progress = SimpleNamespace(held=False, checks=(), is_patient=False, settled=settled)
    lane: Any = SimpleNamespace(progress=progress, text=SimpleNamespace(total=4, ended=False))
    nobody: Any = None
    assert list(_Watcher(nobody, Numbers(), nobody, nobody)._reasons(lane, whole=False)) == [why]


SHAPE = """
policy: shape
checks:
  shape: {use: json_schema, schema: {inline: {type: object, required: [id]}}, repair: true}
rules:
  - {id: shape, on: response, when: shape, action: ACTION}
"""


def test_a_rule_that_may_ask_again_holds_the_whole_answer() -> None:
    simulation = simulated('{"id": 1}', 4, SHAPE.replace("ACTION", "retry, attempts: 1"))
    first = simulation.steps[1].held[0]
    assert first.start == 0
    assert first.reasons == ("the rule `shape` may ask for another answer, so no text leaves before it is sure",)
    assert released(simulation) == '{"id": 1}'


def test_a_rule_that_judges_the_whole_answer_holds_it() -> None:
    assert list(_who_holds(())) == ["a rule judges the whole answer, so no text leaves before its end"]


def test_arguments_of_a_tool_are_held_to_their_end() -> None:
    codec = STREAMING[0]
    pieces = StreamPieces.of_text(codec, '{"to": "jo@ab.io"}', 5, "tool_arguments")
    assert pieces is not None
    body = codec.write_body(codec.author.request_with("user", "hi"))
    simulation = simulate(policy_set(POLICY), body, RequestFacts(CHAT, applies=True), pieces)
    reasons = {reason for step in simulation.steps for part in step.held for reason in part.reasons}
    assert "it is JSON or constrained by a schema, so it is read when it is complete" in reasons


def test_a_request_that_is_blocked_has_no_steps() -> None:
    codec = STREAMING[0]
    pieces = StreamPieces.of_text(codec, "hi", 1)
    assert pieces is not None
    body = codec.write_body(codec.author.request_with("user", "forbidden"))
    simulation = simulate(policy_set(POLICY), body, RequestFacts(CHAT, applies=True), pieces)
    assert (simulation.steps, simulation.most_held, simulation.result.decision) == ((), 0, "block")


def test_a_format_without_streams_has_no_pieces() -> None:
    codec = next(codec for codec in codecs() if codec not in STREAMING)
    assert StreamPieces.of_text(codec, "hi", 1) is None


def test_every_scan_is_run_by_the_given_function() -> None:
    jobs: list[Job] = []

    def scan(job: Job) -> Scan:
        jobs.append(job)
        return scan_job(job)

    codec = STREAMING[0]
    pieces = StreamPieces.of_text(codec, "hi", 1)
    assert pieces is not None
    body = codec.write_body(codec.author.request_with("user", "hi"))
    simulate(policy_set(POLICY), body, RequestFacts(CHAT, applies=True), pieces, scan)
    assert {job.window.channel.direction for job in jobs} == {"request", "response"}


def test_a_step_is_a_value() -> None:
    assert StreamStep(1, (), (), ()) == StreamStep(1, (), (), ())
