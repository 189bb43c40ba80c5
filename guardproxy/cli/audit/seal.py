"""`guardproxy audit seal-key | unseal | erase | rotate`: the commands about sealed texts.

In: a folder of logs, its key store, the operator's key. Out: text or JSON on stdout, and an entry in the log for what was done;
exit code 0: done, 1: nothing to do, 2: wrong use, or it could not be done.
"""

from __future__ import annotations

import getpass
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.cli.audit.arguments import AsJson, Folder
from guardproxy.cli.printing import fail, say, say_json
from guardproxy.errors import GuardproxyError

if TYPE_CHECKING:
    from guardproxy.audit import Judged, Record
    from guardproxy.audit.sealing import KeyAccess

Key = Annotated[
    list[str], typer.Option("--key", help="The operator's key: `file:PATH`, `env:NAME` or `command:COMMAND`.")
]
Store = Annotated[Path | None, typer.Option(help="The key store. Without it, `seal.keys` in DIR.", show_default=False)]
Reason = Annotated[
    str, typer.Option(help="The reason, for the log. Do not name the subject: a log is never shortened.")
]
By = Annotated[
    str | None, typer.Option(help="Who does it, for the log. Without it, the user of this machine.", show_default=False)
]


def seal_key(file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file. It must not exist.")]) -> None:
    """Make a key for sealed texts, and write it into a new file that only you can read.

    Keep a copy where the log is not. Without the key, no one can read the sealed texts.
    """
    from guardproxy.audit.sealing import new_key  # noqa: PLC0415

    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
            out.write(new_key() + "\n")
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    say(f"the key is in {file}: give it as --seal-key file:{file}")


def unseal(
    folder: Folder,
    exchange_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the exchange.")],
    reason: Reason,
    key: Key,
    store: Store = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Print an exchange with its sealed texts and the values that placeholders replace. The log records it first."""
    record, scores = _entries(folder, exchange_id)
    with _key_access(folder, store, key, reason, by) as access:
        opened = access.unseal(record)
        reasons = access.reasons(scores)
    if as_json:
        said = {"reasons": reasons} if reasons else {}
        say_json({"record": opened.record.document(), "values": opened.values, **said})
        return
    from guardproxy.cli.audit.view import print_entry  # noqa: PLC0415

    print_entry(opened.record)
    for placeholder, value in sorted(opened.values.items()):
        say(f"{placeholder} = {value}")
    for policy, words in sorted(reasons.items()):
        say(f"judge of {policy}: {words}")


def erase(
    folder: Folder,
    reason: Reason,
    subject: Annotated[
        str | None, typer.Option(help="The name of the subject, as its requests gave it.", show_default=False)
    ] = None,
    conversation: Annotated[
        str | None, typer.Option(help="The pseudonym of a conversation, as records give it.", show_default=False)
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(
            help="A tenant, as records give it. With a subject or a conversation: only this tenant's. Alone: everything of "
            "the tenant.",
            show_default=False,
        ),
    ] = None,
    store: Store = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Destroy the keys of a subject's texts, so that no one can read them any more. The log still verifies.

    No key of the operator is needed. Records stay, without their texts. Copies of the key store must be destroyed too, or the
    operator's key rotated and its old key destroyed: `guardproxy audit rotate`.
    """
    if subject is not None and conversation is not None:
        fail("give --subject or --conversation, not both")
    if subject is None and conversation is None and tenant is None:
        fail("give --subject, --conversation or --tenant")
    with _key_access(folder, store, (), reason, by) as access:
        count = access.erase(subject=subject, conversation=conversation, tenant=tenant)
    _say_count(count, "destroyed", as_json)
    raise typer.Exit(0 if count else 1)


def rotate(
    folder: Folder,
    reason: Reason,
    key: Key,
    new_key: Annotated[str, typer.Option(help="The new key of the operator, in the same forms.")],
    store: Store = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Wrap all data keys under a new key of the operator. No record changes, and the old key opens nothing any more.

    Give a running proxy both keys before (--seal-key for each), so that it goes on without a pause.
    """
    from guardproxy.audit.sealing import read_key  # noqa: PLC0415

    with _key_access(folder, store, key, reason, by) as access:
        count = access.rotate(read_key(new_key, folder))
    _say_count(count, "wrapped with the new key", as_json)


def _say_count(count: int, what: str, as_json: bool) -> None:
    if as_json:
        say_json({"keys": count})
    else:
        say(f"data keys {what}: {count}")


@contextmanager
def _key_access(
    folder: Path, store: Path | None, key: Sequence[str], reason: str, by: str | None
) -> Iterator[KeyAccess]:
    """Opens the key store, and completes what an earlier command did not complete. Ends the command at an error."""
    from importlib.metadata import version  # noqa: PLC0415

    from guardproxy.audit.sealing import KeyAccess, open_store  # noqa: PLC0415

    if not folder.is_dir():
        fail(f"{folder}: no such folder")
    if not reason.strip():
        fail("give a reason, for the log")
    try:
        keys = open_store(folder, store, key)
        try:
            access = KeyAccess(folder, keys, f"guardproxy {version('guardproxy')}", by or _user(), reason)
            access.settle()
            yield access
        finally:
            keys.close()
    except GuardproxyError as error:
        fail(str(error))


def _entries(folder: Path, exchange_id: str) -> tuple[Record, list[Judged]]:
    """Returns the record of an exchange, and what judges said about it."""
    from guardproxy.audit import Judged, Record  # noqa: PLC0415
    from guardproxy.audit.shipping import confirmed_entries  # noqa: PLC0415

    unread: Counter[str] = Counter()
    record: Record | None = None
    scores: list[Judged] = []
    try:
        for logged in confirmed_entries(folder, unread):
            match logged.entry:
                case Record(id=name) if name == exchange_id:
                    record = record or logged.entry
                case Judged(id=name) if name == exchange_id:
                    scores.append(logged.entry)
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror}")
    if record is not None:
        return record, scores
    for problem, count in unread.items():
        say(f"{count} lines could not be read: {problem}", err=True)
    say(f"no exchange `{exchange_id}` in {folder}", err=True)
    raise typer.Exit(2 if unread else 1)  # a line that could not be read may be the one


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        return str(os.getuid())
