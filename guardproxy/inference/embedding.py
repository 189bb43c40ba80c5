"""Turns texts into vectors with a table that has a row for each token.

In: texts. Out: vectors of 8-bit numbers. Kept: the table. The vector of a text is the sum of the rows of its tokens, each times
the weight of the token, scaled to a fixed length. All numbers of the table are whole, and so are the sums, below 2^53: they are
exact in any order, and squares, roots and quotients are rounded alike everywhere. So a text has the same vector anywhere.

The folder has `weights.npz` (`table`: int8, tokens x dimensions; `weights`: uint16, one for each token), `tokenizer.json`,
`background.json` (`texts`: ordinary texts of all kinds, with which a topic is compared), `config.json` (format 1, kind
`vectors`) and `SHA256SUMS`.

Decision: docs/decisions/0077-topics-are-told-by-examples.md
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardproxy.checks import stop_point
from guardproxy.concurrency import lazy
from guardproxy.errors import ConfigError
from guardproxy.inference.folders import folder as folders
from guardproxy.inference.folders import tokens
from guardproxy.inference.folders.folder import VECTOR_FILES

FORMAT = 1
LENGTH = 127
"""The length of a vector."""
MOST_DIMENSIONS = 1024
AT_ONCE = 512
"""Tokens that are added between two stop points."""


@dataclass(frozen=True, slots=True)
class VectorTable:
    """A checked folder. `digest`: of all its files. `rows`: of the table; `weights`: see above."""

    digest: str
    rows: NDArray[np.int8]
    weights: NDArray[np.uint16]


class TableEmbedder:
    """Implements `guardproxy.checks.Embedder`. Any thread may use it. `provider`: how it runs, shown on the status page;
    `table`: what it reads."""

    provider = "numpy"

    def __init__(self, folder: Path) -> None:
        """Raises `ConfigError` when the folder is incomplete, does not match its SHA256SUMS, or cannot be used."""
        self.table = read(folder)
        self._tokenizer: Any = tokens.load(folder)[0]
        # A token without a row would only fail in the middle of a request.
        if self._tokenizer.get_vocab_size() > len(self.table.rows):
            raise ConfigError(f"{folder / 'weights.npz'} has fewer rows than the tokenizer has tokens")
        self.digest = self.table.digest
        self.dimensions = self.table.rows.shape[1]
        self._weights = self.table.weights.astype(np.float64)
        self._texts = background_texts(folder)

    @lazy
    def background(self) -> tuple[bytes, ...]:
        """The vectors of the ordinary texts that the folder has."""
        return tuple(self.embed(self._texts))

    def tokens(self, text: str) -> list[int]:
        """Returns the numbers of the tokens of a text."""
        clean = text.encode("utf-8", "replace").decode()  # the tokenizer refuses half of a surrogate pair
        found: list[int] = self._tokenizer.encode(clean, add_special_tokens=False).ids
        return found

    def token(self, name: str) -> int:
        """Returns the number of a token. Raises `ConfigError`."""
        if (number := self._tokenizer.token_to_id(name)) is None:
            raise ConfigError(f"the tokenizer of the model of vectors lacks {name}")
        return int(number)

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """See `guardproxy.checks.Embedder.embed`. A text without a token has a vector of zeros."""
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> bytes:
        stop_point()
        ids = self.tokens(text)
        total = np.zeros(self.dimensions)
        for start in range(0, len(ids), AT_ONCE):
            stop_point()
            part = ids[start : start + AT_ONCE]
            total += self._weights.take(part) @ self.table.rows.take(part, 0).astype(np.float64)
        length = sqrt(fsum(np.square(total).tolist()))
        if not length:
            return bytes(self.dimensions)
        return np.rint(total * (LENGTH / length)).astype(np.int8).tobytes()


def background_texts(folder: Path) -> tuple[str, ...]:
    """Returns the ordinary texts of the folder. Raises `ConfigError`."""
    path = folder / "background.json"
    try:
        texts = json.loads(path.read_text("utf-8"))["texts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} must hold `texts`; {folders.again(folder)}") from error
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"{path}: `texts` must be a list of texts")
    return tuple(texts)


def read(folder: Path) -> VectorTable:
    """Checks and reads the folder. Raises `ConfigError`."""
    digest, _ = folders.verify(folder, VECTOR_FILES)
    folders.configuration(folder, "vectors", FORMAT)
    path = folder / "weights.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            table, weights = arrays["table"], arrays["weights"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} does not hold a table of vectors; {folders.again(folder)}") from error
    if table.dtype != np.int8 or table.ndim != 2 or not 0 < table.shape[1] <= MOST_DIMENSIONS:
        raise ConfigError(f"{path}: `table` must be 8-bit numbers, with 1 to {MOST_DIMENSIONS:,} of them in a row")
    if weights.dtype != np.uint16 or weights.shape != table.shape[:1]:
        raise ConfigError(f"{path}: `weights` must be a 16-bit number for each row of the table")
    return VectorTable(digest, table, weights)
