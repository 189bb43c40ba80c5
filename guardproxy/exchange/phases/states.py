"""The states of an exchange, and which state may follow which: the drawing of the exchange.

A method that takes an input returns a `Transition`: the next state and the commands to perform. Its type names every state that
it can return, so the type checker proves that it leads to no other. `docs/architecture.md` shows the drawing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, TypeVar

from guardproxy.exchange.inputs.transcript import Command


class State(StrEnum):
    """The state of an exchange. `meaning`: what is known in it."""

    meaning: str

    EXPECTING = "expecting", "no request has come yet"
    RECALLING = "recalling", "the memory of earlier exchanges was asked, because a policy needs it"
    SCANNING = "scanning", "the texts of the request are scanned"
    PROVING = "proving", "the schemas that the request asks for are compiled"
    CHECKING = (
        "checking",
        "the request was sent upstream, and checks read it meanwhile; no answer begins before their scans are known",
    )
    WAITING = "waiting", "the request was sent upstream, and no answer has begun"
    HOLDING = "holding", "the answer arrives and is held, because a rule may ask for another attempt"
    ANSWERING = "answering", "the answer arrives and is sent as soon as its texts are settled"
    OVER = "over", "`Finish` was given"

    def __new__(cls, name: str, meaning: str) -> State:
        state = str.__new__(cls, name)
        state._value_ = name
        state.meaning = meaning
        return state


TRANSITIONS: Mapping[State, Mapping[State, str]] = {
    State.EXPECTING: {
        State.RECALLING: "a request whose policies need what earlier exchanges left",
        State.SCANNING: "a request with texts that a check reads",
        State.PROVING: "a request without such texts that asks for a schema",
        State.CHECKING: "a request that only checks of rules with `parallel` read",
        State.WAITING: "a request that no check reads",
        State.OVER: "a request that cannot be read",
    },
    State.RECALLING: {
        State.SCANNING: "texts that a check reads",
        State.PROVING: "no such texts, and the request asks for a schema",
        State.CHECKING: "only checks of rules with `parallel` read the request",
        State.WAITING: "no check reads the request",
        State.OVER: "the memory cannot be reached, or a rule blocks the request",
    },
    State.SCANNING: {
        State.RECALLING: "a person has approved a call of the request, and the approval is claimed",
        State.PROVING: "the texts are settled, and the request asks for a schema",
        State.CHECKING: "the texts are settled, and rules with `parallel` read them",
        State.WAITING: "the texts are settled",
        State.OVER: "a rule blocks the request",
    },
    State.PROVING: {
        State.CHECKING: "the schema can be used, and rules with `parallel` read the request",
        State.WAITING: "the schema can be used",
        State.OVER: "the schema cannot be used",
    },
    State.CHECKING: {
        State.WAITING: "no rule blocks the request",
        State.OVER: "a rule blocks the request",
    },
    State.WAITING: {
        State.HOLDING: "an answer begins that a rule may refuse as a whole",
        State.ANSWERING: "an answer begins",
        State.OVER: "the upstream fails, and no other is asked",
    },
    State.HOLDING: {
        State.WAITING: "a rule refuses the answer, or its upstream fails, and the next attempt was sent",
        State.ANSWERING: "text of a stream may leave, so no other answer is asked for",
        State.OVER: "the answer is complete, or a rule blocks it",
    },
    State.ANSWERING: {
        State.WAITING: "the answer failed before its first byte, and the next upstream was asked",
        State.OVER: "the answer is complete, or a rule stops it",
    },
    State.OVER: {},
}
"""Which state may follow which, each with an example of its cause. An input may also leave the state unchanged."""

StateT = TypeVar("StateT", bound=State)
Transition = tuple[StateT, list[Command]]
"""What follows from an input: the next state, and the commands to perform, in order."""

Over = Literal[State.OVER]
Waiting = Literal[State.WAITING]
Recalling = Literal[State.RECALLING]
Reading = Literal[State.SCANNING, State.PROVING]
"""The states before the request is sent."""
Sent = Literal[State.CHECKING, State.WAITING]
"""The states after the request was sent."""
Answering = Literal[State.HOLDING, State.ANSWERING]
"""The states while an answer arrives."""
