"""What unfolding costs, and what it finds: each profile against the check alone, and Presidio for the same values.

Run `python -m benchmarks.checks.evasions --out DIR [--rounds N]`: prints tables, writes `evasions.json` and `evasions.png` to
DIR. Costs: microseconds of the checks `pii` and `secrets` for chat, for text full of identifiers, for other languages, and for
hostile text; medians over rounds in which the profiles take turns, on one thread. Found: for each way to hide a value, who
finds a card number, an address, a key and a word; Presidio is asked with its own pattern recognizers over a blank pipeline, and
can only be asked for the first two. With GUARDPROXY_DATA set, also how many findings appear in harmless texts that the check
alone does not have.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.checks.profiles import CHANNEL, CHAT, DENSE, _measured, _presidio, _streamed
from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.checks._shared.evasions.unfolding import PROFILES
from guardproxy.findings import Window
from tests.kit.evasions import CARD, KEY, MAIL, WAYS, base, full_width, percent

OPTIONS: dict[str, dict[str, Any]] = {
    "pii": {},
    "secrets": {},
    "pattern": {"patterns": ["(?i)project[ -]?falcon"]},
}
VALUES = {
    "card": ("pii", CARD),
    "address": ("pii", MAIL),
    "key": ("secrets", KEY),
    "word": ("pattern", "project falcon"),
}
TEXTS = {
    "chat": CHAT,
    "identifiers": DENSE,
    "Russian": "Каждое утро старый смотритель спускался в гавань и смотрел, как уходят в море лодки. " * 3,
    "Chinese": "每天早上，老灯塔看守人走到港口，看着船只出海。他知道大多数船员的名字，虽然没人知道他多大。" * 3,
    "Persian": "هر روز صبح نگهبان پیر فانوس دریایی به بندر می‌رفت و قایق‌ها را تماشا می‌کرد. " * 3,
    "emoji": "Great idea ❤️! First, do this 👩‍💻 — then that’s it… 🎉 " * 5,
    "links": "See https://example.com/a%20b?q=c%2Fd and https://example.org/understanding/internationalization for more. "
    * 3,
    "hostile": " ".join(
        [
            "the card is",
            full_width(CARD),
            "or",
            "\u200b".join(MAIL),
            "or",
            base(f"{CARD} of {MAIL}"),
            "or",
            percent(KEY),
        ]
    ),
}
# Looked at while the rules were written, and not: figures come from the second row alone.
TUNED = ["benign/p3_prompts.jsonl.gz", "benign/gsm8k.jsonl.gz", "benign/writingbench_queries.jsonl.gz",
         "benign/alpaca_instructions-nc.jsonl.gz"]  # fmt: skip
REPORTED = ["benign/alpaca_eval_answers-nc.jsonl.gz", "benign/self_instruct_mtbench.jsonl",
            "injection/mitre_frr_benign_cyber.jsonl", "pii/btc_train_dev.jsonl", "pii/wikiann_de_fr_nl_silver.jsonl",
            "pii/wnut17_train_dev.jsonl"]  # fmt: skip


def _checks(use: str) -> dict[str, Any]:
    return {profile: build(use, use, OPTIONS[use] | {"evasions": profile}, Resources()) for profile in PROFILES}


def costs(rounds: int) -> dict[str, dict[str, float]]:
    """Medians in microseconds: text -> check and profile -> value."""
    results: dict[str, dict[str, float]] = {}
    for label, text in TEXTS.items():
        candidates: dict[str, Callable[[], object]] = {}
        for use in ("pii", "secrets"):
            for profile, check in _checks(use).items():
                window = [Window(CHANNEL, text)]
                candidates[f"{use} {profile}"] = partial(check.scan, window)
                if label in ("chat", "hostile"):
                    candidates[f"{use} {profile}, stream"] = partial(_streamed, check, text)
        results[label] = _measured(candidates, rounds)
    return results


def _covered(spans: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether all of a hidden value is covered, but for the words in front of it that some ways add."""
    return any(low <= start + 24 and high >= end for low, high in spans if high > start)


def found() -> dict[str, dict[str, str]]:
    """way -> value -> who finds it: the mildest profile, and `presidio` where Presidio does."""
    engine = _presidio()
    checks = {use: _checks(use) for use in OPTIONS}
    table: dict[str, dict[str, str]] = {}
    for way, (hide, _) in WAYS.items():
        table[way] = {}
        for name, (use, value) in VALUES.items():
            run = hide(value)
            text = f"It is ({run}) here."
            start, end = 7, 7 + len(run)
            if run == value:
                table[way][name] = "as it stands"
                continue
            who = "nobody"
            for profile in reversed(PROFILES):
                scan = checks[use][profile].scan([Window(CHANNEL, text)])[0]
                if _covered([(each.start, each.end) for each in scan.findings], start, end):
                    labels = {each.label for each in scan.findings}
                    who = "said to be undecoded" if labels == {"UNDECODED"} else profile
            table[way][name] = who
            if use == "pii":
                theirs = engine.analyze(text, "en", entities=["CREDIT_CARD", "EMAIL_ADDRESS"], score_threshold=0.4)
                if _covered([(each.start, each.end) for each in theirs], start, end):
                    table[way][name] += ", presidio"
    return table


def _texts(path: Path) -> Iterator[str]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def harmless(folder: Path, every: int) -> dict[str, Any]:
    """Findings that the profiles have and the checks alone have not, in texts that hide nothing."""
    checks = {use: _checks(use) for use in ("pii", "secrets")}
    out: dict[str, Any] = {}
    for part, names in (("tuned on", TUNED), ("reported", REPORTED)):
        counts = {"texts": 0} | {f"{use} {profile}": 0 for use in checks for profile in PROFILES[1:]}
        seen: list[str] = []
        for text in (text for name in names for text in list(_texts(folder / name))[::every]):
            counts["texts"] += 1
            for use, by_profile in checks.items():
                alone = {(each.label, each.start, each.end) for each in _scan(by_profile["off"], text)}
                for profile in PROFILES[1:]:
                    for each in _scan(by_profile[profile], text):
                        if (each.label, each.start, each.end) not in alone:
                            counts[f"{use} {profile}"] += 1
                            seen.append(f"{use} {profile} {each.label}: {text[each.start : each.end][:80]!r}")
        out[part] = {"new findings": counts, "examples": seen[:10]}
    return out


def _scan(check: Any, text: str) -> Any:
    return check.scan([Window(CHANNEL, text)])[0].findings


def _draw(results: dict[str, dict[str, float]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    colors = {"off": "#8c8c8c", "standard": "#4c72b0", "strict": "#c44e52"}
    names = list(results)[::-1]
    for axis, use in zip(axes, ("pii", "secrets"), strict=True):
        for number, profile in enumerate(PROFILES):
            values = [results[name][f"{use} {profile}"] for name in names]
            places = [at + 0.27 * (1 - number) for at in range(len(names))]
            axis.barh(places, values, 0.25, color=colors[profile], label=profile)
            for place, value in zip(places, values, strict=True):
                axis.text(value * 1.07, place, f"{value:,.0f}", va="center", fontsize=7)
        axis.set_yticks(range(len(names)), names)
        axis.set_xscale("log")
        axis.set_title(f"the check {use}", fontsize=10)
        axis.set_xlabel("microseconds a text (median, one thread, logarithmic)")
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(title="evasions", loc="upper right")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--every", type=int, default=5, help="take every n-th harmless text")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "about": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "unicode": unicodedata.unidata_version,
            "rounds": options.rounds,
            "characters": {name: len(text) for name, text in TEXTS.items()},
        },
        "median_us": costs(options.rounds),
        "found_by": found(),
    }
    if "GUARDPROXY_DATA" in os.environ:
        results["harmless"] = harmless(Path(os.environ["GUARDPROXY_DATA"]), options.every)
    (options.out / "evasions.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    _draw(results["median_us"], options.out / "evasions.png")
    for text, values in results["median_us"].items():
        for name, value in values.items():
            print(f"{text:12} {name:26} {value:10.1f} us")
    for way, by_value in results["found_by"].items():
        print(f"{way:28} " + " ".join(f"{name}: {who:22}" for name, who in by_value.items()))
    print(json.dumps(results.get("harmless", {}), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
