"""`guardproxy scan`: applies policies to texts from standard input, without a server or a model's API."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from guardproxy.cli.policy.arguments import AllowCode
from guardproxy.errors import PolicyError


def scan(
    policies: Annotated[
        Path | None, typer.Option(help="A folder of policies, or the name of a shipped policy such as `strict`.")
    ] = None,
    on: Annotated[str, typer.Option(help="request: as a user's message; response: as a model's answer.")] = "request",
    allow_code: AllowCode = False,
) -> None:
    """Read {"id", "text"} lines, write {"id", "decision", "rules", "findings", "text"} lines.

    Exit code 0: no findings; 1: findings; 2: wrong use.
    """
    from guardproxy.library import load  # noqa: PLC0415
    from guardproxy.policytest import scan_text  # noqa: PLC0415

    if on not in ("request", "response"):
        typer.echo("guardproxy: --on is request or response", err=True)
        raise typer.Exit(2)
    direction: Literal["request", "response"] = "request" if on == "request" else "response"
    try:
        rules = load(policies, code=allow_code)
    except PolicyError as error:
        typer.echo(f"guardproxy: {error}", err=True)
        raise typer.Exit(2) from None
    anything = False
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text = row["text"]
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            typer.echo(f'guardproxy: line {number} is not a JSON object with a string "text"', err=True)
            raise typer.Exit(2) from None
        result = scan_text(rules, text, direction)
        anything = anything or bool(result.findings)
        findings = [
            {
                "check": finding.check,
                "label": finding.label,
                "start": finding.start,
                "end": finding.end,
                "score": round(finding.score, 4),
            }
            for finding in result.findings
        ]
        out = {"id": row.get("id"), "decision": result.decision, "rules": list(result.rules), "findings": findings}
        sys.stdout.write(json.dumps({**out, "text": result.text}, ensure_ascii=False) + "\n")
    raise typer.Exit(1 if anything else 0)
