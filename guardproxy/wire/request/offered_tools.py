"""The definitions of tools that a request offers, and a request without some of them.

In: the tree of a request, the fields that hold lists of tools, and what is allowed. Out: the places of the definitions that
are not, and a tree without them; the tree that came in is not changed. An entry may bring several tools: functions in a list,
a namespace, or (Gemini) tools that the provider runs, each under a key of its own. A server of MCP counts as the tool `mcp` of
that server. An entry whose name cannot be read has the empty name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from guardproxy.events import Path

_NESTED = ("functionDeclarations", "function_declarations", "tools")
_INSIDE = ("function", "custom", "tool")
_SERVER_KEYS = ("server_label", "mcp_server_name")
_SERVERS = "mcp_servers"
_CARRIERS = ("function", "custom")  # types that do not tell which tool it is
_CHOICES = ("tool_choice", "toolConfig", "tool_config", "function_call")
_SWITCHES = {"web_search_options": "web_search", "plugins": "plugins"}  # fields that let the provider run a tool
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class OfferedTool(NamedTuple):
    """A tool that a request offers. `names`: its name, and its type if that says which tool it is; `path`: of its
    definition."""

    names: tuple[str, ...]
    server: str
    path: Path


@dataclass(frozen=True, slots=True)
class OfferedTools:
    """The tools that a request offers. `every`: all; `chosen`: the names of those that it tells the model to call."""

    tree: Any
    every: tuple[OfferedTool, ...]
    chosen: tuple[str, ...]

    def without(self, paths: Sequence[Path]) -> Any:
        """Returns the tree without the definitions at these paths. A list that becomes empty goes with them, since servers
        refuse an empty list of tools, and so does the choice of a tool if a request offers none any more."""
        new = _without(self.tree, (), set(paths), {path[:size] for path in paths for size in range(len(path))})
        if isinstance(new, dict) and not any(field in new for field in ("tools", "functions")):
            return {key: value for key, value in new.items() if key not in _CHOICES}
        return new


def offered_tools(tree: Any, fields: Sequence[str], messages: Sequence[str] = ()) -> OfferedTools:
    """Reads the tools that a request offers in these fields, and in the messages that bring tools. `messages`: the fields with
    lists of messages."""
    return OfferedTools(tree, tuple(_offered(tree, fields, messages)), _chosen(tree))


_HOLDERS = ("result", "item", "content_block", "output", "content", "response")


def listed_tools(tree: Any) -> Iterator[OfferedTool]:
    """Yields the definitions of tools that an answer lists: the result of a server, or an item that names the server."""
    waiting: list[tuple[Any, Path]] = [(tree, ())]
    while waiting:
        node, path = waiting.pop(0)
        for key in _HOLDERS if isinstance(node, Mapping) else ():
            holder = node.get(key)
            for at, item in enumerate(holder) if isinstance(holder, list) else ():
                yield from _listing(item, (*path, key, at))
            yield from _listing(holder, (*path, key))
            if key == "response":
                waiting.append((holder, (*path, key)))


def _listing(holder: Any, path: Path) -> Iterator[OfferedTool]:
    tools = holder.get("tools") if isinstance(holder, Mapping) else None
    if not isinstance(tools, list) or path[-1] == "response":  # which repeats the tools of its request
        return
    label = next((holder[key] for key in _SERVER_KEYS if isinstance(holder.get(key), str)), "")
    for number, tool in enumerate(tools):
        name = tool.get("name") if isinstance(tool, Mapping) else None
        yield OfferedTool((name if isinstance(name, str) else "",), label, (*path, "tools", number))


def _offered(tree: Any, fields: Sequence[str], messages: Sequence[str]) -> Iterator[OfferedTool]:
    if not isinstance(tree, Mapping):
        return
    for name, tool in _SWITCHES.items():
        if tree.get(name) is not None:
            yield OfferedTool((tool,), "", (name,))
    for name in messages:
        for number, message in enumerate(tree[name] if isinstance(tree.get(name), list) else ()):
            if isinstance(message, Mapping) and "tools" in message:
                yield from _listed(message["tools"], (name, number, "tools"))
    for field in dict.fromkeys(fields):
        path = tuple(field.split("."))
        holder: Any = tree
        for step in path:
            holder = holder.get(step) if isinstance(holder, Mapping) else None
        yield from _listed(holder, path)


def _listed(tools: Any, path: Path) -> Iterator[OfferedTool]:
    if isinstance(tools, Mapping):  # a single entry without its list
        yield from _entry(tools, path)
    elif isinstance(tools, list):
        for number, tool in enumerate(tools):
            yield from _entry(tool, (*path, number))
    elif tools is not None:
        yield OfferedTool(("",), "", path)


def _entry(tool: Any, path: Path) -> Iterator[OfferedTool]:
    if not isinstance(tool, Mapping):
        yield OfferedTool((tool if isinstance(tool, str) else "",), "", path)
        return
    inner = next((tool[key] for key in _INSIDE if isinstance(tool.get(key), Mapping)), tool)
    kind, name = tool.get("type"), inner.get("name")
    label = name if path[0] == _SERVERS else next((tool[key] for key in _SERVER_KEYS if key in tool), None)
    if label is not None or path[0] == _SERVERS:
        kind = _SERVERS.removesuffix("s") if path[0] == _SERVERS else kind
        yield OfferedTool((kind if isinstance(kind, str) else "",), label if isinstance(label, str) else "", path)
        return
    nested = [key for key in _NESTED if key in tool]
    for key in nested:
        yield from _listed(tool[key], (*path, key))
    names = [its for its in (name, kind if kind not in _CARRIERS else None) if isinstance(its, str)]
    if names and not nested:
        yield OfferedTool(tuple(dict.fromkeys(names)), "", path)
    elif not names and (inner is not tool or "type" in tool or not tool):
        yield OfferedTool(("",), "", path)
    elif not names:  # each tool that the provider runs has a key
        for key in tool:
            if key not in nested:
                yield OfferedTool((_CAPITAL.sub("_", str(key)).lower(),), "", (*path, key))


def _without(node: Any, path: Path, gone: set[Path], above: set[Path]) -> Any:
    if path not in above:
        return node
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if (*path, key) not in gone}
        return {
            key: new
            for key, value in kept.items()
            if not _is_emptied(new := _without(value, (*path, key), gone, above), value)
        }
    items = ((number, item) for number, item in enumerate(node) if (*path, number) not in gone)
    pairs = [(_without(item, (*path, number), gone, above), item) for number, item in items]
    return [new for new, item in pairs if not _is_emptied(new, item)]


def _is_emptied(new: Any, old: Any) -> bool:
    """Whether nothing is left of a list or an object."""
    return new is not old and new in ([], {})


def _chosen(tree: Any) -> tuple[str, ...]:
    return tuple(_names_below([tree.get(key) for key in _CHOICES])) if isinstance(tree, Mapping) else ()


def _names_below(values: list[Any]) -> Iterator[str]:
    waiting = values
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            for key, value in node.items():
                if key == "name" and isinstance(value, str):
                    yield value
                elif key in ("allowedFunctionNames", "allowed_function_names") and isinstance(value, list):
                    yield from (name for name in value if isinstance(name, str))
                else:
                    waiting.append(value)
        elif isinstance(node, list):
            waiting += node
