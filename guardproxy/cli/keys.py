"""`guardproxy keys`: makes, lists, rotates and revokes the keys of clients.

Each command reads and replaces the file in its folder while it holds a lock, so that commands which run at the same time lose
nothing. A running proxy reads the file again by itself. A key is printed once and is kept nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.cli.printing import aligned, fail, is_terminal, say, say_encoded, say_json
from guardproxy.errors import ConfigError, GuardproxyError

if TYPE_CHECKING:
    from guardproxy.gateway import ClientFile, StoredClient

app = typer.Typer(no_args_is_help=True, help="Give clients keys of the proxy, instead of the keys of upstreams.")
_PERIOD = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

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
    """Make a client with its first key, and print the key. It cannot be shown again."""
    from guardproxy import gateway  # noqa: PLC0415

    models = tuple(model) if model else None
    client = gateway.StoredClient(name, tenant or name, models=models, policies=tuple(policy or ()))
    key, now = _new_key(), datetime.now(UTC)
    _change(folder, lambda file: gateway.with_new_client(file, client, key, now, _end(expires, now)))
    _show(key, name, as_json)


@app.command("list")
def list_(folder: Folder, as_json: Json = False) -> None:
    """List the clients with the prefixes, ends and states of their keys."""
    from guardproxy import gateway  # noqa: PLC0415

    try:
        file = read_keys(folder)
    except GuardproxyError as error:
        fail(error)
    if as_json:
        say_encoded(gateway.write_client_file(file).decode())
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
    from guardproxy import gateway  # noqa: PLC0415

    key, now = _new_key(), datetime.now(UTC)

    def changed(file: ClientFile) -> ClientFile:
        return gateway.with_rotated_key(file, name, key, now, _period(grace), _end(expires, now))

    _change(folder, changed)
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
    from guardproxy import gateway  # noqa: PLC0415

    _change(folder, lambda file: gateway.with_revoked_keys(file, name, key))


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

    from guardproxy import gateway  # noqa: PLC0415

    return gateway.new_key(secrets.token_hex(6), secrets.token_urlsafe(32))


def _show(key: str, name: str, as_json: bool) -> None:
    """Prints a new key on standard output, and what to do with it on standard error."""
    if as_json:
        say_json({"client": name, "key": key})
        return
    say(key)
    if is_terminal(err=True):
        say(f"This is the key of `{name}`. It is not kept and cannot be shown again.", err=True)


def _end(when: str, now: datetime) -> datetime | None:
    """Returns the time that an option names. Raises `ConfigError`."""
    if not when:
        return None
    try:
        end = now + _period(when) if _PERIOD.fullmatch(when) else datetime.fromisoformat(when)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"`{when}` is neither a period such as `90d` nor a time such as 2030-01-31T00:00:00Z"
        ) from None
    if end.tzinfo is None:
        raise ConfigError(f"`{when}` has no time zone: write `{when}Z` for UTC")
    if end <= now:
        raise ConfigError(f"`{when}` has passed")
    return end.astimezone(UTC).replace(microsecond=0)


def _period(text: str) -> timedelta:
    """Returns the period that an option names. Raises `ConfigError`."""
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise ConfigError(f"`{text}` is not a period such as `30m`, `24h` or `7d`")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def read_keys(folder: Path) -> ClientFile:
    """Reads the file of keys. Raises `ConfigError`."""
    from guardproxy import gateway  # noqa: PLC0415

    path = folder / gateway.FILE_NAME
    try:
        return gateway.read_client_file(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {(error.strerror or 'no reason given').lower()}") from None


def _change(folder: Path, change: Callable[[ClientFile], ClientFile]) -> None:
    """Replaces the file of keys with a changed one. Ends the command with exit code 2 if that is not possible."""
    from guardproxy import audit, gateway  # noqa: PLC0415

    path = folder / gateway.FILE_NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with audit.folder_lock(folder):
            changed = change(read_keys(folder) if path.exists() else gateway.ClientFile())
            text = gateway.write_client_file(changed)
            gateway.read_client_file(text, str(path))  # a name or a glob of an option may be wrong
            disk = audit.Disk()
            audit.replace_file(disk, path, text)
            disk.sync_folder(folder)
    except GuardproxyError as error:
        fail(error)
    except OSError as error:
        fail(ConfigError(f"cannot write {path}: {audit.reason(error)}"))
