"""Where the arguments of a call came from: answers `came_from` in a condition on the call, and notes what it found.

In: the conversation, and the parsed arguments of a call. Out: whether a value came from texts of a kind, and its tainted spans
by the member of the arguments in which they lie. Kept: what was found, for the details of a finding.

A value is looked at as a whole: its members are read one after another without their names, so a value that is split over
several members of it is found. `came_from(call.arguments, ...)` looks at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from guardproxy.checks._shared.taint.conversation import Conversation, Taint, TaintTarget
from guardproxy.checks._shared.taint.fingerprint import is_name
from guardproxy.findings import Kind

Place = tuple[str | int, ...]

KEY = "#key"
"""The last step of the place of a key."""


class ArgumentPart(NamedTuple):
    """A string, number or key of the arguments."""

    place: Place
    text: str
    is_number: bool = False


class TaintedMember(NamedTuple):
    """A tainted span of a member, or all of a number. `taint`: of the whole value that was asked for."""

    place: Place
    low: int
    high: int | None
    taint: Taint


class CallOrigins:
    """The origins of the arguments of a call of `tool`. `found`: what came from somewhere, each only once."""

    def __init__(self, conversation: Conversation, arguments: Any, tool: str = "") -> None:
        self._conversation = conversation
        self._tool = tool
        self._members = tuple(members_of(arguments))
        self._known: dict[tuple[Kind, tuple[Place, ...]], bool] = {}
        self.found: dict[tuple[Place, int, int | None], TaintedMember] = {}

    def came_from(self, value: Any, kind: Kind) -> bool:
        """Whether a part of a value of the arguments came from a text of this kind."""
        texts = {member.text for member in members_of(value)}
        its = [member for member in self._members if member.text in texts]
        key = kind, tuple(member.place for member in its)
        if key not in self._known:
            spans, text = _joined(its)
            taints = self._conversation.taints(TaintTarget(text, spans, self._tool), (kind,))
            for taint in taints:
                self._note(taint, its, spans)
            self._known[key] = bool(taints)
        return self._known[key]

    def _note(self, taint: Taint, members: list[ArgumentPart], spans: list[tuple[int, int]]) -> None:
        for member, (start, end) in zip(members, spans, strict=True):
            low, high = max(taint.start, start) - start, min(taint.end, end) - start
            if low < high:
                its = TaintedMember(
                    member.place, 0 if member.is_number else low, None if member.is_number else high, taint
                )
                self.found.setdefault(its[:3], its)


def members_of(value: Any, place: Place = ()) -> Iterator[ArgumentPart]:
    """Yields the strings and numbers of a value, and its keys that say more than the name of a field, in order."""
    waiting: list[tuple[Place, Any]] = [(place, value)]
    while waiting:
        at, node = waiting.pop()
        if isinstance(node, dict):
            for key, child in reversed(node.items()):
                waiting.append(((*at, key), child))
                if not is_name(key):
                    waiting.append(((*at, key, KEY), key))
        elif isinstance(node, list):
            waiting += reversed([((*at, number), child) for number, child in enumerate(node)])
        elif isinstance(node, str):
            yield ArgumentPart(at, node)
        elif isinstance(node, int | float) and not isinstance(node, bool):
            yield ArgumentPart(at, _digits(node), is_number=True)


def shown_place(place: Place) -> str:
    """Returns a place as a path, such as `to[0].name`. A key that may be a text, and no name of a field, is shown as `*`."""
    steps = ["*" if isinstance(step, str) and not is_name(step) else step for step in place if step != KEY]
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def _digits(number: int | float) -> str:
    """Returns a number without an exponent, so that its digits are those that people write."""
    try:
        return str(number) if isinstance(number, int) or number != int(number) else str(int(number))
    except (ValueError, OverflowError):  # too many digits for the interpreter, or infinite
        return ""


def _joined(members: list[ArgumentPart]) -> tuple[list[tuple[int, int]], str]:
    """Returns the texts of members, one after another, and where each is."""
    spans: list[tuple[int, int]] = []
    at = 0
    for member in members:
        spans.append((at, at + len(member.text)))
        at += len(member.text) + 1
    return spans, "\n".join(member.text for member in members)
