"""A sink that keeps guardproxy's log and adds one line per exchange to `summary.tsv`: id, outcome and rules."""

from guardproxy.audit.sinks.file import FileSink


class SummarySink:
    def __init__(self, folder, log, header):
        self._log = FileSink(folder, log, header)  # the durable log stays the source of truth
        self._summary = (self._log.path.parent / "summary.tsv").open("a", encoding="utf-8")

    def __getattr__(self, name):
        return getattr(self._log, name)  # `healthy`, `head`, `waiting`, and what the admin port shows

    def append(self, record):
        future = self._log.append(record)
        if "outcome" in record:
            line = "\t".join([record["id"], record["outcome"], ",".join(record["rules"])])
            future.add_done_callback(lambda kept: kept.exception() or self._write(line))
        return future

    def _write(self, line):
        self._summary.write(f"{line}\n")
        self._summary.flush()

    def close(self):
        self._log.close()
        self._summary.close()
