"""`guardproxy tenant`: prints the digest that names a credential in settings."""

from __future__ import annotations

import sys

import typer

from guardproxy.cli.printing import Commands, fail, say
from guardproxy.errors import GuardproxyError

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Give the clients of the proxy names that policies can use.")


@app.callback()
def _main() -> None:
    pass


@app.command("digest")
def digest() -> None:
    """Print the digest of a credential from standard input, for `--tenant NAME=sha256:HEX`.

    The credential is a bare key, or the value of an Authorization header. It is not an argument, because other users
    can see arguments.
    """
    from guardproxy.gateway import clients  # noqa: PLC0415

    text = typer.prompt("credential", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    try:
        secret = clients.read_secret(text)
    except GuardproxyError:
        secret = ""
    if not secret:
        fail("standard input must hold one credential: a key, or `Bearer KEY`")
    say(clients.digest(secret))
