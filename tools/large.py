"""Measures how the time of an exchange grows with texts of 64 to 256 KB: what only large texts show.

`python -m tools.large` plays each text of `tests/kit/check_cost.py` as a request, as arguments of a tool and as a stream,
with the checks of `cost.py` and those of the shipped policies that need no model, and prints those whose time grows more than
`MOST_GROWTH` when the text is doubled. The exit code is 1 then. Garbage collection is set as in the server: with Python's own
thresholds each full collection visits all objects so far, and everything looks squared.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from guardproxy.server.processes.running import GC_THRESHOLDS
from guardproxy.testing import whole
from tests.kit.check_cost import READER_UNITS, UNITS, built, text_of
from tests.kit.play import CHAT, chat_frames
from tools.cost import Meter

SIZES = (64 * 1024, 128 * 1024, 256 * 1024)
MOST_GROWTH = 3.0  # of the last doubling; 2 is linear, 4 squared
LEAST_S = 0.2  # shorter times say nothing
PIECE = 256  # characters of a chunk of a stream
LONG_RUNS = {"escaped letters": "\\u0041", "open object": '{"a":"', "nests": '{"a":[', "doubled percent": "%2541"}
TEXTS = {**UNITS, **READER_UNITS, **LONG_RUNS}
CHECKS: dict[str, dict[str, Any]] = {
    "pii": {},
    "secrets": {},
    "pattern": {"words": ["falcon"], "patterns": ["order-[0-9]{4}"], "evasions": "strict"},
    "links": {"allow": ["ok.example"]},
    "control_chars": {},
    "special_tokens": {},
}
Play = Callable[[str], object]


def _asked(**message: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}, message]}).encode()


def request(text: str) -> object:
    """Plays a text as the message of a user."""
    return Meter(CHAT, counted=False).run(_asked(role="user", content=text))


def arguments(text: str) -> object:
    """Plays a text as a tool's argument in the history."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"x": text})}}
    return Meter(CHAT, counted=False).run(_asked(role="assistant", tool_calls=[call]))


def stream(text: str) -> object:
    """Plays a text as a streamed answer."""
    frames = chat_frames([{"content": text[at : at + PIECE]} for at in range(0, len(text), PIECE)])
    return Meter(CHAT, counted=False).run(_asked(role="user", content="hi"), ("text/event-stream", list(frames)))


def plays() -> Iterator[tuple[str, Play]]:
    """Yields what a text is played as, with its name."""
    yield from (("request", request), ("arguments", arguments), ("stream", stream))
    for use, options in CHECKS.items():
        check = built(use, options)
        yield f"check {use}", lambda text, check=check: whole(check, text)  # type: ignore[misc]


def seconds(play: Play, text: str) -> float:
    """The processor time of playing a text."""
    began_s = time.process_time()
    play(text)
    return time.process_time() - began_s


def _measured(play: Play, unit: str, times: int) -> list[float]:
    return [seconds(play, text_of(unit, size * times)) for size in SIZES]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures. Returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--texts", nargs="*", choices=TEXTS, default=list(TEXTS))
    parser.add_argument("--plays", nargs="*", help="a part of a name of what is played, such as `stream` or `check`")
    parser.add_argument("--times", type=int, default=1, help="how many times as long the texts are")
    options = parser.parse_args(arguments)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    worst = 0.0
    for kind, play in plays():
        if options.plays and not any(part in kind for part in options.plays):
            continue
        play(text_of("warm up ", 1000))
        for name in options.texts:
            times = _measured(play, TEXTS[name], options.times)
            if (growth := times[-1] / max(times[-2], LEAST_S / 4)) > MOST_GROWTH:  # once more: the machine may be busy
                again = _measured(play, TEXTS[name], options.times)
                times = list(map(min, times, again))
                growth = times[-1] / max(times[-2], LEAST_S / 4)
            is_bad = growth > MOST_GROWTH and times[-1] > LEAST_S
            worst = max(worst, growth if is_bad else 0.0)
            if is_bad or times[-1] > 10 * LEAST_S:
                shown = " ".join(f"{time_s:7.2f} s" for time_s in times)
                print(f"{kind:22} {name:26} {shown}  x{growth:.1f}{'  SQUARED' if is_bad else ''}", flush=True)
    print("linear" if not worst else f"up to {worst:.1f} times the time for twice the text")
    return 1 if worst else 0


if __name__ == "__main__":
    raise SystemExit(main())
