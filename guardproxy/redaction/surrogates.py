"""Stand-ins: replacements of redacted values for places whose schema does not allow a placeholder.

In: the constraints on a string, and its placeholder. Out: a text that satisfies them, or `None`. It contains the
placeholder's letters if they fit, and is then as stable and as safely restored as the placeholder. It does not depend
on the value, so a replay, which has no values, produces the same text.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from re import _constants as kinds  # type: ignore[attr-defined]  # no public module reads a pattern
from re import _parser as patterns  # type: ignore[attr-defined]
from typing import Any

from guardproxy.redaction.placeholders import LETTERS
from guardproxy.redaction.shapes import Constraint

SAMPLE_LIMIT = 256
_NIBBLES = str.maketrans({letter: f"{number:x}" for number, letter in enumerate(LETTERS)})


@dataclass(frozen=True, slots=True)
class StandIn:
    """`own`: the text contains the letters of its placeholder, so that no other text equals it by chance and its value
    can be restored."""

    text: str
    own: bool


def _hexadecimal(code: str) -> str:
    return code.translate(_NIBBLES)


def _ipv6(code: str) -> str:
    digits = _hexadecimal(code)
    return f"2001:db8::{digits[:4]}:{digits[4:8]}:{digits[8:]}"


# Domains and addresses are those reserved for documentation (RFC 2606, 3849, 5737). `.invalid` would be clearer, but
# address validators refuse it.
_OWN: Mapping[str, Callable[[str], str]] = {
    "email": lambda code: f"{code}@redacted.example",
    "uri": lambda code: f"https://redacted.example/{code}",
    "hostname": lambda code: f"{code}.redacted.example",
    "uuid": lambda code: f"00000000-0000-4000-8000-{_hexadecimal(code)}",
    "ipv6": _ipv6,
    "base64": lambda code: code,
    "json-pointer": lambda code: f"/{code}",
    "regex": lambda code: code,
}
_FIXED: Mapping[str, str] = {
    "ipv4": "192.0.2.1",
    "ipv4network": "192.0.2.0/24",
    "ipv6network": "2001:db8::/32",
    "date": "1900-01-01",
    "time": "00:00:00Z",
    "date-time": "1900-01-01T00:00:00Z",
    "duration": "PT0S",
}


def stand_in(constraints: Sequence[Constraint], placeholder: str) -> StandIn | None:
    """Returns a text for a place with these constraints: it satisfies all of them, or as many as possible."""
    best: StandIn | None = None
    most = 0
    for candidate, fmt in _candidates(constraints, placeholder):
        fits = sum(_fits(constraint, candidate.text, fmt) for constraint in constraints)
        if fits > most:
            best, most = candidate, fits
    return best


def _candidates(constraints: Sequence[Constraint], placeholder: str) -> Iterator[tuple[StandIn, str]]:
    code = placeholder[-len("kqvmzrtbnxwp]") : -1]
    yield StandIn(placeholder, own=True), ""
    yield StandIn(code, own=True), ""
    yield StandIn(code.upper(), own=True), ""
    for constraint in constraints:
        for fmt in constraint.formats:
            yield (StandIn(_OWN[fmt](code), own=True) if fmt in _OWN else StandIn(_FIXED[fmt], own=False)), fmt
        for pattern in constraint.patterns:
            yield from ((StandIn(of(code), own=True), fmt) for fmt, of in _OWN.items())
            yield StandIn(sample(pattern), own=False), ""
        longest = SAMPLE_LIMIT if constraint.longest is None else constraint.longest
        yield StandIn((code * (1 + constraint.shortest // len(code)))[: min(longest, SAMPLE_LIMIT)], own=False), ""


def _fits(constraint: Constraint, text: str, fmt: str) -> bool:
    return (
        not constraint.fixed
        and all(name == fmt for name in constraint.formats)
        and constraint.has_length(text)
        and all(_matches(pattern, text) for pattern in constraint.patterns)
    )


def _matches(pattern: str, text: str) -> bool:
    """Whether the pattern matches, by RE2: the client wrote the pattern, so its cost must be bounded. Without support
    in RE2 it never matches."""
    import re2  # noqa: PLC0415 - only where a rule meets a pattern

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options).search(text) is not None
    except re2.error:
        return False


def sample(pattern: str) -> str:
    """Returns a short text that most likely matches, or an empty text."""
    try:
        with warnings.catch_warnings(action="ignore"):  # syntax that a later Python may read differently
            return "".join(_samples(patterns.parse(pattern)))[: SAMPLE_LIMIT + 1]
    except (re.error, OverflowError, RecursionError, ValueError):
        return ""


def _samples(tree: Any) -> Iterator[str]:
    for kind, about in tree:
        match kind:
            case kinds.LITERAL:
                yield chr(about)
            case kinds.NOT_LITERAL | kinds.ANY:
                yield "x" if about != ord("x") else "y"
            case kinds.IN:
                yield _of_set(about)
            case kinds.MAX_REPEAT | kinds.MIN_REPEAT | kinds.POSSESSIVE_REPEAT:
                if about[0] > SAMPLE_LIMIT:
                    raise ValueError("too long")
                yield "".join(_samples(about[2])) * about[0]
            case kinds.SUBPATTERN:
                yield from _samples(about[3])
            case kinds.BRANCH:
                yield from _samples(about[1][0])
            case kinds.AT:
                pass
            case _:
                raise ValueError("a pattern that looks around")


def _of_set(items: Any) -> str:
    """Returns a character of a set: from its first item, or for a negated set a common character that is not in it."""
    kind, about = items[0]
    if kind != kinds.NEGATE:
        return next(char for char in _common(kind, about) if _holds(kind, about, char))
    return next((char for char in "x0 -A" if not any(_holds(kind, about, char) for kind, about in items[1:])), "")


def _common(kind: Any, about: Any) -> str:
    return chr(about) if kind == kinds.LITERAL else chr(about[0]) if kind == kinds.RANGE else "0x -"


def _holds(kind: Any, about: Any, char: str) -> bool:
    """Whether an item of a set contains `char`."""
    match kind:
        case kinds.LITERAL:
            return chr(about) == char
        case kinds.RANGE:
            return bool(about[0] <= ord(char) <= about[1])
    return re.fullmatch(_CLASSES[str(about)], char) is not None


_CLASSES = {
    f"CATEGORY_{negated}{name}": f"\\{letter.upper() if negated else letter}"
    for name, letter in (("DIGIT", "d"), ("SPACE", "s"), ("WORD", "w"))
    for negated in ("", "NOT_")
}
