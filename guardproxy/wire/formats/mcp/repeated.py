"""Headers of MCP that repeat values of the body: `Mcp-Method`, `Mcp-Name`, `Mcp-Param-{Name}` (revision 2026-07-28).

The value of a header is plain text, or base64 between `=?base64?` and `?=`. Which argument `Mcp-Param-{Name}` repeats, the
schema of the tool says, which the proxy need not have seen. So the argument with the same value is looked for; if several have
it, the one whose name is most like that of the header. A header with a value that the body does not have is refused.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.events import Path
from guardproxy.wire.contract.repeated import RepeatedHeaders
from guardproxy.wire.formats.mcp.words import NAMED_BY
from guardproxy.wire.json import members, reach

METHOD, NAME, PARAMETER = "mcp-method", "mcp-name", "mcp-param-"
_NAMES = re.compile(r"mcp-(?:method|name|param-[!#$%&'*+.^_`|~0-9a-z-]{1,128})", re.ASCII)
_ENCODED = re.compile(r"=\?base64\?(.*)\?=", re.ASCII)
_PLAIN = re.compile(r"[\x20-\x7e]*", re.ASCII)


def decoded(value: str) -> str | None:
    """Returns the value that a header holds; `None` if its base64 is not canonical or no text."""
    match = _ENCODED.fullmatch(value)
    if match is None:
        return value
    try:
        data = base64.b64decode(match[1], validate=True)
        return data.decode() if base64.b64encode(data).decode() == match[1] else None
    except ValueError:
        return None


def encoded(value: str) -> str:
    """Writes a value for a header."""
    if _PLAIN.fullmatch(value) and value == value.strip() and not _ENCODED.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def _shown(value: Any) -> str | None:
    """Returns a value as a header shows it; `None` for an object, an array and null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(+value)
    return value if isinstance(value, str) else str(+value) if isinstance(value, float) else None


def _scalars(tree: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Yields the scalars below objects, each with its place. The schema of a tool can mark no other."""
    waiting = [(path, tree)]
    for at, node in waiting:
        if isinstance(node, dict):
            waiting += [((*at, key), child) for key, child in node.items()]
        elif (shown := _shown(node)) is not None:
            yield at, shown


class _Scalars:
    """The places of scalars in the arguments of a call, by their values and by the letters of their names."""

    def __init__(self, tree: Any) -> None:
        self._named: dict[tuple[str, str], list[Path]] = {}
        self._equal: dict[str, list[Path]] = {}
        arguments = members(members(tree).get("params")).get("arguments")
        for path, shown in _scalars(arguments, ("params", "arguments")):
            self._equal.setdefault(shown, []).append(path)
            self._named.setdefault((shown, _letters(str(path[-1]))), []).append(path)

    def places(self, value: str, name: str) -> Sequence[Path]:
        """Returns the places that have a value: those with this name, otherwise all of them, in the same list each time."""
        return self._named.get((value, _letters(name)), ()) or self._equal.get(value, ())


def places(tree: Any, sent: Sequence[tuple[str, str]]) -> dict[str, Sequence[Path]]:
    """Returns the places of the body that headers repeat, by the lower-case name of the header. Raises `DownstreamError` if a
    header is repeated or has another value than the body."""
    found: dict[str, Sequence[Path]] = {}
    scalars: _Scalars | None = None
    for name, value in sent:
        low, plain = name.lower(), decoded(value)
        if low in found or plain is None:
            raise _mismatch(low)
        at: Sequence[Path]
        if low in (METHOD, NAME):
            key = NAMED_BY.get(str(members(tree).get("method")))
            at = [("method",)] if low == METHOD else [("params", key)] if key else []
            if any(_value_at(tree, path) != plain for path in at):
                raise _mismatch(low)
        else:
            scalars = scalars or _Scalars(tree)
            at = scalars.places(plain, low.removeprefix(PARAMETER))
        if not at:
            raise _mismatch(low)
        found[low] = at
    return found


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _value_at(tree: Any, path: Path) -> str | None:
    try:
        return _shown(reach(tree, path))
    except (KeyError, IndexError, TypeError):
        return None


def values(tree: Any, at: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    """Returns the values of headers for a body that may be edited. A header whose places no longer agree, or no longer exist,
    is left out: the server refuses the request, and no value leaves that a policy removed."""
    written: dict[str, str] = {}
    known: dict[int, set[str | None]] = {}  # many headers may have the same places
    for name, paths in at.items():
        if (now := known.get(id(paths))) is None:
            now = known[id(paths)] = {_value_at(tree, path) for path in paths}
        value = next(iter(now)) if len(now) == 1 else None
        if value is not None:
            written[name] = encoded(value)
    return written


def _mismatch(name: str) -> DownstreamError:
    message = f"the header `{name}` does not match the body"
    return DownstreamError(ErrorCode.HEADER_MISMATCH, message, name)


REPEATED = RepeatedHeaders(_NAMES, places, values)
