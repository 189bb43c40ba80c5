"""Where a format holds calls of tools: their names, their servers, their arguments.

In: a text of the kind `tool_arguments`, or the tree of a frame. Out: the call that a text belongs to, and the calls whose names
are no texts. A call is an object; its name, its server and its arguments are members of it. Arguments are JSON text, an object,
or plain text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from guardproxy.events import CallMember, Member, Path, RunCall
from guardproxy.findings import Direction


class Written(Protocol):
    """Returns the key of the arguments of a call, and the arguments as JSON text, if they are a value and no text. `streamed`:
    whether the call is in an event of a stream."""

    def __call__(self, call: Mapping[str, Any], *, streamed: bool) -> tuple[str, str] | None: ...


def as_json(value: Any) -> str:
    """Returns a value as JSON text."""
    return json.dumps(value, ensure_ascii=False)


def arguments_in(*names: str, write: Callable[[Any], str] = as_json, comes_later: bool = False) -> Written:
    """Returns a function for `CallMap.written`: the first of these members that a call has holds the arguments. `comes_later`:
    whether an empty object in an event of a stream stands for arguments that come in later events."""

    def written(call: Mapping[str, Any], *, streamed: bool) -> tuple[str, str] | None:
        word = next((name for name in names if call.get(name) is not None), "")
        given = call[word] if word else ""
        if isinstance(given, str) or (comes_later and streamed and not given):
            return None
        return word, write(given)

    return written


def always(tree: Any, call: str) -> bool:
    """Returns true: each object at a place of `CallMap.place` is a call."""
    return True


def no_runs(tree: Any) -> Iterator[RunCall]:
    """Returns nothing: every call of the format has the name of its tool as a text."""
    return iter(())


def nothing_beside(tree: Any) -> Mapping[str, Any]:
    """Returns nothing: a call is its name and its arguments."""
    return {}


class NamedCalls(Protocol):
    """Yields the calls of a tree that must say the names of their tools, each with its path: not those that go on in a stream.
    `streamed`: whether the tree is an event of a stream."""

    def __call__(self, tree: Mapping[str, Any], *, streamed: bool) -> Iterator[tuple[Path, Mapping[str, Any]]]: ...


def calls_in(
    place: tuple[str | None, ...],
    types: tuple[str, ...] | None = None,
    *,
    inputs: tuple[str, ...] = (),
    is_single: bool = False,
    goes_on: bool = False,
) -> NamedCalls:
    """Returns a function for `CallMap.named`: the objects at a place of a tree, where `None` stands for each item of a list, or
    for the value itself if it is no list. `types`: of the calls among them; `None`: all are. `inputs`: the keys that make an
    object of another type a call, beside a name. `is_single`: whether a value may stand in place of a list. `goes_on`: whether
    the calls there may go on without their names.

    A call that the format does not hold in this way is yielded as an object without a name: no text of it belongs to a call,
    but some clients read it. That is an object in place of a list, a key in another case, and another type."""

    def found(tree: Any, *, streamed: bool) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        holders: list[tuple[Path, Any, bool]] = [((), tree, False)]  # the last: whether the format has no such place
        for step in place:
            if step is None:
                holders = [
                    (inner, item, is_odd or (not is_single and not isinstance(value, list)))
                    for path, value, is_odd in holders
                    for inner, item in _items(path, value)
                ]
            else:
                holders = [
                    ((*path, key), value[key], is_odd or key != step)
                    for path, value, is_odd in holders
                    if isinstance(value, dict)
                    for key in _spelled(value, step)
                ]
        for path, value, is_odd in holders:
            if not isinstance(value, dict):
                continue
            is_other = types is not None and value.get("type") not in types
            if is_other and not (_spelled(value, _NAME) and any(_spelled(value, key) for key in inputs)):
                continue
            if is_odd or is_other:
                yield path, {}
                continue
            yield from (((*path, key), {}) for key in _spelled(value, _NAME) if key != _NAME)
            if not goes_on:
                yield path, value

    return found


_NAME = "name"


def _spelled(value: Mapping[str, Any], step: str) -> list[str]:
    """Returns the keys of an object that are a word in any case."""
    return [key for key in value if key == step or (len(key) == len(step) and key.casefold() == step.casefold())]


def _items(path: Path, value: Any) -> list[tuple[Path, Any]]:
    return [((*path, at), item) for at, item in enumerate(value)] if isinstance(value, list) else [(path, value)]


def calls_of_all(*parts: NamedCalls) -> NamedCalls:
    """Returns a function for `CallMap.named`: what all of these find."""

    def found(tree: Mapping[str, Any], *, streamed: bool) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        for part in parts:
            yield from part(tree, streamed=streamed)

    return found


def no_named(tree: Mapping[str, Any], *, streamed: bool) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Returns nothing: a call without a name cannot be told from another object."""
    return iter(())


@dataclass(frozen=True, slots=True)
class CallMap:
    """How a format holds calls.

    `place`: matches the beginning of the path of each text in a call; its groups are `call`, the path of the call, and
    `member`, a key in it. `is_call`: whether the object at a path of a tree is a call; other texts there belong to none.
    `written`: returns the arguments of a call, if they are a value and no text. `servers`: the keys of the server's name;
    `pieces`: those of pieces of arguments, which `Frame.calls` has as a whole. `runs`: yields the calls of a tree whose
    names are no texts. `named`: yields the calls that must have a name. `made`: the direction in which calls are made;
    those of the other direction are history. `by_route`: whether the last segment of the route's path names the server.
    `beside`: returns what a request that makes a call says to the server beside the name and the arguments.
    """

    place: re.Pattern[str]
    written: Written
    servers: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    runs: Callable[[Any], Iterator[RunCall]] = no_runs
    named: NamedCalls = no_named
    is_call: Callable[[Any, str], bool] = always
    made: Direction = "response"
    by_route: bool = False
    beside: Callable[[Any], Mapping[str, Any]] = nothing_beside

    def unnamed(self, tree: Any, *, streamed: bool) -> list[Path]:
        """Returns the paths of the calls of a tree that lack the names of their tools."""
        if not isinstance(tree, dict):
            return []
        return [path for path, call in self.named(tree, streamed=streamed) if not _has_name(call)]

    def member_of(self, path: str) -> CallMember | None:
        """Returns the member of a call that the text at a path belongs to; `None` if it belongs to no call."""
        match = self.place.match(path)
        if match is None:
            return None
        word = match["member"]
        member: Member = "name" if word == "name" else "server" if word in self.servers else "arguments"
        return CallMember(match["call"], member, word in self.pieces, match.end() < len(path))


def _has_name(call: Mapping[str, Any]) -> bool:
    name = call.get(_NAME)
    return isinstance(name, str) and name != ""


NO_CALLS = CallMap(re.compile(r"(?P<call>)(?P<member>)(?!)"), arguments_in())
"""Of a format whose requests and answers hold no calls."""
