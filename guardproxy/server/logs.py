"""The operational log: a JSON object on each line of standard error. It never contains a text of an exchange."""

from __future__ import annotations

import logging
import re
import sys

from pythonjsonlogger.orjson import OrjsonFormatter

from guardproxy.crashes import kinds, places

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


# What these libraries say can quote what a client or a model sent.
_QUOTING = {"aiohttp.server": "a request could not be handled", "asyncio": "unexpected error in the event loop"}


class _MessageFilter(logging.Filter):
    """Replaces exceptions by the names of their types and the places in the code, because messages can contain what a client
    or a model sent. Of another library only the template of a message is kept, not the values."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            record.fault = kinds(record.exc_info[1])
            record.where = places(record.exc_info[2])
        record.exc_info = None
        record.exc_text = None
        if not f"{record.name}.".startswith("guardproxy."):
            is_error = record.levelno >= logging.ERROR
            record.msg, record.args = _QUOTING.get(record.name, record.msg) if is_error else record.msg, ()
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
