"""The operational log shows no text: not of an exception, and not of another library."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from guardproxy.server import logs

SECRET = "jane.doe@corp.example"


@pytest.fixture
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_restored")
def test_messages_of_exceptions_and_libraries_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug")
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("guardproxy.x").error("a fault", exc_info=True)
    logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: ValueError({SECRET!r})")
    logging.getLogger("asyncio").debug("Using selector: %s", "x")
    logging.getLogger("aiohttp.server").error("Error handling request from %s", SECRET)
    logging.getLogger("library").debug("sent %s", SECRET)
    logging.getLogger("guardproxy.x").info("path\x1b %s", "a")
    logging.getLogger("guardproxyish").info("path %s", SECRET)
    said = capsys.readouterr().err
    assert SECRET not in said
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in lines] == [
        "a fault",
        "unexpected error in the event loop",
        "Using selector: %s",
        "a request could not be handled",
        "sent %s",
        "path? a",
        "path %s",
    ]
    assert lines[0]["fault"] == "ValueError"
    assert lines[0]["where"][0].startswith("test_logs.py:")
