"""What the small checks cost, and what they find and wrongly find in texts by other people.

Run `python -m benchmarks.checks.small --out DIR [--quick]`: prints tables, writes `small.json` to DIR.

- Cost: processor time of a scan of ordinary English texts, for each KB, as a whole and as a stream of pieces of `PIECE`
  characters; and how many characters of such a stream are held. Medians.
- Findings, with `GUARDPROXY_DATA`: how many texts of a set have a finding. In a set with `wanted: all` every text should have
  one (refusals among them may be fewer: those sets hold other answers too); in one with `wanted: none` none should. Patterns
  and thresholds were chosen while looking at these sets, except the ones of `unseen`. The table of letters of `gibberish` was
  made of others.
- Code: the share of files whose language the check and pygments name.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.checks.pii_texts import chat
from benchmarks.processes import machine
from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.findings import Check
from guardproxy.inference import Models
from guardproxy.testing import scan_in_chunks, whole

PIECE = 20
WORDS = (50, 200, 1000)
ROWS = 2000
NAMES = ("Apple", "Target", "Oracle", "Shell", "Visa", "Gap", "Amazon", "Google", "Microsoft", "Coca-Cola")
VARIANTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "words, 10 names": ("words", {"words": list(NAMES)}),
    "words, 10,000 names": ("words", {"words": [f"name {number}" for number in range(10_000)]}),
    "refusal": ("refusal", {}),
    "language": ("language", {"allow": ["en"]}),
    "code": ("code", {}),
    "tokens": ("tokens", {"most": 100_000}),
    "repetition": ("repetition", {}),
    "gibberish": ("gibberish", {}),
    "readability": ("readability", {"most": 9}),
}
EXTENSIONS = {
    "PYTHON": ".py",
    "JAVASCRIPT": ".js .ts .tsx .jsx",
    "C_LIKE": ".go .rs .c .h .cpp .java",
    "HTML": ".html .css",
    "SHELL": ".sh",
    "SQL": ".sql",
}
LEXERS = {
    "PYTHON": "Python",
    "JAVASCRIPT": "JavaScript TypeScript",
    "C_LIKE": "C C++ Go Rust Java C#",
    "HTML": "HTML CSS XML",
    "SHELL": "Bash",
    "SQL": "SQL MySQL",
}
Row = dict[str, Any]


def made(use: str, options: Mapping[str, Any]) -> Check:
    return build(use, use, options, Resources(tokenizer=Models().tokenizer))


def cost(rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds a KB and held characters, by variant."""
    chance, table = random.Random(3), dict[str, dict[str, float]]()
    texts = [chat(chance, count) for count in WORDS for _ in range(rounds)]
    for name, (use, options) in VARIANTS.items():
        check = made(use, options)
        whole(check, texts[0])
        runs: dict[str, list[float]] = {"whole": [], "stream": []}
        held: list[int] = []
        for text in texts:
            cuts = {"whole": range(0), "stream": range(PIECE, len(text), PIECE)}
            for kind, places in cuts.items():
                began = time.process_time_ns()
                scan_in_chunks(check, text, places)
                runs[kind].append((time.process_time_ns() - began) / 1000 / (len(text) / 1024))
            scan_in_chunks(check, text, range(PIECE, len(text), PIECE), held)
        table[name] = {kind: round(statistics.median(values), 1) for kind, values in runs.items()}
        table[name] |= {"held_median": statistics.median(held), "held_most": max(held)}
    return table


def rows(name: str, most: int, wanted: Callable[[Row], bool] = lambda row: True) -> list[str]:
    """Texts of a file of the data folder; the same ones in each run."""
    path = Path(os.environ["GUARDPROXY_DATA"], name)
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    texts = [row["text"] for row in map(json.loads, data.splitlines()) if wanted(row)]
    random.Random(name).shuffle(texts)
    return texts[:most]


def is_answer(row: Row) -> bool:
    return row.get("kind") == "answer"


def in_language(code: str) -> Callable[[Row], bool]:
    return lambda row: row["lang"] == code


BENIGN = (
    "alpaca_eval_answers-nc",
    "chitchat",
    "gsm8k",
    "p3_prompts",
    "tool_outputs",
    "repo_docs_code",
    "loghub_logs-nc",
    "nl2bash",
    "flowgpt_prompts",
    "real_user_prompts",
)


def benign(most: int, *names: str) -> dict[str, list[str]]:
    return {name.removesuffix("-nc"): rows(f"benign/{name}.jsonl.gz", most) for name in names or BENIGN}


def mashed(count: int) -> dict[str, list[str]]:
    """Keyboard mashing of four kinds, and words of spoken syllables, which are out of reach."""
    chance = random.Random(8)
    letters = {"all letters": "abcdefghijklmnopqrstuvwxyz", "the home row": "asdfghjkl" * 3 + "qwertyuiopzxcvbnm"}
    found = {
        f"mashed: {name}": [
            " ".join("".join(chance.choices(signs, k=chance.randint(4, 9))) for _ in range(chance.randint(3, 14)))
            for _ in range(count)
        ]
        for name, signs in letters.items()
    }
    keys = ("qwertyuiop", "asdfghjkl", "zxcvbnm")

    def walk() -> str:
        row = chance.choice(keys)
        at = chance.randrange(len(row) - 3)
        return row[at : at + chance.randint(3, 7)][:: chance.choice((1, -1))] * chance.randint(1, 2)

    def syllables() -> str:
        return "".join(chance.choice("bcdfghklmnprstvw") + chance.choice("aeiou") for _ in range(chance.randint(2, 4)))

    found["mashed: neighbouring keys"] = [" ".join(walk() for _ in range(chance.randint(3, 12))) for _ in range(count)]
    found["mashed: spoken syllables"] = [" ".join(syllables() for _ in range(12)) for _ in range(count)]
    return found


def looped(texts: Sequence[str]) -> list[str]:
    """Texts that end in a loop of one of their sentences."""
    parts = [(text, [part for part in text.split(". ") if 20 < len(part) < 200]) for text in texts]
    return [f"{text} " + f"{sentences[-1]}. " * 12 for text, sentences in parts if sentences]


def sets(most: int) -> Iterator[tuple[str, dict[str, Any], str, dict[str, list[str]]]]:
    """Checks with options, what is wanted of them, and the texts by set."""
    yield (
        "refusal",
        {},
        "all",
        {
            "jailbroken models, harmless answers": rows(
                "content/gptfuzz_responses.jsonl.gz", most, lambda row: not row["label"]
            ),
            "answers to red-team questions": rows("content/safety_tuned_llamas-nc.jsonl.gz", most, is_answer),
        },
    )
    yield (
        "refusal",
        {},
        "none",
        {
            "alpaca_eval answers": rows("benign/alpaca_eval_answers-nc.jsonl.gz", 9000, is_answer),
            "gsm8k answers": rows("benign/gsm8k.jsonl.gz", 4000, is_answer),
            "therapists and clients": rows("content/counsel_chat.jsonl.gz", most),
            "chitchat": rows("benign/chitchat.jsonl.gz", 4000),
        },
    )
    english = benign(most)
    only_english = {name: texts for name, texts in english.items() if name != "real_user_prompts"}
    yield "language", {"allow": ["en"]}, "none", only_english | benign(most, "nq_open", "wikianswers_questions")
    abroad = {
        f"prompts in {code}": rows("content/multijail.jsonl.gz", most, in_language(code))
        for code in ("it", "vi", "ar", "ko", "th", "zh", "bn", "sw", "jv")
    }
    yield "language", {"allow": ["en"]}, "all", abroad
    yield "language", {"deny": ["it", "sw"]}, "all", {name: abroad[name] for name in ("prompts in it", "prompts in sw")}
    yield (
        "language",
        {"deny": ["it", "sw", "de"]},
        "none",
        {"prompts in vi": abroad["prompts in vi"], **benign(most, "p3_prompts")},
    )
    yield "gibberish", {}, "all", mashed(500)
    yield (
        "gibberish",
        {},
        "none",
        {
            **{name: texts for name, texts in english.items() if name != "p3_prompts"},
            "tweets": rows("pii/wnut17_train_dev.jsonl", most),
            "slang": rows("content/gab_hate_corpus.jsonl.gz", most),
            "names, numbers, ids": rows("pii/synth_pii.jsonl.gz", most),
            "Wikipedia": rows("pii/wikineural_en-nc.jsonl.gz", most),
        },
    )
    yield "repetition", {}, "none", english
    yield "repetition", {}, "all", {"answers that end in a loop": looped(english["alpaca_eval_answers"])}
    yield (
        "code",
        {},
        "none",
        {
            name: texts
            for name, texts in english.items()
            if name not in ("repo_docs_code", "nl2bash", "real_user_prompts")
        }
        | benign(most, "mmlu_sensitive_subjects", "nq_open", "wikianswers_questions", "alpaca_instructions-nc"),
    )
    yield (
        "code",
        {},
        "all",
        {"shell commands": rows("benign/nl2bash.jsonl.gz", most, lambda row: row.get("kind") == "document")},
    )
    for case in ("any", "same"):
        names = {"words": list(NAMES), "case": case}
        yield "words", names, "none", {"p3_prompts": english["p3_prompts"], "chitchat": english["chitchat"]}


def unseen(most: int) -> Iterator[tuple[str, dict[str, Any], str, dict[str, list[str]]]]:
    """Sets that nobody looked at while the checks were written."""
    posts = {
        "tweets of OLID": rows("content/olid.jsonl.gz", most),
        "posts of SDCNL": rows("content/sdcnl.jsonl.gz", most),
        "mails of LLMail": rows("injection/llmail_inject.jsonl.gz", most),
    }
    yield (
        "refusal",
        {},
        "all",
        {
            "declining or warning answers of PyRIT": rows(
                "content/pyrit_harm.jsonl.gz", most, lambda row: is_answer(row) and not row["label"]
            )
        },
    )
    yield (
        "refusal",
        {},
        "none",
        {
            "answers of agents": rows("benign/tool_outputs.jsonl.gz", most, is_answer),
            "answers of self-instruct": rows("benign/self_instruct_mtbench.jsonl", most, is_answer),
            **posts,
        },
    )
    for use in ("gibberish", "repetition", "code"):
        yield use, {}, "none", posts
    yield "language", {"allow": ["en"]}, "none", posts


def findings(most: int) -> list[Row]:
    """How many texts of each set have a finding."""
    table: list[Row] = []
    every = [*((False, row) for row in sets(most)), *((True, row) for row in unseen(most))]
    for is_unseen, (use, options, wanted, texts) in every:
        check = made(use, options)
        shown = {key: value for key, value in options.items() if key != "words"}
        for name, listed in texts.items():
            count = sum(bool(whole(check, text)) for text in listed)
            row = {"check": use, "options": shown, "wanted": wanted, "texts": name, "rows": len(listed), "found": count}
            row["unseen"] = is_unseen
            row["percent"] = round(100 * count / len(listed), 2)
            if not count:
                row["below_percent"] = round(300 / len(listed), 2)
            table.append(row)
            print(row, file=sys.stderr)
    return table


def languages_of_files(most: int) -> list[Row]:
    """The share of files of repositories whose language is named, by the check and by pygments."""
    from pygments.lexers import guess_lexer
    from pygments.util import ClassNotFound

    check = made("code", {})
    by_end = {end: label for label, ends in EXTENSIONS.items() for end in ends.split()}
    files: dict[str, list[str]] = {}
    path = Path(os.environ["GUARDPROXY_DATA"], "benign/repo_docs_code.jsonl.gz")
    for row in map(json.loads, gzip.decompress(path.read_bytes()).splitlines()):
        if label := by_end.get(Path(row["path"]).suffix):
            files.setdefault(label, []).append(row["text"])
    table = []
    for label, texts in files.items():
        ours = theirs = 0
        for text in texts[:most]:
            chars = Counter[str]()
            for finding in whole(check, text):
                chars[finding.label] += finding.end - finding.start
            ours += bool(chars) and chars.most_common(1)[0][0] == label
            try:
                theirs += guess_lexer(text).name in LEXERS[label].split()
            except ClassNotFound:
                continue
        table.append({"language": label, "files": len(texts[:most]), "guardproxy": ours, "pygments": theirs})
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="few texts, to see that everything works")
    options = parser.parse_args(arguments)
    most = 20 if options.quick else ROWS
    report: dict[str, Any] = {"machine": machine(), "words": WORDS, "cost": cost(1 if options.quick else 15)}
    if "GUARDPROXY_DATA" in os.environ:
        report |= {"findings": findings(most), "files": languages_of_files(most)}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "small.json").write_text(json.dumps(report, indent=1) + "\n")
    for name, row in report["cost"].items():
        print(f"{name:22}", row)
    for row in report.get("files", ()):
        print(row)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
