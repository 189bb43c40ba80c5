"""Wire formats that a policy file declares: routes, JSON pointers to texts, framing and the end of a stream, without code."""

from __future__ import annotations

from guardproxy.wire.declared.codec import DeclaredCodec
from guardproxy.wire.declared.declaration import (
    BY_ROLE,
    FRAMINGS,
    REQUEST_KINDS,
    RESPONSE_KINDS,
    AnswerPlaces,
    DeclaredFormat,
    RequestPlaces,
    StreamPlaces,
)
from guardproxy.wire.declared.pointers import Pointer, PointerError, pointer

__all__ = [
    "BY_ROLE",
    "FRAMINGS",
    "REQUEST_KINDS",
    "RESPONSE_KINDS",
    "AnswerPlaces",
    "DeclaredCodec",
    "DeclaredFormat",
    "Pointer",
    "PointerError",
    "RequestPlaces",
    "StreamPlaces",
    "pointer",
]
