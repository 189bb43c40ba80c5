"""What the checks of output that attacks its reader cost, and how many disguised addresses they find.

Run `python -m benchmarks.checks.reader_attacks --out DIR [--rounds N]`: prints a table and writes `reader_attacks.json`. Each
text is scanned as a whole, and as a stream of windows of four characters (a token at a time). Two other ways to find links read
the same texts in the same run: the pattern for Markdown links that most guards ship, and markdown-it-py, which parses the text.
Both are for whole texts: in a stream they must read the text so far again at each token.

The addresses are those of `tests/kit/links.py`: spellings that renderers and a browser's rules confirm, and spellings that
other clients follow. A way finds a spelling if it reports the host or the scheme.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from benchmarks.checks.profiles import CHAT
from guardproxy.checks import Check, Resources, build
from guardproxy.findings import Channel, Window
from tests.kit.links import ELSEWHERE, EVIL, FOLLOWED

CHANNEL = Channel("response", "assistant", "choices[0].message.content")
LINKED = (
    "Here is what I found. The [manual](https://manuals.example.net/pump#filter) says that the filter is changed twice a "
    "year, and ![a drawing](https://pictures.example.net/filter.png) shows where it is. Two shops sell it: "
    "<https://shop.example.com/a?id=7> and https://parts.example.org/filters/12. The first one is cheaper, but it does not "
    "say how long the delivery takes."
)
TEXTS = {"chat": CHAT, "links": LINKED, "answer": (CHAT + "\n\n" + LINKED + "\n\n") * 8}
# As guards ship it: inline links and images with http or https, and bare URLs.
PATTERN = re.compile(r"!?\[[^\]]*\]\((https?://[^\s)]+)[^)]*\)|https?://[^\s)\]>\"']+")
PARSER = MarkdownIt("commonmark", {"html": True})
_ADDRESS = re.compile(r"(?:href|src)=[\"']?((?:https?:)?//[^\s\"'>]+|javascript:[^\"'>]+)", re.IGNORECASE)


def _by_pattern(text: str) -> list[str]:
    return [match[0] for match in PATTERN.finditer(text)]


def _by_parser(text: str) -> list[str]:
    """The addresses of links and images, and those that a pattern finds in the HTML between them."""
    found: list[str] = []
    for token in PARSER.parse(text):
        for part in (token, *(token.children or ())):
            found += [str(part.attrs[name]) for name in ("href", "src") if name in part.attrs]
            if part.type in ("html_inline", "html_block"):
                found += _ADDRESS.findall(part.content)
    return found


def _by_check(check: Check, text: str) -> list[str]:
    (scan,) = check.scan([Window(CHANNEL, text)])
    return [text[finding.start : finding.end] for finding in scan.findings]


def _streamed(check: Check, text: str, step: int = 4) -> None:
    settled, keep, state = 0, 0, None
    for end in [*range(step, len(text), step), len(text)]:
        (scan,) = check.scan([Window(CHANNEL, text[keep:end], keep, settled, end == len(text), state=state)])
        settled, keep, state = scan.settled, scan.keep, scan.state


def _again(way: Callable[[str], object], text: str, step: int = 4) -> None:
    for end in [*range(step, len(text), step), len(text)]:
        way(text[:end])


def costs(rounds: int) -> dict[str, dict[str, float]]:
    """Medians in microseconds: text -> candidate -> value. The candidates take turns."""
    checks = {use: build(use, use, {}, Resources()) for use in ("links", "control_chars", "special_tokens")}
    results: dict[str, dict[str, float]] = {}
    for label, text in TEXTS.items():
        candidates: dict[str, Callable[[], object]] = {}
        for name, check in checks.items():
            candidates[name] = partial(check.scan, [Window(CHANNEL, text)])
            candidates[f"{name}, whole stream"] = partial(_streamed, check, text)
        ways: Mapping[str, Callable[[str], object]] = {"pattern for links": _by_pattern, "markdown-it-py": _by_parser}
        for name, way in ways.items():
            candidates[name] = partial(way, text)
            if label != "answer":
                candidates[f"{name}, whole stream"] = partial(_again, way, text)
        took: dict[str, list[float]] = {name: [] for name in candidates}
        for at in range(rounds + 2):
            for name, run in candidates.items():
                begun = time.perf_counter_ns()
                run()
                if at >= 2:
                    took[name].append((time.perf_counter_ns() - begun) / 1000)
        results[label] = {name: round(statistics.median(values), 1) for name, values in took.items()}
    return results


def found() -> dict[str, dict[str, int]]:
    """The number of spellings that each way finds, of those that browsers and that other clients follow."""
    check = build("links", "links", {"allow": ["ok.example"]}, Resources())
    ways: Mapping[str, Callable[[str], list[str]]] = {
        "links": partial(_by_check, check),
        "pattern for links": _by_pattern,
        "markdown-it-py": _by_parser,
    }
    return {
        name: {
            label: sum(_names(way(spelling.replace("✱", EVIL))) for spelling in spellings)
            for label, spellings in (("browsers", FOLLOWED), ("other clients", ELSEWHERE))
        }
        for name, way in ways.items()
    }


def _names(addresses: list[str]) -> bool:
    return any("ok.example/" not in address for address in addresses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "about": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "rounds": options.rounds,
            "characters": {name: len(text) for name, text in TEXTS.items()},
            "spellings": {"browsers": len(FOLLOWED), "other clients": len(ELSEWHERE)},
        },
        "median_us": costs(options.rounds),
        "found": found(),
    }
    (options.out / "reader_attacks.json").write_text(json.dumps(results, indent=2) + "\n")
    for text, values in results["median_us"].items():
        for name, value in values.items():
            print(f"{text:8} {name:34} {value:12.1f} us")
    for name, numbers in results["found"].items():
        print(f"{name:20} {numbers}")


if __name__ == "__main__":
    main()
