"""`guardproxy audit keygen`, `prove`, `check-proof`, `checkpoint`, `cosign`: keys, checkpoints and proofs of the audit log.

In: folders of logs, keys, checkpoints, proofs. Out: text, checkpoints or proofs; exit code 0: done or proven, 1: not
proven, 2: wrong use.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from guardproxy.cli.audit.arguments import AsJson, Folder, clock
from guardproxy.cli.printing import say, say_json
from guardproxy.errors import AuditError

if TYPE_CHECKING:
    from guardproxy.audit.proof import Proven, SignedNote

_LIMIT_BYTES = 1 << 28  # of a proof

Keys = Annotated[
    list[str], typer.Option("--key", metavar="KEY", help="The public key of the log, or its file. May be repeated.")
]


@contextmanager
def wrong_use(code: int = 2) -> Iterator[None]:
    """Prints errors of files, keys and proofs, and ends with an exit code."""
    from guardproxy.audit import reason  # noqa: PLC0415

    try:
        yield
    except AuditError as error:
        say(str(error), err=True)
        raise typer.Exit(code) from None
    except OSError as error:
        say(f"{error.filename}: {reason(error)}", err=True)
        raise typer.Exit(2) from None


def keygen_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key is written, with mode 0600.")],
    name: Annotated[
        str, typer.Option(help="The name of the key, which signatures show: a host name, for example.")
    ] = "guardproxy",
    is_witness: Annotated[
        bool, typer.Option("--witness", help="Make the key of a witness, which cosigns checkpoints of others.")
    ] = False,
) -> None:
    """Make a key that signs the log. Prints the public key and writes it to FILE.pub.

    The private key must lie outside the audit folder: whoever can write the log must not be able to sign it. Give
    auditors the public key.
    """
    from guardproxy.audit.proof import PrivateKey, write_key  # noqa: PLC0415

    with wrong_use():
        key = PrivateKey.new(name, is_witness=is_witness)
        write_key(file, key)
    say(str(key.public))


def checkpoint_command(
    folder: Folder,
    key: Annotated[
        str, typer.Option("--sign", metavar="KEY", help="The private key, or its file: sign a new checkpoint first.")
    ] = "",
) -> None:
    """Print the newest checkpoint of a folder. With --sign: cover all logs that no server writes, such as logs that were
    written before signing was switched on."""
    from guardproxy.audit.proof import CheckpointStore, found_states, private_key, read_note  # noqa: PLC0415

    with wrong_use():
        if not folder.is_dir():
            raise AuditError(f"{folder}: no such folder")
        if key:
            store = CheckpointStore(folder, private_key(key, folder))
            note: SignedNote | None = store.write(found_states(folder, "*.jsonl", store.states), time.time())
        else:
            note = read_note(folder)
        if note is None:
            raise AuditError(f"{folder}: no checkpoint: the log is not signed (see `serve --audit-key`)")
    _say_note(note)


def prove_command(
    folder: Folder,
    exchange_id: Annotated[str, typer.Argument(metavar="[ID]", help="The exchange to prove.")] = "",
    since: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Prove that the newest checkpoint continues this older one."),
    ] = None,
) -> None:
    """Print the proof that the log holds an exchange. `check-proof` checks it without the log.

    The proof holds the record, with its texts as in the log.
    """
    from guardproxy.audit.proof import SignedNote, prove_consistency, prove_record  # noqa: PLC0415

    with wrong_use():
        if bool(exchange_id) == bool(since):
            raise AuditError("give the id of an exchange, or --since with an older checkpoint")
        if since:
            proof = msgspec.to_builtins(prove_consistency(folder, SignedNote.read(since.read_bytes())))
        else:
            proof = msgspec.to_builtins(prove_record(folder, exchange_id))
    say_json(proof, 1)


def check_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A proof that `audit prove` printed; `-`: standard input.")
    ],
    key: Keys,
    receipt: Annotated[
        str, typer.Option(metavar="TEXT", help="The header `guardproxy-receipt` that a client got, to be compared.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Check a proof with the public key alone. Needs no log and no server."""
    from guardproxy.audit.proof import ConsistencyProof, check, compare_receipt, public_key, read_proof  # noqa: PLC0415

    with wrong_use():
        keys = list(map(public_key, key))
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as stream:
            data = stream.read(_LIMIT_BYTES)
        proof = read_proof(data)
    with wrong_use(1):
        proven = check(proof, keys)
    differences = compare_receipt(receipt, proven.members) if receipt else []
    if as_json:
        shown = {**msgspec.to_builtins(proven), "receipt_differences": differences}
        say_json({"ok": not differences, **shown}, 2)
    else:
        say(*_lines_of(proven, is_record=not isinstance(proof, ConsistencyProof)))
        if receipt and not differences:
            say("the receipt fits the record")
    say(*differences, err=True)
    raise typer.Exit(1 if differences else 0)


def _lines_of(proven: Proven, *, is_record: bool) -> Iterator[str]:
    signed = f"checkpoint {proven.number} of {proven.origin}, signed by {proven.signed_by}"
    if not is_record:
        yield f"{signed}, continues checkpoint {proven.old_number}"
        return
    members = proven.members
    yield f"proven: record {members['seq']} of log {proven.log} is in {signed}"
    for name in ("id", "kind", "at", "route", "model", "outcome", "rules", "policies", "checks", "engine"):
        if value := members.get(name):
            shown = clock(value) if name == "at" else value if isinstance(value, str) else json.dumps(value)
            yield f"  {name:9} {shown}"


def cosign_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint of the log.")],
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="The private key of the witness, or its file.")],
    log_key: Annotated[str, typer.Option(metavar="KEY", help="The public key of the log, or its file.")],
    state: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the witness keeps the last checkpoint that it cosigned.")
    ],
    proof: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The proof of `audit prove --since` from that checkpoint.")
    ] = None,
) -> None:
    """Cosign a checkpoint as a witness, and print it with the cosignature.

    A witness cosigns only checkpoints that continue the last one. So a log that was rolled back or written anew gets no
    cosignature.
    """
    from guardproxy.audit.proof import (  # noqa: PLC0415
        ConsistencyProof,
        SignedNote,
        private_key,
        public_key,
        read_proof,
        witness,
        write_note,
    )

    with wrong_use():
        own, public = private_key(key), public_key(log_key)
        note = SignedNote.read(file.read_bytes())
        last = SignedNote.read(state.read_bytes()) if state.exists() else None
        link = read_proof(proof.read_bytes()) if proof else None
        if link is not None and not isinstance(link, ConsistencyProof):
            raise AuditError(f"{proof}: not a proof of `audit prove --since`")
    with wrong_use(1):
        cosigned = witness(note, public, own, int(time.time()), last, link)
    with wrong_use():
        write_note(state, cosigned)  # before anybody sees it: a witness must not forget what it cosigned
    _say_note(cosigned)


def _say_note(note: SignedNote) -> None:
    """Prints a note, with its newlines. The lines of a note are printable, so it is printed as it is stored."""
    say(*note.data.decode().removesuffix("\n").split("\n"))
