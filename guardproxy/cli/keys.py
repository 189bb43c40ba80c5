"""`guardproxy keys`: makes, lists, rotates and revokes the keys of clients.

Each command reads and replaces the file in its folder while it holds a lock, so that commands which run at the same time lose
nothing. A running proxy reads the file again by itself. A key is printed once and is kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.cli.printing import Commands, aligned, fail, is_terminal, say, say_encoded, say_json
from guardproxy.errors import GuardproxyError

if TYPE_CHECKING:
    from guardproxy.gateway.clients import ClientFile, StoredClient

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Give clients keys of the proxy, instead of the keys of upstreams."
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the file of keys, as for `--client-keys`.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the client.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Expires = Annotated[
    str,
    typer.Option(
        metavar="WHEN",
        help="When the key ends: a period such as `90d` or `12h`, or a time such as 2030-01-31T00:00:00Z.",
    ),
]


@app.command("create")
def create(
    folder: Folder,
    name: Name,
    tenant: Annotated[
        str, typer.Option(help="The tenant's name in policies. Without it, the name of the client.")
    ] = "",
    model: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="A model that the client may name, such as `gpt-*`.")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A policy that applies to all its requests, whatever its `match`."),
    ] = None,
    expires: Expires = "",
    as_json: Json = False,
) -> None:
    """Create a client with its first key, and print the key. It cannot be shown again."""
    from guardproxy.gateway import clients  # noqa: PLC0415

    models = tuple(model) if model else None
    client = clients.StoredClient(name, tenant or name, models=models, policies=tuple(policy or ()))
    key, now = _new_key(), datetime.now(UTC)
    with _wrong_use():
        keys = clients.KeyFolder(folder)
        keys.create(client, key, now, keys.end(expires, now))
    _show(key, name, as_json)


@app.command("list")
def list_(folder: Folder, as_json: Json = False) -> None:
    """List the clients with the prefixes, expiry times and states of their keys."""
    from guardproxy.gateway import clients  # noqa: PLC0415

    with _wrong_use():
        file = read_keys(folder)
    if as_json:
        say_encoded(clients.write_client_file(file).decode())
        return
    now = datetime.now(UTC)
    rows: list[tuple[str, ...]] = [("client", "tenant", "key", "state", "created", "expires", "models", "policies")]
    rows += [row for client in file.clients for row in _rows(client, now)]
    say(*aligned(rows))


@app.command("rotate")
def rotate(
    folder: Folder,
    name: Name,
    grace: Annotated[
        str, typer.Option(metavar="PERIOD", help="How long the present key is still accepted, such as `7d` or `0s`.")
    ] = "24h",
    expires: Expires = "",
    as_json: Json = False,
) -> None:
    """Make a further key for a client, and print it. Its present key is accepted for a while."""
    from guardproxy.gateway import clients  # noqa: PLC0415

    key, now = _new_key(), datetime.now(UTC)
    with _wrong_use():
        keys = clients.KeyFolder(folder)
        keys.rotate(name, key, now, keys.period(grace), keys.end(expires, now))
    _show(key, name, as_json)


@app.command("revoke")
def revoke(
    folder: Folder,
    name: Name,
    key: Annotated[
        str,
        typer.Option(metavar="PREFIX", help="The key to revoke, by its prefix. Without it, all keys of the client."),
    ] = "",
) -> None:
    """Revoke one key of a client, or all. Running proxies refuse it within seconds."""
    from guardproxy.gateway import clients  # noqa: PLC0415

    with _wrong_use():
        clients.KeyFolder(folder).revoke(name, key)


def _rows(client: StoredClient, now: datetime) -> list[tuple[str, ...]]:
    scope = ("any" if client.models is None else ",".join(client.models), ",".join(client.policies) or "-")
    rows: list[tuple[str, ...]] = [
        (
            *(client.name, client.tenant, key.prefix, "active" if key.is_active(now) else "expired"),
            *(f"{key.created:%Y-%m-%d}", f"{key.expires:%Y-%m-%d %H:%M}" if key.expires else "never", *scope),
        )
        for key in client.keys
    ]
    return rows or [(client.name, client.tenant, "-", "revoked", "-", "-", *scope)]


def _new_key() -> str:
    import secrets  # noqa: PLC0415

    from guardproxy.gateway import clients  # noqa: PLC0415

    return clients.new_key(secrets.token_hex(6), secrets.token_urlsafe(32))


def _show(key: str, name: str, as_json: bool) -> None:
    """Prints a new key on standard output, and what to do with it on standard error."""
    if as_json:
        say_json({"client": name, "key": key})
        return
    say(key)
    # Not into a pipe: a script that takes the key must not get a sentence with it.
    if is_terminal(err=True):
        say(f"This is the key of `{name}`. It is not kept and cannot be shown again.", err=True)


def read_keys(folder: Path) -> ClientFile:
    """Reads the file of keys. Raises `ConfigError`."""
    from guardproxy.gateway import clients  # noqa: PLC0415

    return clients.KeyFolder(folder).read()


@contextmanager
def _wrong_use() -> Iterator[None]:
    """Ends the command with exit code 2 if a change is wrong, or if the file cannot be read or written."""
    try:
        yield
    except GuardproxyError as error:
        fail(error)
