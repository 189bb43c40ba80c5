"""The operational log on standard error: a JSON object on each line, or text for people. It holds no text of an exchange.

Both forms are safe for a terminal: control characters and changes of direction are escaped.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import Any

from pythonjsonlogger.orjson import OrjsonFormatter

from guardproxy.crashes import kinds, places
from guardproxy.printable import ascii_json, plain

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


# What these libraries say can quote what a client or a model sent.
_QUOTING = {"aiohttp.server": "a request could not be handled", "asyncio": "unexpected error in the event loop"}


_LEVEL_STYLES = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31", logging.INFO: "32"}
_LIMIT_VALUE_CHARS = 500
_OWN_MEMBERS = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"))


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


class _JsonFormatter(OrjsonFormatter):
    """Writes an entry as a JSON object of ASCII characters."""

    def format(self, record: logging.LogRecord) -> str:
        return ascii_json(super().format(record))


class _TextFormatter(logging.Formatter):
    """Writes an entry as a line for people: the time, the level, the event, and its members. With colours on a terminal."""

    def __init__(self, is_coloured: bool) -> None:
        super().__init__()
        self._is_coloured = is_coloured

    def format(self, record: logging.LogRecord) -> str:
        # Libraries mark every entry of a process: Ray adds `_ray_timestamp_ns`.
        given = {name: value for name, value in vars(record).items() if not name.startswith("_")}
        members = {name: value for name, value in given.items() if name not in _OWN_MEMBERS}
        clock = self.formatTime(record, "%H:%M:%S")
        level = self._in_style(record.levelname.lower().ljust(7), _LEVEL_STYLES.get(record.levelno, "0"))
        shown = [f"{self._in_style(name, '2')}={_value(value)}" for name, value in members.items() if value is not None]
        return "  ".join([clock, level, self._in_style(plain(record.getMessage(), _LIMIT_VALUE_CHARS), "1"), *shown])

    def _in_style(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._is_coloured else text


def _value(value: Any) -> str:
    """A value on a line of text: words as they are, other texts in quotes."""
    if isinstance(value, list | tuple):
        return ",".join(map(_value, value)) or "-"
    text = f"{value:g}" if isinstance(value, float) else plain(str(value), _LIMIT_VALUE_CHARS)
    return f'"{text}"' if not text or " " in text else text


def configure_logs(level: str, form: str = "json") -> None:
    """Sets up logging for the process. `form`: `json`, `text`, or `auto`: text if standard error is a terminal."""
    stream = logging.StreamHandler(sys.stderr)
    is_terminal = sys.stderr.isatty()
    if form == "text" or (form == "auto" and is_terminal):
        stream.setFormatter(_TextFormatter(is_terminal and "NO_COLOR" not in os.environ))
    else:
        names = {"asctime": "time", "levelname": "level", "name": "logger", "message": "event"}
        stream.setFormatter(_JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields=names))
    stream.addFilter(_MessageFilter())
    logging.basicConfig(level=level.upper(), handlers=[stream], force=True)
