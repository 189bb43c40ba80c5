"""The program's own log: one JSON object a line on standard error. No text of an exchange ever comes here."""

from __future__ import annotations

import logging
import re
import sys

from pythonjsonlogger.orjson import OrjsonFormatter

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


class _Clean(logging.Filter):
    """aiohttp puts raw bytes of malformed requests into its messages: only the kind of error is kept."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        record.exc_text = None
        record.msg = "a connection sent malformed HTTP" if record.name == "aiohttp.server" else record.msg
        record.args = () if record.name == "aiohttp.server" else record.args
        if isinstance(record.msg, str):
            record.msg = _CONTROL.sub("?", record.msg)[:500]
        return True


def configure(level: str) -> None:
    """Sets up logging for the process."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(
        OrjsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger", "message": "event"},
        )
    )
    stream.addFilter(_Clean())
    logging.basicConfig(level=level.upper(), handlers=[stream], force=True)
