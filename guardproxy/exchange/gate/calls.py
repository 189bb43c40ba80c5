"""Notes which call of a tool each text of a call belongs to, for checks that ask for the call or for the schema of its tool.

In: the events of one direction, in order. Out: the same events, whose texts of calls have their call (`Text.call`). Arguments
that a frame holds as a value are added as one JSON text (`Text.judged`) after the texts of the frame. So is the name of a tool
that the provider runs, if no text has it. Kept: the calls so far.

Rules that must hold
- All is a function of the frames in order, never of the chunks in which they came.
- The name of a tool ends when the arguments of its call begin, or when the frame, the choice or the answer is over. So it is
  known whether a call has arguments before a check reads its name, and no name changes after that: a text that continues it is
  a name of its own, and the tool of the call is unclear.
- The cost is linear in the number of texts.

Decision: docs/decisions/0069-a-call-is-judged-as-a-whole.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec
from msgspec import structs

from guardproxy.events import CallMember, End, Event, Frame, Opaque, Path, RunCall, Text
from guardproxy.exchange.gate.lanes import Lane
from guardproxy.findings import CallRole, Channel, Direction, Kind, Spot, ToolCall
from guardproxy.wire.contract import CallMap
from guardproxy.wire.json import dotted, places, reach

_KIND: Kind = "tool_arguments"
_NO_NAME = "?"  # stands for the name of a tool that has none


class NotedCall(msgspec.Struct, eq=False):
    """A call so far. `first`: the first piece of its name; `has_begun`: whether it has arguments; `is_over`: whether they have
    ended; `is_named`: whether its name has."""

    name: str = ""
    first: str = ""
    id: str = ""
    server: str = ""
    is_clear: bool = True
    has_begun: bool = False
    is_over: bool = False
    is_named: bool = False
    waiting: list[Channel] = msgspec.field(default_factory=list)  # its names whose end waits


class CallText(msgspec.Struct, eq=False):
    """What a text is in its call. `value`: the arguments that the frame holds as a value. `has_arguments` and `is_clear`: of
    the call, when this text, a name, had ended."""

    call: NotedCall
    role: CallRole
    value: _Value | None = None
    place: Path = ()
    has_arguments: bool = False
    is_clear: bool = True


class _Value(msgspec.Struct, eq=False):
    """Arguments that a frame holds as a value. `path`: their place in the tree; `at`: the path of their channel. `apart`: the
    places of their strings and numbers that are texts of their own; `made`: what checks made of them."""

    text: str
    path: Path
    at: str
    apart: set[Path] = msgspec.field(default_factory=set)
    made: dict[str, Any] = msgspec.field(default_factory=dict)


def _no_names() -> Iterable[str]:
    return ()


class Calls(msgspec.Struct):
    """The calls of one direction of an exchange. `offered`: returns the names of the tools that the request offers."""

    calls: CallMap
    direction: Direction
    offered: Callable[[], Iterable[str]] = _no_names
    _noted: dict[str, NotedCall] = msgspec.field(default_factory=dict)  # by the paths of the calls
    _waiting: dict[Channel, CallText] = msgspec.field(default_factory=dict)  # names whose end waits
    _offered: frozenset[str] | None = None
    _runs: set[str] = msgspec.field(default_factory=set)  # calls whose tools the provider runs, names that are missing

    def read(self, events: Iterable[Event], *, is_over: bool = False) -> list[Event]:
        """Returns the events with their calls. `is_over`: whether no event follows."""
        out: list[Event] = []
        group: list[Event] = []
        frame: Frame | None = None
        for event in events:
            if isinstance(event, (Text, Opaque)) and event.frame is not frame:
                out += self._group(group, frame)
                group, frame = [], event.frame
            group.append(event)
        out += self._group(group, frame)
        return [*out, *self._name_ends()] if is_over else out

    # The events of a frame.

    def _group(self, group: Sequence[Event], frame: Frame | None) -> Iterator[Event]:
        if frame is None:
            return iter(group)
        texts = [(event, member) for event in group if (member := self._member(event)) is not None]
        others = {id(event) for event, member in texts if not self.calls.is_call(frame.tree, member.call)}
        if others:
            group = [self._other(event) if id(event) in others else event for event in group]
            texts = [(event, member) for event, member in texts if id(event) not in others]
        runs = list(self.calls.runs(frame.tree)) if isinstance(frame.tree, dict) else []
        ends = [event for event in group if type(event) is End and event.channel.kind == _KIND]
        unnamed = self._unnamed(frame)
        if not texts and not runs and not ends and not frame.calls:
            return chain(group, unnamed)
        return chain(self._with_calls(group, texts, runs, frame), unnamed)

    def _unnamed(self, frame: Frame) -> Iterator[Event]:
        """Yields a mark in place of the name of each call that lacks one: a call without arguments has no text to judge."""
        if self.direction != self.calls.made:
            return
        for path in self.calls.unnamed(frame.tree, streamed=frame.streamed):
            channel = Channel(self.direction, _KIND, f"{dotted(path)}.name")
            if channel.path in self._runs:  # a stream repeats its calls
                continue
            self._runs.add(channel.path)
            yield Text(channel, _NO_NAME, frame, path, judged=True, call=CallText(NotedCall(), "name", is_clear=False))
            yield End(channel)

    def _other(self, event: Event) -> Event:
        """Returns a text that looks like that of a call, at a place where no tool is called."""
        assert isinstance(event, Text)  # noqa: S101 - it is a member
        return structs.replace(event, call=CallText(NotedCall(), "other"))

    def _member(self, event: Event) -> CallMember | None:
        """Returns the member of a call that a text is; `None` for all other events."""
        if type(event) is not Text or event.channel.kind != _KIND or event.again or event.call is not None:
            return None
        return self.calls.member_of(event.channel.path)

    def _with_calls(
        self, group: Sequence[Event], texts: Sequence[tuple[Event, CallMember]], runs: Sequence[RunCall], frame: Frame
    ) -> Iterator[Event]:
        fresh: set[Channel] = set()  # the names that this frame holds
        values: dict[str, _Value] = {}
        for event, member in texts:
            assert isinstance(event, Text)  # noqa: S101 - `_member` has looked
            if member.member == "name":
                fresh.add(event.channel)
                self._take_name(event.text, member.call, _id(frame.tree, event.path))
                self._take_value(values, frame, member.call, event.path[:-1])
            elif member.member == "server":
                self._call(member.call).server += event.text
        yield from self._take_runs(runs, texts, values, frame)
        if frame.calls is not None:  # what the frame completes counts, not what it holds
            values = {
                done.call: _Value(text, values[done.call].path if done.call in values else (), path)
                for path, text in frame.calls
                if (done := self.calls.member_of(path)) is not None
            }
        for event in group:
            if (its := self._member(event)) is not None:
                assert isinstance(event, Text)  # noqa: S101
                yield from self._text(event, its, values.get(its.call), frame)
            elif type(event) is End and event.channel in self._waiting:
                # Most formats hold a name whole, so its end comes with it. The arguments may come in later events.
                if frame.streamed and event.channel not in fresh:
                    yield from self._name_ends([event.channel])
            else:
                if type(event) is End and event.channel.kind == _KIND:
                    self._note_end(event.channel)
                yield event
        for key, value in values.items():
            yield from self._value(key, value, frame)
        if not frame.streamed:
            yield from self._name_ends()

    def _call(self, key: str) -> NotedCall:
        return self._noted.setdefault(key, NotedCall())

    def _take_name(self, text: str, key: str, its_id: str) -> None:
        call = self._call(key)
        if call.is_over:  # another call at the same path
            call = self._noted[key] = NotedCall()
        # A stream whose upstream counts its calls wrongly has two at one path: some clients see two calls, others see one.
        if call.is_named or (text and its_id and call.id not in ("", its_id)):
            call.is_clear = False
        # A stream that says a whole name again, or a name in pieces that are tools too: some clients append the pieces,
        # others keep the first or the last.
        is_again = text == call.first or text.startswith(call.name)
        if call.name and text and (is_again or self._is_offered(call.first, text)):
            call.is_clear = False
        call.first = call.first or text
        call.name += text
        call.id = call.id or its_id

    def _is_offered(self, *names: str) -> bool:
        """Whether one of these names is that of a tool which the client may run."""
        if self._offered is None:
            self._offered = frozenset(self.offered())
        return not self._offered.isdisjoint(names)

    def _take_value(self, values: dict[str, _Value], frame: Frame, key: str, path: Path) -> None:
        holder = reach(frame.tree, path) if frame.tree is not None else None
        written = self.calls.written(holder, streamed=frame.streamed) if isinstance(holder, dict) else None
        if written is not None:
            word, text = written
            values[key] = _Value(text, (*path, word), f"{key}.{word}")

    def _take_runs(
        self,
        runs: Sequence[RunCall],
        texts: Sequence[tuple[Event, CallMember]],
        values: dict[str, _Value],
        frame: Frame,
    ) -> Iterator[Event]:
        """Notes the calls of tools that the provider runs. Yields the name of each new one."""
        depths = {len(run.path) for run in runs if not run.call}
        keys = {
            event.path[:depth]: member.call for event, member in texts for depth in depths if isinstance(event, Text)
        }
        for run in runs:
            key = run.call or keys.get(run.path, "")
            if not key:
                continue
            self._take_value(values, frame, key, run.path)
            if key in self._runs:
                continue
            self._runs.add(key)
            call = self._call(key)
            call.name = run.tool
            channel = Channel(self.direction, _KIND, f"{key}.type")
            text = CallText(call, "name")
            self._wait(channel, text)
            yield Text(channel, run.tool, frame, run.path, judged=True, call=text)

    def _text(self, event: Text, member: CallMember, value: _Value | None, frame: Frame) -> Iterator[Event]:
        call = self._call(member.call)
        if member.member == "name":
            text = self._waiting.get(event.channel)
            if text is None:
                text = CallText(call, "name", is_clear=not call.is_named, has_arguments=call.has_begun)
                if not call.is_named:
                    self._wait(event.channel, text)
        elif member.member == "server":
            text = CallText(call, "server")
        else:
            yield from self._begin(call)
            place = event.path[len(value.path) :] if value is not None and value.path else ()
            is_recorded = frame.tree is None and member.is_inside and not event.judged
            if member.is_piece or is_recorded or (value is not None and (event.key or event.parts)):
                text = CallText(call, "piece")
            elif value is None:
                text = CallText(call, "arguments")
            else:
                text = CallText(call, "member", value, place)
                value.apart.add(place)
        yield structs.replace(event, call=text)

    def _value(self, key: str, value: _Value, frame: Frame) -> Iterator[Event]:
        """Yields arguments that are a value as one text."""
        call = self._call(key)
        yield from self._begin(call)
        call.is_over = True
        channel = Channel(self.direction, _KIND, value.at)
        yield Text(channel, value.text, frame, value.path, judged=True, call=CallText(call, "arguments", value))
        yield End(channel)

    def _begin(self, call: NotedCall) -> Iterator[Event]:
        """Notes that a call has arguments. Its name has ended."""
        if not call.has_begun:
            call.has_begun = True
            yield from self._name_ends(call.waiting)
            call.waiting.clear()

    def _wait(self, channel: Channel, text: CallText) -> None:
        self._waiting[channel] = text
        text.call.waiting.append(channel)

    def _name_ends(self, channels: Sequence[Channel] | None = None) -> Iterator[Event]:
        """Ends names that wait: all, or these."""
        for channel in list(self._waiting) if channels is None else channels:
            text = self._waiting.pop(channel, None)
            if text is None:
                continue
            text.has_arguments, text.is_clear = text.call.has_begun, text.call.is_clear
            text.call.is_named = True
            yield End(channel)

    def _note_end(self, channel: Channel) -> None:
        member = self.calls.member_of(channel.path)
        if member is not None and member.member == "arguments" and member.call in self._noted:
            self._noted[member.call].is_over = True


def call_of(lane: Lane, calls: CallMap, server: str) -> ToolCall:
    """Returns the call of a lane whose text is complete. `server`: the name of the server, if the route has it."""
    text: CallText | None = lane.text.call
    is_made, raw = lane.channel.direction == calls.made, lane.text.part(0, lane.text.total)
    if text is None:  # the format puts the text outside of every call
        return ToolCall("", server, is_clear=False, is_made=is_made, arguments=raw, is_json=lane.json)
    call, value = text.call, text.value
    server = call.server or server
    if text.role == "name":
        return ToolCall(raw, server, text.is_clear, is_made, "name", None if text.has_arguments else "")
    is_clear = call.is_clear and call.name != ""
    if value is None:
        spots = tuple(_spots(lane)) if lane.text.view is not None else ()
        return ToolCall(call.name, server, is_clear, is_made, text.role, raw, lane.json, spots=spots)
    apart = frozenset(value.apart) if text.role == "arguments" else frozenset[Path]()
    return ToolCall(
        call.name, server, is_clear, is_made, text.role, value.text, place=text.place, apart=apart, made=value.made
    )


def _id(tree: Any, path: Path) -> str:
    """Returns the id of the call whose name is at a path: a member of the call, or of the object that holds it."""
    for holder in (reach(tree, path[:depth]) if tree is not None and path[:depth] else None for depth in (-1, -2)):
        if isinstance(holder, dict) and isinstance(its_id := holder.get("id"), str) and its_id:
            return its_id
    return ""


def _spots(lane: Lane) -> Iterator[Spot]:
    """Yields the strings and numbers in the decoded text of a lane, with their places in the JSON."""
    view = lane.text.view
    assert view is not None  # noqa: S101 - asked by the caller
    found = places(view.raw)
    for leaf in view.leaves:
        path, is_key = found.get(leaf.start, ((), True))
        if not (is_key or leaf.row):
            yield Spot(leaf.at, leaf.at + len(leaf.text), path)
