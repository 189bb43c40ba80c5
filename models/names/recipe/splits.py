"""Which rows are for training, which for choosing thresholds, and which are only ever reported on.

In: the folder of the data sets (`GUARDPROXY_DATA`). Out: (set, part, row), part being `train`, `validation` or `test`. A
test part is a source's own development split where it has one, a domain that is left out whole, or the last rows of a
file: rows that lie together come from one article. A training row with the wording of a test row (values aside) is left
out.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]

SHARE_OF_TEST = {"wikigold": 0.3, "wikiann_en": 0.12, "wikiann_de_fr_nl": 0.12, "contextual": 0.15, "synth": 0.1}
FILES = {
    "btc": "btc_train_dev.jsonl",
    "contextual": "contextual_anonymizer.jsonl.gz",
    "crossner": "crossner.jsonl.gz",
    "synth": "synth_pii.jsonl.gz",
    "wikiann_de_fr_nl": "wikiann_de_fr_nl_silver.jsonl",
    "wikiann_en": "wikiann_en_silver.jsonl",
    "wikigold": "wikigold.jsonl",
    "wikineural": "wikineural_en-nc.jsonl.gz",
    "wnut17": "wnut17_train_dev.jsonl",
}
OF_ALL_KINDS = ("contextual", "synth")
"""Sets in which dates and nationalities are marked as well; elsewhere their absence says nothing."""
LEFT_OUT = "CrossNER literature"
VALIDATION = 25  # one training row in so many


def skeleton(row: Row) -> str:
    """The wording of a row with its values replaced by their labels."""
    out, at = [], 0
    for span in sorted(row["spans"], key=lambda span: int(span["start"])):
        out += [row["text"][at : span["start"]], span["label"]]
        at = max(at, span["end"])
    return "".join((*out, row["text"][at:])).lower()


def read(path: Path) -> list[Row]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def is_test(name: str, row: Row, at: int, count: int) -> bool:
    if name == "wikineural":  # may not be used for weights that are given away; all the better as an unseen source
        return True
    if name in ("btc", "wnut17"):
        return str(row["source"]).endswith("dev")
    if name == "crossner":
        return str(row["source"]) == LEFT_OUT
    return at >= count * (1 - SHARE_OF_TEST[name])


def rows(folder: Path, names: tuple[str, ...] = tuple(FILES)) -> Iterator[tuple[str, str, Row]]:
    """Every row once. Raises `FileNotFoundError` where a file is missing."""
    for name in names:
        found = read(folder / "pii" / FILES[name])
        tests = [is_test(name, row, at, len(found)) for at, row in enumerate(found)]
        wordings = {skeleton(row) for row, test in zip(found, tests, strict=True) if test}
        for row, test in zip(found, tests, strict=True):
            if test:
                yield name, "test", row
            elif name == "synth" or skeleton(row) not in wordings:  # its wordings are few: see the card
                spread = zlib.crc32(row["text"].encode("utf-8", "replace")) % VALIDATION == 0
                yield name, "validation" if spread else "train", row
