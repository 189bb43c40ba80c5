"""`guardproxy console`: who may come into the reviewers' console.

Each command reads and replaces the file of logins while it holds a lock of its folder. A running console reads the file again
when it changes. A token is printed once and is kept nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.cli.printing import Commands, aligned, fail, is_terminal, say, say_json
from guardproxy.errors import ConfigError, GuardproxyError

if TYPE_CHECKING:
    from guardproxy.console import LoginFile

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Manage the logins of the reviewers' console (`serve --console`)."
)
login = typer.Typer(cls=Commands, no_args_is_help=True, help="Add, list and remove logins.")
app.add_typer(login, name="login")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the person.")]
File = Annotated[Path, typer.Option("--file", help="The file of logins, as for `--console-logins`.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@login.command("add")
def add(
    name: Name,
    role: Annotated[
        str,
        typer.Option(
            help="`viewer` sees what was decided, without values; `reviewer` judges decisions and proposes changes; "
            "`operator` also verifies and changes keys; `auditor` also erases, and opens sealed texts with the key."
        ),
    ],
    file: File,
    as_json: Json = False,
) -> None:
    """Make a login, and print its token. It cannot be shown again."""
    token = make_login(file, name, role)
    if as_json:
        say_json({"name": name, "role": role, "token": token})
        return
    say(token)
    if is_terminal(err=True):
        say(f"This is the token of `{name}` ({role}). It is not kept and cannot be shown again.", err=True)


@login.command("list")
def list_(file: File, as_json: Json = False) -> None:
    """List the logins with their roles."""
    from guardproxy import console  # noqa: PLC0415

    try:
        logins = console.load_logins(file).logins
    except GuardproxyError as error:
        fail(error)
    if as_json:
        say_json(
            [{"name": stored.login.name, "role": stored.login.role, "created": stored.created} for stored in logins]
        )
        return
    rows = [("name", "role", "created"), *((stored.login.name, stored.login.role, stored.created) for stored in logins)]
    say(*aligned(rows))


@login.command("remove")
def remove(name: Name, file: File) -> None:
    """Remove a login. A running console ends its sessions at once."""
    _change(file, lambda logins: logins.without(name))


def make_login(path: Path, name: str, role: str) -> str:
    """Adds a login to a file, which is made if it is missing. Returns its token. Ends the command with exit code 2 if that is
    not possible."""
    from guardproxy import console  # noqa: PLC0415

    token, created = console.new_token(), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    _change(path, lambda logins: logins.having(console.Login(name, console.role_of(role)), token, created))
    return token


def _change(path: Path, change: Callable[[LoginFile], LoginFile]) -> None:
    """Replaces the file with a changed one. Ends the command with exit code 2 if that is not possible."""
    from guardproxy import audit, console  # noqa: PLC0415

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with audit.folder_lock(path.parent):
            changed = change(console.load_logins(path) if path.exists() else console.LoginFile())
            disk = audit.Disk()
            audit.replace_file(disk, path, console.write_logins(changed))
            disk.sync_folder(path.parent)
    except GuardproxyError as error:
        fail(error)
    except OSError as error:
        fail(ConfigError(f"cannot write {path}: {audit.reason(error)}"))
