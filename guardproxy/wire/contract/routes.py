"""Routes as patterns: a method and a path, such as `POST /v1beta/models/{model}:generateContent`.

`{name}` stands for one parameter: 1 to 128 letters, digits, `.`, `_` and `-`, the first of them a letter or a digit. Every
other character stands for itself. A pattern matches the whole path as the client sent it: nothing is decoded, no slash is
added or dropped, letters keep their case. No check reads a parameter. So a parameter with more than six digits, not counting
a date at its end, does not match: it could be a personal number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from guardproxy.wire.json.identifiers import undated

_PARAMETER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_VALUE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_PATTERN = re.compile(r"[A-Z]+ (?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|\{[a-z][a-z0-9_]*\})*)+")
_MOST_DIGITS = 6
_ONE, _MORE = "one", "more"  # characters of a parameter: exactly one, any number


@dataclass(frozen=True, slots=True)
class Route:
    """One pattern. Raises `ValueError` if the text is not a pattern."""

    text: str
    parameters: tuple[str, ...] = field(init=False)
    _regex: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not _PATTERN.fullmatch(self.text):
            raise ValueError(f"`{self.text}` is not a route: it must be a method and a path, like `POST /v1/messages`")
        names = tuple(_PARAMETER.findall(self.text))
        if len(set(names)) < len(names):
            raise ValueError(f"the route `{self.text}` has two parameters of one name")
        parts = _PARAMETER.split(self.text)  # text, name, text, name, ..., text
        regex = "".join(f"(?P<{part}>{_VALUE})" if at % 2 else re.escape(part) for at, part in enumerate(parts))
        object.__setattr__(self, "parameters", names)
        object.__setattr__(self, "_regex", re.compile(regex, re.ASCII))

    @property
    def path(self) -> str:
        """The pattern of the path alone."""
        return self.text.partition(" ")[2]

    def match(self, route: str) -> Mapping[str, str] | None:
        """Returns the parameters of a method and a path; `None` if the pattern does not match."""
        match = self._regex.fullmatch(route)
        if match is None or not all(map(_is_name, match.groups())):
            return None
        return match.groupdict()

    def overlaps(self, other: Route) -> bool:
        """Whether a method and path exist that match both patterns."""
        left, right = _steps(self.text), _steps(other.text)
        # The pairs of places, in both patterns, that one path can lead to.
        waiting, seen = [(0, 0)], {(0, 0)}
        while waiting:
            at, to = waiting.pop()
            if at == len(left) and to == len(right):
                return True
            for state in _next(left, right, at, to):
                if state not in seen:
                    seen.add(state)
                    waiting.append(state)
        return False


def _is_name(value: str) -> bool:
    return sum(map(str.isdigit, undated(value))) <= _MOST_DIGITS


def _steps(text: str) -> list[str]:
    """Returns the pattern as characters and, for each parameter, `_ONE` and `_MORE`."""
    parts = _PARAMETER.split(text)
    return [step for at, part in enumerate(parts) for step in ((_ONE, _MORE) if at % 2 else part)]


def _next(left: list[str], right: list[str], at: int, to: int) -> list[tuple[int, int]]:
    """Yields the next states: one pattern ends a parameter, or both take the same character."""
    here, there = left[at : at + 1], right[to : to + 1]
    states = [(at + 1, to)] if here == [_MORE] else []
    states += [(at, to + 1)] if there == [_MORE] else []
    if here and there and _share(here[0], there[0]):
        states.append((at + (here[0] != _MORE), to + (there[0] != _MORE)))
    return states


def _share(here: str, there: str) -> bool:
    """Whether two steps can take the same character."""
    if here in (_ONE, _MORE):
        return there in (_ONE, _MORE) or there in _CHARS
    return here in _CHARS if there in (_ONE, _MORE) else here == there
