"""Measures a judge on pairs by other people that no training saw: SICK, MSRP and MCTest.

In: a model folder, run as in production, or a checkpoint. Out: `Judged`, the scores of each set, and figures about them. A
story of MCTest is read in windows, and the window that supports a statement best counts.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.pairs.recipe.relations import LABELS

Numbers = NDArray[np.float64]
Score = Callable[[Sequence[tuple[str, str]]], Numbers]
"""Probabilities of pairs, (pairs, 3), in the order of `LABELS`."""
WINDOW_WORDS, STEP_WORDS = 45, 22
STORIES_MOST = 1_800
"""Statements of MCTest that are judged: a quarter of them, in ten windows each, takes as long as the other sets."""
SETS = {"sick": "sick-nc", "msrp": "msrp-nc", "mctest": "mctest_statements-nc"}
AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Judged:
    """Scores of the sets. `sick`, `sick_back`: of the pairs and of the pairs turned around, (rows, 3); `sick_gold`: numbers of
    `LABELS`; `sick_near`: how related both texts are, 1 to 5. `msrp`: the lower `entails` of both ways; `msrp_same`: whether
    they say the same. `mctest`: for the best window `entails`, and the highest `contradicts` of all windows, (rows, 2);
    `mctest_true`; `mctest_group`: four statements each."""

    sick: Numbers
    sick_back: Numbers
    sick_gold: NDArray[np.int64]
    sick_near: Numbers
    msrp: Numbers
    msrp_same: NDArray[np.bool_]
    mctest: Numbers
    mctest_true: NDArray[np.bool_]
    mctest_group: NDArray[np.str_]

    @property
    def sick_same(self) -> Numbers:
        """The lower `entails` of both ways."""
        return np.minimum(self.sick[:, 0], self.sick_back[:, 0])


def rows(data: Path, name: str, most: int) -> list[dict[str, Any]]:
    """The rows of a set, of which about so many are read, evenly over the file. Statements of MCTest stay in their groups, of
    which those with four count."""
    with gzip.open(data / f"pairs/{SETS[name]}.jsonl.gz", "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    groups: dict[str, list[dict[str, Any]]] = {}
    for at, row in enumerate(found):
        groups.setdefault(row.get("group", str(at)), []).append(row)
    whole = [group for group in groups.values() if len(group) == (4 if name == "mctest" else 1)]
    step = max(1, len(found) // most)
    return [row for group in whole[::step] for row in group]


def windows(text: str) -> list[str]:
    """The windows of a story, which overlap by half."""
    words = text.split()
    starts = range(0, max(1, len(words) - WINDOW_WORDS + STEP_WORDS), STEP_WORDS)
    return [" ".join(words[at : at + WINDOW_WORDS]) for at in starts]


def judged(score: Score, data: Path, most: int = 1_000_000) -> Judged:
    """Judges the sets. `most`: rows of each set."""
    sick, msrp, mctest = (rows(data, name, min(most, STORIES_MOST) if name == "mctest" else most) for name in SETS)
    ab, ba = (score([(row[one], row[two]) for row in sick]) for one, two in ("ab", "ba"))
    same, back = (score([(row[one], row[two]) for row in msrp])[:, 0] for one, two in ("ab", "ba"))
    places = [(at, window) for at, row in enumerate(mctest) for window in windows(row["a"])]
    each = score([(window, mctest[at]["b"]) for at, window in places])
    best = np.zeros((len(mctest), 2))
    np.maximum.at(best, [at for at, _ in places], each[:, :2])
    return Judged(
        ab,
        ba,
        np.array([LABELS.index(row["label"]) for row in sick]),
        np.array([row["relatedness"] for row in sick], np.float64),
        np.minimum(same, back),
        np.array([row["label"] == "same" for row in msrp]),
        best,
        np.array([row["label"] == "supported" for row in mctest]),
        np.array([row["group"] for row in mctest], np.str_),
    )


def area(scores: Numbers, is_wanted: NDArray[np.bool_]) -> float:
    """The area under the ROC curve: how often a wanted row has a higher score than another; equal scores count half."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    wanted = int(is_wanted.sum())
    return float((ranks[is_wanted].sum() - wanted * (wanted + 1) / 2) / (wanted * (len(scores) - wanted)))


def best_of_group(of: Judged) -> float:
    """Share of MCTest's groups of four in which the supported statement has the highest score."""
    firsts = range(0, len(of.mctest) - 3, 4)
    return float(np.mean([of.mctest_true[at + int(of.mctest[at : at + 4, 0].argmax())] for at in firsts]))


def figures(of: Judged) -> dict[str, float]:
    """What does not depend on operating points."""
    answers = of.sick.argmax(1)
    recalls = {
        f"SICK, {label} found": float((answers == at)[of.sick_gold == at].mean()) for at, label in enumerate(LABELS)
    }
    return {
        "SICK, accuracy": float((answers == of.sick_gold).mean()),
        **recalls,
        "SICK, AUC of follows": area(of.sick[:, 0], of.sick_gold == 0),
        "SICK, AUC of contradicts": area(of.sick[:, 1], of.sick_gold == 1),
        "MSRP, AUC of the same": area(of.msrp, of.msrp_same),
        "MCTest, AUC of follows": area(of.mctest[:, 0], of.mctest_true),
        "MCTest, best of four": best_of_group(of),
    }


def from_checkpoint(path: Path) -> Score:
    """Scores by a checkpoint of `train.py` in torch, in batches."""
    import torch
    from tqdm import tqdm

    from models.pairs.recipe.export import load
    from models.pairs.recipe.relations import Pair
    from models.pairs.recipe.train import Encoder, tensors

    network, encoder = load(path), Encoder()

    def score(pairs: Sequence[tuple[str, str]]) -> Numbers:
        samples = encoder.samples([Pair(first, second, 0, "") for first, second in pairs])
        order = np.argsort([len(sample[0]) for sample in samples])
        found = np.zeros((len(samples), len(LABELS)))
        with torch.inference_mode():
            for at in tqdm(range(0, len(order), 64), desc="torch", mininterval=5):
                part = order[at : at + 64]
                ids, mask, kinds, _ = tensors([samples[number] for number in part])
                found[part] = torch.softmax(network(ids, mask, kinds)[-1], -1).numpy()
        return found

    return score


def from_folder(path: Path, workers: int = 1) -> Score:
    """Scores by a model folder, as in production."""
    from tqdm import tqdm

    from guardproxy.checks import TextPair
    from guardproxy.inference import Models, Settings

    judge = Models((path.parent,), Settings(workers=workers, remembered=0, wait_s=3600.0)).pairs(path.name)

    def score(pairs: Sequence[tuple[str, str]]) -> Numbers:
        found: list[Any] = []
        for at in tqdm(range(0, len(pairs), AT_ONCE), desc=path.name, mininterval=5):
            found += judge.judge([TextPair(*pair) for pair in pairs[at : at + AT_ONCE]])
        return np.array(found, np.float64)

    return score


def kept(model: Path, data: Path, most: int, place: Path | None, workers: int = 1) -> Judged:
    """Judges the sets with a folder or a checkpoint. `place`: a folder where scores lie that were computed before, by the
    content of the model."""
    content = model / "model.onnx" if model.is_dir() else model
    digest = hashlib.sha256(content.read_bytes()).hexdigest()[:16]
    path = place / f"{digest}-{most}.npz" if place else None
    if path and path.exists():
        return Judged(**dict(np.load(path)))
    score = from_folder(model, workers) if model.is_dir() else from_checkpoint(model)
    found = judged(score, data, most)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **asdict(found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUARDPROXY_DATA"), help="folder of the data sets")
    parser.add_argument("--most", type=int, default=1_000_000, help="rows of each set, for a quick look")
    parser.add_argument("model", type=Path, help="a model folder or a checkpoint")
    args = parser.parse_args()
    for name, value in figures(kept(args.model, Path(args.data), args.most, None)).items():
        print(f"{name:28s} {value:.4f}")


if __name__ == "__main__":
    main()
