"""`guardproxy audit`: commands for the audit log. Each group of commands has a file."""

from __future__ import annotations

import typer

from guardproxy.cli.audit import proof, read, seal, ship, show, tail, verify
from guardproxy.cli.printing import Commands

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Verify and read the audit log.")
app.command("keygen")(proof.keygen_command)
app.command("checkpoint")(proof.checkpoint_command)
app.command("prove")(proof.prove_command)
app.command("check-proof")(proof.check_command)
app.command("cosign")(proof.cosign_command)
app.command("verify")(verify.verify)
app.command("show")(show.show)
app.command("schema")(show.schema)
app.command("seal-key")(seal.seal_key)
app.command("unseal")(seal.unseal)
app.command("erase")(seal.erase)
app.command("rotate")(seal.rotate)
app.command("query")(read.query)
app.command("export")(read.export)
app.command("report")(read.report)
app.command("ship")(ship.ship)
app.command("tail")(tail.tail)
