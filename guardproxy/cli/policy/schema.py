"""`guardproxy policy schema`: prints the JSON Schema of policy files, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from guardproxy.cli.printing import fail, say_encoded


def schema(
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the schema to this file.")] = None,
) -> None:
    """Print the JSON Schema (draft 2020-12) of policy files, for completion and inline errors in editors.

    `guardproxy policy schema --out policies/policy.schema.json`, and as the first line of a policy:
    `# yaml-language-server: $schema=policy.schema.json`.
    """
    from guardproxy.policy.file import schema as policy_schema  # noqa: PLC0415

    text = json.dumps(policy_schema(), indent=2, ensure_ascii=False)
    if out:
        try:
            out.write_text(text + "\n", "utf-8")
        except OSError as error:
            fail(f"{out}: {(error.strerror or '').lower()}")
    else:
        say_encoded(text + "\n")
