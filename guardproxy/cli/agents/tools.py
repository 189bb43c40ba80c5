"""`guardproxy tools`: pins of tools. Reads definitions from a file or a server, and keeps what a person approved of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardproxy.cli.agents.asking import opened
from guardproxy.cli.printing import Commands, fail, say, say_json
from guardproxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardproxy.tool_pins import ToolDefinition, ToolPins

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Pin definitions of tools, and see what has changed.")

LIMIT_BYTES = 16 * 1024 * 1024
_MOST_PAGES = 100
_TIMEOUT_S = 20
_REVISION = "2025-11-25"
_SAID = {
    "CHANGED": "changed since it was approved",
    "SHADOWED": "has the name of a tool of another server",
    "NEAR_COPY": "is a near copy of another tool",
    "NEW": "is not pinned",
}
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="The URL of an MCP server, or a file (`-`: standard input) with a request to a model, or with a list of tools "
        "as a server gives it.",
    ),
]
Pins = Annotated[Path, typer.Option("--pins", help="The file of pins, in the policies' folder.")]
Server = Annotated[
    str, typer.Option("--server", help="The name of the server, as its route has it. Leave it out for requests.")
]
Header = Annotated[list[str] | None, typer.Option("--header", help="A header for the server, as `Name: value`.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("pin")
def pin(source: Source, pins: Pins, server: Server = "", header: Header = None, as_json: Json = False) -> None:
    """Pin tools that are not pinned yet. Exit code 1: a pinned tool has changed, and its pin stays as it is."""
    from guardproxy.tool_pins import pin_of  # noqa: PLC0415

    known, definitions = _read(pins, missing=True), _definitions(source, server, header)
    added = [each for each in definitions if (each.server, each.name) not in known.by_name]
    others = _differences(known, [each for each in definitions if each not in added])
    _write(pins, known.with_pins(map(pin_of, added)))
    _report([*(_row(each, "pinned") for each in added), *others], as_json)
    if others:
        raise typer.Exit(1)


@app.command("list")
def list_pins(pins: Pins, as_json: Json = False) -> None:
    """List the pins of a file."""
    rows = [{"server": each.server, "tool": each.name, "digest": each.digest} for each in _read(pins).pins]
    if as_json:
        say_json(rows, 2)
        return
    say(
        *(f"{_named(row)}  {row['digest'][:19]}" for row in rows),
        f"{len(rows)} {'tool' if len(rows) == 1 else 'tools'}",
    )


@app.command("diff")
def diff(source: Source, pins: Pins, server: Server = "", header: Header = None, as_json: Json = False) -> None:
    """Compare tools with their pins. Exit code 1: they differ."""
    known, definitions = _read(pins), _definitions(source, server, header)
    rows = _differences(known, definitions)
    offered = {(each.server, each.name) for each in definitions}
    servers = {each.server for each in definitions} | {server}
    gone = [each for each in known.pins if each.server in servers and (each.server, each.name) not in offered]
    rows += [{"server": each.server, "tool": each.name, "what": "is pinned and no longer offered"} for each in gone]
    _report(rows, as_json, "no tool differs from its pin")
    if rows:
        raise typer.Exit(1)


@app.command("approve")
def approve(
    source: Source,
    pins: Pins,
    tools: Annotated[list[str] | None, typer.Option("--tool", help="The name of a tool. Several may be given.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Approve all tools as they are now.")] = False,
    server: Server = "",
    header: Header = None,
    as_json: Json = False,
) -> None:
    """Approve tools as they are now, and replace their pins. Look at `diff` and the definitions first."""
    from guardproxy.tool_pins import pin_of  # noqa: PLC0415

    if bool(tools) == every:
        fail(ConfigError("name the tools to approve with --tool, or use --all"))
    known, definitions = _read(pins, missing=True), _definitions(source, server, header)
    wanted = [each for each in definitions if every or each.name in (tools or ())]
    if missing := sorted(set(tools or ()) - {each.name for each in wanted}):
        fail(ConfigError(f"the source offers no tool `{missing[0]}`"))
    _write(pins, known.with_pins(map(pin_of, wanted)))
    _report([_row(each, "approved") for each in wanted], as_json)


def _row(definition: ToolDefinition, what: str) -> dict[str, str]:
    return {"server": definition.server, "tool": definition.name, "what": what}


def _differences(pins: ToolPins, definitions: Sequence[ToolDefinition]) -> list[dict[str, str]]:
    rows = []
    for definition in definitions:
        if (found := pins.judge(definition)) is not None:
            label, other = found
            of = (
                ""
                if other is None or label == "CHANGED"
                else f": {_named({'server': other.server, 'tool': other.name})}"
            )
            rows.append({**_row(definition, _SAID[label] + of), "label": label})
    return rows


def _named(row: dict[str, str]) -> str:
    return f"{row['server']}/{row['tool']}" if row["server"] else row["tool"]


def _report(rows: Sequence[dict[str, str]], as_json: bool, nothing: str = "nothing to pin") -> None:
    if as_json:
        say_json(rows, 2)
    else:
        say(*(f"{_named(row)}: {row['what']}" for row in rows) if rows else (nothing,))


def _read(path: Path, *, missing: bool = False) -> ToolPins:
    """Reads a file of pins. `missing`: whether it need not exist."""
    from guardproxy.tool_pins import PinFileError, ToolPins, read_pins  # noqa: PLC0415

    try:
        return read_pins(path.read_bytes())
    except FileNotFoundError:
        if missing:
            return ToolPins()
        fail(ConfigError(f"{path} does not exist; `guardproxy tools pin` writes it"))
    except OSError as error:
        fail(ConfigError(f"cannot read {path}: {(error.strerror or 'no reason given').lower()}"))
    except PinFileError as error:
        fail(ConfigError(f"{path}: {error}"))


def _write(path: Path, pins: ToolPins) -> None:
    """Replaces the file at once, so that a proxy that reads it sees the old or the new one."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_bytes(pins.written())
        beside.replace(path)
    except OSError as error:
        fail(ConfigError(f"cannot write {path}: {(error.strerror or 'no reason given').lower()}"))


def _definitions(source: str, server: str, headers: Sequence[str] | None) -> list[ToolDefinition]:
    trees = list(_pages(source, headers or ())) if source.startswith(("http://", "https://")) else [_file(source)]
    found = [each for tree in trees for each in _in_tree(tree, server)]
    if not found:
        fail(ConfigError("the source has no tools: expected `tools` in a request, or a list of tools of a server"))
    return found


def _in_tree(tree: Any, server: str) -> Iterator[ToolDefinition]:
    from guardproxy.tool_pins import ToolDefinition  # noqa: PLC0415
    from guardproxy.wire import installed  # noqa: PLC0415
    from guardproxy.wire.json import reach  # noqa: PLC0415

    seen = set()
    for codec in installed().codecs:
        for tool in (*codec.contract.offered(tree).every, *codec.contract.listed(tree)):
            if tool.path not in seen:
                seen.add(tool.path)
                yield ToolDefinition(tool.names[0], tool.server or server, reach(tree, tool.path))


def _file(source: str) -> Any:
    from guardproxy.tool_pins import without_comments  # noqa: PLC0415

    try:
        content = typer.get_binary_stream("stdin").read(LIMIT_BYTES) if source == "-" else Path(source).read_bytes()
        return json.loads(without_comments(content))
    except OSError as error:
        fail(ConfigError(f"cannot read {source}: {(error.strerror or 'no reason given').lower()}"))
    except (ValueError, RecursionError):
        fail(ConfigError(f"{source} is not JSON"))


def _pages(url: str, headers: Sequence[str]) -> Iterator[Any]:
    """Asks a server for its tools, page by page."""
    sent = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon:
            fail(ConfigError(f"--header {name}: expected `Name: value`"))
        sent[name.strip().lower()] = value.strip()
    session_header, version_header = (_header_of_servers(name) for name in ("session-id", "protocol-version"))
    client = {"name": "guardproxy", "version": "1"}
    hello = {"protocolVersion": _REVISION, "capabilities": {}, "clientInfo": client}
    _, answered = _post(url, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}, sent)
    sent[version_header] = _REVISION
    if session := answered.get(session_header):
        sent[session_header] = session
    _post(url, {"jsonrpc": "2.0", "method": "notifications/initialized"}, sent)
    cursor: Any = None
    for number in range(1, _MOST_PAGES):
        params = {"cursor": cursor} if cursor else {}
        page, _ = _post(url, {"jsonrpc": "2.0", "id": number, "method": "tools/list", "params": params}, sent)
        result = page.get("result") if isinstance(page, dict) else None
        if not isinstance(result, dict):
            fail(ConfigError(f"{url} gives no list of tools"))
        yield page
        if not (cursor := result.get("nextCursor")):
            return


def _header_of_servers(ending: str) -> str:
    """Returns the name of a header of the protocol of servers of tools."""
    from guardproxy.wire import installed  # noqa: PLC0415

    formats = (codec.contract for codec in installed().codecs if codec.contract.calls.by_route)
    return next(name for contract in formats for name in sorted(contract.headers.single) if name.endswith(ending))


def _post(url: str, message: dict[str, Any], headers: dict[str, str]) -> tuple[Any, dict[str, str]]:
    """Sends a message to a server. Returns its answer, and the headers of the answer."""
    from http.client import HTTPException  # noqa: PLC0415
    from urllib.request import Request  # noqa: PLC0415

    try:
        request = Request(url, json.dumps(message).encode(), headers)  # noqa: S310 - the caller has looked at the scheme
        with opened(request, _TIMEOUT_S) as answer:
            body, told = answer.read(LIMIT_BYTES).decode(), answer.headers
            is_stream = answer.headers.get_content_type() == "text/event-stream"
    except (OSError, HTTPException, ValueError) as error:  # `ValueError`: a header or an address that cannot be sent
        fail(ConfigError(f"cannot ask {url}: {error}"))
    try:
        lines = [line[5:] for line in body.splitlines() if line.startswith("data:")] if is_stream else [body]
        trees = [json.loads(line) for line in lines if line.strip()]
    except (ValueError, RecursionError):
        fail(ConfigError(f"{url} does not answer in JSON"))
    own = [tree for tree in trees if isinstance(tree, dict) and tree.get("id") == message.get("id")]
    return (own[0] if own else None), {name.lower(): value for name, value in told.items()}
