"""`guardproxy confirm`: lists the calls of tools that wait for a person, and approves or denies one.

The command asks a running proxy at its admin port.
"""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from guardproxy.cli.agents.asking import opened
from guardproxy.cli.printing import fail, say, say_json
from guardproxy.errors import ConfigError

KEY_NAME = "GUARDPROXY_CONFIRM_KEY"
TIMEOUT_S = 10.0


def confirm(
    name: Annotated[
        str, typer.Argument(metavar="[ID]", help="The id in the refusal. Without it, what waits is listed.")
    ] = "",
    deny: Annotated[bool, typer.Option("--deny", help="Deny the call instead of approving it.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the calls that wait, and decide nothing.")] = False,
    admin: Annotated[str, typer.Option(metavar="URL", help="The admin port of the proxy.")] = "http://127.0.0.1:9090",
    by: Annotated[str, typer.Option(metavar="NAME", help="Who decides, for the record. Without it, your user.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Approve a call of a tool that waits for a person: it then passes once within 15 minutes. Exit code 1: nothing waits under
    this id. If the proxy has a `confirm_key`, the variable GUARDPROXY_CONFIRM_KEY must have it."""
    import getpass  # noqa: PLC0415

    if listing or not name:
        done = _asked(admin, "GET", {"id": name} if name else {})
        _print(done, as_json=as_json)
        raise typer.Exit(0 if done["ok"] else 1)
    query = {"id": name, "decision": "deny" if deny else "approve", "by": by or getpass.getuser()}
    done = _asked(admin, "POST", query)
    if as_json:
        say_json(done, 2)
    elif done["ok"]:
        call = done["call"]
        what = "denied" if deny else "approved, once, within 15 minutes"
        say(f"{what}: {_words(call)}")
    else:
        say(str(done["error"]))
    raise typer.Exit(0 if done["ok"] else 1)


def _print(done: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say_json(done, 2)
        return
    if not done["ok"]:
        say(str(done.get("error", "no call waits under this id")))
        return
    say(*([f"{call['id']}  {_words(call)}" for call in done["calls"]] or ["no call waits"]))


def _words(call: dict[str, Any]) -> str:
    """Returns a call in words."""
    where = f"{call['server']}/{call['tool']}" if call["server"] else call["tool"]
    who = call["client"] or call["tenant"] or "a client without a name"
    what = f"{where or '(tool not shown)'} {call['shown'] or '(arguments not kept)'}"
    return f"{what}, for {who}, by rule {call['policy']}/{call['rule']}"


def _asked(admin: str, method: str, query: dict[str, str]) -> dict[str, Any]:
    """Returns the answer of the admin port. Ends the command if there is none."""
    from http.client import HTTPException  # noqa: PLC0415
    from urllib.error import HTTPError  # noqa: PLC0415
    from urllib.parse import urlencode  # noqa: PLC0415
    from urllib.request import Request  # noqa: PLC0415

    headers = {"Authorization": f"Bearer {key}"} if (key := os.environ.get(KEY_NAME, "")) else {}
    url = f"{admin.rstrip('/')}/confirmations?{urlencode(query)}"
    if not url.startswith(("http://", "https://")):
        fail(ConfigError(f"--admin {admin}: expected a URL like http://127.0.0.1:9090"))
    request = Request(url, method=method, headers=headers)  # noqa: S310 - the scheme was looked at
    try:
        with opened(request, TIMEOUT_S) as answer:
            data = answer.read()
    except HTTPError as error:
        data = error.read()
        if error.code == 401:
            fail(ConfigError(f"the proxy wants its key: set {KEY_NAME} to what its setting `confirm_key` says"))
    except (OSError, HTTPException) as error:
        fail(ConfigError(f"{admin}: the admin port does not answer ({type(error).__name__})"))
    try:
        done = json.loads(data)
    except ValueError:
        done = None
    if not isinstance(done, dict) or "ok" not in done:
        fail(ConfigError(f"{admin}: this is no admin port of guardproxy with confirmations"))
    return done
