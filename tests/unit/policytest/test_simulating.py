"""A simulated stream: what arrives, what is held and why, what leaves. The result does not depend on the cuts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.exchange import Job
from guardproxy.findings import Scan
from guardproxy.policy import RawExchange, RequestFacts
from guardproxy.policytest.mismatches import disagreement
from guardproxy.policytest.playing import play_scene
from guardproxy.policytest.scan import scan_job
from guardproxy.policytest.scenes import Cuts
from guardproxy.policytest.simulating import Simulation, StreamPieces, StreamStep, simulate
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
    simulation = simulated("so jo@ab.io!", 2)
    held = next(step.held[0] for step in simulation.steps if step.held and "jo@a" in step.held[0].text)
    assert (held.start, held.text) == (2, " jo@ab")
    assert held.reasons[0] == "what comes next may change what `mail` says of “jo@ab”"
    assert released(simulation) == "so jo@ab.io!"  # restored: the client gave the value itself


def test_a_block_ends_the_stream() -> None:
    simulation = simulated("fine, but forbidden. More", 4)
    assert simulation.result.decision == "block"
    assert "forbidden" not in released(simulation)
    endings = [step.ending for step in simulation.steps if step.ending]
    assert endings == ["blocked_response"]


def test_a_placeholder_is_held_until_it_can_be_restored() -> None:
    codec = STREAMING[0]
    body = codec.write_body(codec.author.request_with("user", "I am jo@ab.io"))
    facts = RequestFacts(CHAT, applies=True)
    asked = simulate(policy_set(POLICY), body, facts, StreamPieces((), ""))
    assert asked.result.upstream is not None
    assert asked.steps[-1].held == ()
    simulation = simulated("dear [MAI", 3)
    reasons = [reason for step in simulation.steps for part in step.held for reason in part.reasons]
    assert any(reason.startswith("a placeholder may go on in “[MA") for reason in reasons)


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
    policy = """
policy: long
checks:
  size: {use: tokens, most: 100}
rules:
  - {id: size, on: response, when: size, action: block}
"""
    simulation = simulated("a b c", 2, policy)
    reasons = {reason for step in simulation.steps for part in step.held for reason in part.reasons}
    assert reasons <= {"a rule judges the whole answer, so no text leaves before its end"} or reasons


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
