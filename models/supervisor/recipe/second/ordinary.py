"""Ordinary traffic: harmless texts of every kind that nothing is trained on, to choose thresholds with.

In: the data folder. Out: rows whose source is `ordinary/KIND`. Some sets are taken whole; of others a part that `is_apart`
names is kept out of the training set.
"""

from __future__ import annotations

import random
from pathlib import Path

from models.supervisor.recipe.data import read, take
from models.supervisor.recipe.second.outputs import Row, make_row
from models.supervisor.recipe.second.sources import FINE

WHOLE = {
    "question": ("benign/mmlu_sensitive_subjects", 300, "user"),
    "how-to": ("benign/wikihow_titles-nc", 400, "user"),
    "instruction": ("benign/instructionwild_user-nc", 400, "user"),
    "prompt of a user": ("benign/real_user_prompts", 600, "user"),
    "answer": ("benign/alpaca_eval_answers-nc", 400, "assistant"),
    "log": ("benign/loghub_logs-nc", 200, "tool_result"),
    "system prompt": ("benign/leaked_system_prompts", 200, "system"),
    "request that sounds harmful": ("content/phtest", 300, "user"),
    "report of a victim": ("content/safecity_reports", 150, "user"),
    "political post": ("content/uselection_tweets", 150, "user"),
}
"""Kind -> file, most rows, channel. Their terms forbid shipping, or nothing is said of terms: measured on, never trained on."""
APART = {
    "role play": ("benign/flowgpt_prompts", 400, "user"),
    "code and documents": ("benign/repo_docs_code", 300, "tool_result"),
    "tool result": ("benign/tool_outputs", 200, "tool_result"),
    "small talk": ("benign/chitchat", 150, "user"),
    "request to an agent": ("benign/agent_user_requests", 200, "user"),
}
"""The same for the part of a file that is kept out of training."""
APART_SOURCES = ("ollama/ollama", "simonw/datasette", "tau2 banking", "SWE-Lancer", "PersistBench", "tau2 user")


def is_apart(name: str, given: Row, place: int) -> bool:
    """Whether a row of a file of `APART` is kept out of training: by source, or each fourth row."""
    if name in ("benign/flowgpt_prompts", "benign/chitchat"):
        return place % 4 == 3
    return any(source in given["source"] for source in APART_SOURCES)


def ordinary(folder: Path, rng: random.Random) -> list[Row]:
    """The pool, in a fixed order for a seed."""
    found: list[Row] = []
    for kind, (name, most, channel) in WHOLE.items():
        found += [
            make_row(row["text"], FINE, f"ordinary/{kind}", channel) for row in take(read(folder, name), most, rng)
        ]
    for kind, (name, most, channel) in APART.items():
        apart = [row for place, row in enumerate(read(folder, name)) if is_apart(name, row, place)]
        found += [make_row(row["text"], FINE, f"ordinary/{kind}", channel) for row in take(apart, most, rng)]
    return found
