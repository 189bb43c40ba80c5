"""Let the network (`accurate`) mark names in texts that nobody marked, for the training of `fast`.

In: comments, posts, prompts, documents and code of the data sets. Out: `silver.jsonl`: texts with spans and scores. They
show `fast` how people and programs write outside of marked sets; a finding of which the network is not sure counts
neither way.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from pathlib import Path

from tqdm import tqdm

from guardproxy.inference.models import load_tagger
from models.names.recipe.splits import Row, read

SEED = 7
REPOSITORIES = "benign/repo_docs_code.jsonl.gz"
WORDS = {  # thousands of words of each file
    "content/toxic_spans.jsonl.gz": 170, "content/edos_train_dev.jsonl.gz": 120, "content/gab_hate_corpus.jsonl.gz": 90,
    "content/davidson_hate_offensive.jsonl.gz": 80, "content/surge_toxicity.jsonl": 40, "content/wikipedia_talk.jsonl.gz": 60,
    "content/counsel_chat.jsonl.gz": 30, "benign/p3_prompts.jsonl.gz": 110, "benign/real_user_prompts.jsonl.gz": 60,
    "benign/chitchat.jsonl.gz": 20, "benign/self_instruct_mtbench.jsonl": 30, "benign/gsm8k.jsonl.gz": 20,
    REPOSITORIES: 90, "benign/tool_outputs.jsonl.gz": 60, "benign/nl2bash.jsonl.gz": 10,
    "benign/wikianswers_questions.jsonl.gz": 20, "benign/nq_open.jsonl.gz": 20,
}  # fmt: skip
KEPT_OUT = ("mitmproxy", "granian", "h11", "httpcore", "semantic-router", "tau-bench", "tau2")
"""Sources of code, documents and tool results on which false names are counted."""
CHOSEN_ON = ("alisaifee/limits", "simonw/datasette", "text-embeddings-inference")
"""Repositories on which the constants of `fast` are chosen: no training sees them, and no figure is reported on them."""
MOST_CHARS = 1200


def is_for_training(row: Row) -> bool:
    """Whether a text without marks may be trained on, by its source."""
    return not any(source in str(row.get("source")) for source in (*KEPT_OUT, *CHOSEN_ON))


def is_code(text: str) -> bool:
    """Whether a text is mostly code, by its brackets, semicolons and equal signs."""
    return sum(map(text.count, "{}();=")) > len(text) / 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("build/names/silver.jsonl"))
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("name the folder of the data sets with --data or GUARDPROXY_DATA")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(SEED)
    chosen: list[tuple[str, str]] = []
    for name, thousands in WORDS.items():
        rows = read(args.data / name)
        rng.shuffle(rows)
        left = 1000 * thousands
        for row in rows:
            text = row["text"][:MOST_CHARS]
            if name == REPOSITORIES and is_code(text):  # train_fast.py reads all of it, without marks
                continue
            if left > 0 and len(text.split()) > 2 and is_for_training(row):
                chosen.append((name, text))
                left -= len(text.split())
    rng.shuffle(chosen)
    tagger = load_tagger("accurate")
    part = args.out.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        for name, text in tqdm(chosen, desc="silver", unit="text"):
            spans = [
                {"start": tag.start, "end": tag.end, "label": tag.label, "score": tag.score}
                for tag in tagger.tag([text])[0]
            ]
            file.write(json.dumps({"text": text, "spans": spans, "source": name}, ensure_ascii=False) + "\n")
    part.replace(args.out)


if __name__ == "__main__":
    main()
