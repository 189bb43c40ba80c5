"""A sink that keeps guardproxy's log and adds one line per exchange to `summary.tsv`: id, outcome and rules."""

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from guardproxy.audit.sinks.file import FileSink


class SummarySink:
    def __init__(self, folder: Path, log: str, header: Mapping[str, Any]) -> None:
        self._log = FileSink(folder, log, header)  # the durable log stays the source of truth
        self._summary = (folder / "summary.tsv").open("a", encoding="utf-8")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)  # `healthy`, `head`, `waiting`, and what the admin port shows

    def append(self, record: Mapping[str, Any]) -> Future[tuple[int, str]]:
        future = self._log.append(record)
        if "outcome" in record:
            line = "\t".join([record["id"], record["outcome"], ",".join(record["rules"])])
            future.add_done_callback(lambda kept: None if kept.exception() else self._write(line))
        return future

    def _write(self, line: str) -> None:
        self._summary.write(f"{line}\n")
        self._summary.flush()

    def close(self) -> None:
        self._log.close()
        self._summary.close()
