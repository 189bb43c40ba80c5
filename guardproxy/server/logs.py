"""The operational log: a JSON object on each line of standard error. It never contains a text of an exchange."""

from __future__ import annotations

import logging
import re
import sys
import traceback

from pythonjsonlogger.orjson import OrjsonFormatter

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


class _MessageFilter(logging.Filter):
    """Replaces exceptions by the names of their types, because messages can contain what a client or a model sent."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            trace = traceback.extract_tb(record.exc_info[2])[-8:]
            record.where = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in trace]
        record.exc_info = None
        record.exc_text = None
        if record.name == "aiohttp.server":
            record.msg, record.args = "a request could not be handled", ()
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
    stream.addFilter(_MessageFilter())
    logging.basicConfig(level=level.upper(), handlers=[stream], force=True)
