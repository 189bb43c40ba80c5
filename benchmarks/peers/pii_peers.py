"""Other packages that find personal data, timed in an interpreter of their own for `benchmarks/checks/pii.py`.

Lines of JSON in, lines of JSON out. First goes out which packages are installed. Then, for `{"peer", "text"}`, `{"us",
"spans"}`: the processor time of one call and what it found. This file imports nothing of guardproxy.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

Spans = list[tuple[int, int]]


def _presidio_rs() -> Callable[[str], Spans]:
    import presidio_rs

    analyzer = presidio_rs.Analyzer()
    return lambda text: [(one["start"], one["end"]) for one in analyzer.analyze(text) if one["score"] >= 0.4]


def _scrubadub() -> Callable[[str], Spans]:
    import scrubadub

    scrubber = scrubadub.Scrubber()
    return lambda text: [(one.beg, one.end) for one in scrubber.iter_filth(text)]


def _datafog() -> Callable[[str], Spans]:
    import datafog

    return lambda text: [(one.start, one.end) for one in datafog.scan(text, engine="regex").entities]


PEERS: dict[str, Callable[[], Callable[[str], Spans]]] = {
    "presidio-rs": _presidio_rs,
    "scrubadub": _scrubadub,
    "datafog": _datafog,
}


def main() -> None:
    ready: dict[str, Callable[[str], Spans]] = {}
    for name, make in PEERS.items():
        try:
            ready[name] = make()
        except ImportError as error:
            print(f"skipped {name}: {error}", file=sys.stderr)
    _say(list(ready))
    for line in sys.stdin:
        asked = json.loads(line)
        find, text = ready[asked["peer"]], asked["text"]
        begun = time.thread_time_ns()
        spans = find(text)
        _say({"us": (time.thread_time_ns() - begun) / 1000, "spans": spans})


def _say(value: Any) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
