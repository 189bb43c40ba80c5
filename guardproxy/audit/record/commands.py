"""The log of what people do: `operator.jsonl` in the folder of a proxy's logs.

In: its file. Out: whether it is one.

A running proxy holds its own logs, so a command writes to another log. No process signs this log: the next checkpoint of
any proxy in the folder covers it, if it holds only entries that commands write.
"""

from __future__ import annotations

from typing import get_args

from guardproxy.audit.record.chain import open_line
from guardproxy.audit.record.document import Gap
from guardproxy.audit.record.entries import CommandEntry
from guardproxy.engine import AnyPath

OPERATOR_LOG = "operator"
OPERATOR_FILES = f"{OPERATOR_LOG}.*jsonl"  # with later files: `operator.1.jsonl`
_KINDS = frozenset(kind.__struct_config__.tag for kind in (*get_args(CommandEntry), Gap))


def is_of_command(line: bytes) -> bool:
    """Whether a line is an entry that a command writes."""
    return (open_line(line) or {}).get("kind") in _KINDS


def holds_commands_only(path: AnyPath) -> bool:
    """Whether every whole line after the header is an entry that a command writes. Raises `OSError`."""
    with path.open("rb") as lines:
        lines.readline()
        return all(map(is_of_command, (line for line in lines if line.endswith(b"\n"))))
