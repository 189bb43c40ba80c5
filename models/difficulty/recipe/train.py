"""Train the head for difficulty: from own labelled requests and the data sets to a folder, in about three minutes of one core.

In: the folder of the data sets (`GUARDPROXY_DATA`): long texts that own requests quote, and some requests by others that are
labelled by their source. Out: `words.json` (a row of small numbers for each word), `config.json` (the weights), `figures.json`
and `SHA256SUMS`.

Each common word goes through MiniLM alone; the mean of the words' vectors stands for a request. A linear model over these means
tells hard from easy, and others tell the kinds of requests apart. Their directions, eight in all, are what the folder keeps of
each word. So the served model is a table and eight weights, which needs no library.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import os
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tokenizers import Tokenizer
from transformers import AutoModel

from guardproxy.conditions import FEATURES, UNIT, RequestFeatures, words_of
from guardproxy.inference.folders.request_features import FORMAT
from models.difficulty.recipe.rows import EASY, HARD, LabelledRequest, requests
from models.encoder import encoder_folder, write_sums

SEED = 20_31
ROWS = 18_000
MOST_WORDS = 22_000
SOFTNESS = 0.1  # of 0.1, 0.3, 1 and 3 the one that tells the requests of `LEFT_OUT` apart best
CARRIERS = ("repo_docs_code", "tool_outputs", "agent_user_requests")
BY_SOURCE: Sequence[tuple[str, bool, int, str]] = (
    ("nq_open", False, 1000, ""),
    ("chitchat", False, 600, ""),
    ("p3_prompts", False, 1000, ""),
    ("nl2bash", False, 300, "instruction"),
    ("gsm8k", True, 700, "instruction"),
)
"""Requests by others: file, whether its requests are hard, how many are taken, and of which kind."""
LEFT_OUT: Sequence[tuple[str, bool, str]] = (
    ("wikianswers_questions", False, ""),
    ("wikihow_titles-nc", False, ""),
    ("mmlu_sensitive_subjects", True, ""),
)
"""Requests by others that no training sees: file, whether they count as hard, and of which kind."""


def rows_of(data: Path, name: str, kind: str) -> list[str]:
    """The texts of a file, in its order; of one kind, if `kind` is given."""
    with gzip.open(data / f"benign/{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row["text"] for row in rows if not kind or row.get("kind") == kind]


def vectors(most: int) -> tuple[list[str], np.ndarray]:
    """The most common words of the encoder's vocabulary, and a vector of unit length for each, float32 (words, width)."""
    tokenizer: Any = Tokenizer.from_file(str(encoder_folder() / "tokenizer.json"))
    ids = tokenizer.get_vocab()
    words = [word for word, number in sorted(ids.items(), key=lambda one: one[1]) if re.fullmatch("[a-z]{2,}", word)][
        :most
    ]
    first, last = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    encoder: Any = AutoModel.from_pretrained(encoder_folder()).eval()
    found = []
    with torch.no_grad():
        for at in range(0, len(words), 512):
            rows = torch.tensor([[first, ids[word], last] for word in words[at : at + 512]])
            states = encoder(input_ids=rows, attention_mask=torch.ones_like(rows)).last_hidden_state
            found.append(states.mean(1).numpy())
    every = np.concatenate(found)
    every -= every.mean(0)
    return words, every / np.linalg.norm(every, axis=1, keepdims=True)


def means(texts: Sequence[str], words: Sequence[str], table: np.ndarray) -> np.ndarray:
    """The mean of the rows of each text's words, (texts, columns); zeros for a text without known words."""
    numbers = {word: number for number, word in enumerate(words)}
    out = np.zeros((len(texts), table.shape[1]), np.float64)
    for at, text in enumerate(texts):
        if found := [numbers[word] for word in words_of(text) if word in numbers]:
            out[at] = table[found].mean(0)
    return out


def composed(data: Path, rng: random.Random) -> list[LabelledRequest]:
    """Own requests, and those of `BY_SOURCE`."""
    carriers = [text for name in CARRIERS for text in rows_of(data, name, "") if len(text) > 300]
    found = requests(rng, ROWS, carriers)
    for name, hard, most, kind in BY_SOURCE:
        texts = rows_of(data, name, kind)
        found += [LabelledRequest(text, name, hard) for text in rng.sample(texts, min(most, len(texts)))]
    return found


def directions(means_: np.ndarray, rows: Sequence[LabelledRequest]) -> np.ndarray:
    """`FEATURES` directions (width, columns): first hard against easy, then what else tells kinds of requests apart."""
    first = LogisticRegression(C=SOFTNESS, max_iter=1000).fit(means_, [row.hard for row in rows]).coef_[0]
    first = first / np.linalg.norm(first)
    kinds = LogisticRegression(C=SOFTNESS, max_iter=100).fit(means_, [row.kind for row in rows]).coef_
    rest = kinds - np.outer(kinds @ first, first)
    _, _, main = np.linalg.svd(rest - rest.mean(0), full_matrices=False)
    return np.column_stack([first, *main[: FEATURES - 1]])


def scores(features: RequestFeatures, texts: Sequence[str]) -> np.ndarray:
    """The scores of texts, 0 to 1, as they are served."""
    return np.array([features.score(features.of(text)) / UNIT for text in texts])


def left_out_kinds(means_: np.ndarray, rows: Sequence[LabelledRequest]) -> list[float]:
    """The AUC on own kinds that a training did not see: a fifth of the hard and of the easy kinds at a time."""
    found = []
    for part in range(5):
        gone = {*list(HARD)[part::5], *list(EASY)[part::5]}
        is_out = np.array([row.kind in gone for row in rows])
        hard = np.array([row.hard for row in rows])
        model = LogisticRegression(C=SOFTNESS, max_iter=1000).fit(means_[~is_out], hard[~is_out])
        found.append(float(roc_auc_score(hard[is_out], model.predict_proba(means_[is_out])[:, 1])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("build/difficulty"))
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("name the folder of the data sets with --data or GUARDPROXY_DATA")
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    data, rng = Path(args.data), random.Random(SEED)
    rows = composed(data, rng)
    words, every = vectors(MOST_WORDS)
    of_rows = means([row.text for row in rows], words, every)
    by_kind = left_out_kinds(of_rows, rows)
    table = every @ directions(of_rows, rows)
    scale = 127 / np.abs(table).max()
    small = np.clip(np.round(table * scale), -127, 127).astype(np.int8)
    packed = base64.b85encode(small.tobytes()).decode()
    _write(args.out / "words.json", {"words": " ".join(words), "rows": packed})
    features = RequestFeatures(words, small.tobytes(), (0.0,) * (FEATURES + 1))
    first = np.array([features.of(row.text)[:1] for row in rows]) / UNIT
    head = LogisticRegression(C=1000, max_iter=2000).fit(first, [row.hard for row in rows])
    # The other features have weights only where a log taught them (`guardproxy model route --learn`).
    weights = [round(float(head.intercept_[0]), 4), round(float(head.coef_[0][0]), 4), *[0.0] * (FEATURES - 1)]
    _write(args.out / "config.json", {"kind": "difficulty", "format": FORMAT, "weights": weights})
    write_sums(args.out, ("words.json", "config.json"))
    features = RequestFeatures(words, small.tobytes(), weights)
    _write(args.out / "figures.json", {"rows": len(rows), "left out kinds, AUC": by_kind, **_figures(features, data)})
    print((args.out / "figures.json").read_text("utf-8"))


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", "utf-8")


def _figures(features: RequestFeatures, data: Path) -> dict[str, Any]:
    """For each source that no training saw, the share whose score is 0.5 or more."""
    found = {}
    for name, hard, kind in LEFT_OUT:
        texts = rows_of(data, name, kind)
        share = float((scores(features, texts) >= 0.5).mean())
        found[name] = {"texts": len(texts), "counts as hard": hard, "judged hard": round(share, 4)}
    return found


if __name__ == "__main__":
    main()
