"""The operational log shows no text: not of an exception, and not of another library."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from guardproxy.telemetry import logs

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
    logs.configure_logs("debug")
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


HOSTILE = "a\x1b[31m\x9b\u202eb"


def written(form: str, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    """The log of two entries with hostile values."""
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure_logs("info", form)
    members = {
        "route": HOSTILE,
        "rules": [],
        "limits": ["limits few", "b"],
        "ms": 1.5,
        "none": None,
        "empty": "",
        "_mark": 1,
    }
    logging.getLogger("guardproxy.x").info("exchange", extra=members)
    logging.getLogger("guardproxy.x").warning("late %s", HOSTILE)
    return stream.getvalue()


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize(("form", "terminal"), [("json", True), ("json", False), ("auto", False)])
def test_json_is_for_programs(form: str, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(form, terminal, monkeypatch)
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    assert json.loads(text.splitlines()[0])["route"] == HOSTILE


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize(("form", "terminal"), [("text", False), ("text", True), ("auto", True)])
def test_text_is_for_people(form: str, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(form, terminal, monkeypatch)
    bare = re.sub(r"\x1b\[\d+m", "", text)
    assert ("\x1b[" in text) == terminal
    assert bare.replace("\n", "").isprintable()
    first, second = (line[10:] for line in bare.splitlines())
    shown = "a\\x1b[31m\\x9b\\u202eb"
    assert first == f'info     exchange  route={shown}  rules=-  limits="limits few",b  ms=1.5  empty=""'
    assert second == f"warning  late {shown}"


@pytest.mark.usefixtures("_restored")
def test_colours_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in written("auto", True, monkeypatch)


def test_a_message_that_is_no_text_is_written_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logs("info")
    logging.getLogger("guardproxy.test").info(7)
    assert json.loads(capsys.readouterr().err)["event"] in (7, "7")
