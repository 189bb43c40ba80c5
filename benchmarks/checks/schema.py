"""What judging answers by their schemas costs, and what ending wrong ones early saves.

Run `python -m benchmarks.checks.schema --out DIR [--rounds N]`: prints tables, writes `schema.json` and `schema.png` to DIR.

- Cost per KB: a right document is judged while it grows (in pieces of four characters, of 64, and in one), and whole by
  the library's validator after `json.loads`, on one thread; medians over rounds in which the ways take turns.
- Saved: right documents are broken in seven ways, each of which a model is known for; the share of the broken answer's
  tokens (four characters each) that would have come after the verdict. Not all faults can be seen early: a missing key
  shows when its object ends.
- Compiling: schemas by size, and what an equal one costs that is in the cache. The schemas are those of the data folder
  (GUARDPROXY_DATA) with a right document, and the largest that is accepted.
- The loop: how late a timer of the event loop is while the scanner compiles and judges hostile schemas in its thread.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.exchange.gate.gate import Job
from guardproxy.findings import Channel, Facts, Form, Window
from guardproxy.schemas.compiled import LIMIT_OBJECTS, Compiled, SchemaError, compile_schema
from guardproxy.schemas.drafts import STEPS_A_CHAR, CostError
from guardproxy.schemas.prefix import Prefix
from guardproxy.server.processes.running import SWITCH_S
from guardproxy.server.scanning.scanner import Scanner
from tests.kit.schema import HAS_DATA, MASKBENCH, ORDER, OWN, rows

CHANNEL = Channel("response", "assistant", "choices[0].message.content")
TOKEN_CHARS = 4
SIZES_KB = (1, 8, 64)


def documents() -> list[tuple[Any, Any]]:
    """Schemas with a right document of an object: of the data folder, or our own few."""
    if not HAS_DATA:
        return [(schema, value) for schema, value in OWN if isinstance(value, dict)]
    found: dict[str, tuple[Any, Any]] = {}
    for row in rows(MASKBENCH):
        if row["label"] == 1 and isinstance(row["data"], dict) and row["data"]:
            found.setdefault(json.dumps(row["schema"]), (row["schema"], row["data"]))
    return list(found.values())


ORDER_KEYS = {key: value for key, value in cast(dict[str, Any], ORDER["properties"]).items() if key != "parent"}
LIST = {
    "type": "object",
    "properties": {
        "orders": {
            "type": "array",
            "items": {"type": "object", "properties": ORDER_KEYS, "required": ["id"], "additionalProperties": False},
        }
    },
    "required": ["orders"],
    "additionalProperties": False,
}


def document(size: int) -> str:
    """A right list of orders of about `size` bytes."""
    line = {
        "id": 7,
        "state": "closed",
        "lines": [{"sku": "AB12345", "count": 3}, {"sku": "XY9", "count": 1}],
        "note": "ok",
    }
    return json.dumps({"orders": [line] * max(1, size // len(json.dumps(line)))})


def grow(compiled: Compiled, text: str, step: int) -> None:
    reading = Prefix(compiled)
    for at in range(0, len(text), step):
        reading.feed(text[at : at + step])
    reading.close()
    assert reading.wrong is None


def whole(compiled: Compiled, text: str) -> None:
    assert not compiled.judge(json.loads(text), len(text))


def measure_cost(rounds: int) -> dict[str, dict[int, float]]:
    """Microseconds per KB: way -> document size in KB."""
    compiled = compile_schema(LIST)
    out: dict[str, dict[int, float]] = {}
    for size in SIZES_KB:
        text = document(size * 1024)
        ways: dict[str, Callable[[], None]] = {
            "growing, 4 characters at a time": partial(grow, compiled, text, 4),
            "growing, 64 characters at a time": partial(grow, compiled, text, 64),
            "growing, in one piece": partial(grow, compiled, text, len(text)),
            "whole, json.loads and validator": partial(whole, compiled, text),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(max(3, rounds // size)):
            for name, run in ways.items():
                began = time.perf_counter()
                run()
                took[name].append((time.perf_counter() - began) * 1e6 / (len(text) / 1024))
        for name, values in took.items():
            out.setdefault(name, {})[size] = statistics.median(values)
    return out


# Broken answers.


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, value


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    copy = json.loads(json.dumps(value))
    inside = copy
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = new
    return copy


def objects(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from objects(inner, (*path, key))


def broken(value: Any, dice: random.Random) -> Iterator[tuple[str, str]]:
    """The document broken in each way, at a place by chance."""
    text = json.dumps(value)
    yield "cut off", text[: dice.randrange(1, len(text))]
    yield "prose before it", "Sure! Here is the JSON you asked for:\n" + text
    yield "prose after it", text + "\n\nLet me know if you need anything else."
    yield "in a code fence", f"```json\n{text}\n```"
    path, old = dice.choice(list(leaves(value)) or [((), None)])
    if path:
        wrong = [old] if not isinstance(old, list) else "none"
        yield "wrong type", json.dumps(put(value, path, wrong))
        yield "wrong value", json.dumps(put(value, path, "no such value" if isinstance(old, str) else -987654321))
    path, inside = dice.choice(list(objects(value)))
    keys = list(inside)
    at = dice.randrange(len(keys) + 1)
    more = {**{key: inside[key] for key in keys[:at]}, "comment": "as asked", **{key: inside[key] for key in keys[at:]}}
    yield "extra key", json.dumps(put(value, path, more) if path else more)
    if keys:
        gone = dice.choice(keys)
        less = {key: inner for key, inner in inside.items() if key != gone}
        yield "missing key", json.dumps(put(value, path, less) if path else less)


def measure_saved(pairs: list[tuple[Any, Any]]) -> dict[str, dict[str, float]]:
    """By way of breaking: how many were wrong, the share of their tokens that was saved, all in all and in the median."""
    dice = random.Random(11)
    tokens: dict[str, list[tuple[int, int]]] = {}
    for schema, value in pairs:
        try:
            compiled = compile_schema(schema)
            for way, text in broken(value, dice):
                reading = Prefix(compiled)
                reading.feed(text)
                reading.close()
                if reading.wrong is not None:
                    used = -(-(reading.wrong.at + 1) // TOKEN_CHARS)
                    tokens.setdefault(way, []).append((used, -(-len(text) // TOKEN_CHARS)))
        except (SchemaError, CostError):
            continue
    tokens["all"] = [one for its in tokens.values() for one in its]
    return {
        way: {
            "answers": len(its),
            "share_saved": 1 - sum(used for used, _ in its) / sum(total for _, total in its),
            "median_share_saved": statistics.median(1 - used / total for used, total in its),
        }
        for way, its in tokens.items()
    }


def measure_compiling(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Milliseconds, by the size of the schema in KB, and of one that is in the cache."""
    check: Any = build("json_schema", "shape", {"schema": "from_request"}, Resources())
    times: list[tuple[int, float]] = []
    cached: list[float] = []
    largest = {f"key{n}": {"type": "string", "maxLength": n} for n in range(LIMIT_OBJECTS - 2)}
    for schema in [*(schema for schema, _ in pairs), {"type": "object", "properties": largest}]:
        began = time.perf_counter()
        try:
            check.compiled(Form(schema))
        except SchemaError:
            continue
        times.append((len(json.dumps(schema)), (time.perf_counter() - began) * 1000))
        began = time.perf_counter()
        check.compiled(Form(schema))
        cached.append((time.perf_counter() - began) * 1000)
    times.sort(key=lambda pair: pair[1])
    return {
        "schemas": len(times),
        "median_ms": statistics.median(took for _, took in times),
        "p99_ms": times[int(len(times) * 0.99)][1],
        "largest": {"bytes": max(times)[0], "ms": max(times)[1]},
        "cached_median_ms": statistics.median(cached),
        "points": times,
    }


def hostile() -> list[tuple[str, Any, str]]:
    """Schemas that nobody means well with, and an answer to each."""
    steps = {f"s{n}": {"anyOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(40)}
    return [
        ("nothing", True, ""),
        ("exponential", {"$ref": "#/$defs/s0", "$defs": {**steps, "s40": {"type": "string"}}}, "[7]"),
        ("as large as allowed", {"properties": {f"k{n}": {"maxLength": n} for n in range(LIMIT_OBJECTS - 2)}}, "{}"),
        ("too large", {"properties": {f"k{n}": {"maxLength": n} for n in range(LIMIT_OBJECTS)}}, "{}"),
        ("catastrophic pattern", {"pattern": "^(a+)+$"}, json.dumps("a" * 50_000 + "!")),
        ("circle", {"$ref": "#"}, "1"),
        ("remote", {"$ref": "https://example.com/schema.json"}, "1"),
        ("unique items", {"uniqueItems": True}, json.dumps([{"a": n} for n in range(2000)])),
    ]


async def measure_loop() -> dict[str, dict[str, float]]:
    """For each hostile schema: the longest time the loop was late, and how long the scan took. Milliseconds."""
    sys.setswitchinterval(SWITCH_S)
    scanner = Scanner(1, 60.0)
    check: Any = build("json_schema", "shape", {"schema": "from_request"}, Resources())
    out: dict[str, dict[str, float]] = {}
    for name, schema, text in hostile():
        late: list[float] = []
        stop = asyncio.Event()

        async def tick(late: list[float] = late, stop: asyncio.Event = stop) -> None:
            while not stop.is_set():
                due = time.perf_counter() + 0.001
                await asyncio.sleep(0.001)
                late.append((time.perf_counter() - due) * 1000)

        clock = asyncio.ensure_future(tick())
        began = time.perf_counter()
        if name == "nothing":
            await asyncio.sleep(1)
        else:
            await scanner.scan([Job(check, Window(CHANNEL, text, facts=Facts(form=Form(schema))))])
        took = (time.perf_counter() - began) * 1000
        stop.set()
        await clock
        late.sort()
        out[name] = {
            "scan_ms": took,
            "late_p50_ms": statistics.median(late),
            "late_p99_ms": late[int(len(late) * 0.99)],
            "late_max_ms": late[-1],
        }
    scanner.close()
    return out


def draw(found: dict[str, Any], path: Path) -> None:
    """Writes a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (cost, saved, compiling) = pyplot.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    for name, by_size in found["microseconds_per_kb"].items():
        cost.plot([str(size) for size in by_size], list(by_size.values()), marker="o", label=name)
    cost.set_title("microseconds per KB, by document size in KB", fontsize=10, loc="left")
    cost.set_ylim(bottom=0)
    cost.legend(fontsize=7)
    ways = sorted(found["saved"].items(), key=lambda pair: pair[1]["share_saved"])
    bars = saved.barh(
        [way for way, _ in ways], [100 * one["share_saved"] for _, one in ways], color="#1f6feb", height=0.6
    )
    saved.bar_label(bars, fmt="{:.0f} %", padding=3, fontsize=8)
    saved.set_title("tokens of broken answers that were not written", fontsize=10, loc="left")
    saved.margins(x=0.15)
    points = found["compiling"]["points"]
    compiling.scatter([size / 1024 for size, _ in points], [took for _, took in points], s=4, color="#1f6feb")
    compiling.set_xscale("log")
    compiling.set_yscale("log")
    compiling.set_title("milliseconds to compile, by schema size in KB", fontsize=10, loc="left")
    for axis in (cost, saved, compiling):
        axis.tick_params(labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for schema.json and schema.png")
    parser.add_argument("--rounds", type=int, default=64, help="timed rounds for a document of 1 KB")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    loop = asyncio.run(measure_loop())  # first, while there is little for the garbage collector to look at
    pairs = documents()
    found: dict[str, Any] = {
        "about": {
            "machine": platform.machine(),
            "python": platform.python_version(),
            "documents": len(pairs),
            "data_folder": HAS_DATA,
            "steps_a_char": STEPS_A_CHAR,
        },
        "microseconds_per_kb": measure_cost(args.rounds),
        "saved": measure_saved(pairs),
        "compiling": measure_compiling(pairs),
        "loop": loop,
    }
    draw(found, args.out / "schema.png")
    del found["compiling"]["points"]
    (args.out / "schema.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, by_size in found["microseconds_per_kb"].items():
        print(f"{name:34}" + "".join(f"{size:4} KB {value:7.0f} us/KB" for size, value in by_size.items()))
    for way, one in sorted(found["saved"].items()):
        print(f"{way:18}{one['answers']:6.0f} answers, {100 * one['share_saved']:5.1f} % of the tokens saved")
    print({key: value for key, value in found["compiling"].items() if key != "points"})
    for name, one in found["loop"].items():
        print(f"{name:22}" + ", ".join(f"{key} {value:.1f}" for key, value in one.items()))


if __name__ == "__main__":
    main()
