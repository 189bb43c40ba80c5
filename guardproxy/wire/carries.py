"""Which kinds of texts each wire format can carry: what a table of coverage is about.

A format of another package is taken to carry all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from guardproxy.findings import KINDS, Direction, Kind
from guardproxy.wire.codec import Codec

_BOTH: tuple[Kind, ...] = ("assistant", "tool_arguments", "reasoning", "refusal", "unmapped")
_ASKED: tuple[Kind, ...] = ("system", "user", "tool_result", "tool_definition", "metadata")

CARRIES: Mapping[str, Mapping[Direction, frozenset[Kind]]] = {
    "openai_chat": {"request": frozenset((*_ASKED, *_BOTH)), "response": frozenset((*_BOTH, "error"))},
    "anthropic_messages": {
        "request": frozenset((*_ASKED, *_BOTH)) - {"refusal"},
        "response": frozenset((*_BOTH, "error", "tool_result", "metadata")),
    },
}
_ALL: Mapping[Direction, frozenset[Kind]] = {"request": frozenset(KINDS) - {"error"}, "response": frozenset(KINDS)}


def carried(codec: Codec) -> Mapping[Direction, tuple[Kind, ...]]:
    """The kinds of texts of a format, by direction, in the order in which all kinds are listed."""
    of = CARRIES.get(codec.name, _ALL)
    return {direction: tuple(kind for kind in KINDS if kind in kinds) for direction, kinds in of.items()}
