"""Reads files of texts into rows: labelled JSON Lines, unlabelled traffic, the texts of an audit log.

In: paths. Out: rows, in order. A file that ends in `.gz` is decompressed while it is read. A file that cannot be read raises
`ConfigError` with its name.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from guardproxy.audit import Record, read_entry
from guardproxy.audit.record import RecordedSide
from guardproxy.errors import ConfigError, RecordError
from guardproxy.findings import Kind
from guardproxy.lab.rows import LabelledRow, RowKeys, rows

ANSWER_KINDS: tuple[Kind, ...] = ("assistant", "reasoning", "refusal", "tool_arguments")
"""The kinds that a model writes. All other kinds are sent to a model."""


def labelled_rows(paths: Sequence[Path], keys: RowKeys) -> list[LabelledRow]:
    """Returns the rows of files, at least one. A row without a source gets its file's name."""
    rows_read = [row for path in paths for row in _read(path, keys)]
    if not rows_read:
        raise ConfigError(f"{', '.join(map(str, paths))}: no rows")
    return rows_read


def logged_rows(folder: Path, kind: Kind) -> list[LabelledRow]:
    """Returns the texts of a kind of channel in the audit logs of a folder, without duplicates: a chat repeats its
    history.

    The texts are as in the record, with placeholders for redacted values. Their source is the folder's name.
    """
    logs = sorted(folder.glob("*.jsonl"))
    if not logs:
        raise ConfigError(f"{folder}: no *.jsonl logs here")
    seen: dict[str, LabelledRow] = {}
    for path in logs:
        for number, record in _records(path):
            side: RecordedSide = record.response if kind in ANSWER_KINDS else record.request
            for text in side.texts:
                if text.kind == kind and text.text and text.text not in seen:
                    seen[text.text] = LabelledRow(text.text, False, folder.name, f"{path}:{number}")
    if not seen:
        raise ConfigError(
            f"{folder}: the logs keep no text of the kind `{kind}` (a policy's `audit: keep` decides what they keep)"
        )
    return list(seen.values())


def _read(path: Path, keys: RowKeys) -> Iterator[LabelledRow]:
    packed = path.suffix == ".gz"
    source = (path.with_suffix("") if packed else path).stem
    try:
        with gzip.open(path) if packed else path.open("rb") as lines:
            yield from rows(lines, str(path), source, keys)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _records(path: Path) -> Iterator[tuple[int, Record]]:
    """Yields the records of a log with their line numbers."""
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if isinstance(record := read_entry(line), Record) and not record.feedback:
                    yield number, record
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except RecordError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
