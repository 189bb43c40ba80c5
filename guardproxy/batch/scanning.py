"""Scans the texts of JSON lines, and whole files of text, under policies, part by part.

In: parts of files, files, or lines. Out: for each line its result, as a line of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from guardproxy.batch.policies import SharedPolicies
from guardproxy.engine import AnyPath
from guardproxy.errors import ConfigError
from guardproxy.findings import Direction, Kind
from guardproxy.policy import PolicySet
from guardproxy.policytest import scan_text


class TextPart(Protocol):
    """A part of a file, or some lines."""

    def lines(self) -> Iterable[bytes | str]:
        """Returns the lines."""
        ...


@dataclass(frozen=True, slots=True)
class ScannedPart:
    """The results of some lines. `lines`: their number. `is_faulty`: whether the last one is not a JSON object with a text, so
    that no line after it was read. `has_findings`: whether a text has any. `out`: the results, as lines of JSON."""

    lines: int
    is_faulty: bool
    has_findings: bool
    out: str


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file that is one text, in UTF-8. The id of the text is the path."""

    path: AnyPath

    def lines(self) -> tuple[str]:
        """Returns the text as a line. Raises `ConfigError`."""
        return (text_line(self.path.read_bytes(), str(self.path), str(self.path)),)


def text_line(data: bytes, where: str, name: str | None = None) -> str:
    """Returns a whole text, in UTF-8, as a line of JSON. `where`: its place, for messages. `name`: its id. Raises
    `ConfigError`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: no text in UTF-8 (byte {error.start})") from None
    return json.dumps({"id": name, "text": text})


@dataclass(frozen=True, slots=True)
class ScanWork:
    """Scans texts under policies. `direction`: as a text to the model, or from it. `kind`: of the texts; `None`: the message
    of a user, or the answer of a model."""

    policies: SharedPolicies
    direction: Direction
    kind: Kind | None = None

    @property
    def uses_models(self) -> bool:
        """See `Work.uses_models`."""
        return self.policies.use_models

    @contextmanager
    def open(self) -> Iterator[Callable[[TextPart], ScannedPart]]:
        """See `Work.open`."""
        yield partial(self._do, self.policies.load())

    def _do(self, policies: PolicySet, texts: TextPart) -> ScannedPart:
        out: list[str] = []
        lines, is_faulty, has_findings = 0, False, False
        for line in texts.lines():
            lines += 1
            if not line.strip():
                continue
            row = _row(line)
            if row is None:
                is_faulty = True
                break
            result = scan_text(policies, row["text"], self.direction, self.kind)
            has_findings = has_findings or bool(result.findings)
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
            shown = {
                "decision": result.decision,
                "rules": list(result.rules),
                "findings": findings,
                "text": result.text,
            }
            out.append(json.dumps({"id": row.get("id"), **shown}, ensure_ascii=False) + "\n")
        return ScannedPart(lines, is_faulty, has_findings, "".join(out))


def _row(line: bytes | str) -> dict[str, Any] | None:
    """Returns the object of a line; `None` if it is not a JSON object with a text of whole characters."""
    try:
        row: dict[str, Any] = json.loads(line, parse_constant=_refuse_constant)
        row["text"].encode()
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None
    return row


def _refuse_constant(name: str) -> None:
    """Raises `ValueError` for NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(name)
